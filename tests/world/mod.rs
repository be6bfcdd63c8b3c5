//! Providers that behave by the time of day, on tokio's clock, and a log of everything that reached them.
#![allow(dead_code, reason = "each test binary uses the part of it that it needs")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use serde_json::Value;
use thryd::error::{Failure, FailureClass};
use thryd::fields::Fields;
use thryd::kinds::{Completion, CompletionRequest};
use thryd::options::{DeployOptions, GroupOptions, InvokeOptions, RouterOptions};
use thryd::provider::{CustomCall, CustomHandler, CustomProvider, LocalFuture, Reply};
use thryd::route::strategy::Strategy;
use thryd::route::{Answer, Router};
use tokio::time::{Instant, sleep};

/// How a provider answers one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// As it should.
    Answer,
    /// With this status, after as long as an answer takes.
    Status(u16),
    /// With this status, and the wish to be left alone for so many milliseconds.
    AwayFor(u16, u64),
    /// The connection is reset at once.
    Reset,
    /// Never.
    Hang,
    /// The first words come, then the connection is lost.
    Cut,
}

/// What a provider does at a time, counted from when the world began; the number is drawn at random, from 0 to 1.
pub type Script = Arc<dyn Fn(Duration, f64) -> Behaviour + Send + Sync>;

/// One call that reached a provider.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub at: Duration,
    /// `None` while it is under way, and if it was left.
    pub ended: Option<Duration>,
    pub behaviour: Behaviour,
    /// How many others were under way.
    pub others: usize,
}

/// Time and chance.
#[derive(Clone)]
pub struct World {
    pub begun: Instant,
    rng: Arc<Mutex<fastrand::Rng>>,
}

/// One provider's log.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    seen: Vec<Seen>,
    under_way: usize,
}

struct Scripted {
    world: World,
    script: Script,
    latency: (Duration, Duration),
    log: Log,
}

impl World {
    pub fn new(seed: u64) -> Self {
        Self { begun: Instant::now(), rng: Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))) }
    }

    pub fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// From 0 to 1.
    pub fn draw(&self) -> f64 {
        self.rng.lock().unwrap().f64()
    }

    pub fn between(&self, low: Duration, high: Duration) -> Duration {
        low + (high - low).mul_f64(self.draw())
    }

    pub async fn until(&self, at: Duration) {
        tokio::time::sleep_until(self.begun + at).await;
    }

    /// Adds a provider to the router that takes so long to answer.
    pub fn provide(&self, router: &Router<Completion>, name: &str, latency: (u64, u64), script: Script) -> Log {
        let log = Log::default();
        let (low, high) = latency;
        let latency = (Duration::from_millis(low), Duration::from_millis(high));
        let scripted = Scripted { world: self.clone(), script, latency, log: log.clone() };
        router.add(Arc::new(CustomProvider::new(name, ["completion"], Arc::new(scripted)).unwrap()));
        log
    }
}

impl Log {
    pub fn seen(&self) -> Vec<Seen> {
        self.0.lock().unwrap().seen.clone()
    }

    /// Those that came within this time.
    pub fn within(&self, from: Duration, to: Duration) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| (from..to).contains(&seen.at)).collect()
    }

    /// Those that it answered.
    pub fn answered(&self) -> Vec<Seen> {
        let is_answered = |seen: &Seen| seen.behaviour == Behaviour::Answer && seen.ended.is_some();
        self.seen().into_iter().filter(is_answered).collect()
    }
}

/// Under way for as long as it lives.
struct UnderWay(Log);

impl CustomHandler for Scripted {
    fn call(&self, call: CustomCall) -> LocalFuture {
        let world = self.world.clone();
        let latency = world.between(self.latency.0, self.latency.1);
        let (script, log) = (Arc::clone(&self.script), self.log.clone());
        Box::pin(async move {
            let behaviour = script(world.now(), world.draw());
            let place = {
                let mut state = log.0.lock().unwrap();
                let others = state.under_way;
                state.under_way += 1;
                state.seen.push(Seen { at: world.now(), ended: None, behaviour, others });
                state.seen.len() - 1
            };
            let _under_way = UnderWay(log.clone());
            match behaviour {
                Behaviour::Hang => std::future::pending().await,
                Behaviour::Reset => {}
                _ => sleep(latency).await,
            }
            let cut = || Failure::new(FailureClass::Truncated, "the connection was lost");
            let result = match behaviour {
                Behaviour::Status(status) => Err(CustomProvider::thrown(Some(status), "no", None)),
                Behaviour::AwayFor(status, milliseconds) => {
                    Err(CustomProvider::thrown(Some(status), "not now", Some(Duration::from_millis(milliseconds))))
                }
                Behaviour::Cut if call.is_stream => {
                    let events = [Ok("\"It\"".to_owned()), Ok("\" is\"".to_owned()), Err(cut())];
                    Ok(Reply::Events(Box::pin(stream::iter(events))))
                }
                Behaviour::Cut => Err(cut()),
                Behaviour::Reset => Err(Failure::new(FailureClass::Transient, "the connection was reset")),
                Behaviour::Hang | Behaviour::Answer => Ok(Reply::Whole(Bytes::from_static(b"\"yes\""))),
            };
            log.0.lock().unwrap().seen[place].ended = Some(world.now());
            result
        })
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().under_way -= 1;
    }
}

/// A router without providers.
pub fn router(options: Value) -> Router<Completion> {
    Router::new(RouterOptions::read(Fields::new("router options", options).unwrap()).unwrap()).unwrap()
}

/// Puts these models into the group `default`.
pub fn deploy(router: &Router<Completion>, strategy: Strategy, models: &[&str]) {
    for model in models {
        router.deploy("default", model, DeployOptions::default()).unwrap();
    }
    router.configure_group("default", GroupOptions { strategy, ..GroupOptions::default() }).unwrap();
}

/// One call like no other.
pub async fn call(router: &Router<Completion>, options: Value) -> thryd::Result<Answer<Completion>> {
    static CALLS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let number = CALLS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let fields = Fields::new("invoke options", options).unwrap();
    let options = InvokeOptions::read(fields, router.timeouts()).unwrap();
    router.invoke("default", CompletionRequest::message(format!("question {number}")), options).await
}
