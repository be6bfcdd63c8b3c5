//! Fears about servers that speak OpenAI's dialect with an accent: that what they mean is mixed up, lost, or taken for a failure.

mod support;

use serde_json::{Value, json};
use support::{Reply, Server};
use thryd::Kind;
use thryd::kinds::{Body, Chunk, Completion, CompletionRequest, EmbeddingRequest, Embeddings, StreamAssembly};
use thryd::options::{DeployOptions, InvokeOptions, RouterOptions, StreamOptions};
use thryd::provider::ProviderOptions;
use thryd::route::retry::RetryOptions;
use thryd::route::{Answer, Batch, Router};

fn router<K: Kind>(kind: &str, server: &Server) -> Router<K> {
    let retry = RetryOptions { max_retries: 0, ..RetryOptions::default() };
    let router = Router::new(RouterOptions { retry, ..RouterOptions::default() }).unwrap();
    let options = ProviderOptions::new(kind).name("p").base_url(server.url("/v1")).api_key("sk-key");
    router.add_provider(options).unwrap();
    router.deploy("default", "p::m", DeployOptions::default()).unwrap();
    router
}

fn request() -> CompletionRequest {
    Completion::request(Body::parse(r#"{"messages":[{"role":"user","content":"hi"}]}"#).unwrap()).unwrap()
}

async fn stream(server: &Server, events: bool) -> thryd::Result<(Vec<Chunk>, Answer<Completion>)> {
    let router = router("openai-compatible", server);
    let stream = router.stream("default", &request(), StreamOptions { events, ..StreamOptions::default() })?;
    let mut all = Vec::new();
    loop {
        match stream.next().await.expect("an end")? {
            Batch::Chunks(chunks) => all.extend(chunks),
            Batch::End(answer) => return Ok((all, *answer)),
        }
    }
}

async fn whole(reply: impl Into<Vec<u8>>) -> thryd::Result<Answer<Completion>> {
    let reply = reply.into();
    let server = Server::start(move |_| Reply::text(200, "application/json", reply.clone())).await;
    router("openai-compatible", &server).invoke("default", request(), InvokeOptions::default()).await
}

fn event(delta: &Value, finish_reason: Option<&str>) -> String {
    json!({ "id": "1", "choices": [{ "index": 0, "delta": delta, "finish_reason": finish_reason }] }).to_string()
}

/// Pieces of calls, each in an event of its own.
async fn calling(pieces: &[Value]) -> Server {
    let mut events: Vec<_> = pieces.iter().map(|piece| event(&json!({ "tool_calls": [piece] }), None)).collect();
    events.push(event(&json!({}), Some("tool_calls")));
    Server::start(move |_| events.iter().fold(Reply::stream(), |reply, event| reply.event(event)).done()).await
}

fn piece(index: Option<u64>, id: &str, name: &str, arguments: &str) -> Value {
    let mut piece = json!({ "type": "function", "function": { "arguments": arguments } });
    if let Some(index) = index {
        piece["index"] = index.into();
    }
    if !id.is_empty() {
        piece["id"] = id.into();
    }
    if !name.is_empty() {
        piece["function"]["name"] = name.into();
    }
    piece
}

/// What a reader who believes every index puts together: by index, the name that came and all arguments.
fn by_index(events: &[Chunk]) -> Vec<(String, String)> {
    let mut calls: Vec<(String, String)> = Vec::new();
    for event in events {
        let Chunk::Event { data } = event else { panic!("{event:?} is no event") };
        let event: Value = serde_json::from_str(data).unwrap();
        for piece in event["choices"][0]["delta"]["tool_calls"].as_array().into_iter().flatten() {
            let index = usize::try_from(piece["index"].as_u64().expect("an index")).unwrap();
            calls.resize(calls.len().max(index + 1), (String::new(), String::new()));
            calls[index].0.push_str(piece["function"]["name"].as_str().unwrap_or_default());
            calls[index].1.push_str(piece["function"]["arguments"].as_str().unwrap_or_default());
        }
    }
    calls
}

#[tokio::test]
async fn calls_are_told_apart_however_they_are_numbered_and_clients_read_them_as_they_are() {
    let two = [("f", r#"{"a":1}"#), ("g", r#"{"b":2}"#)];
    let cases = [
        (
            "one index, two ids",
            vec![
                piece(Some(0), "a", "f", r#"{"a":"#),
                piece(Some(0), "", "", "1}"),
                piece(Some(0), "b", "g", two[1].1),
            ],
        ),
        (
            "no index, two ids",
            vec![piece(None, "a", "f", two[0].1), piece(None, "b", "g", r#"{"b":"#), piece(None, "", "", "2}")],
        ),
        ("neither index nor ids", vec![piece(None, "", "f", two[0].1), piece(None, "", "g", two[1].1)]),
        ("one index and no ids", vec![piece(Some(0), "", "f", two[0].1), piece(Some(0), "", "g", two[1].1)]),
        (
            "an id of its own for each piece",
            vec![
                piece(Some(0), "r1", "f", ""),
                piece(Some(0), "r2", "", r#"{"a":"#),
                piece(Some(0), "r3", "", "1}"),
                piece(Some(1), "r4", "g", ""),
                piece(Some(1), "r5", "", two[1].1),
            ],
        ),
        (
            "the name in every piece",
            vec![
                piece(Some(0), "a", "f", r#"{"a":"#),
                piece(Some(0), "a", "f", "1}"),
                piece(Some(1), "", "g", r#"{"b":2}"#),
                piece(Some(1), "", "g", ""),
            ],
        ),
        (
            "no index, and ids that take turns",
            vec![
                piece(None, "a", "f", r#"{"a""#),
                piece(None, "b", "g", r#"{"b""#),
                piece(None, "a", "", ":1}"),
                piece(None, "b", "", ":2}"),
            ],
        ),
        (
            "one index, and ids that take turns, after both began with nothing",
            vec![
                piece(Some(0), "a", "f", ""),
                piece(Some(0), "b", "g", ""),
                piece(Some(0), "a", "f", r#"{"a""#),
                piece(Some(0), "b", "g", r#"{"b""#),
                piece(Some(0), "a", "", ":1}"),
                piece(Some(0), "b", "", ":2}"),
            ],
        ),
        (
            "an index at the beginning only, and ids that take turns",
            vec![
                piece(Some(0), "a", "f", r#"{"a""#),
                piece(Some(1), "b", "g", r#"{"b""#),
                piece(None, "a", "", ":1}"),
                piece(None, "b", "", ":2}"),
            ],
        ),
        (
            "an id of its own and the name for each piece",
            vec![
                piece(Some(0), "r1", "f", ""),
                piece(Some(0), "r2", "f", r#"{"a""#),
                piece(Some(0), "r3", "f", ""),
                piece(Some(0), "r4", "f", ":1}"),
                piece(Some(1), "r5", "g", r#"{"b":"#),
                piece(Some(1), "r6", "g", "2}"),
            ],
        ),
        (
            "an id for two calls that their indices tell apart",
            vec![
                piece(Some(0), "a", "f", two[0].1),
                piece(Some(1), "a", "g", r#"{"b":"#),
                piece(Some(1), "a", "", "2}"),
            ],
        ),
        (
            "as it should be",
            vec![
                piece(Some(0), "a", "f", two[0].1),
                piece(Some(1), "b", "g", r#"{"b":"#),
                piece(Some(1), "", "", "2}"),
            ],
        ),
    ];
    for (what, pieces) in cases {
        let server = calling(&pieces).await;
        let (_, answer) = stream(&server, false).await.unwrap();
        let calls: Vec<_> =
            answer.tool_calls.iter().map(|call| (call.name.as_str(), call.arguments.as_str())).collect();
        assert_eq!(calls, two, "{what}");
        let (events, _) = stream(&server, true).await.unwrap();
        let read = by_index(&events);
        let read: Vec<_> = read.iter().map(|(name, arguments)| (&name[..1], arguments.as_str())).collect();
        assert_eq!(read, two, "{what}");
    }
}

#[tokio::test]
async fn two_calls_of_one_function_are_two_with_ids_and_without() {
    let (first, second) = (r#"{"a":1}"#, r#"{"a":2}"#);
    let cases = [
        ("no objects", vec![piece(None, "", "f", "null"), piece(None, "", "f", "null")], ["null", "null"]),
        ("without ids", vec![piece(None, "", "f", first), piece(None, "", "f", second)], [first, second]),
        (
            "one index, two ids",
            vec![piece(Some(0), "a", "f", first), piece(Some(0), "b", "f", second)],
            [first, second],
        ),
        ("no index, two ids", vec![piece(None, "a", "f", first), piece(None, "b", "f", second)], [first, second]),
        (
            "empty after what is whole",
            vec![piece(Some(0), "a", "f", "{}"), piece(Some(0), "b", "f", ""), piece(Some(0), "", "", second)],
            ["{}", second],
        ),
        (
            "both begun with nothing",
            vec![
                piece(Some(0), "a", "f", ""),
                piece(Some(0), "b", "f", ""),
                piece(Some(0), "a", "", first),
                piece(Some(0), "b", "", second),
            ],
            [first, second],
        ),
        (
            "no index, and ids that take turns",
            vec![
                piece(None, "a", "f", r#"{"a""#),
                piece(None, "b", "f", r#"{"a""#),
                piece(None, "a", "f", ":1}"),
                piece(None, "b", "f", ":2}"),
            ],
            [first, second],
        ),
        (
            "one index, and ids that take turns",
            vec![
                piece(Some(0), "a", "f", r#"{"a""#),
                piece(Some(0), "b", "f", r#"{"a""#),
                piece(Some(0), "a", "f", ":1}"),
                piece(Some(0), "b", "f", ":2}"),
            ],
            [first, second],
        ),
        (
            "texts for a tool that takes no object",
            vec![piece(Some(0), "a", "f", "one"), piece(Some(0), "b", "f", "two")],
            ["one", "two"],
        ),
    ];
    for (what, pieces, expected) in cases {
        let server = calling(&pieces).await;
        let (_, answer) = stream(&server, false).await.unwrap();
        let arguments: Vec<_> = answer.tool_calls.iter().map(|call| call.arguments.as_str()).collect();
        assert_eq!(arguments, expected, "{what}");
        let (events, _) = stream(&server, true).await.unwrap();
        let read: Vec<_> = by_index(&events).into_iter().map(|(_, arguments)| arguments).collect();
        assert_eq!(read, expected, "{what}");
    }
}

#[tokio::test]
async fn what_is_numbered_well_goes_through_to_the_letter() {
    let pieces = [piece(Some(0), "a", "f", "{}"), piece(Some(1), "b", "g", "{}")];
    let server = calling(&pieces).await;
    let (events, _) = stream(&server, true).await.unwrap();
    let sent = pieces.iter().map(|piece| event(&json!({ "tool_calls": [piece] }), None));
    for (sent, event) in sent.zip(&events) {
        assert_eq!(event, &Chunk::Event { data: sent });
    }
}

#[tokio::test]
async fn events_of_nothing_keep_a_stream_alive_and_break_none() {
    let nothing = "data:\n\ndata: \n\ndata: \"\"\n\ndata: null\n\n";
    let said = |text: &str| format!("data: {}\n\n", event(&json!({ "content": text }), None));
    let body = [
        nothing,
        &said("a"),
        nothing,
        &said("b"),
        nothing,
        "data: ",
        &event(&json!({}), Some("stop")),
        "\n\ndata: [DONE] \n\n",
    ]
    .concat();
    let server = Server::start(move |_| Reply::stream().then(body.clone())).await;
    for events in [false, true] {
        let (_, answer) = stream(&server, events).await.unwrap();
        assert_eq!(answer.content, "ab");
    }
}

#[tokio::test]
async fn an_end_with_a_space_after_it_is_one_even_of_an_answer_in_one_event() {
    let body = format!("data: {}\n\ndata: [DONE] \n\n", event(&json!({ "content": "a" }), Some("stop")));
    let server = Server::start(move |_| Reply::stream().then(body.clone())).await;
    assert_eq!(stream(&server, false).await.unwrap().1.content, "a");
}

#[tokio::test]
async fn what_a_body_is_shows_however_the_network_cuts_it() {
    let body = format!("data: {}\n\ndata: [DONE]\n\n", event(&json!({ "content": "a" }), Some("stop")));
    for cut in 1..7 {
        let (first, rest) = body.split_at(cut);
        let (first, rest) = (first.to_owned(), rest.to_owned());
        let server = Server::start(move |_| {
            let pause = std::time::Duration::from_millis(5);
            Reply::stream()
                .header("content-type", "application/json")
                .then(first.clone())
                .pause(pause)
                .then(rest.clone())
        });
        assert_eq!(stream(&server.await, false).await.unwrap().1.content, "a", "{cut}");
    }
    let server = Server::start(|_| {
        let error = r#"{"error":{"message":"our own words","code":"rate_limit_exceeded"}}"#;
        Reply::stream().then("\n\n").pause(std::time::Duration::from_millis(5)).then(error)
    });
    let error = stream(&server.await, false).await.unwrap_err();
    assert!(error.to_string().contains("our own words"), "{error}");
}

fn answer(choice: &Value) -> String {
    json!({ "id": "1", "model": "m", "choices": [choice] }).to_string()
}

#[tokio::test]
async fn what_a_filter_has_left_without_a_message_is_an_answer_without_words() {
    let filtered = whole(answer(&json!({ "index": 0, "finish_reason": "content_filter" }))).await.unwrap();
    assert_eq!((filtered.content.as_str(), filtered.finish_reason.as_str()), ("", "content_filter"));
    let error = whole(answer(&json!({ "index": 0, "finish_reason": "stop" }))).await.unwrap_err();
    assert!(error.to_string().contains("message"), "{error}");
}

#[tokio::test]
async fn a_mark_before_an_answer_or_a_broken_byte_in_it_costs_nothing_else() {
    let said = answer(&json!({ "index": 0, "message": { "content": "a?b" }, "finish_reason": "stop" }));
    let marked = [&b"\xEF\xBB\xBF"[..], said.as_bytes()].concat();
    assert_eq!(whole(marked).await.unwrap().content, "a?b");
    let broken: Vec<u8> = said.bytes().map(|byte| if byte == b'?' { 0xFF } else { byte }).collect();
    assert_eq!(whole(broken).await.unwrap().content, "a\u{fffd}b");
}

#[tokio::test]
async fn usage_under_the_names_of_another_api_is_usage() {
    let mut said: Value =
        serde_json::from_str(&answer(&json!({ "index": 0, "message": { "content": "a" }, "finish_reason": "stop" })))
            .unwrap();
    said["usage"] = json!({ "input_tokens": 7, "output_tokens": 2 });
    let usage = whole(said.to_string()).await.unwrap().usage();
    assert_eq!((usage.prompt_tokens, usage.completion_tokens, usage.total_tokens, usage.estimated), (7, 2, 9, false));
    said["usage"] = json!({ "prompt_tokens": 5, "completion_tokens": 1, "input_tokens": 0, "output_tokens": 0 });
    let usage = whole(said.to_string()).await.unwrap().usage();
    assert_eq!((usage.prompt_tokens, usage.completion_tokens), (5, 1));
}

#[tokio::test]
async fn vectors_of_small_numbers_are_not_read_as_the_bytes_of_large_ones() {
    let server = Server::start(|received| {
        let asked: Value = serde_json::from_str(received.text()).unwrap();
        let vector = if asked["encoding_format"] == "base64" { json!("AQIDBAUGBwg=") } else { json!([1, -2, 3, 127]) };
        Reply::json(200, json!({ "data": [{ "index": 0, "embedding": vector }], "model": "m" }).to_string())
    })
    .await;
    for kind in ["voyage", "mistral", "openai-compatible"] {
        let router: Router<Embeddings> = router(kind, &server);
        for (name, value) in
            [("output_dtype", json!("int8")), ("embedding_type", json!("binary")), ("embedding_types", json!(["int8"]))]
        {
            let request = EmbeddingRequest::input(["a"]).set(name, value);
            let answer = router.invoke("default", request, InvokeOptions::default()).await.unwrap();
            assert_eq!(answer.vectors(), [[1.0, -2.0, 3.0, 127.0]], "{kind} {name}");
        }
    }
    let asked: Vec<_> = server.requests().iter().map(|request| request.text().contains("base64")).collect();
    assert!(!asked.contains(&true));
}

#[test]
fn a_stream_is_mended_only_where_it_would_be_misread() {
    let mut assembly = StreamAssembly::default();
    let mut mended = |piece: Value| {
        let event = event(&json!({ "tool_calls": [piece] }), None);
        assembly.push(&event, &mut Vec::new()).unwrap();
        assembly
            .mended(&event)
            .map(|event| serde_json::from_str::<Value>(&event).unwrap()["choices"][0]["delta"]["tool_calls"][0].clone())
    };
    assert_eq!(mended(piece(Some(0), "a", "f", "{}")), None);
    let second = mended(piece(Some(0), "b", "g", "{}")).unwrap();
    assert_eq!(second, piece(Some(1), "b", "g", "{}"));
    assert_eq!(mended(piece(Some(0), "", "", " ")).unwrap()["index"], 1, "it goes on with the last of that index");
    assert_eq!(mended(piece(Some(2), "c", "h", "{}")), None);
}
