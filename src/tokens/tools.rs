//! What the definitions of tools cost: `num_tokens_for_tools` of OpenAI's cookbook ("How to count tokens with
//! tiktoken").

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Encoding;

/// Tokens that frame the definitions, once a request.
const FRAME_TOKENS: u64 = 12;
/// Tokens that begin the parameters of a function, if it has any; and those that begin each.
const PARAMETER_TOKENS: u64 = 3;
/// Tokens that a value of an `enum` takes beside its text; the first one takes none.
const VALUE_TOKENS: u64 = 3;

/// The shape that the cookbook knows; whatever has more than it (nested objects, arrays, references) has no rule.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tool<'a> {
    #[serde(rename = "type")]
    _kind: Word,
    #[serde(borrow)]
    function: &'a RawValue,
}

#[derive(Deserialize)]
enum Word {
    #[serde(rename = "function")]
    Function,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Function {
    name: String,
    description: String,
    #[serde(default)]
    parameters: Parameters,
    #[serde(default, rename = "strict")]
    _strict: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    #[serde(default, rename = "type")]
    _kind: Option<String>,
    #[serde(default)]
    properties: serde_json::Map<String, serde_json::Value>,
    #[serde(default, rename = "required")]
    _required: Vec<String>,
    #[serde(default, rename = "additionalProperties")]
    _additional: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Property {
    #[serde(rename = "type")]
    kind: String,
    description: String,
    #[serde(rename = "enum")]
    values: Option<Vec<String>>,
}

/// Tokens of an array of tools, or of functions as they were before. It counts as the JSON text that it is where the
/// model is not OpenAI's; and so does a tool whose shape the cookbook does not know.
pub(super) fn count(tools: &str, model: &str) -> u64 {
    let encoding = Encoding::of(model);
    let text = |text: &str| encoding.unwrap_or(Encoding::O200k).count(text);
    let begin = match encoding {
        Some(Encoding::O200k) => 7,
        Some(Encoding::Cl100k) => 10,
        _ => return text(tools),
    };
    let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(tools) else { return text(tools) };
    let (mut sum, mut is_framed) = (0, false);
    for item in items {
        let tokens = function(item.get(), &text);
        is_framed |= tokens.is_some();
        sum += tokens.map_or_else(|| text(item.get()), |tokens| begin + tokens);
    }
    sum + if is_framed { FRAME_TOKENS } else { 0 }
}

/// Tokens of one definition, if it has the shape that the cookbook knows.
fn function(raw: &str, text: &impl Fn(&str) -> u64) -> Option<u64> {
    let inner = serde_json::from_str::<Tool<'_>>(raw).map_or(raw, |tool| tool.function.get());
    let Function { name, description, parameters, .. } = serde_json::from_str(inner).ok()?;
    let mut sum = text(&format!("{name}:{}", sentence(&description)));
    if !parameters.properties.is_empty() {
        sum += PARAMETER_TOKENS;
    }
    for (name, property) in parameters.properties {
        let Property { kind, description, values } = serde_json::from_value(property).ok()?;
        let values = values.unwrap_or_default();
        let words: u64 = values.iter().map(|value| text(value)).sum();
        sum += PARAMETER_TOKENS + words + VALUE_TOKENS * (values.len() as u64).saturating_sub(1);
        sum += text(&format!("{name}:{kind}:{}", sentence(&description)));
    }
    Some(sum)
}

/// A description without the full stop at its end.
fn sentence(text: &str) -> &str {
    text.strip_suffix('.').unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::count_or_bound;

    const WEATHER: &str = r#"{"name":"get_weather","description":"Weather.","parameters":{"type":"object",
        "properties":{"city":{"type":"string","description":"A city."}},"required":["city"]}}"#;

    #[test]
    fn functions_cost_the_same_bare_and_in_a_tool() {
        let tool = format!(r#"[{{"type":"function","function":{WEATHER}}}]"#);
        let words = count_or_bound("get_weather:Weather", "gpt-4o") + count_or_bound("city:string:A city", "gpt-4o");
        assert_eq!(count(&tool, "gpt-4o"), 7 + 3 + 3 + words + 12);
        assert_eq!(count(&format!("[{WEATHER}]"), "gpt-4o"), count(&tool, "gpt-4o"));
    }

    #[test]
    fn what_the_rule_does_not_know_costs_its_text() {
        let nested = r#"{"name":"f","description":"","parameters":{"type":"object",
            "properties":{"list":{"type":"array","description":"","items":{"type":"string"}}}}}"#;
        assert_eq!(count(&format!("[{nested}]"), "gpt-4o"), count_or_bound(nested, "gpt-4o"));
        let both = count(&format!("[{WEATHER},{nested}]"), "gpt-4o");
        assert_eq!(both, count(&format!("[{WEATHER}]"), "gpt-4o") + count_or_bound(nested, "gpt-4o"));
        for (tools, model) in [("[{}]", "claude-sonnet-4-5"), ("{", "gpt-4o"), ("[]", "text-davinci-003")] {
            assert_eq!(count(tools, model), count_or_bound(tools, model), "{tools}");
        }
        assert_eq!(count("[]", "gpt-4o"), 0);
    }
}
