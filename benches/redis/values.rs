//! What a cache costs Redis: answers that are there, that are not, and equal calls that are joined.

use std::fmt::Write as _;

use futures_util::StreamExt;
use futures_util::stream;
use thryd::fields::Fields;
use thryd::kinds::{Completion, CompletionRequest};
use thryd::options::{InvokeOptions, RouterOptions};
use thryd::route::Router;

use super::server::Server;
use super::used;

/// Questions of each kind, and how many are under way at a time.
const QUESTIONS: usize = 20_000;
const AT_ONCE: usize = 64;

/// A router whose memory is empty, with answers of two kilobytes.
fn router(server: &Server, namespace: &str, join: &str) -> Router<Completion> {
    let answer = ["the answer of a model is made of words that come again, in another order"; 28].join(" ");
    let options = format!(
        r#"{{"cache": {{"redis": {{"url": "{}", "timeoutMs": 5000}}, "namespace": "{namespace}", "memoryBytes": 0 {join}}},
            "providers": [{{"type": "dummy", "dummy": {{"cache": true, "repeat": true, "responses": ["{answer}"]}}}}],
            "groups": {{"g": {{"deployments": ["dummy::m"]}}}}}}"#,
        server.url()
    );
    let fields = Fields::parse("router options", &options).unwrap();
    Router::new(RouterOptions::read(fields).unwrap()).unwrap()
}

/// Asks all questions, and says what that cost Redis.
async fn ask(server: &Server, name: &str, router: &Router<Completion>) {
    let first = router.invoke("g", CompletionRequest::message("before"), InvokeOptions::default());
    first.await.unwrap();
    server.ask(&["CONFIG", "RESETSTAT"]);
    let before = used(server);
    let calls = stream::iter(0..QUESTIONS).map(|number| {
        router.invoke("g", CompletionRequest::message(format!("question {number}")), InvokeOptions::default())
    });
    calls.buffer_unordered(AT_ONCE).for_each(async |answer| drop(answer.unwrap())).await;
    router.close().await.unwrap();
    #[allow(clippy::cast_precision_loss, reason = "a count of thousands")]
    let each = (used(server) - before) / QUESTIONS as f64;
    let mut commands = String::new();
    for line in server.ask(&["INFO", "commandstats"]).lines() {
        let Some((name, rest)) = line.strip_prefix("cmdstat_").and_then(|line| line.split_once(':')) else { continue };
        if ["get", "evalsha"].contains(&name) {
            let number = |key: &str| rest.split(key).nth(1).and_then(|rest| rest.split(',').next()).unwrap_or_default();
            let _ = write!(commands, "; {} {name} of {} us", number("calls="), number("usec_per_call="));
        }
    }
    println!("{name:44} {:6.1} us of Redis' processor, {:.0} a second of one core{commands}", each * 1e6, 1.0 / each);
}

pub async fn measure(server: &Server) {
    for (namespace, join) in [("apart", ""), ("joined", r#", "join": "redis""#)] {
        ask(server, &format!("{namespace}: a question that is asked and kept"), &router(server, namespace, join)).await;
        ask(server, &format!("{namespace}: a question whose answer is there"), &router(server, namespace, join)).await;
    }
}
