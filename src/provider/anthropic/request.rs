//! What is asked: the fields of OpenAI's body in the words of the Messages API,
//! <https://platform.claude.com/docs/en/api/messages/create>.
//!
//! Whatever is not OpenAI's travels as it is: `thinking`, `top_k`, `output_config`, `mcp_servers`, ...

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::conversation::{self, Conversation, string, text_block};
use crate::kinds::Body;
use crate::provider::Call;

/// Most tokens of an answer whose request names no limit, because this API wants to be told one: the smallest maximum
/// of the models that it serves, <https://platform.claude.com/docs/en/about-claude/models/overview>.
const MAX_TOKENS: u64 = 32_000;

/// What is left for the answer beside a budget for thinking, which counts as part of it.
const ANSWER_TOKENS: u64 = 16_000;

/// The maximum of the models that take such a budget.
const THINKING_MAX_TOKENS: u64 = 64_000;

/// OpenAI's fields that it refuses, and whose absence is no other question: hints for the drawing of tokens, and the
/// provider's book-keeping. Its own OpenAI-compatible endpoint passes over them, too,
/// <https://platform.claude.com/docs/en/api/openai-sdk>.
const LEFT_OUT: [&str; 15] = [
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "modalities",
    "n",
    "prediction",
    "presence_penalty",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "seed",
    "store",
    "stream_options",
    "top_logprobs",
    "verbosity",
];

/// What stands for OpenAI's `json_object`, for which there is no field.
const JSON_ONLY: &str = "Answer with one JSON object and nothing else: no text around it and no Markdown.";

/// The request that goes out.
///
/// # Errors
/// What cannot be said.
pub(super) fn write(call: &Call<'_>) -> Result<Bytes, String> {
    let mut body = call.body.clone();
    refuse(&body)?;
    for name in LEFT_OUT {
        body.remove(name);
    }
    let Conversation { mut system, messages } = conversation::write(body.get("messages").unwrap_or("[]"))?;
    body.set("messages", &messages);
    body.rename("max_completion_tokens", "max_tokens");
    if body.get("max_tokens").is_none() {
        body.set("max_tokens", &most_tokens(&body));
    }
    stop(&mut body)?;
    who_asks(&mut body);
    service_tier(&mut body);
    // It refuses what is beyond, and its OpenAI-compatible endpoint takes it for this.
    if body.get("temperature").and_then(|raw| raw.parse().ok()).is_some_and(|value: f64| value > 1.0) {
        body.set("temperature", &1);
    }
    output(&mut body, &mut system)?;
    tools(&mut body)?;
    tool_choice(&mut body)?;
    own_system_first(&mut body, &mut system)?;
    match (system.as_slice(), body.get("system")) {
        ([], _) => {}
        ([only], _) if only.iter().count() == 2 => {
            let text: &RawValue = serde_json::from_str(only.get("text").unwrap_or("\"\"")).map_err(|_| "`system`")?;
            body.set("system", &text);
        }
        (blocks, _) => body.set("system", &blocks),
    }
    if call.is_stream {
        body.set("stream", &true);
    }
    Ok(body.write(&[("model", call.model)]))
}

/// What another deployment should be asked for, because without it the answer would be another.
fn refuse(body: &Body) -> Result<(), String> {
    let is_true = |name| body.get(name) == Some("true");
    let n: u64 = body.get("n").and_then(|raw| raw.parse().ok()).unwrap_or(1);
    let modalities: Vec<String> = list(body.get("modalities")).unwrap_or_default();
    let what = match () {
        () if n > 1 => "`n` above 1",
        () if is_true("logprobs") => "`logprobs`",
        () if body.get("audio").is_some() || modalities.iter().any(|kind| kind == "audio") => "`audio` as an answer",
        () if body.get("functions").is_some() || body.get("function_call").is_some() => "`functions`, only `tools`",
        () if body.get("web_search_options").is_some() => "`web_search_options`, only a tool of its own",
        () => return Ok(()),
    };
    Err(what.to_owned())
}

/// A list, if it is one.
fn list<'a, T: Deserialize<'a>>(raw: Option<&'a str>) -> Option<Vec<T>> {
    serde_json::from_str(raw?).ok()
}

/// The most tokens of an answer that names no limit: room for an answer beside the thinking that it may do.
fn most_tokens(body: &Body) -> u64 {
    let thinking = body.get("thinking").and_then(|raw| Body::parse(raw).ok()).unwrap_or_default();
    let budget: u64 = thinking.get("budget_tokens").and_then(|raw| raw.parse().ok()).unwrap_or(0);
    MAX_TOKENS.max(budget.saturating_add(ANSWER_TOKENS).min(THINKING_MAX_TOKENS.max(budget.saturating_add(1))))
}

/// A `system` of the caller's own stands before what the conversation says in that role.
fn own_system_first(body: &mut Body, system: &mut Vec<Body>) -> Result<(), String> {
    let Some(raw) = body.get("system").filter(|_| !system.is_empty()) else { return Ok(()) };
    let mut own: Vec<Body> = match string(raw) {
        Some(text) if text.trim().is_empty() => Vec::new(),
        Some(text) => vec![text_block(&text)],
        None => list(Some(raw)).ok_or("this `system`")?,
    };
    own.append(system);
    *system = own;
    body.remove("system");
    Ok(())
}

fn stop(body: &mut Body) -> Result<(), String> {
    body.rename("stop", "stop_sequences");
    if let Some(one) = body.get("stop_sequences").and_then(string) {
        body.set("stop_sequences", &[one]);
    }
    let stops: Vec<String> = list(body.get("stop_sequences")).unwrap_or_default();
    if stops.iter().any(|stop| stop.trim().is_empty()) {
        return Err("a `stop` of white space alone".to_owned());
    }
    Ok(())
}

/// `user` and what took its place are `metadata.user_id`, which is all that its metadata can hold.
fn who_asks(body: &mut Body) {
    let given: Option<Body> = body.remove("metadata").and_then(|raw| serde_json::from_str(raw.get()).ok());
    let known = given.as_ref().and_then(|metadata| metadata.get("user_id")).and_then(string);
    let others = ["safety_identifier", "user"].map(|name| body.remove(name).and_then(|raw| string(raw.get())));
    if let Some(id) = known.or_else(|| others.into_iter().flatten().next()) {
        body.set("metadata", &json!({ "user_id": id }));
    }
}

/// <https://platform.claude.com/docs/en/api/service-tiers>: whether capacity that was paid for in advance is used.
fn service_tier(body: &mut Body) {
    match body.get("service_tier").and_then(string).as_deref() {
        Some("auto" | "priority") => body.set("service_tier", &"auto"),
        Some("default") => body.set("service_tier", &"standard_only"),
        Some("flex" | "scale") => drop(body.remove("service_tier")),
        _ => {}
    }
}

/// `response_format` and `reasoning_effort` are parts of one object here,
/// <https://platform.claude.com/docs/en/build-with-claude/structured-outputs>,
/// <https://platform.claude.com/docs/en/build-with-claude/effort>. What the caller wrote there counts before them.
fn output(body: &mut Body, system: &mut Vec<Body>) -> Result<(), String> {
    let mut config: Body = body.get("output_config").and_then(|raw| Body::parse(raw).ok()).unwrap_or_default();
    let given = config.iter().count();
    if let Some(effort) = body.remove("reasoning_effort").and_then(|raw| string(raw.get())) {
        match effort.as_str() {
            "none" if body.get("thinking").is_none() => body.set("thinking", &json!({ "type": "disabled" })),
            "none" => {}
            _ if config.get("effort").is_some() => {}
            "minimal" => config.set("effort", &"low"),
            _ => config.set("effort", &effort),
        }
    }
    let format: Option<Body> = body.remove("response_format").and_then(|raw| Body::parse(raw.get()).ok());
    match format.as_ref().and_then(|format| format.get("type")).and_then(string).as_deref() {
        None | Some("text") => {}
        Some("json_object") => system.push(text_block(JSON_ONLY)),
        Some("json_schema") => {
            let named = format.as_ref().and_then(|format| format.get("json_schema")).unwrap_or("{}");
            let named: Body = serde_json::from_str(named).unwrap_or_default();
            let schema = named.get("schema").ok_or("`response_format` without a schema")?;
            let schema: &RawValue = serde_json::from_str(schema).map_err(|_| "`response_format`")?;
            if config.get("format").is_none() {
                config.set("format", &json!({ "type": "json_schema", "schema": schema }));
            }
        }
        Some(other) => return Err(format!("a `response_format` of type `{other}`")),
    }
    if config.iter().count() > given {
        body.set("output_config", &config);
    }
    Ok(())
}

fn tools(body: &mut Body) -> Result<(), String> {
    let Some(tools) = list::<Body>(body.get("tools")) else { return Ok(()) };
    if tools.is_empty() {
        body.remove("tools");
        return Ok(());
    }
    let tools = tools.into_iter().map(tool).collect::<Result<Vec<_>, _>>()?;
    body.set("tools", &tools);
    Ok(())
}

/// A function's fields stand in the tool itself, with marks for the cache beside them. Any other tool is its own.
fn tool(mut tool: Body) -> Result<Body, String> {
    if tool.get("custom").is_some() {
        return Err("tools of type `custom`".to_owned());
    }
    let Some(mut function) = tool.remove("function").and_then(|raw| Body::parse(raw.get()).ok()) else {
        return Ok(tool);
    };
    tool.remove("type");
    function.rename("parameters", "input_schema");
    if function.get("input_schema").is_none() {
        function.set("input_schema", &json!({ "type": "object", "properties": {} }));
    }
    if function.get("input_schema") == Some("{}") {
        function.set("input_schema", &json!({ "type": "object" }));
    }
    function.drop_nulls();
    copy(&tool, &mut function);
    Ok(function)
}

/// Adds the fields of one body to another.
pub(super) fn copy(from: &Body, to: &mut Body) {
    for (name, raw) in from.iter() {
        if let Ok(raw) = serde_json::from_str::<&RawValue>(raw) {
            to.set(name, &raw);
        }
    }
}

fn tool_choice(body: &mut Body) -> Result<(), String> {
    let is_single = body.remove("parallel_tool_calls").is_some_and(|raw| raw.get() == "false");
    let has_tools = body.get("tools").is_some();
    let mut choice = match body.remove("tool_choice") {
        None => None,
        Some(raw) => Some(match string(raw.get()).as_deref() {
            Some("required") => typed("any"),
            // Nothing to choose from, where it refuses a choice.
            Some("auto" | "none") if !has_tools => return Ok(()),
            Some(word @ ("auto" | "none")) => typed(word),
            Some(other) => return Err(format!("a `tool_choice` of `{other}`")),
            None => chosen(Body::parse(raw.get()).map_err(|_| "this `tool_choice`")?)?,
        }),
    };
    if is_single && has_tools {
        let choice = choice.get_or_insert_with(|| typed("auto"));
        if choice.get("type") != Some("\"none\"") {
            choice.set("disable_parallel_tool_use", &true);
        }
    }
    if let Some(choice) = choice {
        body.set("tool_choice", &choice);
    }
    Ok(())
}

fn typed(kind: &str) -> Body {
    let mut body = Body::new();
    body.set("type", &kind);
    body
}

/// A choice that names a tool. One in the words of this API is its own.
fn chosen(choice: Body) -> Result<Body, String> {
    match choice.get("type").and_then(string).as_deref() {
        Some("function") => {
            let function = choice.get("function").and_then(|raw| Body::parse(raw).ok()).unwrap_or_default();
            let name = function.get("name").and_then(string).ok_or("a `tool_choice` without a name")?;
            let mut choice = typed("tool");
            choice.set("name", &name);
            Ok(choice)
        }
        Some(kind @ ("allowed_tools" | "custom")) => Err(format!("a `tool_choice` of type `{kind}`")),
        _ => Ok(choice),
    }
}
