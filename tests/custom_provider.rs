//! Providers that users write: whatever they hand back is an answer or a failure that names them.

mod ask;

use std::sync::Arc;

use ask::{local, streamed};
use bytes::Bytes;
use futures_util::stream;
use thryd::error::{Failure, FailureClass};
use thryd::kinds::{Completion, CompletionRequest, EmbeddingRequest, Embeddings, Ranking, RerankRequest};
use thryd::provider::{CustomCall, CustomHandler, CustomProvider, LocalFuture, Reply};

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

/// Fails, at once or in its stream, with a failure that the handler put together itself.
struct Refusing(&'static str, bool);

impl CustomHandler for Refusing {
    fn call(&self, _call: CustomCall) -> LocalFuture {
        let mut failure = Failure::new(FailureClass::Transient, self.0);
        failure.body = Some(self.0.to_owned());
        let is_stream = self.1;
        Box::pin(async move {
            if is_stream { Ok(Reply::Events(Box::pin(stream::iter([Err(failure)])))) } else { Err(failure) }
        })
    }
}

#[tokio::test]
async fn a_key_in_what_a_handler_says_is_masked() {
    let said = "no access with sk-proj-0123456789 at https://x.example/v1?key=hunterhunter";
    let masked = "no access with sk-*** at https://x.example/v1?key=hun***";
    for is_stream in [false, true] {
        let handler = Arc::new(Refusing(said, is_stream));
        let provider = CustomProvider::new("mine", ["completion"], handler).unwrap();
        let request = CompletionRequest::message("a");
        let result = if is_stream { streamed(&provider, &request).await.1 } else { local(&provider, &request).await };
        let failure = result.unwrap_err();
        assert_eq!((failure.message.as_str(), failure.body.as_deref()), (masked, Some(masked)));
    }
    assert_eq!(CustomProvider::thrown(None, said, None).message, masked);
    assert_eq!(CustomProvider::thrown(Some(500), said, None).message, masked);
}
