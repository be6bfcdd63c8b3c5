//! What callers and providers see of an outage: everybody is answered or told when, nobody is stormed, and who is back is
//! used again soon. On a virtual clock, through the router.

mod world;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::{Just, ProptestConfig, any, prop_oneof, proptest};
use proptest::strategy::Strategy as _;
use serde_json::{Value, json};
use thryd::error::Outcome;
use thryd::route::strategy::Strategy;
use tokio::task::JoinSet;
use world::{Behaviour, Log, Seen, World, call, deploy, router};

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Runs on a clock of its own.
fn on_a_virtual_clock<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime without threads").block_on(work)
}

/// An outage of the first of two deployments.
#[derive(Clone, Debug)]
struct Outage {
    kind: Behaviour,
    length: Duration,
    /// `cooldownMs`.
    cooldown: Duration,
    /// Between two calls.
    gap: Duration,
    /// Whether `firstTokenMs` is set, so that answers are streamed from the provider.
    is_watched: bool,
    seed: u64,
}

/// When the outage begins.
const BEGIN: Duration = Duration::from_secs(5);

/// `firstTokenMs`, where it is set.
const FIRST_TOKEN: Duration = Duration::from_secs(1);

impl Outage {
    /// A minute, with the default options.
    fn of_a_minute(kind: Behaviour) -> Self {
        Self { kind, length: s(60), cooldown: s(5), gap: ms(50), is_watched: kind == Behaviour::Hang, seed: 1 }
    }

    fn end(&self) -> Duration {
        BEGIN + self.length
    }

    /// Steady calls from before the outage to 20 s after it: what reached both deployments, and what failed.
    async fn run(&self) -> (Log, Log, Vec<thryd::Error>) {
        let world = World::new(self.seed);
        let cooldown = u64::try_from(self.cooldown.as_millis()).unwrap();
        let first_token = u64::try_from(FIRST_TOKEN.as_millis()).unwrap();
        let timeouts = if self.is_watched { json!({ "firstTokenMs": first_token }) } else { json!({}) };
        let router = router(json!({ "retry": { "cooldownMs": cooldown }, "timeouts": timeouts }));
        let (kind, outage) = (self.kind, BEGIN..self.end());
        let script = move |at, _| if outage.contains(&at) { kind } else { Behaviour::Answer };
        let first = world.provide(&router, "a", (30, 80), Arc::new(script));
        let second = world.provide(&router, "b", (30, 80), Arc::new(|_, _| Behaviour::Answer));
        deploy(&router, Strategy::FirstAvailable, &["a::m", "b::m"]);
        let mut calls = JoinSet::new();
        while world.now() < self.end() + s(20) {
            let router = router.clone();
            calls.spawn(async move { call(&router, json!({})).await });
            world.until(world.now() + self.gap).await;
        }
        (first, second, calls.join_all().await.into_iter().filter_map(Result::err).collect())
    }

    /// Everyone is answered; the deployment is asked once per rest; it is back soon, and soon for everyone.
    fn check(&self, (first, second, failed): (Log, Log, Vec<thryd::Error>)) {
        assert!(failed.is_empty(), "{}", failed[0]);
        let mut bad: Vec<_> = first.within(BEGIN, self.end());
        let ended = |seen: &Seen| seen.ended.unwrap_or(seen.at + FIRST_TOKEN);
        bad.sort_by_key(ended);
        // The third failure opens the circuit; what was under way by then may fail after it.
        let opening = bad[2];
        let opened = ended(&opening);
        let mut sent: Vec<_> = bad.iter().map(|seen| seen.at).filter(|at| *at > opened).collect();
        sent.insert(0, opening.at);
        let mut rest = self.cooldown;
        for pair in sent.windows(2) {
            assert!(pair[1] - pair[0] >= rest.mul_f64(0.8), "two within {rest:?}: {sent:?}");
            rest = (2 * rest).min(s(5));
        }
        let back = first.within(self.end(), s(1000))[0].at;
        let latest = self.end() + s(5).max(self.length / 12) + self.gap;
        assert!(back <= latest, "back at {back:?}, later than {latest:?}");
        let late = second.within(back + s(6), s(1000));
        assert!(late.is_empty(), "it has recovered: {late:?}");
    }
}

#[test]
fn in_an_outage_of_a_minute_everyone_is_answered_and_nobody_is_stormed_and_the_end_is_seen_soon() {
    for kind in [Behaviour::Status(503), Behaviour::Status(500), Behaviour::Reset, Behaviour::Hang, Behaviour::Cut] {
        let outage = Outage::of_a_minute(kind);
        outage.check(on_a_virtual_clock(outage.run()));
    }
}

fn outages() -> impl proptest::strategy::Strategy<Value = Outage> {
    let kinds = prop_oneof![
        Just((Behaviour::Status(503), false)),
        Just((Behaviour::Status(502), true)),
        Just((Behaviour::Reset, false)),
        Just((Behaviour::Hang, true)),
        Just((Behaviour::Cut, false)),
        Just((Behaviour::Cut, true)),
    ];
    (kinds, 2_u64..150, 20_u64..=5000, 25_u64..400, any::<u64>()).prop_map(
        |((kind, is_watched), length, cooldown, gap, seed)| Outage {
            kind,
            length: s(length),
            cooldown: ms(cooldown),
            gap: ms(gap),
            is_watched,
            seed,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn so_it_is_in_outages_of_any_kind_and_length_and_with_any_cooldown(outage in outages()) {
        outage.check(on_a_virtual_clock(outage.run()));
    }
}

/// What came of the calls of an outage of everybody.
#[derive(Default)]
struct Outcomes {
    answered: usize,
    /// When, with which code, and with which time to come back.
    failed: Vec<(Duration, &'static str, Option<Duration>, usize)>,
}

/// 500 callers, each of whom calls again as soon as it knows how its call went.
async fn callers(
    router: &thryd::route::Router<thryd::kinds::Completion>,
    world: &World,
    until: Duration,
    options: Value,
) -> Outcomes {
    let outcomes = Arc::new(Mutex::new(Outcomes::default()));
    let mut callers = JoinSet::new();
    for _ in 0..500 {
        let (router, world, outcomes, options) =
            (router.clone(), world.clone(), Arc::clone(&outcomes), options.clone());
        callers.spawn(async move {
            world.until(world.between(ms(0), ms(1000))).await;
            while world.now() < until {
                let result = call(&router, options.clone()).await;
                let mut outcomes = outcomes.lock().unwrap();
                match result {
                    Ok(_) => outcomes.answered += 1,
                    Err(error) => {
                        outcomes.failed.push((world.now(), error.code(), error.retry_after(), error.attempts().len()))
                    }
                }
            }
        });
    }
    callers.join_all().await;
    Arc::try_unwrap(outcomes).ok().unwrap().into_inner().unwrap()
}

fn histogram(logs: &[&Log], from: Duration, to: Duration, width: Duration) -> Vec<usize> {
    let mut counts = vec![0; usize::try_from((to - from).as_millis() / width.as_millis()).unwrap()];
    for seen in logs.iter().flat_map(|log| log.within(from, to)) {
        counts[usize::try_from((seen.at - from).as_millis() / width.as_millis()).unwrap()] += 1;
    }
    counts
}

#[tokio::test(start_paused = true)]
async fn look() {
    for partial in [false, true] {
        let world = World::new(3);
        let router = router(json!({}));
        let outage = s(5)..s(65);
        let script = move |at, luck| {
            if outage.contains(&at) && (!partial || luck < 0.5) { Behaviour::Status(503) } else { Behaviour::Answer }
        };
        let script: world::Script = Arc::new(script);
        let a = world.provide(&router, "a", (100, 300), Arc::clone(&script));
        let b = world.provide(&router, "b", (100, 300), script);
        deploy(&router, Strategy::RoundRobin, &["a::m", "b::m"]);
        let outcomes = callers(&router, &world, s(75), json!({})).await;
        println!("partial {partial}: answered {} failed {}", outcomes.answered, outcomes.failed.len());
        let mut kinds = std::collections::BTreeMap::new();
        for (at, code, after, attempts) in &outcomes.failed {
            *kinds.entry((at.as_secs(), *code, after.is_some(), *attempts)).or_insert(0) += 1;
        }
        println!("{kinds:?}");
        println!("{:?}", histogram(&[&a, &b], s(4), s(76), s(1)));
        println!("{:?}", histogram(&[&a, &b], s(4), s(16), ms(100)));
        println!("{:?}", histogram(&[&a, &b], s(64), s(74), ms(100)));
    }
}
