//! Who has the endpoint, where it is, and what goes there.

use std::sync::Arc;

use serde_json::json;
use thryd::Kind;
use thryd::kinds::ModelResponse;
use thryd::provider::{CustomCall, CustomHandler, CustomProvider, LocalFuture, Provider, Reply, provider_types};

use super::ask::{call, http, keyed, local, options, text_of};
use super::{content_of, heard, hi, request};

#[test]
fn only_those_that_have_it_are_asked() {
    let expected = [
        ("openai", Some("https://api.openai.com/v1/responses")),
        ("openai-compatible", Some("https://host/v1/responses")),
        ("azure", Some("https://host/v1/responses")),
        ("anthropic", None),
        ("gemini", None),
        ("mistral", Some("https://api.mistral.ai/v1/responses")),
        ("groq", Some("https://api.groq.com/openai/v1/responses")),
        ("deepseek", Some("https://api.deepseek.com/responses")),
        ("xai", Some("https://api.x.ai/v1/responses")),
        ("together", Some("https://api.together.xyz/v1/responses")),
        ("fireworks", Some("https://api.fireworks.ai/inference/v1/responses")),
        ("openrouter", Some("https://openrouter.ai/api/v1/responses")),
        ("perplexity", Some("https://api.perplexity.ai/v1/responses")),
        ("cohere", None),
        ("jina", None),
        ("voyage", None),
        ("tei", None),
        ("ollama", Some("http://localhost:11434/v1/responses")),
        ("lmstudio", Some("http://localhost:1234/v1/responses")),
        ("vllm", Some("http://localhost:8000/v1/responses")),
    ];
    let known: Vec<_> = expected.iter().map(|(kind, _)| *kind).chain(["dummy"]).collect();
    assert_eq!(provider_types().collect::<Vec<_>>(), known);
    for (kind, url) in expected {
        let provider = keyed(kind);
        assert_eq!(provider.supports(ModelResponse::NAME), url.is_some(), "{kind}");
        match url {
            Some(url) => assert_eq!(http::<ModelResponse>(&*provider, &hi(), false).url, url),
            None => {
                let error = provider.write(&call::<ModelResponse>(&hi(), false)).err().unwrap();
                assert_eq!(error.code(), "ERR_UNSUPPORTED", "{kind}: {error}");
            }
        }
    }
}

#[test]
fn what_goes_out_is_the_body_and_what_is_of_streams_alone_goes_with_streams() {
    let asked = request(
        &json!({ "input": "a", "max_output_tokens": 5, "stream_options": { "include_obfuscation": false }, "x": 1 }),
    );
    let provider = keyed("openai");
    let whole = http::<ModelResponse>(&*provider, &asked, false);
    assert_eq!(text_of(&whole), r#"{"model":"m","input":"a","max_output_tokens":5,"x":1}"#);
    let streamed = http::<ModelResponse>(&*provider, &asked, true);
    assert_eq!(
        text_of(&streamed),
        r#"{"model":"m","input":"a","max_output_tokens":5,"stream_options":{"include_obfuscation":false},"x":1,"stream":true}"#
    );
}

/// Every field that OpenAI's own client for Node, version 7.57, knows of a request; `stream` is thryd's.
const EVERY_FIELD: &str = r#"{"access_programs":{"cyber":"standard"},"background":false,"context_management":[{"type":"compaction","compact_threshold":1.0}],"conversation":{"id":"conv_1"},"image":{"context_compression":"auto"},"include":["reasoning.encrypted_content"],"input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"\u00e9"},{"type":"input_image","image_url":"data:image/png;base64,iVBORw0KGgo=","detail":"high"},{"type":"input_file","file_id":"file_1"}]},{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"x"},{"type":"function_call","call_id":"c","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"c","output":"1"},{"type":"item_reference","id":"msg_1"}],"instructions":"Be brief.","max_output_tokens":200,"max_tool_calls":3,"metadata":{"team":"blue"},"moderation":{"model":"omni-moderation-latest"},"parallel_tool_calls":false,"previous_response_id":"resp_1","prompt":{"id":"pmpt_1","variables":{"a":"b"},"version":"2"},"prompt_cache_key":"key","prompt_cache_options":{"mode":"explicit"},"prompt_cache_retention":"24h","reasoning":{"effort":"low","summary":"auto"},"safety_identifier":"hash","service_tier":"flex","store":false,"stream_options":{"include_obfuscation":false},"temperature":0.10,"text":{"format":{"type":"json_schema","name":"n","schema":{"maximum":12345678901234567890123}},"verbosity":"low"},"tool_choice":{"type":"function","name":"f"},"tools":[{"type":"function","name":"f","parameters":{},"strict":true},{"type":"web_search"},{"type":"mcp","server_label":"s","server_url":"https://a"}],"top_logprobs":5,"top_p":1.0,"truncation":"auto","user":"me","x_new":1.50}"#;

#[test]
fn every_field_goes_out_to_the_byte_and_is_one_that_somebody_decided_about() {
    let body = thryd::kinds::Body::parse(EVERY_FIELD).unwrap();
    for (name, _) in body.iter().filter(|(name, _)| *name != "x_new") {
        assert!(thryd::kinds::Field::of(name).is_some(), "{name} is in no row of src/kinds/field.rs");
    }
    let request = ModelResponse::request(body).unwrap();
    let sent = http::<ModelResponse>(&*keyed("openai"), &request, true);
    let expected = EVERY_FIELD.replacen('{', r#"{"model":"m","#, 1);
    assert_eq!(text_of(&sent), format!(r#"{},"stream":true}}"#, expected.strip_suffix('}').unwrap()));
}

#[tokio::test]
async fn the_dummy_echoes_and_plays_its_script() {
    let echo = options(json!({ "type": "dummy" })).unwrap();
    let asked = request(
        &json!({ "instructions": "be brief", "input": [{ "role": "user", "content": [{ "type": "input_text", "text": "one two" }] }] }),
    );
    let answer = local::<ModelResponse>(&*echo, &asked).await.unwrap();
    assert_eq!((answer.output_text.as_str(), answer.status.as_str()), ("one two", "completed"));
    assert_eq!(answer.usage().unwrap().total_tokens, 6);
    let scripted = json!({ "type": "dummy", "dummy": { "responses": [
        { "output_text": "hi", "reasoning_content": "hm", "tool_calls": [{ "name": "f", "arguments": { "a": 1 } }] },
        { "content": "cut", "finish_reason": "length" },
        { "id": "mine", "output": [] },
        { "error": { "status": 400, "message": "no" } },
        5,
    ] } });
    assert!(options(scripted).is_err(), "a number is no answer");
    let scripted = json!({ "type": "dummy", "dummy": { "responses": [
        { "output_text": "hi", "reasoning_content": "hm", "tool_calls": [{ "name": "f", "arguments": { "a": 1 } }] },
        { "content": "cut", "finish_reason": "length" },
        { "id": "mine", "output": [] },
        { "output": [] },
        { "id": null, "output": [] },
        { "error": { "status": 400, "message": "no" } },
        { "x": 1 },
    ] } });
    let dummy = options(scripted).unwrap();
    let first = local::<ModelResponse>(&*dummy, &hi()).await.unwrap();
    assert_eq!((first.output_text.as_str(), first.tool_calls[0].arguments.as_str()), ("hi", "{\"a\":1}"));
    let second = local::<ModelResponse>(&*dummy, &hi()).await.unwrap();
    assert_eq!(second.incomplete_reason.as_deref(), Some("max_output_tokens"));
    assert_eq!(local::<ModelResponse>(&*dummy, &hi()).await.unwrap().id, "mine");
    let (third, fourth) = (local::<ModelResponse>(&*dummy, &hi()).await, local::<ModelResponse>(&*dummy, &hi()).await);
    let (third, fourth) = (third.unwrap().id, fourth.unwrap().id);
    assert!(
        !third.is_empty() && !fourth.is_empty() && third != fourth,
        "{third} {fourth}: ids tell whose an answer is"
    );
    assert_eq!(local::<ModelResponse>(&*dummy, &hi()).await.unwrap_err().status, Some(400));
    assert!(local::<ModelResponse>(&*dummy, &hi()).await.unwrap_err().message.contains("an object with `output`"));
}

/// Says these pieces.
struct Pieces(Vec<String>);

impl CustomHandler for Pieces {
    fn call(&self, _call: CustomCall) -> LocalFuture {
        let pieces: Vec<_> = self.0.iter().map(|piece| Ok(piece.clone())).collect();
        Box::pin(async move { Ok(Reply::Events(Box::pin(futures_util::stream::iter(pieces)))) })
    }
}

async fn streamed(pieces: &[&str]) -> Vec<Result<String, thryd::error::Failure>> {
    use futures_util::StreamExt;
    let handler = Arc::new(Pieces(pieces.iter().map(|piece| (*piece).to_owned()).collect()));
    let provider = CustomProvider::new("mine", [ModelResponse::NAME], handler).unwrap();
    let thryd::provider::Outgoing::Local(answer) = provider.write(&call::<ModelResponse>(&hi(), true)).unwrap() else {
        panic!("a socket")
    };
    match answer.await.unwrap() {
        Reply::Events(events) => events.collect().await,
        Reply::Whole(_) => panic!("not a stream"),
    }
}

#[tokio::test]
async fn pieces_of_a_provider_of_ones_own_are_a_stream_of_the_api() {
    let events = streamed(&[
        r#"{"type":"reasoning","delta":"Hm."}"#,
        r#""one ""#,
        r#""two""#,
        r#"{"type":"tool-call","index":0,"id":"c1","name":"f","arguments":"{\"a\""}"#,
        r#"{"type":"tool-call","index":0,"arguments":":1}"}"#,
        r#"{"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}"#,
    ])
    .await;
    let events: Vec<String> = events.into_iter().map(Result::unwrap).collect();
    let (chunks, answer) = heard(events.iter().map(String::as_str));
    let answer = answer.unwrap();
    assert_eq!((content_of(&chunks).as_str(), answer.output_text.as_str()), ("one two", "one two"));
    assert_eq!((answer.tool_calls[0].id.as_str(), answer.tool_calls[0].arguments.as_str()), ("c1", "{\"a\":1}"));
    assert_eq!(answer.usage().unwrap().total_tokens, 3);
    for (place, event) in events.iter().enumerate() {
        let event: serde_json::Value = serde_json::from_str(event).unwrap();
        assert_eq!(event["sequence_number"], place);
    }
    assert!(events[0].contains("response.created") && events.last().unwrap().contains("response.completed"));
}

#[tokio::test]
async fn events_of_a_provider_of_ones_own_are_handed_on_and_not_ended_for_it() {
    let delta = r#"{"type":"response.output_text.delta","delta":"hi"}"#;
    let events = streamed(&[delta]).await;
    assert_eq!(events.len(), 1);
    assert!(heard([events[0].as_ref().unwrap().as_str()]).1.is_err(), "it never said that it is complete");
    assert!(streamed(&["5"]).await[0].as_ref().unwrap_err().message.contains("expected a string or an object"));
}
