//! Routers over providers that misbehave on demand, for tests on a virtual clock.
#![allow(dead_code, reason = "each test binary uses the part of it that it needs")]

use serde_json::{Value, json};
use thryd::Kind;
use thryd::fields::Fields;
use thryd::kinds::{Completion, CompletionRequest};
use thryd::options::{InvokeOptions, RouterOptions};
use thryd::route::{Answer, Router};

pub fn router(options: Value) -> Router<Completion> {
    router_of(options)
}

pub fn router_of<K: Kind>(options: Value) -> Router<K> {
    Router::new(RouterOptions::read(Fields::new("router options", options).unwrap()).unwrap()).unwrap()
}

pub fn dummy(name: &str, options: Value) -> Value {
    json!({ "type": "dummy", "name": name, "dummy": options })
}

pub fn failing(status: u16) -> Value {
    json!({ "responses": [{ "error": { "status": status, "message": "no" } }], "repeat": true })
}

pub fn request(text: &str) -> CompletionRequest {
    CompletionRequest::message(text)
}

pub async fn ask(router: &Router<Completion>, text: &str) -> thryd::Result<Answer<Completion>> {
    router.invoke("default", request(text), InvokeOptions::default()).await
}

pub async fn ask_with(router: &Router<Completion>, text: &str, options: Value) -> thryd::Result<Answer<Completion>> {
    let fields = Fields::new("invoke options", options).unwrap();
    router.invoke("default", request(text), InvokeOptions::read(fields, router.timeouts()).unwrap()).await
}
