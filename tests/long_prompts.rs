//! Fear: a prompt of 10 MiB that keeps the thread of the sockets to itself, while others wait for their next token.
#![cfg(target_os = "linux")]

mod support;

use std::time::Duration;

use support::{Reply, Server};
use thryd::cache::CacheOptions;
use thryd::kinds::{Completion, CompletionRequest, Kind};
use thryd::options::{DeployOptions, InvokeOptions, RouterOptions};
use thryd::provider::ProviderOptions;
use thryd::route::{Begun, Router};
use tokio::runtime::Builder;

const OPENAI: &str =
    r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]}"#;
const ANTHROPIC: &str = r#"{"id":"m","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}"#;

/// The processor time of this thread.
fn spent() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

#[test]
fn a_long_prompt_leaves_the_thread_of_the_sockets_to_others() {
    let servers = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    for (kind, answer) in [("openai", OPENAI), ("anthropic", ANTHROPIC)] {
        let server = servers.block_on(Server::start(move |_| Reply::json(200, answer)));
        let provider = ProviderOptions::new(kind).name("p").base_url(server.url("/v1")).api_key("sk-key");
        let cache = Some(CacheOptions::default());
        let options = RouterOptions { providers: vec![provider], cache, ..RouterOptions::default() };
        let router = Router::<Completion>::new(options).unwrap();
        router.deploy("default", "p::m", DeployOptions::default()).unwrap();
        let ask = |text: &str| {
            let before = spent();
            let begun = {
                let _runtime = runtime.enter();
                router.begin("default", CompletionRequest::message(text), InvokeOptions::default())
            };
            let at_once = spent() - before;
            let Begun::Pending(call) = begun else { panic!("nothing is known yet") };
            let before = spent();
            assert_eq!(runtime.block_on(call).unwrap().value.text(), "Hi", "{kind}");
            (at_once, spent() - before)
        };
        ask("what is needed once");
        let (at_once, meanwhile) = ask(&"It was a dark \"and\" stormy night;\n".repeat((10 << 20) / 33));
        println!("{kind}: {at_once:?} before, {meanwhile:?} on the thread of the sockets");
        // Reading it and making its key, once, is what whoever calls pays. On the thread of the sockets it is handed on.
        assert!(meanwhile < at_once / 4, "{kind}: {meanwhile:?} there, {at_once:?} before");
    }
}
