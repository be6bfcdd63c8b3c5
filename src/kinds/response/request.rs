//! What the Responses API is asked with: OpenAI's body, checked.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::text_or_id;
use crate::error::Invalid;
use crate::kinds::Body;
use crate::kinds::checks::{array, filled_string, integer, is_object, number, positive, wrong};

/// Fields that are thryd's to set, whoever wrote them.
const OWN_FIELDS: [&str; 2] = ["model", "stream"];

/// OpenAI's body of `POST /v1/responses` without `model`.
///
/// ```
/// use thryd::kinds::ResponsesRequest;
/// let request = ResponsesRequest::input("Hi").set("max_output_tokens", 100);
/// assert_eq!(request.as_ref().get("input"), Some(r#""Hi""#));
/// ```
#[derive(Clone, Debug)]
pub struct ResponsesRequest {
    body: Body,
}

impl AsRef<Body> for ResponsesRequest {
    fn as_ref(&self) -> &Body {
        &self.body
    }
}

impl ResponsesRequest {
    /// A text, or whatever serialises to a list of OpenAI's input items. The router checks it when it is sent.
    ///
    /// # Panics
    /// If the value does not serialise, which plain data always does.
    #[must_use]
    pub fn input(input: impl Serialize) -> Self {
        Self { body: Body::new() }.set("input", input)
    }

    /// The same request with a further field of the body, e.g. `instructions`.
    ///
    /// # Panics
    /// If the value does not serialise, which plain data always does.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl Serialize) -> Self {
        self.body.set(name, &value);
        self
    }

    /// The ids of what it goes on from.
    pub(super) fn builds_on(&self) -> Vec<String> {
        super::state::ids_before(&self.body)
    }

    /// Checks a body: see [`Kind::request`](crate::kinds::Kind::request).
    pub(super) fn check(mut body: Body) -> Result<Self, Invalid> {
        body.drop_nulls();
        for name in OWN_FIELDS {
            body.remove(name);
        }
        check_input(&body)?;
        check_state(&body)?;
        check_options(&body)?;
        Ok(Self { body })
    }
}

#[derive(Deserialize)]
struct ItemShape<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow, default)]
    role: Option<&'a RawValue>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
}

fn check_input(body: &Body) -> Result<(), Invalid> {
    let expected = "a string or an array of items";
    let Some(raw) = body.get("input") else {
        let may_be_absent =
            ["prompt", "previous_response_id", "conversation"].iter().any(|name| body.get(name).is_some());
        let field = if body.get("messages").is_some() {
            "a request of the Responses API: input, not messages"
        } else {
            expected
        };
        return if may_be_absent { Ok(()) } else { Err(Invalid::type_error("request.input", field, "nothing")) };
    };
    if raw.starts_with('"') {
        return crate::kinds::checks::string(raw, || "request.input".to_owned()).map(drop);
    }
    let items: Vec<&RawValue> =
        serde_json::from_str(raw).map_err(|_| wrong("request.input".to_owned(), expected, raw))?;
    for (place, item) in items.iter().enumerate() {
        let field = format!("request.input[{place}]");
        let shape = serde_json::from_str::<ItemShape<'_>>(item.get()).ok().filter(|_| is_object(item.get()));
        let Some(shape) = shape else { return Err(wrong(field, "an object", item.get())) };
        let raw = |value: Option<&RawValue>| value.map(|value| value.get().to_owned()).filter(|raw| raw != "null");
        let kind = raw(shape.kind);
        if let Some(kind) = kind.as_deref().filter(|kind| !kind.starts_with('"')) {
            return Err(wrong(format!("{field}.type"), "a string", kind));
        }
        let kind_is_absent = kind.is_none();
        if kind.is_some_and(|kind| kind != "\"message\"") {
            // Of other items only their servers know what they are made of.
            continue;
        }
        match raw(shape.role) {
            // A reference to an item may leave out that it is one.
            None if kind_is_absent && shape.id.is_some() => continue,
            None => return Err(Invalid::type_error(format!("{field}.role"), "a string, or a type of item", "nothing")),
            Some(role) if !role.starts_with('"') => return Err(wrong(format!("{field}.role"), "a string", &role)),
            Some(_) => {}
        }
        let content = raw(shape.content).unwrap_or_else(|| "null".to_owned());
        let is_parts = || {
            serde_json::from_str::<Vec<&RawValue>>(&content)
                .is_ok_and(|parts| parts.into_iter().all(|part| is_object(part.get())))
        };
        if !content.starts_with('"') && !is_parts() {
            return Err(wrong(format!("{field}.content"), "a string or an array of objects", &content));
        }
    }
    Ok(())
}

/// What concerns answers that a provider keeps.
fn check_state(body: &Body) -> Result<(), Invalid> {
    if body.read::<bool>("background", "true or false")? == Some(true) {
        let expected = "false or nothing: an answer that is made in the background cannot be fetched through thryd";
        return Err(Invalid::type_error("request.background", expected, "true"));
    }
    if let Some(raw) = body.get("previous_response_id") {
        filled_string(raw, || "request.previous_response_id".to_owned())?;
    }
    match body.get("conversation") {
        Some(raw) if text_or_id(raw).is_none() => {
            Err(wrong("request.conversation".to_owned(), "an id, or an object with one", raw))
        }
        _ => Ok(()),
    }
}

/// The types and the documented ranges of OpenAI's options.
fn check_options(body: &Body) -> Result<(), Invalid> {
    number(body, "temperature", 0.0, 2.0)?;
    number(body, "top_p", 0.0, 1.0)?;
    positive(body, "max_output_tokens")?;
    positive(body, "max_tool_calls")?;
    integer(body, "top_logprobs")?;
    for name in ["parallel_tool_calls", "store"] {
        body.read::<bool>(name, "true or false")?;
    }
    for name in ["service_tier", "truncation", "prompt_cache_key", "safety_identifier", "user"] {
        body.read::<String>(name, "a string")?;
    }
    if let Some(raw) = body.get("instructions").filter(|raw| !raw.starts_with(['"', '['])) {
        return Err(wrong("request.instructions".to_owned(), "a string", raw));
    }
    for name in ["text", "reasoning", "prompt", "metadata", "stream_options"] {
        if let Some(raw) = body.get(name).filter(|raw| !is_object(raw)) {
            return Err(wrong(format!("request.{name}"), "an object", raw));
        }
    }
    body.read::<Vec<String>>("include", "an array of strings")?;
    let tools = array(body, "tools", "an array of objects")?.unwrap_or_default();
    match tools.iter().enumerate().find(|(_, tool)| !is_object(tool.get())) {
        Some((place, tool)) => Err(wrong(format!("request.tools[{place}]"), "an object", tool.get())),
        None => Ok(()),
    }
}
