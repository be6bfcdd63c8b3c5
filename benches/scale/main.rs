//! How the cost of a call grows with what there is: deployments, groups, calls that wait, entries in the cache, threads.
//! Without a network, through the public face: `cargo bench --no-default-features --bench scale`, or, with plots,
//! `node benchmark/run.mjs scale`. All sizes take turns, round by round; a point is the median of five.

#[path = "../support/mod.rs"]
mod support;

mod cache;
mod fleet;
mod storing;
mod threads;
mod waiting;

use thryd::Router;
use thryd::kinds::{Completion, CompletionRequest};
use thryd::options::{DeployOptions, InvokeOptions, RouterOptions};
use thryd::provider::{DummyOptions, ProviderOptions};
use thryd::tracker::Limits;
use tokio::runtime::{Builder, Runtime};

/// All of them, or those that are named; each is best run in a process of its own, as they leave memory behind.
/// All of them, or those that are named; each is best run in a process of its own, as they leave memory behind.
fn main() {
    let curves: [(&str, fn()); 7] = [
        ("deployments", fleet::deployments),
        ("groups", fleet::groups),
        ("waiters", waiting::waiters),
        ("threads", threads::threads),
        ("memory", cache::memory),
        ("file", cache::file),
        ("storing", storing::storing),
    ];
    let named: Vec<_> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    for (name, draw) in curves {
        if named.is_empty() || named.iter().any(|one| one == name) {
            draw();
        }
    }
}

/// A router with a dummy in it, which answers at once.
fn router(options: RouterOptions) -> Router<Completion> {
    let router = Router::new(options).expect("a router");
    let dummy = DummyOptions { cache: true, ..DummyOptions::default() };
    router.add_provider(ProviderOptions::new("dummy").dummy(dummy)).expect("a provider");
    router
}

fn deploy(router: &Router<Completion>, group: &str, model: u64, limits: Limits) {
    let options = DeployOptions { limits, ..DeployOptions::default() };
    router.deploy(group, &format!("dummy::model-{model}"), options).expect("a deployment");
}

async fn ask(router: &Router<Completion>, group: &str, number: u64) {
    let request = CompletionRequest::message(format!("question {number:08}"));
    let answer = router.invoke(group, request, InvokeOptions::default()).await.expect("an answer");
    assert_eq!(answer.content.len(), 17, "{}", answer.content);
}

fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}
