//! What there is to do at any moment, on a clock that the test keeps.

use super::*;
use crate::redis::limits::wire::Found;

const LEASE: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);
const EPOCH: Epoch =
    Epoch { own: Found { epoch: 1, number: 1, told: 0 }, account: Found { epoch: 0, number: 0, told: 0 } };

fn asked(max_concurrent: Option<u64>) -> Asked {
    let limits = Limits { rpm: Some(60), max_concurrent, ..Limits::default() };
    Asked { tokens: 10, waiting: 1, limits, account: Limits::default() }
}

fn answer(count: u64) -> Answer {
    let (wait, pause) = (Duration::from_secs(9), Duration::from_millis(250));
    Answer { is_late: false, count, tick: 7, clock: 7, wait, pause, epoch: EPOCH, processes: Some(1) }
}

/// A state that has asked for one request, was granted it and has begun it, as its ledger would.
fn busy(max_concurrent: Option<u64>, now: Instant) -> State {
    let mut state = State::new(1, now);
    let asked = asked(max_concurrent);
    (state.used, state.limits, state.wanted) = (now, asked.limits, Some(asked));
    assert!(matches!(state.next(LEASE, now), Next::Say(Say { ask: Some(_), counts: true, .. })));
    (state.epoch, state.counted) = (Some(EPOCH), Some(now));
    state.grant(&answer(1), 10, now, SECOND, now);
    state.granted.pop_front().unwrap();
    state.in_flight += 1;
    state
}

/// Lets the task run until then, each time late by so much; the moments at which it says something.
fn says(state: &mut State, lease: Duration, from: Instant, until: Instant, late: Duration) -> Vec<Duration> {
    let (mut now, mut said, mut turns) = (from, Vec::new(), 0);
    while now < until {
        turns += 1;
        assert!(turns < 10_000, "it does not wait");
        match state.next(lease, now) {
            Next::Say(say) => {
                assert_eq!(say.holds, state.holds());
                said.push(now - from);
                if say.counts {
                    state.counted = Some(now);
                }
            }
            Next::Wait(Some(at)) => now = at + late,
            Next::Wait(None) => break,
            other => panic!("{other:?}"),
        }
    }
    said
}

#[test]
fn a_request_that_takes_long_is_said_to_be_held_as_long_as_it_takes() {
    for lease in [1, 2, 3, 10, 600].map(Duration::from_secs) {
        let now = Instant::now();
        let mut state = busy(Some(2), now);
        let said = says(&mut state, lease, now, now + Duration::from_secs(600), Duration::from_millis(1));
        let between = || said.windows(2).map(|pair| pair[1].saturating_sub(pair[0]));
        assert!(between().max().unwrap() < lease / 2, "{lease:?}: {:?}", between().max());
        assert!(between().min().unwrap() >= lease.min(LEASE) / 4, "{lease:?}: {:?}", between().min());
        assert!(*said.last().unwrap() > Duration::from_secs(580), "{lease:?}: {:?}", said.last());
    }
}

#[test]
fn a_process_that_has_nothing_to_do_says_so_for_a_minute_and_then_sleeps_however_late_it_wakes() {
    for late in (0..400).map(|step| Duration::from_millis(step * 25)) {
        let now = Instant::now();
        let mut state = busy(None, now);
        state.in_flight -= 1;
        let said = says(&mut state, LEASE, now, now + Duration::from_secs(600), late);
        let last = *said.last().unwrap();
        assert!((Duration::from_secs(40)..Duration::from_secs(60)).contains(&last), "{late:?}: {last:?}");
    }
}

#[test]
fn what_was_granted_and_not_begun_is_given_back_in_time_and_said() {
    let now = Instant::now();
    let mut state = busy(Some(9), now);
    state.wanted = Some(asked(Some(9)));
    state.next(LEASE, now);
    state.grant(&answer(3), 10, now, SECOND, now + Duration::from_millis(90));
    assert_eq!(state.holds(), 4);
    let due = now + UNUSED;
    assert!(matches!(state.next(LEASE, now + Duration::from_millis(90)), Next::Wait(Some(at)) if at <= due));
    assert!(matches!(state.next(LEASE, due), Next::Wait(Some(at)) if at <= due + SETTLED_WITHIN));
    match state.next(LEASE, due + SETTLED_WITHIN) {
        Next::Say(say) => assert_eq!((say.costs, say.holds), (vec![(7, -3, -30)], 1)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_answer_that_a_process_slept_through_is_begun_by_nobody() {
    let now = Instant::now();
    let mut state = busy(None, now);
    let later = now + Duration::from_secs(5);
    state.grant(&answer(3), 10, now, Duration::from_millis(100), later);
    assert!(state.granted.iter().all(|grant| grant.until < later));
    // One that Redis took long for, as it may, is there for a moment.
    state.grant(&answer(1), 10, now, Duration::from_secs(10), later);
    assert!(state.granted.back().unwrap().until > later);
}

#[test]
fn what_nobody_knows_to_be_told_is_repeated_only_where_that_is_safe() {
    let now = Instant::now();
    for (is_unheard, expected) in [(true, vec![(1, -1, -10), (2, 0, 5)]), (false, vec![(2, 0, 5)])] {
        let mut state = busy(None, now);
        state.corrections.note(1, 1, -1, (10, 0), now);
        state.corrections.note(1, 2, 0, (10, 15), now);
        let taken = state.corrections.take(1);
        assert_eq!(state.corrections.since(), None);
        state.corrections.restore(taken, 1, is_unheard, now);
        assert_eq!(state.corrections.take(1), expected);
    }
}

#[test]
fn what_requests_cost_is_told_along_with_the_next_one_or_a_moment_later() {
    let now = Instant::now();
    let mut state = busy(None, now);
    state.corrections.note(1, 7, 0, (10, 4), now);
    assert!(matches!(state.next(LEASE, now), Next::Wait(Some(at)) if at == now + SETTLED_WITHIN));
    state.wanted = Some(asked(None));
    match state.next(LEASE, now) {
        Next::Say(say) => assert_eq!((say.costs, say.ask.is_some()), (vec![(7, 0, -6)], true)),
        other => panic!("{other:?}"),
    }
    state.wanted = None;
    state.corrections.note(1, 7, 0, (10, 4), now);
    assert!(matches!(state.next(LEASE, now + SETTLED_WITHIN), Next::Say(Say { ask: None, .. })));
}

#[test]
fn whoever_was_refused_asks_again_when_it_was_told_to_and_leaves_when_nobody_waits() {
    let now = Instant::now();
    let mut state = busy(None, now);
    state.wanted = Some(asked(None));
    state.is_queued = true;
    state.refuse(Ask { want: 1, most: 1, tokens: 10 }, (state.limits, state.account), &answer(0), now);
    let again = now + answer(0).pause;
    assert!(matches!(state.next(LEASE, now), Next::Wait(Some(at)) if at == again));
    assert!(matches!(state.next(LEASE, again), Next::Say(Say { ask: Some(_), leaves: false, .. })));
    state.left = Some(again);
    assert!(matches!(state.next(LEASE, again + LEAVES_AFTER), Next::Say(Say { ask: None, leaves: true, .. })));
    assert!(matches!(state.next(LEASE, again + LEAVES_AFTER), Next::Wait(_)));
}

#[test]
fn nothing_is_said_before_what_was_not_answered_can_run_no_more() {
    let now = Instant::now();
    let mut state = busy(None, now);
    state.clock.hears(7, now, now + SECOND);
    state.clock.says(SECOND, now + SECOND);
    let busy = state.clock.is_busy_for(now + SECOND).unwrap();
    assert!(busy > SECOND, "{busy:?}");
    assert_eq!(state.pause(now + SECOND), busy);
    assert!(state.pause(now + SECOND + busy) < SECOND);
}
