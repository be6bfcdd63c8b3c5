//! Which endpoint a method and a path are, and whether a body may come in there.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::refusal::Refusal;
use super::response::Response;
use crate::kinds::{Completion, Embeddings, Kind, ModelResponse, Ranking};

/// What of a request is known before its body is read.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Door {
    /// In capital letters.
    pub method: String,
    /// Without the query, as it was sent.
    pub path: String,
    /// Of the body, if it is given.
    pub content_type: Option<String>,
    /// Of the body, if it is given and a number.
    pub content_length: Option<f64>,
    /// The kinds that there are routers of, by their names.
    pub kinds: Vec<String>,
    /// Most bytes of a body.
    pub max_body_bytes: f64,
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Place {
    /// The router of this kind.
    Kind(&'static str),
    /// All groups, or one.
    Models(Option<String>),
}

/// The endpoints below `/v1`; a kind's are OpenAI's own paths.
const KINDS: [(&str, &str); 4] = [
    (Completion::PATH, Completion::NAME),
    (ModelResponse::PATH, ModelResponse::NAME),
    (Embeddings::PATH, Embeddings::NAME),
    (Ranking::PATH, Ranking::NAME),
];

/// Finds what is asked for. Whatever stands before `/v1` is where the handler was put.
///
/// # Errors
/// 404, 405, 413 and 415.
pub fn place(door: &Door) -> Result<Place, Refusal> {
    let path = door.path.strip_suffix('/').unwrap_or(&door.path);
    let unknown = || Refusal::not_found(format!("there is nothing at {} {}", door.method, door.path));
    let (mount, _) = path.rsplit_once("/v1/").ok_or_else(unknown)?;
    let below = &path[mount.len() + "/v1".len()..];
    // To a rule by prefix this would be one endpoint, and here another.
    let is_endpoint = |at: &str| mount.ends_with(at) || mount.contains(&format!("{at}/"));
    if KINDS.iter().map(|(path, _)| *path).chain(["/models"]).any(|path| is_endpoint(&format!("/v1{path}"))) {
        return Err(unknown());
    }
    let kind = KINDS.iter().find(|(path, _)| *path == below).map(|(_, kind)| *kind);
    match kind {
        Some(kind) if !door.kinds.iter().any(|given| given == kind) => Err(unknown()),
        Some(kind) => {
            allow(&door.method, "POST")?;
            check_body(door)?;
            Ok(Place::Kind(kind))
        }
        None if is_kept(below) => Err(Refusal::not_found(format!(
            "there is nothing at {} {}: a response is kept by the provider that gave it, and not fetched from here",
            door.method, door.path
        ))),
        None => {
            let place = match below.strip_prefix("/models") {
                Some("") => Place::Models(None),
                Some(model) if model.starts_with('/') => Place::Models(Some(decoded(&model[1..]))),
                _ => return Err(unknown()),
            };
            // Whoever writes the answer leaves out the body, which HEAD does not have.
            allow(&door.method, "GET, HEAD")?;
            Ok(place)
        }
    }
}

/// Whether a path is that of one answer of the Responses API, or of what was asked with it.
fn is_kept(below: &str) -> bool {
    below.strip_prefix(ModelResponse::PATH).is_some_and(|rest| rest.starts_with('/'))
}

fn allow(method: &str, allowed: &'static str) -> Result<(), Refusal> {
    if allowed.split(", ").any(|name| name == method) { Ok(()) } else { Err(Refusal::method(method, allowed)) }
}

fn check_body(door: &Door) -> Result<(), Refusal> {
    if let Some(given) = &door.content_type {
        let essence = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let is_json =
            essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"));
        if !is_json {
            return Err(Refusal::content_type(given));
        }
    }
    match door.content_length {
        Some(length) if length > door.max_body_bytes => Err(Refusal::too_large(door.max_body_bytes)),
        _ => Ok(()),
    }
}

/// Without percent signs. What is not UTF-8 then is no group's name either.
fn decoded(text: &str) -> String {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (bytes, mut out) = (text.as_bytes(), Vec::with_capacity(text.len()));
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let high = bytes.get(at + 1).copied().and_then(digit).filter(|_| byte == b'%');
        if let Some((high, low)) = high.zip(bytes.get(at + 2).copied().and_then(digit)) {
            out.push(high * 16 + low);
            at += 3;
        } else {
            out.push(byte);
            at += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The groups as OpenAI lists models: all, or the one that is wanted.
#[must_use]
pub fn models(groups: &[String], wanted: Option<&str>) -> Response {
    let model = |group: &str| json!({ "id": group, "object": "model", "created": 0, "owned_by": "thryd" });
    let Some(wanted) = wanted else {
        let mut seen = std::collections::HashSet::new();
        let data: Vec<_> = groups.iter().filter(|group| seen.insert(*group)).map(|group| model(group)).collect();
        return Response::json(json!({ "object": "list", "data": data }).to_string());
    };
    match groups.iter().find(|group| *group == wanted) {
        Some(group) => Response::json(model(group).to_string()),
        None => Refusal::no_model(wanted).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(method: &str, path: &str) -> Door {
        Door {
            method: method.to_owned(),
            path: path.to_owned(),
            content_type: Some("application/json; charset=utf-8".to_owned()),
            content_length: Some(10.0),
            kinds: vec!["completion".to_owned(), "rerank".to_owned()],
            max_body_bytes: 100.0,
        }
    }

    fn status(door: &Door) -> u16 {
        Response::from(place(door).unwrap_err()).head.status
    }

    #[test]
    fn an_endpoint_is_found_wherever_the_handler_was_put() {
        for path in ["/v1/chat/completions", "/api/v1/chat/completions", "/v1/x/v1/chat/completions/"] {
            assert_eq!(place(&door("POST", path)).unwrap(), Place::Kind("completion"), "{path}");
        }
        assert_eq!(place(&door("POST", "/v1/rerank")).unwrap(), Place::Kind("rerank"));
        for method in ["GET", "HEAD"] {
            assert_eq!(place(&door(method, "/v1/models")).unwrap(), Place::Models(None));
        }
        assert_eq!(place(&door("GET", "/v1/models/a%2Fb/c%")).unwrap(), Place::Models(Some("a/b/c%".to_owned())));
    }

    #[test]
    fn nothing_else_is_found() {
        // A rule by prefix would take it for the list of models.
        for path in [
            "/v1/models/v1/chat/completions",
            "/v1/rerank/v1/rerank",
            "/",
            "",
            "/v1",
            "/v1/",
            "/chat/completions",
            "/v1/chat",
            "/v1/embeddings",
            "/v1/modelss",
        ] {
            assert_eq!(status(&door("POST", path)), 404, "{path}");
        }
        for (method, path, allowed) in [
            ("GET", "/v1/chat/completions", "POST"),
            ("HEAD", "/v1/chat/completions", "POST"),
            ("OPTIONS", "/v1/chat/completions", "POST"),
            ("DELETE", "/v1/models", "GET, HEAD"),
            ("OPTIONS", "/v1/models/a", "GET, HEAD"),
        ] {
            let head = Response::from(place(&door(method, path)).unwrap_err()).head;
            assert_eq!(head.status, 405, "{method} {path}");
            assert!(head.headers.contains(&("allow", allowed.to_owned())), "{method} {path}");
        }
    }

    #[test]
    fn a_body_that_is_too_large_or_no_json_is_refused_before_it_is_read() {
        let with = |content_type: Option<&str>, length| Door {
            content_type: content_type.map(str::to_owned),
            content_length: Some(length),
            ..door("POST", "/v1/rerank")
        };
        assert_eq!(status(&with(None, 101.0)), 413);
        assert_eq!(status(&with(Some("text/plain"), 1.0)), 415);
        assert_eq!(status(&with(Some("multipart/form-data; boundary=a"), 1.0)), 415);
        for fine in [None, Some("Application/JSON"), Some("application/vnd.api+json")] {
            assert!(place(&with(fine, 100.0)).is_ok(), "{fine:?}");
        }
    }

    #[test]
    fn a_group_of_two_routers_is_one_model() {
        let groups = ["a".to_owned(), "b".to_owned(), "a".to_owned()];
        let list: serde_json::Value = serde_json::from_str(&models(&groups, None).body).unwrap();
        assert_eq!(list["data"].as_array().unwrap().len(), 2);
        assert_eq!(models(&groups, Some("b")).head.status, 200);
        assert_eq!(models(&groups, Some("c")).head.status, 404);
    }
}
