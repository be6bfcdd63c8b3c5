//! The laws of trackers that share accounts, of tickets between lines, and of what providers say: each against a log of
//! everything that ever happened.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;
use thryd::constants::{BUCKET_WIDTH, BUCKETS_WINDOW_S};
use thryd::tracker::{Limits, Permit, Quota, RateLimits, Spent, Ticket, Tracker, Turn, Wait};
use tokio::time::Instant;

const MINUTE: Duration = Duration::from_secs(BUCKETS_WINDOW_S);

/// One that is admitted: on which windows, when by the clock on the wall and by the machine's, what it costs so far.
struct Entry {
    windows: Vec<usize>,
    real: Duration,
    measured: Duration,
    tokens: u64,
}

/// Three deployments, of which the first two share an account, and what was admitted on each of these four windows.
struct Fleet {
    deployments: Vec<Tracker>,
    windows: Vec<(Tracker, Limits)>,
    log: Vec<Option<Entry>>,
    start: Instant,
}

impl Fleet {
    fn new(limits: &[Limits; 4]) -> Self {
        let windows: Vec<_> = limits.iter().map(|limits| (Tracker::new(*limits), *limits)).collect();
        let deployments: Vec<_> = windows[..3].iter().map(|(tracker, _)| tracker.clone()).collect();
        deployments[0].stand_on(Some(windows[3].0.clone()));
        deployments[1].stand_on(Some(windows[3].0.clone()));
        Self { deployments, windows, log: Vec::new(), start: Instant::now() }
    }

    fn windows_of(deployment: usize) -> Vec<usize> {
        if deployment < 2 { vec![deployment, 3] } else { vec![deployment] }
    }

    /// What this window holds of the `length` before and at `now`, by one clock or the other.
    fn within(&self, window: usize, now: Duration, length: Duration, clock: fn(&Entry) -> Duration) -> (u64, u64) {
        let inside = |entry: &&Entry| entry.windows.contains(&window) && now.saturating_sub(clock(entry)) <= length;
        let entries = self.log.iter().flatten().filter(inside);
        entries.fold((0, 0), |sum, entry| (sum.0 + 1, sum.1 + entry.tokens))
    }
}

#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    /// The machine sleeps: its clock stands still, the provider's does not.
    Suspend(u64),
    JumpBack(u64),
    Ask(usize, u64),
    End(Index, u8, u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => prop_oneof![0..1_500_u64, 0..70_000_u64].prop_map(Step::Pass),
        1 => (0..90_000_u64).prop_map(Step::Suspend),
        1 => (0..5_000_u64).prop_map(Step::JumpBack),
        10 => (0..3_usize, prop_oneof![0..30_u64, 0..400_u64]).prop_map(|(deployment, tokens)| Step::Ask(deployment, tokens)),
        4 => (any::<Index>(), 0..4_u8, 0..400_u64).prop_map(|(which, how, tokens)| Step::End(which, how, tokens)),
    ]
}

fn limits() -> impl Strategy<Value = Limits> {
    let (rpm, tpm) = (prop::option::of(1..15_u64), prop::option::of(1..800_u64));
    (rpm, tpm, prop::option::of(1..6_u64)).prop_map(|(rpm, tpm, max_concurrent)| Limits { rpm, tpm, max_concurrent })
}

fn at_most(limit: Option<u64>, spent: u64) -> bool {
    limit.is_none_or(|limit| spent <= limit)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40_000, ..ProptestConfig::default() })]

    #[test]
    fn neither_a_deployment_nor_the_account_below_ever_has_more_than_its_limits_nor_refuses_what_fits(
        limits in [limits(), limits(), limits(), limits()],
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut fleet = Fleet::new(&limits);
        let (mut real, mut measured, mut latest) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
        let mut held: Vec<(Permit, usize)> = Vec::new();
        for step in steps {
            match step {
                Step::Pass(ms) => {
                    real += Duration::from_millis(ms);
                    measured += Duration::from_millis(ms);
                }
                Step::Suspend(ms) => real += Duration::from_millis(ms),
                Step::JumpBack(ms) => measured = measured.saturating_sub(Duration::from_millis(ms)),
                Step::Ask(deployment, tokens) => {
                    latest = latest.max(measured);
                    let windows = Fleet::windows_of(deployment);
                    let in_flight = |window: &usize| held.iter().filter(|(_, entry)| {
                        fleet.log[*entry].as_ref().is_some_and(|entry| entry.windows.contains(window))
                    }).count() as u64;
                    let has_slots = windows.iter().all(|window| limits[*window].max_concurrent.is_none_or(|max| in_flight(window) < max));
                    match fleet.deployments[deployment].try_acquire(tokens, fleet.start + measured) {
                        Ok(permit) => {
                            prop_assert!(has_slots);
                            let entry = Entry { windows: windows.clone(), real, measured: latest, tokens };
                            held.push((permit, fleet.log.len()));
                            fleet.log.push(Some(entry));
                            for window in windows {
                                let (requests, tokens) = fleet.within(window, real, MINUTE, |entry| entry.real);
                                let Limits { rpm, tpm, .. } = limits[window];
                                prop_assert!(at_most(rpm, requests) && at_most(tpm, tokens), "{requests} {tokens} on {window}");
                            }
                        }
                        Err(wait) => {
                            // Refused only where a window, rounded up by a bucket, or the slots are really full.
                            let is_full = windows.iter().any(|window| {
                                let (requests, held) = fleet.within(*window, latest, MINUTE + BUCKET_WIDTH, |entry| entry.measured);
                                let Limits { rpm, tpm, .. } = limits[*window];
                                !(at_most(rpm, requests + 1) && at_most(tpm, held + tokens))
                            });
                            prop_assert!(is_full || !has_slots, "{wait:?}");
                            let can_never = windows.iter().any(|window| !at_most(limits[*window].tpm, tokens));
                            prop_assert_eq!(wait == Wait::Never, can_never);
                        }
                    }
                }
                Step::End(which, how, tokens) if !held.is_empty() => {
                    let (mut permit, entry) = held.swap_remove(which.index(held.len()));
                    match how {
                        // Never sent, or given back afterwards: as if it had never been.
                        0 => {
                            drop(permit);
                            fleet.log[entry] = None;
                        }
                        1 => {
                            permit.sent();
                            permit.give_back();
                            fleet.log[entry] = None;
                        }
                        2 => {
                            permit.sent();
                            drop(permit);
                        }
                        _ => {
                            permit.settle(tokens);
                            fleet.log[entry].as_mut().expect("it was admitted").tokens = tokens;
                        }
                    }
                }
                Step::End(..) => {}
            }
            // Each window is shown the time, so that all agree on what the latest moment was when the clock jumps back.
            latest = latest.max(measured);
            for (tracker, _) in &fleet.windows {
                let _ = tracker.spent(fleet.start + measured);
            }
        }
        drop(held);
        let now = fleet.start + latest + MINUTE + BUCKET_WIDTH;
        for (tracker, _) in &fleet.windows {
            prop_assert_eq!((tracker.in_flight(), tracker.spent(now)), (0, Spent::default()));
        }
    }
}

/// The head of a line: where it may go, what it needs, and which window refused it last.
struct Head {
    ticket: Ticket,
    turn: Turn,
    deployment: usize,
    tokens: u64,
    refused_by: Option<usize>,
}

#[derive(Clone, Debug)]
enum Move {
    Come { line: usize, deployment: usize, tokens: u64, priority: i64 },
    Ask(usize),
    Leave(usize),
    Pass(u64),
}

fn a_move() -> impl Strategy<Value = Move> {
    let come = (0..5_usize, 0..3_usize, 1..100_u64, 0..3_i64);
    prop_oneof![
        3 => come.prop_map(|(line, deployment, tokens, priority)| Move::Come { line, deployment, tokens, priority }),
        6 => (0..5_usize).prop_map(Move::Ask),
        1 => (0..5_usize).prop_map(Move::Leave),
        2 => (0..40_000_u64).prop_map(Move::Pass),
    ]
}

/// Asks as a group does, and notes which window said no. `earlier` are the windows that hold tickets of those before it.
fn ask(fleet: &Fleet, head: &mut Head, earlier: &[usize], now: Instant) -> Option<Permit> {
    head.turn.begin(Some(head.ticket));
    let own = head.deployment;
    if let Ok(permit) = fleet.deployments[own].acquire_in_turn(head.tokens, now, &mut head.turn) {
        return Some(permit);
    }
    head.turn.end();
    // The deployment's own window is asked first: it says no if it is full or somebody before us waits for it.
    let is_full = fleet.deployments[own].spent(now).tokens + head.tokens > fleet.windows[own].1.tpm.unwrap_or(u64::MAX);
    head.refused_by = Some(if is_full || earlier.contains(&own) { own } else { 3 });
    None
}

/// The windows that hold a ticket earlier than this one.
fn earlier(lines: &[Option<Head>; 5], ticket: Ticket) -> Vec<usize> {
    lines.iter().flatten().filter(|other| other.ticket < ticket).filter_map(|other| other.refused_by).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 15_000, ..ProptestConfig::default() })]

    #[test]
    fn nobody_takes_what_an_earlier_ticket_waits_for_and_everyone_is_admitted_in_the_end(
        tpm in [100..300_u64, 100..300_u64, 100..300_u64, 100..300_u64],
        moves in prop::collection::vec(a_move(), 1..60),
    ) {
        let limits = tpm.map(|tpm| Limits { rpm: None, tpm: Some(tpm), max_concurrent: None });
        let fleet = Fleet::new(&limits);
        let mut now = fleet.start;
        let mut lines: [Option<Head>; 5] = Default::default();
        for step in moves {
            match step {
                Move::Pass(ms) => now += Duration::from_millis(ms),
                Move::Come { line, deployment, tokens, priority } if lines[line].is_none() => {
                    let ticket = Ticket::draw(priority);
                    lines[line] = Some(Head { ticket, turn: Turn::default(), deployment, tokens, refused_by: None });
                }
                Move::Leave(line) => lines[line] = None,
                Move::Ask(line) => {
                    let Some(mut head) = lines[line].take() else { continue };
                    let earlier = earlier(&lines, head.ticket);
                    let Some(mut permit) = ask(&fleet, &mut head, &earlier, now) else {
                        lines[line] = Some(head);
                        continue;
                    };
                    permit.sent();
                    let taken = Fleet::windows_of(head.deployment);
                    prop_assert!(!earlier.iter().any(|window| taken.contains(window)), "a later ticket went first");
                }
                Move::Come { .. } => {}
            }
        }
        // However they stand, asking now and then brings everyone home: nobody waits for somebody who waits for them.
        for _ in 0..40 {
            for line in 0..lines.len() {
                let Some(mut head) = lines[line].take() else { continue };
                let earlier = earlier(&lines, head.ticket);
                match ask(&fleet, &mut head, &earlier, now) {
                    Some(mut permit) => permit.sent(),
                    None => lines[line] = Some(head),
                }
            }
            now += MINUTE / 4;
        }
        prop_assert!(lines.iter().all(Option::is_none), "somebody waits for ever");
    }

    #[test]
    fn what_a_provider_says_is_left_is_never_exceeded_before_its_reset_and_forgotten_after_it(
        before in 0..5_u64,
        after in 0..5_u64,
        remaining in 0..20_u64,
        reset_ms in 1..90_000_u64,
        steps in prop::collection::vec((0..4_000_u64, any::<bool>()), 1..60),
    ) {
        let tracker = Tracker::new(Limits { rpm: Some(1_000), ..Limits::default() });
        let mut now = Instant::now();
        let acquire = |now| tracker.try_acquire(1, now);
        (0..before).for_each(|_| { let mut permit = acquire(now).unwrap(); permit.sent(); });
        let answered = acquire(now).unwrap();
        // These were on their way when the answer was written: nobody knows whether it counts them.
        (0..after).for_each(|_| { let mut permit = acquire(now).unwrap(); permit.sent(); });
        // A ceiling holds for no more than a window.
        let said_reset = Duration::from_millis(reset_ms);
        let reset = said_reset.min(MINUTE + BUCKET_WIDTH);
        let said = Quota { remaining: Some(remaining), reset: Some(said_reset), limit: None };
        answered.hear(&RateLimits { requests: said, ..RateLimits::default() }, now);
        let (heard, mut left) = (now, remaining.saturating_sub(after));
        for (pause, is_unsent) in steps {
            now += Duration::from_millis(pause);
            let is_over = now - heard >= reset;
            match acquire(now) {
                Ok(mut permit) => {
                    prop_assert!(is_over || left > 0, "one more than the provider has left");
                    if is_unsent {
                        drop(permit);
                    } else {
                        permit.sent();
                        left = left.saturating_sub(1);
                    }
                }
                Err(wait) => {
                    prop_assert!(!is_over && left == 0, "refused though {left} are left");
                    prop_assert_eq!(wait, Wait::Until(heard + reset));
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_an_older_request_does_not_undo_what_was_heard_since() {
    let tracker = Tracker::new(Limits::default());
    let now = Instant::now();
    let left = |remaining| {
        let requests = Quota { remaining: Some(remaining), reset: Some(MINUTE), limit: None };
        RateLimits { requests, ..RateLimits::default() }
    };
    let (old, new) = (tracker.try_acquire(1, now).unwrap(), tracker.try_acquire(1, now).unwrap());
    new.hear(&left(0), now);
    old.hear(&left(500), now);
    assert_eq!(tracker.try_acquire(1, now).unwrap_err(), Wait::Until(now + MINUTE));
}

#[tokio::test(start_paused = true)]
async fn tokens_that_a_provider_has_not_left_are_not_asked_for_though_nobody_counts_them() {
    let tracker = Tracker::new(Limits::default());
    let now = Instant::now();
    assert!(!tracker.limits_tokens(now));
    let tokens = Quota { remaining: Some(0), reset: Some(MINUTE), limit: None };
    tracker.try_acquire(0, now).unwrap().hear(&RateLimits { tokens, ..RateLimits::default() }, now);
    assert!(tracker.limits_tokens(now), "from now on they are to be counted");
    assert_eq!(tracker.try_acquire(0, now).unwrap_err(), Wait::Until(now + MINUTE));
    assert!(tracker.try_acquire(0, now + MINUTE).is_ok() && !tracker.limits_tokens(now + MINUTE));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_given_back_makes_no_room_that_the_provider_has_not() {
    let tracker = Tracker::new(Limits::default());
    let now = Instant::now();
    let none = Quota { remaining: Some(0), reset: Some(MINUTE), limit: None };
    let none = RateLimits { requests: none, tokens: none, ignored: 0 };
    let (unsent, answered) = (tracker.try_acquire(5, now).unwrap(), tracker.try_acquire(5, now).unwrap());
    drop(unsent);
    answered.hear(&none, now);
    assert!(tracker.try_acquire(0, now).is_err());
    let newest = tracker.try_acquire(5, now + MINUTE).unwrap();
    newest.hear(&none, now + MINUTE);
    assert!(tracker.try_acquire(0, now + MINUTE).is_err(), "the newest answer counts, whatever was given back before");
}

#[tokio::test(start_paused = true)]
async fn what_was_heard_of_one_account_is_not_held_against_the_next() {
    let tracker = Tracker::new(Limits::default());
    let now = Instant::now();
    let none = RateLimits { requests: Quota { remaining: Some(0), ..Quota::default() }, ..RateLimits::default() };
    let (first, late) = (tracker.try_acquire(1, now).unwrap(), tracker.try_acquire(1, now).unwrap());
    first.hear(&none, now);
    assert!(tracker.try_acquire(1, now).is_err());
    tracker.forget_heard();
    late.hear(&none, now);
    assert!(tracker.try_acquire(1, now).is_ok());
}

#[tokio::test(start_paused = true)]
async fn learned_limits_hold_like_set_ones_only_tighten_and_are_forgotten() {
    let set = Limits { rpm: Some(5), ..Limits::default() };
    let tracker = Tracker::new(set);
    let now = Instant::now();
    let named = |rpm, tpm| {
        let quota = |limit| Quota { limit: Some(limit), ..Quota::default() };
        RateLimits { requests: quota(rpm), tokens: quota(tpm), ignored: 0 }
    };
    let mut permit = tracker.try_acquire(10, now).unwrap();
    permit.hear(&named(100, 50), now);
    permit.sent();
    drop(permit);
    assert_eq!((tracker.limits_at(now).rpm, tracker.limits_at(now).tpm), (Some(5), Some(50)));
    assert_eq!(tracker.limits(), set, "what was set stays what was set");
    assert_eq!(tracker.try_acquire(41, now).unwrap_err(), Wait::Until(now + MINUTE + BUCKET_WIDTH));
    let empty = now + MINUTE + BUCKET_WIDTH;
    assert_eq!(
        tracker.try_acquire(51, now).unwrap_err(),
        Wait::Until(empty),
        "what was not set refuses nothing for ever"
    );
    assert!(tracker.try_acquire(51, empty).is_ok());
    let later = now + Duration::from_secs(3_600);
    assert_eq!(tracker.limits_at(later), set, "an hour later nobody believes it");
}
