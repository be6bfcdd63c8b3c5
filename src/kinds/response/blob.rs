//! What stands in a request as base64, and is no text: pictures, files, and what a provider sealed.

use std::borrow::Cow;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::kinds::Image;

/// Base64 of at least so many characters, and of nothing else, is no text.
const SHORTEST: usize = 256;

/// A line of base64 that is broken into lines.
const SHORTEST_LINE: usize = 60;

/// JSON of any form without what is no text in it, the pictures among which are added to `images`.
pub(super) fn without<'a>(raw: &'a RawValue, images: &mut Vec<Image>) -> Cow<'a, str> {
    let mut value = serde_json::from_str(raw.get()).unwrap_or_default();
    if take_out(&mut value, images) { value.to_string().into() } else { raw.get().into() }
}

/// Takes out what is no text, and says whether there was any.
fn take_out(value: &mut Value, images: &mut Vec<Image>) -> bool {
    match value {
        Value::String(text) => {
            let is_blob = is_data_url(text) || is_base64(text);
            if is_blob {
                images.extend(seen(text));
                text.clear();
            }
            is_blob
        }
        Value::Array(items) => items.iter_mut().fold(false, |any, item| take_out(item, images) | any),
        Value::Object(fields) => take_out_of(fields, images),
        _ => false,
    }
}

fn take_out_of(fields: &mut Map<String, Value>, images: &mut Vec<Image>) -> bool {
    let kind = fields.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    let known = fields.len();
    fields.retain(|name, _| !name.starts_with("encrypted_"));
    let mut any = fields.len() < known;
    if matches!(kind.as_str(), "input_image" | "computer_screenshot" | "image") {
        let names = ["image_url", "url", "file_id"];
        let url = names.iter().find(|name| fields.get(**name).is_some_and(Value::is_string));
        let url = url.and_then(|name| fields.remove(*name));
        if let Some(url) = url {
            let detail = fields.get("detail").map(ToString::to_string);
            images.push(Image::of(&url.to_string(), detail.as_deref()));
            any = true;
        }
    }
    for (name, value) in fields {
        let is_picture = name == "b64_json" || (name == "result" && kind == "image_generation_call");
        match value {
            Value::String(data) if is_picture && !data.is_empty() => {
                images.push(Image::of_base64(data));
                data.clear();
                any = true;
            }
            value => any |= take_out(value, images),
        }
    }
    any
}

/// What a blob counts as: a picture if it is one, a file of unknown size if its URL says that it is one; else nothing.
fn seen(text: &str) -> Option<Image> {
    if is_data_url(text) {
        return Some(Image::of(&Value::from(text).to_string(), None));
    }
    Some(Image::of_base64(text)).filter(|image| image.size.is_some())
}

fn is_data_url(text: &str) -> bool {
    let head = text.strip_prefix("data:").and_then(|rest| rest.split_once(',')).map(|(head, _)| head);
    head.is_some_and(|head| head.contains(['/', ';']) && !head.contains(char::is_whitespace))
}

/// Whether it is long, and base64 of either alphabet and nothing else; it may be broken into lines.
fn is_base64(text: &str) -> bool {
    let is_of_it = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_=\r\n".contains(&byte);
    text.len() >= SHORTEST
        && text.bytes().all(is_of_it)
        && text.bytes().filter(|byte| *byte == b'\n').count() <= text.len() / SHORTEST_LINE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &Value) -> (String, usize) {
        let mut images = Vec::new();
        let raw = serde_json::value::to_raw_value(value).unwrap();
        (without(&raw, &mut images).into_owned(), images.len())
    }

    #[test]
    fn text_stays_to_the_letter() {
        for text in [
            "data: the results are in, and good".to_owned(),
            "word ".repeat(200),
            "line\n".repeat(200),
            "short".to_owned(),
            String::new(),
        ] {
            let value = serde_json::json!({ "type": "x", "text": text, "image_url": "https://a/b.png" });
            assert_eq!(of(&value), (value.to_string(), 0));
        }
        let odd = RawValue::from_string(r#"{"n": 1.10,  "a":[1e400]}"#.to_owned()).unwrap();
        assert_eq!(without(&odd, &mut Vec::new()), odd.get());
    }

    #[test]
    fn base64_is_found_in_lines_and_in_either_alphabet() {
        for text in ["QUJD".repeat(100), "-_-_".repeat(100), format!("{}\r\n", "QUJD".repeat(19)).repeat(20)] {
            assert_eq!(of(&text.clone().into()), ("\"\"".to_owned(), 0), "{text}");
        }
        let url = format!("data:image/png;base64,{}", "QUJD".repeat(100));
        assert_eq!(of(&url.into()), ("\"\"".to_owned(), 1));
    }
}
