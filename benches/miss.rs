//! What a miss costs beyond the request itself: key, limits, routing, joining, cache and statistics, step by step, each
//! against the crate's own HTTP client alone. Over a socket, against the server of `benchmark/mock`:
//! `node benchmark/run.mjs miss` starts it and gives its base URL in `THRYD_MOCK`. CPU of this process, all threads; one
//! thread drives all calls, as in the addon.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::json;
use thryd::Router;
use thryd::cache::CacheOptions;
use thryd::connections::{Client, HttpRequest};
use thryd::kinds::{Completion, CompletionRequest};
use thryd::options::{DeployOptions, InvokeOptions, RouterOptions};
use thryd::provider::ProviderOptions;
use thryd::tracker::Limits;
use tokio::task::{LocalSet, spawn_local};

use support::{GENEROUS, ROUNDS, cpu, micros, record};

mod support;

const IN_FLIGHT: usize = 64;
const ROUND: Duration = Duration::from_millis(800);

/// Somebody who asks, and who answers with the length of the content.
enum Asker {
    Client(Client, String),
    Router(Router<Completion>),
}

#[derive(Deserialize)]
struct Answer {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    content: String,
}

fn prompt(number: u64) -> String {
    format!("{}({number})", "Please explain in your own words, and give an example of each. ".repeat(12))
}

impl Asker {
    async fn ask(&self, number: u64) -> usize {
        let message = prompt(number);
        match self {
            Self::Client(client, url) => {
                let messages = json!([{ "role": "user", "content": message }]);
                let body = json!({ "model": "gpt-4o", "messages": messages, "max_completion_tokens": 200 });
                let request = HttpRequest {
                    url: format!("{url}/chat/completions"),
                    headers: Arc::default(),
                    body: body.to_string().into(),
                    allow_insecure: false,
                    max_response_bytes: 1 << 26,
                };
                let response = client.send(request).await.expect("an answer");
                let bytes = response.whole().await.expect("a whole answer");
                let answer: Answer = serde_json::from_slice(&bytes).expect("a completion");
                answer.choices[0].message.content.len()
            }
            Self::Router(router) => {
                let request = CompletionRequest::message(message).set("max_completion_tokens", 200);
                let answer = router.invoke("default", request, InvokeOptions::default()).await.expect("an answer");
                answer.content.len()
            }
        }
    }
}

fn router(url: &str, models: &[&str], limits: Limits, cache: Option<CacheOptions>) -> Asker {
    let router = Router::new(RouterOptions { cache, ..RouterOptions::default() }).expect("a router");
    let provider = ProviderOptions::new("openai-compatible").name("mock").base_url(url);
    router.add_provider(provider).expect("a provider");
    for model in models {
        let options = DeployOptions { limits, ..DeployOptions::default() };
        router.deploy("default", model, options).expect("a deployment");
    }
    Asker::Router(router)
}

/// Microseconds of CPU for each call of a round.
async fn round(asker: &Rc<Asker>, asked: &mut u64) -> f64 {
    let (begun, end) = (cpu(), Instant::now() + ROUND);
    let first = *asked;
    let workers: Vec<_> = (0..IN_FLIGHT as u64)
        .map(|worker| {
            let asker = Rc::clone(asker);
            spawn_local(async move {
                let mut done = 0;
                while Instant::now() < end {
                    let number = first + worker + done * IN_FLIGHT as u64;
                    assert!(asker.ask(number).await > 0, "an empty answer");
                    done += 1;
                }
                done
            })
        })
        .collect();
    let (mut done, mut most) = (0, 0);
    for worker in workers {
        let own = worker.await.expect("no panic");
        done += own;
        most = most.max(own);
    }
    *asked += (most + 1) * IN_FLIGHT as u64;
    micros(cpu() - begun) / f64::from(u32::try_from(done).expect("fewer calls"))
}

fn main() {
    let Ok(url) = std::env::var("THRYD_MOCK") else {
        println!("miss: not run, as there is no THRYD_MOCK: node benchmark/run.mjs miss starts one");
        return;
    };
    let (one, two) = (&["mock::gpt-4o"][..], &["mock::gpt-4o", "mock::gpt-4o-mini"][..]);
    let (none, requests) = (Limits::default(), Limits { tpm: None, ..GENEROUS });
    let cache = || Some(CacheOptions::default());
    let askers = [
        ("everything", router(&url, two, GENEROUS, cache())),
        ("the client alone", Asker::Client(Client::shared(Duration::from_secs(10)), url.clone())),
        ("a router, nothing switched on", router(&url, one, none, None)),
        ("and two deployments", router(&url, two, none, None)),
        ("and limits of requests", router(&url, two, requests, None)),
        ("and of tokens", router(&url, two, GENEROUS, None)),
    ];
    let askers: Vec<_> = askers.into_iter().map(|(name, asker)| (name, Rc::new(asker), Vec::new())).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let askers = LocalSet::new().block_on(&runtime, async move {
        let (mut askers, mut asked) = (askers, 0);
        for number in 0..=ROUNDS {
            for (_, asker, rounds) in &mut askers {
                let spent = round(asker, &mut asked).await;
                if number > 0 {
                    rounds.push(spent);
                }
            }
        }
        askers
    });
    let bare = askers[1].2.clone();
    let entries = askers.iter().map(|(name, _, rounds)| {
        let rounds = rounds.iter().zip(&bare).map(|(cpu, bare)| json!({ "cpu": cpu, "added": cpu - bare }));
        json!({ "name": name, "rounds": rounds.collect::<Vec<_>>() })
    });
    record(&json!({
        "name": "miss",
        "title": "a miss, 64 in flight, server answers at once: the core in Rust, without Node",
        "unit": "request",
        "measures": ["cpu", "added"],
        "entries": entries.collect::<Vec<_>>(),
    }));
}
