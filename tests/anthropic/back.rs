//! The way back, written for the tests alone: a request for messages as OpenAI's, and an answer of OpenAI's as the events and
//! blocks that would have made it.

use serde_json::{Map, Value, json};

fn rename(map: &mut Map<String, Value>, old: &str, new: &str) {
    if let Some(value) = map.remove(old) {
        map.insert(new.to_owned(), value);
    }
}

/// The request of OpenAI's that went out as this one.
pub fn request(sent: &Value) -> Value {
    let mut body = sent.as_object().unwrap().clone();
    body.remove("model");
    rename(&mut body, "stop_sequences", "stop");
    rename(&mut body, "max_tokens", "max_completion_tokens");
    if let Some(metadata) = body.remove("metadata") {
        body.insert("user".to_owned(), metadata["user_id"].clone());
    }
    if let Some(mut config) = body.remove("output_config") {
        if let Some(effort) = config.as_object_mut().unwrap().remove("effort") {
            body.insert("reasoning_effort".to_owned(), effort);
        }
        if let Some(schema) = config.pointer("/format/schema") {
            let format = json!({ "type": "json_schema", "json_schema": { "name": "answer", "schema": schema } });
            body.insert("response_format".to_owned(), format);
        }
    }
    if let Some(tools) = body.get_mut("tools") {
        tools.as_array_mut().unwrap().iter_mut().for_each(tool);
    }
    if let Some(mut choice) = body.remove("tool_choice") {
        if choice.as_object_mut().unwrap().remove("disable_parallel_tool_use").is_some() {
            body.insert("parallel_tool_calls".to_owned(), false.into());
        }
        let choice = match choice["type"].as_str().unwrap() {
            "any" => json!("required"),
            "tool" => json!({ "type": "function", "function": { "name": choice["name"] } }),
            word => json!(word),
        };
        body.insert("tool_choice".to_owned(), choice);
    }
    let mut messages = Vec::new();
    match body.remove("system") {
        None => {}
        Some(Value::Array(blocks)) => {
            messages.extend(blocks.into_iter().map(|block| match block.get("cache_control") {
                None => json!({ "role": "system", "content": block["text"] }),
                Some(_) => json!({ "role": "system", "content": [block] }),
            }))
        }
        Some(text) => messages.push(json!({ "role": "system", "content": text })),
    }
    for turn in body["messages"].as_array().unwrap() {
        messages.extend(message(turn));
    }
    body.insert("messages".to_owned(), messages.into());
    body.into()
}

fn tool(tool: &mut Value) {
    let mut function = tool.as_object().unwrap().clone();
    rename(&mut function, "input_schema", "parameters");
    let mark = function.remove("cache_control");
    *tool = json!({ "type": "function", "function": function });
    if let Some(mark) = mark {
        tool["cache_control"] = mark;
    }
}

/// The messages of a turn: each result of a call was one.
fn message(turn: &Value) -> Vec<Value> {
    let Some(blocks) = turn["content"].as_array() else { return vec![turn.clone()] };
    if blocks[0]["type"] == "tool_result" {
        let result = |block: &Value| json!({ "role": "tool", "tool_call_id": block["tool_use_id"], "content": block["content"] });
        return blocks.iter().map(result).collect();
    }
    if turn["role"] == "user" {
        return vec![json!({ "role": "user", "content": blocks.iter().map(part).collect::<Vec<_>>() })];
    }
    let of = |kind: &'static str| blocks.iter().filter(move |block| block["type"] == kind);
    let mut message = json!({ "role": "assistant", "content": of("text").next().map(|block| &block["text"]) });
    let thinking: Vec<_> = of("thinking").collect();
    if !thinking.is_empty() {
        message["thinking_blocks"] = json!(thinking);
    }
    let calls: Vec<_> = of("tool_use").map(call).collect();
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    vec![message]
}

fn part(block: &Value) -> Value {
    if block["type"] != "image" {
        return block.clone();
    }
    let source = &block["source"];
    let url = match source["type"].as_str().unwrap() {
        "url" => source["url"].as_str().unwrap().to_owned(),
        _ => format!("data:{};base64,{}", source["media_type"].as_str().unwrap(), source["data"].as_str().unwrap()),
    };
    json!({ "type": "image_url", "image_url": { "url": url } })
}

pub fn call(block: &Value) -> Value {
    let function = json!({ "name": block["name"], "arguments": block["input"].to_string() });
    json!({ "id": block["id"], "type": "function", "function": function })
}

/// The events that stream a message, its texts in pieces of `size` characters.
pub fn events(message: &Value, size: usize) -> Vec<String> {
    let mut start = message.clone();
    start["content"] = json!([]);
    start["stop_reason"] = Value::Null;
    start["usage"]["output_tokens"] = 1.into();
    let mut late = Map::new();
    for name in ["container", "context_management", "input_transformations"] {
        late.extend(start.as_object_mut().unwrap().remove_entry(name));
    }
    let mut events = vec![json!({ "type": "message_start", "message": start })];
    for (index, block) in message["content"].as_array().unwrap().iter().enumerate() {
        let (mut open, mut deltas) = (block.clone(), Vec::new());
        let mut grow = |kind: &str, field: &str, text: &str| {
            let letters: Vec<char> = text.chars().collect();
            for piece in letters.chunks(size.max(1)) {
                deltas.push(json!({ "type": kind, field: piece.iter().collect::<String>() }));
            }
        };
        match block["type"].as_str().unwrap() {
            "text" => {
                grow("text_delta", "text", block["text"].as_str().unwrap());
                open["text"] = "".into();
                if let Some([first, rest @ ..]) = block["citations"].as_array().map(Vec::as_slice) {
                    // The first one from the beginning, the others as they are made.
                    open["citations"] = json!([first]);
                    let cited = |citation| json!({ "type": "citations_delta", "citation": citation });
                    deltas.extend(rest.iter().map(cited));
                }
            }
            "thinking" => {
                grow("thinking_delta", "thinking", block["thinking"].as_str().unwrap());
                grow("signature_delta", "signature", block["signature"].as_str().unwrap());
                open = json!({ "type": "thinking", "thinking": "" });
            }
            "tool_use" | "server_tool_use" | "mcp_tool_use" => {
                grow("input_json_delta", "partial_json", &block["input"].to_string());
                open["input"] = json!({});
            }
            // In one delta.
            "compaction" => {
                let mut delta = block.clone();
                delta["type"] = "compaction_delta".into();
                deltas.push(delta);
                (open["content"], open["encrypted_content"]) = (Value::Null, Value::Null);
            }
            "invented" => {
                grow("invented_delta", "note", block["note"].as_str().unwrap());
                deltas.push(json!({ "type": "invented_delta", "seal": block["seal"] }));
                open = json!({ "type": "invented" });
            }
            _ => {}
        }
        events.push(json!({ "type": "content_block_start", "index": index, "content_block": open }));
        events.extend(
            deltas.into_iter().map(|delta| json!({ "type": "content_block_delta", "index": index, "delta": delta })),
        );
        events.push(json!({ "type": "content_block_stop", "index": index }));
    }
    let mut delta = json!({ "stop_reason": message["stop_reason"], "stop_sequence": message["stop_sequence"] });
    if let Some(container) = late.remove("container") {
        delta["container"] = container;
    }
    let mut end = json!({ "type": "message_delta", "delta": delta, "usage": message["usage"] });
    end.as_object_mut().unwrap().extend(late);
    events.push(end);
    events.push(json!({ "type": "message_stop" }));
    events.iter().map(Value::to_string).collect()
}
