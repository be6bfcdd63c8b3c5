//! Providers: what goes out to the letter, what comes in, and that anyone can add one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use thryd::connections::HttpRequest;
use thryd::error::{ErrorKind, Failure, FailureClass, Invalid};
use thryd::fields::Fields;
use thryd::kinds::{
    Body, Completion, CompletionRequest, EmbeddingRequest, Embeddings, Prompt, Ranking, RerankRequest, StreamAssembly,
    Usage,
};
use thryd::provider::{
    Call, CustomCall, CustomHandler, CustomProvider, DummyOptions, LocalFuture, Outgoing, Provider, ProviderOptions,
    Reply, Response, create_provider, provider_types,
};
use thryd::{Error, Kind, Result};
use tokio::time::Instant;

fn call<'a, K: Kind>(request: &'a K::Request, is_stream: bool) -> Call<'a> {
    Call { kind: K::NAME, path: K::PATH, model: "m", body: request.as_ref(), is_stream }
}

fn options(value: Value) -> Result<Arc<dyn Provider>> {
    create_provider(ProviderOptions::read(Fields::new("provider options", value)?)?)
}

fn keyed(kind: &str) -> Arc<dyn Provider> {
    let options = ProviderOptions::new(kind).api_key("sk-secret");
    let has_url = !matches!(kind, "azure" | "tei" | "openai-compatible");
    create_provider(if has_url { options } else { options.base_url("https://host/v1/") }).unwrap()
}

fn http<K: Kind>(provider: &dyn Provider, request: &K::Request, is_stream: bool) -> HttpRequest {
    match provider.write(&call::<K>(request, is_stream)).unwrap() {
        Outgoing::Http(request) => request,
        Outgoing::Local(_) => panic!("{provider:?} answers by itself"),
    }
}

fn json_of(request: &HttpRequest) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

fn text_of(request: &HttpRequest) -> &str {
    std::str::from_utf8(&request.body).unwrap()
}

async fn local<K: Kind>(provider: &dyn Provider, request: &K::Request) -> Result<K, Failure> {
    let Outgoing::Local(answer) = provider.write(&call::<K>(request, false)).unwrap() else { panic!("a socket") };
    match answer.await? {
        Reply::Whole(answer) => K::read(&answer, request),
        Reply::Events(_) => panic!("a stream"),
    }
}

async fn streamed(provider: &dyn Provider, request: &CompletionRequest) -> (String, Result<Completion, Failure>) {
    let mut assembly = StreamAssembly::default();
    let Outgoing::Local(answer) = provider.write(&call::<Completion>(request, true)).unwrap() else {
        panic!("a socket")
    };
    match answer.await {
        Err(failure) => (String::new(), Err(failure)),
        Ok(Reply::Whole(_)) => panic!("not a stream"),
        Ok(Reply::Events(mut events)) => {
            while let Some(event) = events.next().await {
                if let Err(failure) = event.and_then(|data| assembly.push(&data, &mut Vec::new())) {
                    return (assembly.content().to_owned(), Err(failure));
                }
            }
            (assembly.content().to_owned(), assembly.finish())
        }
    }
}

#[test]
fn every_type_of_the_contract_can_be_made_and_says_where_it_lives() {
    for (kind, url) in [
        ("openai", "https://api.openai.com/v1/chat/completions"),
        ("openai-compatible", "https://host/v1/chat/completions"),
        ("azure", "https://host/v1/chat/completions"),
        ("anthropic", "https://api.anthropic.com/v1/chat/completions"),
        ("gemini", "https://generativelanguage.googleapis.com/v1beta/openai/chat/completions"),
        ("mistral", "https://api.mistral.ai/v1/chat/completions"),
        ("groq", "https://api.groq.com/openai/v1/chat/completions"),
        ("deepseek", "https://api.deepseek.com/v1/chat/completions"),
        ("xai", "https://api.x.ai/v1/chat/completions"),
        ("together", "https://api.together.xyz/v1/chat/completions"),
        ("fireworks", "https://api.fireworks.ai/inference/v1/chat/completions"),
        ("openrouter", "https://openrouter.ai/api/v1/chat/completions"),
        ("perplexity", "https://api.perplexity.ai/chat/completions"),
        ("cohere", "https://api.cohere.ai/compatibility/v1/chat/completions"),
        ("ollama", "http://localhost:11434/v1/chat/completions"),
        ("lmstudio", "http://localhost:1234/v1/chat/completions"),
        ("vllm", "http://localhost:8000/v1/chat/completions"),
    ] {
        // OPENAI_BASE_URL may be set where the tests run.
        if kind == "openai" && std::env::var_os("OPENAI_BASE_URL").is_some() {
            continue;
        }
        let provider = keyed(kind);
        assert_eq!(provider.name(), kind);
        assert_eq!(http::<Completion>(&*provider, &CompletionRequest::message("a"), false).url, url);
    }
    for (kind, url) in [
        ("jina", "https://api.jina.ai/v1/embeddings"),
        ("voyage", "https://api.voyageai.com/v1/embeddings"),
        ("tei", "https://host/v1/embeddings"),
    ] {
        let provider = keyed(kind);
        assert!(!provider.supports("completion"));
        assert_eq!(http::<Embeddings>(&*provider, &EmbeddingRequest::input(["a"]), false).url, url);
    }
    assert_eq!(provider_types().count(), 21);
}

#[test]
fn what_goes_out_is_what_the_caller_wrote_with_the_model_before_it() {
    let body =
        Body::parse(r#"{"message":"Hi","temperature":0.70,"x_big":12345678901234567890123,"x":{"b":1, "a":[ ]}}"#)
            .unwrap();
    let request = Completion::request(body).unwrap();
    let sent = http::<Completion>(&*keyed("openai-compatible"), &request, false);
    let messages = r#""messages":[{"content":"Hi","role":"user"}]"#;
    let rest = r#""temperature":0.70,"x_big":12345678901234567890123,"x":{"b":1, "a":[ ]}"#;
    assert_eq!(text_of(&sent), format!(r#"{{"model":"m",{messages},{rest}}}"#));
}

#[test]
fn a_stream_asks_for_its_usage_where_the_provider_lets_it() {
    let request = CompletionRequest::message("a");
    let sent = json_of(&http::<Completion>(&*keyed("openai-compatible"), &request, true));
    assert_eq!((&sent["stream"], &sent["stream_options"]["include_usage"]), (&json!(true), &json!(true)));
    let sent = json_of(&http::<Completion>(&*keyed("mistral"), &request, true));
    assert_eq!((&sent["stream"], sent.get("stream_options")), (&json!(true), None));
}

#[test]
fn a_provider_that_knows_only_max_tokens_is_told_max_tokens() {
    let request = CompletionRequest::message("a").set("max_completion_tokens", 9).set("x", 1);
    for kind in ["mistral", "deepseek", "together", "fireworks", "perplexity", "cohere", "ollama", "lmstudio"] {
        let sent = json_of(&http::<Completion>(&*keyed(kind), &request, false));
        assert_eq!(
            (&sent["max_tokens"], sent.get("max_completion_tokens"), &sent["x"]),
            (&json!(9), None, &json!(1)),
            "{kind}"
        );
    }
    let sent = json_of(&http::<Completion>(&*keyed("groq"), &request, false));
    assert_eq!((&sent["max_completion_tokens"], sent.get("max_tokens")), (&json!(9), None));
}

#[test]
fn embeddings_travel_as_base64_where_the_provider_takes_it() {
    let request = EmbeddingRequest::input(["a", "b"]).set("dimensions", 3);
    let sent = http::<Embeddings>(&*keyed("openai-compatible"), &request, false);
    assert_eq!(text_of(&sent), r#"{"model":"m","input":["a","b"],"dimensions":3,"encoding_format":"base64"}"#);
    let sent = http::<Embeddings>(&*keyed("jina"), &request, false);
    assert_eq!(text_of(&sent), r#"{"model":"m","input":["a","b"],"dimensions":3}"#);
    let sent = http::<Embeddings>(&*keyed("voyage"), &request, false);
    assert_eq!(text_of(&sent), r#"{"model":"m","input":["a","b"],"output_dimension":3,"encoding_format":"base64"}"#);
    assert_eq!(
        (keyed("cohere").batch_limit("embedding").inputs, keyed("tei").batch_limit("embedding").inputs),
        (96, 32)
    );
}

#[test]
fn every_provider_is_asked_to_rank_in_its_own_words() {
    let request = RerankRequest::new("q", ["a", "b"]).set("top_n", 1);
    let common = r#""model":"m","query":"q","documents":["a","b"]"#;
    for (kind, url, body) in [
        ("cohere", "https://api.cohere.ai/v2/rerank", format!(r#"{{{common},"top_n":1}}"#)),
        ("jina", "https://api.jina.ai/v1/rerank", format!(r#"{{{common},"top_n":1,"return_documents":false}}"#)),
        (
            "together",
            "https://api.together.xyz/v1/rerank",
            format!(r#"{{{common},"top_n":1,"return_documents":false}}"#),
        ),
        (
            "fireworks",
            "https://api.fireworks.ai/inference/v1/rerank",
            format!(r#"{{{common},"top_n":1,"return_documents":false}}"#),
        ),
        ("voyage", "https://api.voyageai.com/v1/rerank", format!(r#"{{{common},"top_k":1,"return_documents":false}}"#)),
        ("tei", "https://host/v1/rerank", r#"{"query":"q","texts":["a","b"],"return_text":false}"#.to_owned()),
        ("vllm", "http://localhost:8000/v1/rerank", format!(r#"{{{common},"top_n":1}}"#)),
        ("openai-compatible", "https://host/v1/rerank", format!(r#"{{{common},"top_n":1}}"#)),
    ] {
        let sent = http::<Ranking>(&*keyed(kind), &request, false);
        assert_eq!((sent.url.as_str(), text_of(&sent)), (url, body.as_str()), "{kind}");
    }
}

#[test]
fn every_providers_ranking_is_read_from_its_documented_shape() {
    let request = RerankRequest::new("q", ["a", "b", "c"]).set("top_n", 2);
    let named = |list: &str| {
        let results =
            json!([{ "index": 2, "relevance_score": 0.99 }, { "index": 0, "relevance_score": 0.5, "document": "a" }]);
        json!({ "object": "list", "model": "r", list: results, "usage": { "total_tokens": 26 } })
    };
    let cohere = json!({
        "id": "07734bd2", "meta": { "api_version": { "version": "2" }, "billed_units": { "search_units": 1 } },
        "results": [{ "index": 2, "relevance_score": 0.99 }, { "index": 0, "relevance_score": 0.5 }],
    });
    let tei = json!([{ "index": 0, "score": 0.5 }, { "index": 1, "score": 0.1 }, { "index": 2, "score": 0.99 }]);
    for (kind, answer) in [
        ("cohere", cohere),
        ("jina", named("results")),
        ("together", named("results")),
        ("vllm", named("results")),
        ("openrouter", named("results")),
        ("fireworks", named("data")),
        ("voyage", named("data")),
        ("tei", tei),
    ] {
        let provider = keyed(kind);
        let read = provider.read(&call::<Ranking>(&request, false), answer.to_string().into()).unwrap();
        let ranking = Ranking::read(&read, &request).unwrap();
        let found: Vec<_> = ranking.results().iter().map(|ranked| (ranked.index, ranked.score)).collect();
        assert_eq!(found, [(2, 0.99), (0, 0.5)], "{kind}");
        assert_eq!(ranking.usage().map(|usage| usage.total_tokens), answer.get("usage").map(|_| 26), "{kind}");
    }
}

#[test]
fn a_ranking_in_another_shape_is_a_failure_that_shows_it() {
    let request = RerankRequest::new("q", ["a"]);
    for answer in ["", "<html>", "{}", "{\"data\":5}", "{\"data\":[{\"index\":0}]}", "[1]"] {
        for kind in ["voyage", "tei"] {
            let failure = keyed(kind).read(&call::<Ranking>(&request, false), answer.into()).unwrap_err();
            assert_eq!((failure.class, failure.body.as_deref()), (FailureClass::Truncated, Some(answer)));
        }
    }
}

#[test]
fn a_key_goes_out_in_the_providers_header_and_is_never_printed() {
    let request = CompletionRequest::message("a");
    for (kind, name, value) in [("groq", "authorization", "Bearer sk-secret"), ("azure", "api-key", "sk-secret")] {
        let provider = keyed(kind);
        let sent = http::<Completion>(&*provider, &request, false);
        let (_, header) = sent.headers.iter().find(|(given, _)| given == name).unwrap();
        assert_eq!((header.expose(), header.is_secret()), (value, true));
        assert!(!format!("{provider:?} {sent:?}").contains("sk-secret"));
    }
    let options = ProviderOptions::new("openai").api_key("sk-secret").header("X-Api-Key", "sk-other");
    assert!(!format!("{options:?}").contains("sk-"));
}

#[test]
fn a_header_of_the_users_takes_the_place_of_ours() {
    let provider = options(json!({
        "type": "azure", "baseUrl": "https://host/v1", "headers": { "API-Key": "mine", "x-team": "t", "x-none": null },
    }));
    let sent = http::<Completion>(&*provider.unwrap(), &CompletionRequest::message("a"), false);
    let headers: Vec<_> =
        sent.headers.iter().map(|(name, value)| (name.as_str(), value.expose(), value.is_secret())).collect();
    assert_eq!(headers, [("api-key", "mine", true), ("x-team", "t", false)]);
}

#[test]
fn options_that_are_wrong_are_named_and_no_key_is_shown() {
    let long = "sk-secret\nline".to_owned();
    for (value, message) in [
        (json!({}), "provider options.type: expected a string, got nothing"),
        (json!({ "type": "opnai" }), "provider options.type: expected one of 'openai', "),
        (json!({ "type": "openai", "apikey": "sk-secret" }), "provider options.apikey: expected no such option"),
        (json!({ "type": "openai", "apiKey": 5 }), "provider options.apiKey: expected a string"),
        (json!({ "type": "openai", "apiKey": long }), "provider options.apiKey: expected a key without line breaks"),
        (json!({ "type": "openai", "apiKey": "k", "name": "a::b" }), "provider options.name: expected a name that"),
        (json!({ "type": "openai", "apiKey": "k", "name": "" }), "provider options.name: expected a name that"),
        (
            json!({ "type": "openai", "apiKey": "k", "baseUrl": "host/v1" }),
            "provider options.baseUrl: expected an http or https URL",
        ),
        (
            json!({ "type": "openai", "apiKey": "k", "baseUrl": "ftp://host" }),
            "provider options.baseUrl: expected an http or https URL",
        ),
        (
            json!({ "type": "openai", "apiKey": "k", "baseUrl": "https://h/v1?key=sk-secret" }),
            "provider options.baseUrl: expected",
        ),
        (
            json!({ "type": "openai", "apiKey": "k", "baseUrl": "https://u:sk-secret@h/" }),
            "provider options.baseUrl: expected",
        ),
        (
            json!({ "type": "azure", "apiKey": "k" }),
            "provider options.baseUrl: expected a URL, which type 'azure' has no default for",
        ),
        (json!({ "type": "tei" }), "provider options.baseUrl: expected a URL"),
        (
            json!({ "type": "groq", "apiKey": "k", "headers": { "x-token": ["sk-secret"] } }),
            "provider options.headers.x-token: ",
        ),
        (
            json!({ "type": "groq", "apiKey": "k", "headers": { "a b": "" } }),
            "provider options.headers: expected names",
        ),
        (
            json!({ "type": "groq", "apiKey": "k", "headers": { "host": "x" } }),
            "provider options.headers.host: expected a header",
        ),
        (
            json!({ "type": "groq", "apiKey": "k", "maxResponseBytes": 0 }),
            "provider options.maxResponseBytes: expected an integer",
        ),
        (json!({ "type": "groq", "apiKey": "k", "dummy": {} }), "provider options.dummy: expected nothing"),
    ] {
        let error = options(value).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Invalid(_)), "{error}");
        assert!(error.to_string().starts_with(message), "{error}");
        assert!(!error.to_string().contains("sk-secret"), "{error}");
    }
}

#[test]
fn what_a_provider_cannot_do_is_refused_before_it_is_sent() {
    let request = RerankRequest::new("q", ["a"]);
    let provider = keyed("groq");
    assert!(!provider.supports("rerank"));
    let error = provider.write(&call::<Ranking>(&request, false)).err().unwrap();
    assert_eq!(error.to_string(), "provider \"groq\" has no rerank endpoint");
}

// ------------------------------------------------------------------------------------------------------- dummy

fn dummy(options: Value) -> Arc<dyn Provider> {
    self::options(json!({ "type": "dummy", "dummy": options })).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_dummy_echoes_the_last_message_and_counts_words() {
    let request = CompletionRequest::messages(&json!([
        { "role": "system", "content": "be brief" },
        { "role": "user", "content": [{ "type": "text", "text": "one two" }, { "type": "text", "text": " three" }] },
    ]));
    let completion: Completion = local(&*dummy(json!({})), &request).await.unwrap();
    assert_eq!(
        (completion.content.as_str(), completion.finish_reason.as_str(), completion.model()),
        ("one two three", "stop", "m")
    );
    let usage = completion.usage().unwrap();
    assert_eq!((usage.prompt_tokens, usage.completion_tokens, usage.total_tokens), (5, 3, 8));
}

#[tokio::test(start_paused = true)]
async fn the_script_is_used_in_order_and_then_runs_out() {
    let call = json!({ "id": "1", "name": "f", "arguments": { "a": 1 } });
    let wire =
        json!({ "model": "other", "choices": [{ "message": { "content": "wire" }, "finish_reason": "length" }] });
    let script = json!(["first", { "tool_calls": [call] }, wire]);
    let provider = dummy(json!({ "responses": script }));
    let request = CompletionRequest::message("a");
    assert_eq!(local::<Completion>(&*provider, &request).await.unwrap().content, "first");
    let called = local::<Completion>(&*provider, &request).await.unwrap();
    assert_eq!((called.finish_reason.as_str(), called.tool_calls[0].arguments.as_str()), ("tool_calls", "{\"a\":1}"));
    let wired = local::<Completion>(&*provider, &request).await.unwrap();
    assert_eq!((wired.content.as_str(), wired.model(), wired.usage().unwrap().completion_tokens), ("wire", "other", 1));
    let failure = local::<Completion>(&*provider, &request).await.unwrap_err();
    assert!(failure.is_exhausted && !failure.is_sent, "{failure:?}");
    let repeated = dummy(json!({ "responses": ["x", "y"], "repeat": true }));
    for expected in ["x", "y", "x"] {
        assert_eq!(local::<Completion>(&*repeated, &request).await.unwrap().content, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn latency_and_token_intervals_pass_on_the_clock_of_the_runtime() {
    let provider =
        dummy(json!({ "latencyMs": 200, "tokenIntervalMs": 10, "responses": ["one two three"], "repeat": true }));
    let request = CompletionRequest::message("a");
    let start = Instant::now();
    local::<Completion>(&*provider, &request).await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_millis(200));
    let start = Instant::now();
    let (content, completion) = streamed(&*provider, &request).await;
    assert_eq!((content.as_str(), completion.unwrap().usage().unwrap().total_tokens), ("one two three", 4));
    // A role, three words, a finish, a usage: five gaps.
    assert_eq!(start.elapsed(), Duration::from_millis(200 + 5 * 10));
}

#[tokio::test(start_paused = true)]
async fn a_latency_range_is_drawn_from_the_seed() {
    let run = async |seed: u64| {
        let provider = dummy(json!({ "latencyMs": [100, 300], "seed": seed }));
        let mut times = Vec::new();
        for _ in 0..8 {
            let start = Instant::now();
            local::<Completion>(&*provider, &CompletionRequest::message("a")).await.unwrap();
            times.push(start.elapsed().as_millis());
        }
        times
    };
    let times = run(1).await;
    assert!(times.iter().all(|time| (100..=301).contains(time)), "{times:?}");
    assert_eq!(times, run(1).await);
    assert_ne!(times, run(2).await);
}

#[tokio::test(start_paused = true)]
async fn faults_come_in_their_shares() {
    let provider = dummy(json!({ "faults": { "reset": 0.3, "cut": 0.2, "malformed": 0.1 }, "seed": 7 }));
    let (mut reset, mut unread, mut fine) = (0, 0, 0);
    for _ in 0..1000 {
        match local::<Completion>(&*provider, &CompletionRequest::message("a b c")).await {
            Ok(_) => fine += 1,
            Err(failure) if failure.class == FailureClass::Transient => reset += 1,
            Err(failure) => {
                assert_eq!(failure.class, FailureClass::Truncated);
                unread += 1;
            }
        }
    }
    assert!(
        (250..350).contains(&reset) && (250..350).contains(&unread) && (350..450).contains(&fine),
        "{reset} {unread} {fine}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_cut_stream_gives_some_of_the_answer_and_then_fails() {
    for fault in ["cut", "malformed"] {
        let provider = dummy(json!({ "faults": { fault: 1 }, "responses": ["one two three four"] }));
        let (content, completion) = streamed(&*provider, &CompletionRequest::message("a")).await;
        assert!("one two three four".starts_with(&content) && !content.is_empty(), "{content}");
        assert_eq!(completion.unwrap_err().class, FailureClass::Truncated);
    }
}

#[tokio::test(start_paused = true)]
async fn a_fault_does_not_use_up_an_answer() {
    let provider = dummy(json!({ "faults": { "reset": 0.5 }, "responses": ["x", "y"], "seed": 3 }));
    let mut contents = Vec::new();
    for _ in 0..100 {
        match local::<Completion>(&*provider, &CompletionRequest::message("a")).await {
            Ok(completion) => contents.push(completion.content),
            Err(failure) if failure.is_exhausted => break,
            Err(_) => {}
        }
    }
    assert_eq!(contents, ["x", "y"]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_never_answers() {
    let provider = dummy(json!({ "faults": { "hang": 1 } }));
    let request = CompletionRequest::message("a");
    let answer = local::<Completion>(&*provider, &request);
    assert!(tokio::time::timeout(Duration::from_secs(3600), answer).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn vectors_depend_only_on_the_text() {
    let one: Embeddings =
        local(&*dummy(json!({ "seed": 1 })), &EmbeddingRequest::input(["red", "blue"])).await.unwrap();
    let other: Embeddings = local(&*dummy(json!({ "seed": 2 })), &EmbeddingRequest::input(["blue"])).await.unwrap();
    assert_eq!(one.vectors()[1], other.vectors()[0]);
    assert_ne!(one.vectors()[0], one.vectors()[1]);
    for vector in one.vectors() {
        assert_eq!(vector.len(), 8);
        assert!((vector.iter().map(|number| number * number).sum::<f32>() - 1.0).abs() < 1e-5);
    }
    let wide: Embeddings = local(&*dummy(json!({ "dimensions": 5 })), &EmbeddingRequest::input(["a"])).await.unwrap();
    let asked: Embeddings =
        local(&*dummy(json!({})), &EmbeddingRequest::input(["a"]).set("dimensions", 3)).await.unwrap();
    assert_eq!((wide.vectors()[0].len(), asked.vectors()[0].len()), (5, 3));
}

#[tokio::test(start_paused = true)]
async fn documents_rank_by_the_words_they_share_with_the_query() {
    let request = RerankRequest::new("red Apple", ["the sky", "an apple, red", "a red car"]);
    let ranking: Ranking = local(&*dummy(json!({})), &request).await.unwrap();
    let found: Vec<_> = ranking.results().iter().map(|ranked| (ranked.index, ranked.score)).collect();
    assert_eq!(found, [(1, 1.0), (2, 0.5), (0, 0.0)]);
    let scripted = DummyOptions::scripted([json!([{ "index": 2, "score": 0.7 }])]);
    let scripted = create_provider(ProviderOptions::new("dummy").dummy(scripted)).unwrap();
    assert_eq!(local::<Ranking>(&*scripted, &request).await.unwrap().results()[0].index, 2);
}

#[test]
fn dummy_options_that_are_wrong_are_named() {
    for (value, message) in [
        (json!({ "response": [] }), ".response: expected no such option"),
        (json!({ "responses": "a" }), ".responses: expected an array"),
        (json!({ "responses": ["a", 1] }), ".responses[1]: expected a string or an object, got 1"),
        (
            json!({ "responses": [{ "error": { "status": 200 } }] }),
            ".responses.error.status: expected a number from 400 to 599, got 200",
        ),
        (json!({ "repeat": 1 }), ".repeat: expected true or false"),
        (json!({ "latencyMs": -1 }), ".latencyMs: expected a number of at least 0, got -1"),
        (json!({ "latencyMs": [1] }), ".latencyMs: expected a number or [min, max]"),
        (json!({ "latencyMs": [1, "x"] }), ".latencyMs[1]: expected a number of at least 0, got \"x\""),
        (json!({ "latencyMs": [9, 1] }), ".latencyMs: expected [min, max] with min not above max, got [9, 1]"),
        (json!({ "faults": { "reset": 1.5 } }), ".faults.reset: expected a number from 0 to 1, got 1.5"),
        (json!({ "faults": { "rest": 0.5 } }), ".faults.rest: expected no such option"),
        (json!({ "faults": { "status": { "200": 0.1 } } }), ".faults.status: expected HTTP statuses from 400 to 599"),
        (
            json!({ "faults": { "status": { "500": 0.6 }, "reset": 0.6 } }),
            ".faults: expected shares that add up to at most 1, got 1.2",
        ),
        (json!({ "dimensions": 0 }), ".dimensions: expected an integer"),
        (json!({ "dimensions": 100_000 }), ".dimensions: expected an integer from 1 to 65536"),
        (json!({ "seed": -1 }), ".seed: expected an integer"),
    ] {
        let error = options(json!({ "type": "dummy", "dummy": value })).unwrap_err().to_string();
        assert!(error.starts_with(&format!("provider options.dummy{message}")), "{error}");
    }
    let read = |value| DummyOptions::read(Fields::new("provider options.dummy", value).unwrap()).unwrap();
    assert_eq!(read(json!({ "faults": { "reset": 0.7, "cut": 0.2, "hang": 0.1 } })).faults.hang, 0.1);
    let error = json!({ "status": 429, "message": "slow", "retryAfterMs": 50, "code": "x" });
    let expected = Response::Error {
        status: 429,
        error: json!({ "message": "slow", "code": "x" }),
        retry_after: Some(Duration::from_millis(50)),
    };
    assert_eq!(read(json!({ "responses": [{ "error": error }] })).responses, Some(vec![expected]));
}

// ------------------------------------------------------------------------------------------------------ custom

/// Gives always the same: a whole answer or events, as JSON texts.
struct Given(Vec<&'static str>, bool);

impl CustomHandler for Given {
    fn call(&self, call: CustomCall) -> LocalFuture {
        assert!(call.body_json.starts_with("{\"model\":\"m\","), "{}", call.body_json);
        let (given, is_stream) = (self.0.clone(), self.1);
        Box::pin(async move {
            if is_stream {
                return Ok(Reply::Events(Box::pin(stream::iter(given.into_iter().map(|text| Ok(text.to_owned()))))));
            }
            Ok(Reply::Whole(Bytes::from(given[0])))
        })
    }
}

fn custom(given: &[&'static str], is_stream: bool) -> CustomProvider {
    CustomProvider::new("mine", ["completion", "embedding", "rerank"], Arc::new(Given(given.to_vec(), is_stream)))
        .unwrap()
}

#[tokio::test]
async fn whatever_a_custom_provider_gives_becomes_an_answer() {
    let request = CompletionRequest::message("a");
    for given in [
        r#""Hi""#,
        r#"{"content":"Hi"}"#,
        r#"{"content":"Hi","toolCalls":[],"finishReason":"stop"}"#,
        r#"{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}"#,
    ] {
        let completion: Completion = local(&custom(&[given], false), &request).await.unwrap();
        assert_eq!((completion.content.as_str(), completion.finish_reason.as_str()), ("Hi", "stop"), "{given}");
    }
    let embeddings: Embeddings =
        local(&custom(&["[[1,2],[3,4]]"], false), &EmbeddingRequest::input(["a", "b"])).await.unwrap();
    assert_eq!(embeddings.vectors(), [[1.0, 2.0], [3.0, 4.0]]);
    let given = custom(&[r#"[{"index":1,"score":0.2},{"index":0,"score":0.9}]"#], false);
    let ranking: Ranking = local(&given, &RerankRequest::new("q", ["a", "b"])).await.unwrap();
    assert_eq!(ranking.results()[0].index, 0);
}

#[tokio::test]
async fn whatever_a_custom_provider_streams_becomes_one_answer() {
    let delta = r#"{"choices":[{"index":0,"delta":{"content":"l"},"finish_reason":null}]}"#;
    let given = custom(&[r#""He""#, delta, r#"{"type":"content","delta":"l"}"#, r#"{"content":"o"}"#], true);
    let (content, completion) = streamed(&given, &CompletionRequest::message("a")).await;
    assert_eq!((content.as_str(), completion.unwrap().finish_reason.as_str()), ("Hello", "stop"));
    let own = custom(&[r#""He""#, r#"{"content":"y","finish_reason":"length"}"#], true);
    assert_eq!(streamed(&own, &CompletionRequest::message("a")).await.1.unwrap().finish_reason, "length");
}

#[tokio::test]
async fn garbage_of_a_custom_provider_is_a_failure_that_names_it() {
    for given in ["5", "null", "{}", "not json", "[]", r#"{"tool_calls":5}"#, r#"{"tool_calls":[{}]}"#] {
        let failure =
            local::<Completion>(&custom(&[given], false), &CompletionRequest::message("a")).await.unwrap_err();
        assert_eq!((failure.class, failure.body.as_deref()), (FailureClass::Truncated, Some(given)));
        assert!(
            failure.message.starts_with("provider \"mine\": expected") || failure.message.contains("tool call"),
            "{}",
            failure.message
        );
        let (_, completion) = streamed(&custom(&["\"a\"", given], true), &CompletionRequest::message("a")).await;
        assert_eq!(completion.unwrap_err().class, FailureClass::Truncated);
    }
    for given in ["\"a\"", "[1,2]", "{\"vectors\":5}"] {
        let failure = local::<Embeddings>(&custom(&[given], false), &EmbeddingRequest::input(["a"])).await.unwrap_err();
        assert!(failure.message.contains("expected an array of vectors"), "{}", failure.message);
    }
    let failure =
        local::<Ranking>(&custom(&[r#"[{"index":0}]"#], false), &RerankRequest::new("q", ["a"])).await.unwrap_err();
    assert!(failure.message.contains("expected { index, score }"), "{}", failure.message);
}

#[test]
fn a_custom_provider_needs_a_name_and_a_kind() {
    let handler: Arc<dyn CustomHandler> = Arc::new(Given(vec![], false));
    assert!(CustomProvider::new("a::b", ["completion"], Arc::clone(&handler)).is_err());
    assert!(CustomProvider::new("", ["completion"], Arc::clone(&handler)).is_err());
    assert!(CustomProvider::new::<String>("a", [], handler).is_err());
    assert_eq!(CustomProvider::thrown(None, "oops", None).class, FailureClass::Transient);
}

// ---------------------------------------------------------------------------- from outside (docs/extending.md)

/// A kind of one's own: which of OpenAI's policies a text breaks.
#[derive(Clone, Debug)]
struct Moderation {
    is_flagged: bool,
    usage: Option<Usage>,
}

#[derive(Clone, Debug)]
struct ModerationRequest(Body);

impl AsRef<Body> for ModerationRequest {
    fn as_ref(&self) -> &Body {
        &self.0
    }
}

impl Kind for Moderation {
    type Request = ModerationRequest;
    const NAME: &'static str = "moderation";
    const PATH: &'static str = "/moderations";

    fn request(body: Body) -> Result<ModerationRequest, Invalid> {
        let input = body.read::<String>("input", "a string")?;
        input
            .map(|_| ModerationRequest(body))
            .ok_or_else(|| Invalid::type_error("request.input", "a string", "nothing"))
    }

    fn read(answer: &Bytes, _request: &ModerationRequest) -> Result<Self, Failure> {
        let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
        let is_flagged = answer["results"][0]["flagged"].as_bool();
        let is_flagged =
            is_flagged.ok_or_else(|| Failure::new(FailureClass::Truncated, "the answer has no verdict"))?;
        Ok(Self { is_flagged, usage: None })
    }

    fn store(&self) -> Bytes {
        Bytes::copy_from_slice(&[u8::from(self.is_flagged)])
    }

    fn load(stored: &Bytes) -> Option<Self> {
        matches!(&stored[..], [0 | 1]).then(|| Self { is_flagged: stored[..] == [1], usage: None })
    }

    fn is_storable(&self) -> bool {
        true
    }

    fn model(&self) -> &str {
        ""
    }

    fn usage(&self) -> Option<&Usage> {
        self.usage.as_ref()
    }

    fn set_usage(&mut self, usage: Usage) {
        self.usage = Some(usage);
    }

    fn prompt(request: &ModerationRequest) -> Prompt {
        Prompt { texts: vec![request.0.get("input").unwrap_or_default().to_owned()], overhead: 0, completion: Some(0) }
    }

    fn join(mut parts: Vec<Self>) -> Self {
        parts.swap_remove(0)
    }
}

/// A provider of one's own, whose dialect shouts.
#[derive(Debug)]
struct Shouting;

impl Provider for Shouting {
    fn name(&self) -> &'static str {
        "shouting"
    }

    fn supports(&self, kind: &str) -> bool {
        kind == Moderation::NAME
    }

    fn write(&self, call: &Call<'_>) -> Result<Outgoing> {
        let input: String = call.body.read("input", "a string")?.unwrap_or_default();
        Ok(Outgoing::Http(HttpRequest {
            url: format!("https://host/{}", call.model),
            headers: Vec::new(),
            body: json!({ "TEXT": input.to_uppercase() }).to_string().into(),
            allow_insecure: false,
            max_response_bytes: 1 << 20,
        }))
    }

    fn read(&self, _call: &Call<'_>, answer: Bytes) -> Result<Bytes, Failure> {
        Ok(json!({ "results": [{ "flagged": &answer[..] == b"YES" }] }).to_string().into())
    }
}

#[test]
fn a_kind_from_outside_travels_through_a_provider_from_inside() {
    let request = Moderation::request(Body::parse(r#"{"input":"a","x":1.0}"#).unwrap()).unwrap();
    let provider = keyed("openai-compatible");
    assert!(provider.supports(Moderation::NAME) && !keyed("groq").supports(Moderation::NAME));
    let sent = http::<Moderation>(&*provider, &request, false);
    assert_eq!(
        (sent.url.as_str(), text_of(&sent)),
        ("https://host/v1/moderations", r#"{"model":"m","input":"a","x":1.0}"#)
    );
    let answer =
        provider.read(&call::<Moderation>(&request, false), r#"{"results":[{"flagged":true}]}"#.into()).unwrap();
    let moderation = Moderation::read(&answer, &request).unwrap();
    assert!(moderation.is_flagged && Moderation::load(&moderation.store()).unwrap().is_flagged);
    assert!(Error::from(Moderation::request(Body::new()).unwrap_err()).to_string().starts_with("request.input"));
}

#[test]
fn a_provider_from_outside_answers_a_kind_from_outside() {
    let request = Moderation::request(Body::parse(r#"{"input":"hey"}"#).unwrap()).unwrap();
    let sent = http::<Moderation>(&Shouting, &request, false);
    assert_eq!((sent.url.as_str(), text_of(&sent)), ("https://host/m", r#"{"TEXT":"HEY"}"#));
    let answer = Shouting.read(&call::<Moderation>(&request, false), "YES".into()).unwrap();
    assert!(Moderation::read(&answer, &request).unwrap().is_flagged);
}
