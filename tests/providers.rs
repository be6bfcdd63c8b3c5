//! Providers: what goes out to the letter, and what comes in.

mod ask;

use ask::{call, http, keyed, options, text_of};
use serde_json::{Value, json};
use thryd::Kind;
use thryd::connections::HttpRequest;
use thryd::error::{ErrorKind, FailureClass};
use thryd::kinds::{Body, Completion, CompletionRequest, EmbeddingRequest, Embeddings, Ranking, RerankRequest};
use thryd::provider::{ProviderOptions, provider_types};

fn json_of(request: &HttpRequest) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

#[test]
fn every_type_of_the_contract_can_be_made_and_says_where_it_lives() {
    for (kind, url) in [
        ("openai", "https://api.openai.com/v1/chat/completions"),
        ("openai-compatible", "https://host/v1/chat/completions"),
        ("azure", "https://host/v1/chat/completions"),
        ("anthropic", "https://api.anthropic.com/v1/messages"),
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
        // OPENAI_BASE_URL or ANTHROPIC_BASE_URL may be set where the tests run.
        if std::env::var_os(format!("{}_BASE_URL", kind.to_uppercase())).is_some() {
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
    let messages = r#""messages":[{"role":"user","content":"Hi"}]"#;
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

/// <https://github.com/AndyMik90/Aperant/issues/1988>: Fireworks and Together refuse them.
#[test]
fn what_only_anthropic_reads_of_a_conversation_is_not_sent_to_others() {
    let said =
        r#"{"role":"assistant","content":"a","thinking_blocks":[{"type":"thinking"}],"content_blocks":[],"x":1.0}"#;
    let asked = r#"{"role":"user","content":"the \"thinking_blocks\""}"#;
    let body = format!(r#"{{"messages":[{asked},{said}]}}"#);
    let request = Completion::request(Body::parse(&body).unwrap()).unwrap();
    let kept = r#"{"role":"assistant","content":"a","x":1.0}"#;
    for kind in ["openai", "azure", "groq", "gemini", "together", "fireworks", "mistral"] {
        let sent = http::<Completion>(&*keyed(kind), &request, false);
        assert_eq!(text_of(&sent), format!(r#"{{"model":"m","messages":[{asked},{kept}]}}"#), "{kind}");
    }
    // Who may lead to Anthropic gets them, and what is only spoken of is nobody's.
    for kind in ["openai-compatible", "openrouter"] {
        let sent = http::<Completion>(&*keyed(kind), &request, false);
        assert_eq!(text_of(&sent), format!(r#"{{"model":"m","messages":[{asked},{said}]}}"#), "{kind}");
    }
    let spoken = Completion::request(Body::parse(&format!(r#"{{"messages":[ {asked}]}}"#)).unwrap()).unwrap();
    let sent = http::<Completion>(&*keyed("groq"), &spoken, false);
    assert_eq!(text_of(&sent), format!(r#"{{"model":"m","messages":[ {asked}]}}"#));
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
        ("tei", "https://host/rerank", r#"{"query":"q","texts":["a","b"],"return_text":false}"#.to_owned()),
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

/// <https://docs.cohere.com/reference/rerank>, <https://docs.newapi.pro/en/api/jinaai-rerank>, and the types of
/// <https://github.com/huggingface/text-embeddings-inference>, `router/src/http/types.rs`.
#[test]
fn the_rankings_of_the_documentation_are_read() {
    let request = RerankRequest::new("q", ["a", "b", "c", "d", "e"]).set("top_n", 3);
    let cohere = r#"{"results":[{"index":3,"relevance_score":0.999071},{"index":4,"relevance_score":0.7867867},{"index":0,"relevance_score":0.32713068}],
        "id":"07734bd2-2473-4f07-94e1-0d9f0e6843cf","meta":{"api_version":{"version":"2","is_experimental":false},"billed_units":{"search_units":1}}}"#;
    let jina = r#"{"results":[{"document":{"text":"Organic skincare"},"index":0,"relevance_score":0.8783142566680908},
        {"document":{"text":"Bio-Hautpflege"},"index":2,"relevance_score":0.7624675869941711}],"usage":{"prompt_tokens":815,"completion_tokens":0,"total_tokens":815}}"#;
    let tei = r#"[{"index":1,"text":"Deep Learning is ...","score":1.0},{"index":0,"score":0.5}]"#;
    for (kind, answer, order, tokens) in
        [("cohere", cohere, &[3, 4, 0][..], None), ("jina", jina, &[0, 2], Some(815)), ("tei", tei, &[1, 0], None)]
    {
        let read = keyed(kind).read(&call::<Ranking>(&request, false), answer.into()).unwrap();
        let ranking = Ranking::read(&read, &request).unwrap();
        assert_eq!(ranking.results().iter().map(|ranked| ranked.index).collect::<Vec<_>>(), order, "{kind}");
        assert_eq!(ranking.usage().map(|usage| usage.total_tokens), tokens, "{kind}");
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

/// <https://learn.microsoft.com/azure/foundry/openai/api-version-lifecycle>: v1, and before that one URL for each deployment.
#[test]
fn azure_is_asked_where_its_version_lives() {
    let request = CompletionRequest::message("a");
    let url = |base: &str, version: Option<&str>| {
        let provider = options(json!({ "type": "azure", "apiKey": "k", "baseUrl": base, "apiVersion": version }));
        http::<Completion>(&*provider.unwrap(), &request, false).url
    };
    let host = "https://r.openai.azure.com";
    assert_eq!(url(&format!("{host}/"), None), format!("{host}/openai/v1/chat/completions"));
    let of_model = format!("{host}/openai/deployments/m/chat/completions?api-version=2024-10-21");
    assert_eq!(url(host, Some("2024-10-21")), of_model);
    let own = format!("{host}/openai/deployments/own");
    assert_eq!(url(&own, Some("2024-10-21")), format!("{own}/chat/completions?api-version=2024-10-21"));
    let embedding = EmbeddingRequest::input(["a"]);
    let provider =
        options(json!({ "type": "azure", "apiKey": "k", "baseUrl": host, "apiVersion": "2024-10-21" })).unwrap();
    let sent = http::<Embeddings>(&*provider, &embedding, false).url;
    assert_eq!(sent, format!("{host}/openai/deployments/m/embeddings?api-version=2024-10-21"));
}

#[test]
fn a_token_of_the_users_goes_out_without_a_key_beside_it() {
    let headers = json!({ "Authorization": "Bearer entra" });
    let provider = options(json!({ "type": "azure", "baseUrl": "https://host/v1", "apiKey": "k", "headers": headers }));
    let sent = http::<Completion>(&*provider.unwrap(), &CompletionRequest::message("a"), false);
    let headers: Vec<_> = sent.headers.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
    assert_eq!(headers, [("authorization", "Bearer entra")]);
}

#[test]
fn options_that_are_wrong_are_named_and_no_key_is_shown() {
    let long = "sk-secret\nline".to_owned();
    for (value, message) in [
        (json!({}), "provider options.type: expected a string, got nothing"),
        (json!({ "type": "opnai" }), "provider options.type: expected one of 'openai', "),
        (json!({ "type": "openai", "apikey": "sk-secret" }), "provider options.apikey: expected one of the options"),
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
        (
            json!({ "type": "openai", "apiKey": "k", "apiVersion": "2024-10-21" }),
            "provider options.apiVersion: expected nothing, unless type is 'azure'",
        ),
        (
            json!({ "type": "azure", "apiKey": "k", "baseUrl": "https://h", "apiVersion": "1&x=2" }),
            "provider options.apiVersion: expected a version",
        ),
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
