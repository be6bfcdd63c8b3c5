//! The laws of the strategies: who is asked first, how often, and that nothing is ever left out.

use proptest::prelude::*;
use proptest::strategy::Strategy as Generator;
use thryd::route::strategy::{Candidate, Strategy, StrategyState};

const ALL: [Strategy; 5] = [
    Strategy::FirstAvailable,
    Strategy::RoundRobin,
    Strategy::LeastLoaded,
    Strategy::Weighted,
    Strategy::LowestLatency,
];

fn order(strategy: Strategy, candidates: &[Candidate], state: &mut StrategyState) -> Vec<usize> {
    let mut out = vec![99];
    strategy.order(candidates, state, &mut out);
    out
}

/// Picks `count` times the first that is not full; what was picked.
fn picks(strategy: Strategy, candidates: &[Candidate], full: &[usize], count: usize) -> Vec<usize> {
    let mut state = StrategyState::with_seed(1);
    let pick = |_| {
        let index = order(strategy, candidates, &mut state).into_iter().find(|index| !full.contains(index)).unwrap();
        state.picked(index);
        index
    };
    (0..count).map(pick).collect()
}

fn weighted(weights: &[f64]) -> Vec<Candidate> {
    weights.iter().map(|&weight| Candidate { weight, ..Candidate::default() }).collect()
}

fn times(picks: &[usize], index: usize) -> usize {
    picks.iter().filter(|&&pick| pick == index).count()
}

fn any_number() -> impl Generator<Value = f64> {
    prop_oneof![4 => 0.0..2.0_f64, 1 => any::<f64>(), 1 => Just(f64::NAN), 1 => Just(0.0), 1 => Just(-0.0), 1 => Just(f64::INFINITY)]
}

fn any_candidate() -> impl Generator<Value = Candidate> {
    let numbers = (any_number(), any_number(), any_number(), prop::option::of(any_number()));
    let in_flight = prop_oneof![0..10_u64, any::<u64>()];
    (in_flight, prop::option::of(0..10_u64), numbers).prop_map(|(in_flight, max_concurrent, numbers)| {
        let (requests_left, tokens_left, weight, latency_ms) = numbers;
        Candidate { in_flight, max_concurrent, requests_left, tokens_left, weight, latency_ms }
    })
}

proptest! {
    #[test]
    fn every_candidate_is_asked_once_whatever_the_numbers(
        rounds in prop::collection::vec((prop::collection::vec(any_candidate(), 0..12), any::<usize>()), 1..6),
        seed in any::<u64>(),
    ) {
        for strategy in ALL {
            let mut state = StrategyState::with_seed(seed);
            for (candidates, picked) in &rounds {
                let mut asked = order(strategy, candidates, &mut state);
                asked.sort_unstable();
                prop_assert!(asked.iter().copied().eq(0..candidates.len()));
                state.picked(*picked);
            }
        }
    }

    #[test]
    fn any_hundred_picks_are_shared_exactly_by_weight(parts in prop::collection::vec(0..100_u32, 1..8), skip in 0..300_usize) {
        // Shares that sum up to 1 in hundredths: what is left of 100 goes to the last.
        let mut left = 100;
        let mut shares: Vec<_> = parts.into_iter().map(|part| { let part = part.min(left); left -= part; part }).collect();
        shares.push(left);
        let weights: Vec<_> = shares.iter().map(|&share| f64::from(share) / 100.0).collect();
        let picks = picks(Strategy::Weighted, &weighted(&weights), &[], skip + 100);
        for (index, &share) in shares.iter().enumerate() {
            prop_assert_eq!(times(&picks[skip..], index), share as usize);
        }
    }

    #[test]
    fn round_robin_gives_everyone_a_turn_before_anyone_gets_two(count in 1..10_usize, skip in 0..50_usize) {
        let mut round = picks(Strategy::RoundRobin, &weighted(&vec![1.0; count]), &[], skip + count).split_off(skip);
        round.sort_unstable();
        prop_assert!(round.into_iter().eq(0..count));
    }

    #[test]
    fn least_loaded_never_asks_a_strictly_worse_one_first(candidates in prop::collection::vec(any_candidate(), 2..12), turn in 0..12_usize) {
        let mut state = StrategyState::default();
        state.picked(turn);
        let asked = order(Strategy::LeastLoaded, &candidates, &mut state);
        let share = |left: f64| if left.is_nan() { 0.0 } else { left.clamp(0.0, 1.0) };
        // All of it: load, the two shares, and slots.
        let no_better = |a: &Candidate, b: &Candidate| {
            a.in_flight >= b.in_flight && share(a.requests_left) <= share(b.requests_left)
                && share(a.tokens_left) <= share(b.tokens_left)
                && a.max_concurrent.unwrap_or(u64::MAX) <= b.max_concurrent.unwrap_or(u64::MAX)
        };
        for (position, &first) in asked.iter().enumerate() {
            for &later in &asked[position + 1..] {
                let (first, later) = (&candidates[first], &candidates[later]);
                let is_worse = first.in_flight > later.in_flight
                    || share(first.requests_left) < share(later.requests_left)
                    || share(first.tokens_left) < share(later.tokens_left);
                prop_assert!(!(no_better(first, later) && is_worse), "{first:?} before {later:?}");
            }
        }
    }
}

#[test]
fn no_candidates_are_no_order() {
    for strategy in ALL {
        assert_eq!(order(strategy, &[], &mut StrategyState::default()), Vec::<usize>::new());
    }
}

#[test]
fn the_first_available_is_always_first() {
    assert_eq!(picks(Strategy::FirstAvailable, &weighted(&[0.0, 5.0, 9.0]), &[], 3), [0, 0, 0]);
}

#[test]
fn weights_are_interleaved_not_in_bursts() {
    // The example in nginx's own commit message.
    assert_eq!(picks(Strategy::Weighted, &weighted(&[5.0, 1.0, 1.0]), &[], 7), [0, 0, 1, 0, 2, 0, 0]);
}

#[test]
fn a_weight_of_zero_is_used_only_when_nothing_else_is_left() {
    let candidates = weighted(&[0.0, 1.0, 0.0]);
    for strategy in [Strategy::Weighted, Strategy::LowestLatency] {
        assert_eq!(times(&picks(strategy, &candidates, &[], 50), 1), 50, "{strategy:?}");
        assert_eq!(times(&picks(strategy, &candidates, &[1], 50), 1), 0, "{strategy:?}");
    }
}

#[test]
fn while_one_is_full_the_others_keep_their_shares_and_it_is_not_paid_back_afterwards() {
    let candidates = weighted(&[5.0, 2.0, 1.0]);
    let without = picks(Strategy::Weighted, &candidates, &[0], 300);
    assert_eq!((times(&without, 1), times(&without, 2)), (200, 100));
    let mut state = StrategyState::default();
    for pick in without {
        order(Strategy::Weighted, &candidates, &mut state);
        state.picked(pick);
    }
    let mut counts = [0; 3];
    for _ in 0..80 {
        let index = order(Strategy::Weighted, &candidates, &mut state)[0];
        state.picked(index);
        counts[index] += 1;
    }
    assert_eq!(counts, [50, 20, 10]);
}

#[test]
fn a_full_one_does_not_cost_the_others_their_turns() {
    assert_eq!(picks(Strategy::RoundRobin, &weighted(&[1.0; 3]), &[1], 6), [0, 2, 0, 2, 0, 2]);
}

#[test]
fn asking_without_using_costs_no_turn() {
    for strategy in [Strategy::RoundRobin, Strategy::Weighted, Strategy::LeastLoaded] {
        let mut state = StrategyState::default();
        let candidates = weighted(&[2.0, 3.0]);
        assert_eq!(order(strategy, &candidates, &mut state), order(strategy, &candidates, &mut state));
    }
}

#[test]
fn equals_take_turns_under_least_loaded() {
    let picks = picks(Strategy::LeastLoaded, &weighted(&[1.0; 4]), &[], 40);
    assert!((0..4).all(|index| times(&picks, index) == 10));
}

#[test]
fn least_loaded_prefers_what_has_more_of_its_quota_left() {
    let half = Candidate { requests_left: 0.5, ..Candidate::default() };
    let busy = Candidate { in_flight: 3, ..Candidate::default() };
    let nearly_full = Candidate { in_flight: 3, max_concurrent: Some(4), ..Candidate::default() };
    assert_eq!(order(Strategy::LeastLoaded, &[nearly_full, busy, half], &mut StrategyState::default()), [2, 1, 0]);
}

/// What each of some deployments got of `count` requests that overlap: each takes as many steps as its latency.
fn simulate(latencies: &[u64], is_unseen: impl Fn(usize, u64) -> bool, count: u64) -> Vec<u64> {
    let mut state = StrategyState::with_seed(42);
    let mut running: Vec<Vec<u64>> = vec![Vec::new(); latencies.len()];
    let mut answered = vec![0_u64; latencies.len()];
    let mut sent = vec![0_u64; latencies.len()];
    for step in 0..count {
        let mut candidates = Vec::new();
        for (index, running) in running.iter_mut().enumerate() {
            let before = running.len();
            running.retain(|&end| end > step);
            answered[index] += (before - running.len()) as u64;
            let latency = f64::from(u32::try_from(latencies[index]).unwrap());
            let latency_ms = (!is_unseen(index, answered[index])).then_some(latency);
            candidates.push(Candidate { in_flight: running.len() as u64, latency_ms, ..Candidate::default() });
        }
        let index = order(Strategy::LowestLatency, &candidates, &mut state)[0];
        running[index].push(step + latencies[index]);
        sent[index] += 1;
    }
    sent
}

#[test]
fn one_that_never_answered_is_tried_but_not_flooded() {
    for slow in [10, 100, 100_000] {
        let sent = simulate(&[100, 100, 100, slow], |index, answered| index == 3 && answered == 0, 1_000);
        assert!((1..=500).contains(&sent[3]), "{slow}: {sent:?}");
    }
    let hangs = simulate(&[100, 100, 100, 1_000_000], |index, answered| index == 3 && answered == 0, 10_000);
    assert!(hangs[3] < 500, "{hangs:?}");
}

#[test]
fn one_that_falls_silent_is_not_flooded_while_its_estimate_fades() {
    let mut state = StrategyState::with_seed(9);
    let (mut stuck, mut latency) = (0, 400.0);
    let candidates = |stuck, latency| {
        let others = Candidate { in_flight: 10, latency_ms: Some(600.0), ..Candidate::default() };
        [others, others, Candidate { in_flight: stuck, latency_ms: Some(latency), ..Candidate::default() }]
    };
    for _ in 0..2_000 {
        let index = order(Strategy::LowestLatency, &candidates(stuck, latency), &mut state)[0];
        state.picked(index);
        stuck += u64::from(index == 2);
        latency *= 0.99;
    }
    assert!((10..=20).contains(&stuck), "{stuck} wait for nothing");
    // One of them ended: what is said of it now is news, and it is worth a try.
    let asked = |state: &mut StrategyState| order(Strategy::LowestLatency, &candidates(stuck - 1, latency), state)[0];
    assert!((0..20).any(|_| asked(&mut state) == 2));
}

#[test]
fn faster_deployments_get_more_and_slow_ones_are_not_forgotten() {
    let sent = simulate(&[20, 40, 200], |_, _| false, 3_000);
    assert!(sent[0] > sent[1] && sent[1] > sent[2] && sent[2] > 0, "{sent:?}");
}

#[test]
fn one_seed_is_one_order() {
    let candidates = weighted(&[1.0; 6]);
    let orders = |seed| {
        let mut state = StrategyState::with_seed(seed);
        (0..20).map(|_| order(Strategy::LowestLatency, &candidates, &mut state)).collect::<Vec<_>>()
    };
    assert_eq!(orders(3), orders(3));
    assert_ne!(orders(3), orders(4));
}

#[test]
fn the_words_are_those_of_the_contract() {
    let words: Vec<_> = Strategy::WORDS.iter().map(|(word, _)| *word).collect();
    assert_eq!(words, ["first-available", "round-robin", "least-loaded", "weighted", "lowest-latency"]);
    assert_eq!(Strategy::default(), Strategy::LeastLoaded);
}
