//! Asks a provider as the router would.
#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::Arc;

use futures_util::StreamExt;
use serde_json::Value;
use thryd::connections::HttpRequest;
use thryd::error::Failure;
use thryd::fields::Fields;
use thryd::kinds::{Completion, CompletionRequest, StreamAssembly};
use thryd::provider::{Call, Outgoing, Provider, ProviderOptions, Reply, create_provider};
use thryd::{Kind, Result};

pub fn call<'a, K: Kind>(request: &'a K::Request, is_stream: bool) -> Call<'a> {
    Call { kind: K::NAME, path: K::PATH, model: "m", body: request.as_ref(), is_stream }
}

pub fn options(value: Value) -> Result<Arc<dyn Provider>> {
    create_provider(ProviderOptions::read(Fields::new("provider options", value)?)?)
}

/// A provider of this type with a key, and with a base URL if its type has none.
pub fn keyed(kind: &str) -> Arc<dyn Provider> {
    let options = ProviderOptions::new(kind).api_key("sk-secret");
    let options = match kind {
        "azure" | "openai-compatible" => options.base_url("https://host/v1/"),
        "tei" => options.base_url("https://host"),
        _ => options,
    };
    create_provider(options).unwrap()
}

pub fn http<K: Kind>(provider: &dyn Provider, request: &K::Request, is_stream: bool) -> HttpRequest {
    match provider.write(&call::<K>(request, is_stream)).unwrap() {
        Outgoing::Http(request) => request,
        Outgoing::Local(_) => panic!("{provider:?} answers by itself"),
    }
}

pub fn text_of(request: &HttpRequest) -> &str {
    std::str::from_utf8(&request.body).unwrap()
}

pub async fn local<K: Kind>(provider: &dyn Provider, request: &K::Request) -> Result<K, Failure> {
    let Outgoing::Local(answer) = provider.write(&call::<K>(request, false)).unwrap() else { panic!("a socket") };
    match answer.await? {
        Reply::Whole(answer) => K::read(&answer, request),
        Reply::Events(_) => panic!("a stream"),
    }
}

/// What was said before the end, and the end.
pub async fn streamed(provider: &dyn Provider, request: &CompletionRequest) -> (String, Result<Completion, Failure>) {
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
