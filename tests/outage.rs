//! What callers and providers see of an outage: everybody is answered or told when, nobody is stormed, and who is back is
//! used again soon. On a virtual clock, through the router.

mod world;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::{Just, ProptestConfig, any, prop_oneof, proptest};
use proptest::strategy::Strategy as _;
use serde_json::{Value, json};
use thryd::Error;
use thryd::health::CircuitState;
use thryd::kinds::Completion;
use thryd::route::Router;
use thryd::route::strategy::Strategy;
use tokio::task::JoinSet;
use world::{Behaviour, Log, World, call, deploy, router};

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

/// What came of it.
struct Seen {
    first: Log,
    second: Log,
    failed: Vec<Error>,
    /// When the circuit was first seen open, or probing.
    opened: Option<Duration>,
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
    async fn run(&self) -> Seen {
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
        let (mut calls, mut opened) = (JoinSet::new(), None);
        while world.now() < self.end() + s(20) {
            let caller = router.clone();
            calls.spawn(async move { call(&caller, json!({})).await });
            world.until(world.now() + self.gap).await;
            // A rest of a few milliseconds may fall between two looks; the probe after it does not.
            let is_out = router.stats().groups["default"].deployments[0].circuit != CircuitState::Closed;
            opened = opened.or(is_out.then(|| world.now()));
        }
        let failed = calls.join_all().await.into_iter().filter_map(Result::err).collect();
        Seen { first, second, failed, opened }
    }

    /// Everyone is answered; the deployment is asked once per rest; it is back soon, and soon for everyone.
    fn check(&self, Seen { first, second, failed, opened }: Seen) {
        assert!(failed.is_empty(), "{}", failed[0]);
        let opened = opened.expect("the outage was seen");
        assert!(opened <= BEGIN + s(2) + 4 * self.gap + FIRST_TOKEN, "seen at {opened:?}");
        let probes: Vec<_> = first.within(opened, self.end()).iter().map(|seen| seen.at).collect();
        let mut rest = self.cooldown;
        for pair in probes.windows(2) {
            // The rest before the first of them has not doubled yet.
            rest = (2 * rest).min(s(5).max(self.cooldown));
            assert!(pair[1] - pair[0] >= rest.mul_f64(0.8), "two within {rest:?}: {probes:?}");
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
    (kinds, 4_u64..150, 20_u64..=5000, 40_u64..500, any::<u64>()).prop_map(
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
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn so_it_is_in_outages_of_any_kind_and_length_and_with_any_cooldown(outage in outages()) {
        outage.check(on_a_virtual_clock(outage.run()));
    }
}

/// How one call went.
struct Call {
    begun: Duration,
    ended: Duration,
    /// When its attempts ended.
    attempts: Vec<Duration>,
    result: Result<(), Error>,
}

/// Everyone's calls so far.
type Calls = Arc<Mutex<Vec<Call>>>;

/// Two deployments behind which there is one model, and everyone who calls them.
struct Everybody {
    world: World,
    logs: [Log; 2],
    calls: Calls,
    router: Router<Completion>,
}

impl Everybody {
    /// Answers, good or bad, take half a second on average.
    fn new(seed: u64, script: impl Fn(Duration, f64) -> Behaviour + Send + Sync + 'static) -> Self {
        let (world, router) = (World::new(seed), router(json!({})));
        let script: world::Script = Arc::new(script);
        let logs = ["a", "b"].map(|name| world.provide(&router, name, (250, 750), Arc::clone(&script)));
        deploy(&router, Strategy::RoundRobin, &["a::m", "b::m"]);
        Self { world, logs, calls: Arc::default(), router }
    }

    /// One call; says for how long to leave them alone.
    async fn call(world: World, router: Router<Completion>, calls: Calls, options: Value) -> Option<Duration> {
        let begun = world.now();
        let result = call(&router, options).await;
        let attempts = result.as_ref().map_or_else(Error::attempts, |answer| &answer.attempts);
        let attempts = attempts.iter().map(|attempt| begun + ms(1).mul_f64(attempt.started_ms + attempt.duration_ms));
        let attempts = attempts.collect();
        let result = result.map(|_| ());
        let after = result.as_ref().err().and_then(Error::retry_after);
        calls.lock().unwrap().push(Call { begun, ended: world.now(), attempts, result });
        after
    }

    /// So many callers, each of whom calls again as soon as it knows how its call went and is not told to come later, until
    /// the end.
    async fn in_turn(&self, callers: usize, end: Duration, options: Value) {
        let mut tasks = JoinSet::new();
        for _ in 0..callers {
            let (world, router, calls) = (self.world.clone(), self.router.clone(), Arc::clone(&self.calls));
            let options = options.clone();
            tasks.spawn(async move {
                world.until(world.between(ms(0), s(1))).await;
                while world.now() < end {
                    let after = Self::call(world.clone(), router.clone(), Arc::clone(&calls), options.clone()).await;
                    tokio::time::sleep(after.unwrap_or_default()).await;
                }
            });
        }
        tasks.join_all().await;
    }

    /// So many calls a second, whatever becomes of those before.
    async fn arriving(&self, rate: f64, end: Duration) {
        let mut tasks = JoinSet::new();
        while self.world.now() < end {
            tasks.spawn(Self::call(self.world.clone(), self.router.clone(), Arc::clone(&self.calls), json!({})));
            self.world.until(self.world.now() + s(1).mul_f64(2.0 * self.world.draw() / rate)).await;
        }
        tasks.join_all().await;
    }

    /// Every call ends within its time in line and that of its attempts; and a call that was not attempted says when to
    /// come back, unless it has waited as long as it may.
    fn check_callers(&self) {
        for Call { begun, ended, result, .. } in &*self.calls.lock().unwrap() {
            assert!(*ended - *begun <= s(60) + s(5), "a call from {begun:?} to {ended:?}");
            let Err(error) = result else { continue };
            assert!(error.is_retryable(), "{error}");
            let is_told = error.retry_after().is_some_and(|after| !after.is_zero());
            let has_waited = *ended - *begun >= s(59);
            assert!(is_told || has_waited || !error.attempts().is_empty(), "{error} at {ended:?}");
        }
    }

    /// Beside the first attempts there are in any ten seconds a fifth as many retries as there were requests, and the hundred
    /// that are always allowed. A retry counts from when the attempt before it had failed: that is when it was allowed, and
    /// how much later it begins is up to the pause and the line.
    fn check_budget(&self) {
        let calls = self.calls.lock().unwrap();
        let known: usize = calls.iter().map(|call| call.attempts.len()).sum();
        let reached: usize = self.logs.iter().map(|log| log.seen().len()).sum();
        assert_eq!(known, reached, "the trails tell of every attempt");
        let mut begun: Vec<_> = calls.iter().map(|call| call.begun).collect();
        // Each attempt but the last of a call had one after it.
        let mut retries: Vec<_> = calls.iter().flat_map(|call| call.attempts.iter().rev().skip(1).copied()).collect();
        begun.sort_unstable();
        retries.sort_unstable();
        for (place, last) in retries.iter().enumerate() {
            let within = |times: &[Duration]| {
                let after = |limit: Duration| times.partition_point(|at| *at <= limit);
                after(*last) - last.checked_sub(s(10)).map_or(0, after)
            };
            let (requests, used) = (within(&begun), within(&retries[..=place]));
            let most = 100.0 + 0.2 * number(requests);
            assert!(number(used) <= most, "{used} retries for {requests} requests in the 10 s before {last:?}");
        }
    }

    /// Attempts of both in each 100 ms of this time.
    fn windows(&self, from: Duration, to: Duration) -> Vec<usize> {
        let mut counts = vec![0; usize::try_from((to - from).as_millis() / 100).unwrap()];
        for seen in self.logs.iter().flat_map(|log| log.within(from, to)) {
            counts[usize::try_from((seen.at - from).as_millis() / 100).unwrap()] += 1;
        }
        counts
    }

    /// In no 100 ms of this time there are more than three times as many attempts as on average. The average is that of
    /// the windows in which there were any: while everyone rests there are to be none, and to count those would forbid
    /// even a single probe.
    fn check_bursts(&self, from: Duration, to: Duration) {
        let windows = self.windows(from, to);
        let busy = windows.iter().filter(|count| **count > 0).count().max(1);
        let (sum, most) = (windows.iter().sum::<usize>(), windows.iter().max().copied().unwrap_or(0));
        assert!(number(most) <= 3.0 * number(sum) / number(busy), "{most} of {sum} in {busy}: {windows:?}");
    }

    /// A deployment that is back has at once no more requests in flight than the ramp allows: one more than it has
    /// answered, or twice as many with each half second.
    fn check_ramp(&self, recovery: Duration) {
        for log in &self.logs {
            let back = log.answered().iter().filter(|seen| seen.at >= recovery).filter_map(|seen| seen.ended).min();
            let back = back.expect("it comes back");
            let answers: Vec<_> =
                log.answered().iter().filter_map(|seen| seen.ended).filter(|at| *at >= back).collect();
            for seen in log.within(back, back + s(10)) {
                let answered = answers.iter().filter(|at| **at <= seen.at).count();
                let by_time = ((seen.at - back).as_secs_f64() / 0.5).exp2();
                let allowance = number(answered + 1).max(by_time + 0.01);
                assert!(number(seen.others + 1) <= allowance, "{seen:?}: more than {allowance}, back at {back:?}");
            }
        }
    }

    /// How many calls that began in this time were answered, and how many were not.
    fn outcomes(&self, from: Duration, to: Duration) -> (usize, usize) {
        let calls = self.calls.lock().unwrap();
        let within = calls.iter().filter(|call| (from..to).contains(&call.begun));
        let (good, bad): (Vec<_>, Vec<_>) = within.partition(|call| call.result.is_ok());
        (good.len(), bad.len())
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts of a test")]
fn number(count: usize) -> f64 {
    count as f64
}

#[tokio::test(start_paused = true)]
async fn five_hundred_callers_do_not_storm_providers_that_are_all_down_nor_when_they_are_back() {
    let outage = s(3)..s(63);
    let everybody =
        Everybody::new(1, move |at, _| if outage.contains(&at) { Behaviour::Status(503) } else { Behaviour::Answer });
    everybody.in_turn(500, s(80), json!({})).await;
    everybody.check_callers();
    everybody.check_budget();
    everybody.check_bursts(s(4), s(63));
    everybody.check_ramp(s(63));
    // After the longest rest, its jitter and the ramp.
    let (answered, failed) = everybody.outcomes(s(75), s(80));
    assert!(failed == 0 && answered > 4000, "{answered} and {failed}");
}

#[tokio::test(start_paused = true)]
async fn calls_that_keep_coming_do_not_storm_them_either() {
    let outage = s(3)..s(63);
    let everybody =
        Everybody::new(2, move |at, _| if outage.contains(&at) { Behaviour::Reset } else { Behaviour::Answer });
    everybody.arriving(100.0, s(75)).await;
    everybody.check_callers();
    everybody.check_budget();
    everybody.check_bursts(s(4), s(63));
    everybody.check_ramp(s(63));
    assert_eq!(everybody.outcomes(s(12), s(75)).1, 0, "whoever may wait until then is served");
}

#[tokio::test(start_paused = true)]
async fn callers_who_never_wait_and_come_back_when_they_are_told_do_not_come_all_at_once() {
    let outage = s(3)..s(33);
    let everybody =
        Everybody::new(4, move |at, _| if outage.contains(&at) { Behaviour::Status(503) } else { Behaviour::Answer });
    everybody.in_turn(500, s(47), json!({ "queueMs": 0 })).await;
    everybody.check_callers();
    everybody.check_budget();
    everybody.check_bursts(s(4), s(33));
    everybody.check_ramp(s(33));
    let (answered, _) = everybody.outcomes(s(45), s(47));
    assert!(answered > 1500, "{answered}");
}

#[tokio::test(start_paused = true)]
async fn where_half_of_the_attempts_fail_callers_are_served_and_retries_stay_within_their_budget() {
    let outage = s(3)..s(33);
    let everybody =
        Everybody::new(
            3,
            move |at, luck| {
                if outage.contains(&at) && luck < 0.5 { Behaviour::Status(503) } else { Behaviour::Answer }
            },
        );
    everybody.in_turn(200, s(40), json!({})).await;
    everybody.check_callers();
    everybody.check_budget();
    let (answered, failed) = everybody.outcomes(s(3), s(33));
    assert!(answered > failed, "{answered} and {failed}");
}
