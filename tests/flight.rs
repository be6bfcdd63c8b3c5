//! Fears about joining: that a call is made twice, that one caller's leaving ends another's call, that a dead call is
//! joined, that the table of calls grows.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use thryd::cache::{Flights, Key};
use tokio::sync::oneshot;
use tokio::time::sleep;

fn key(number: u8) -> Key {
    Key([number; 32])
}

fn flights<T: Clone + Send + Sync + 'static>() -> Flights<T> {
    Flights::new()
}

/// Counts one down when it is dropped.
struct Held(Arc<AtomicUsize>);

impl Held {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn of_200_equal_callers_one_leaves_and_199_have_the_one_answer() {
    let flights = flights();
    let runs = Arc::new(AtomicUsize::new(0));
    let mut callers: Vec<_> = (0..200)
        .map(|_| {
            let runs = Arc::clone(&runs);
            flights.join(key(1), |_| async move {
                sleep(Duration::from_secs(1)).await;
                runs.fetch_add(1, Ordering::SeqCst)
            })
        })
        .collect();
    assert!(!callers[0].is_joined());
    assert!(callers[1..].iter().all(thryd::cache::Flight::is_joined));
    // The one that started it, of all.
    drop(callers.remove(0));
    for caller in callers {
        assert_eq!(caller.await, Ok(0));
    }
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    assert!(flights.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_last_one_to_leave_ends_the_call_and_what_it_holds() {
    let flights = flights::<u8>();
    let held = Arc::new(AtomicUsize::new(0));
    let start = |_: &Arc<()>| {
        let guard = Held::new(&held);
        async move {
            let _guard = guard;
            pending().await
        }
    };
    let (one, other) = (flights.join(key(1), start), flights.join(key(1), start));
    tokio::task::yield_now().await;
    drop(one);
    tokio::task::yield_now().await;
    assert_eq!((held.load(Ordering::SeqCst), flights.len()), (1, 1));
    drop(other);
    assert!(flights.is_empty());
    tokio::task::yield_now().await;
    assert_eq!(held.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_dying_call_is_never_joined() {
    let flights = flights();
    drop(flights.join(key(1), |_| async { pending().await }));
    let next = flights.join(key(1), |_| async { 2 });
    assert!(!next.is_joined());
    assert_eq!(next.await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn a_finished_call_is_never_joined_even_while_its_answer_is_unread() {
    let flights = flights();
    let (finish, finished) = oneshot::channel::<()>();
    let first = flights.join(key(1), |_| async move {
        finished.await.ok();
        1
    });
    finish.send(()).unwrap();
    sleep(Duration::from_millis(1)).await;
    let next = flights.join(key(1), |_| async { 2 });
    assert!(!next.is_joined());
    assert_eq!((first.await, next.await), (Ok(1), Ok(2)));
    assert!(flights.is_empty());
}

/// Counts how often it is copied.
#[derive(Debug)]
struct Copied(Arc<AtomicUsize>);

impl Clone for Copied {
    fn clone(&self) -> Self {
        self.0.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(&self.0))
    }
}

#[tokio::test]
async fn who_waits_alone_has_the_answer_without_a_copy_and_the_last_of_several_too() {
    for callers in [1, 3] {
        let (flights, copies) = (flights::<Copied>(), Arc::<AtomicUsize>::default());
        let count = Arc::clone(&copies);
        let first = flights.join(key(1), |_| async move { Copied(count) });
        let others: Vec<_> = (1..callers).map(|_| flights.join(key(1), |_| std::future::pending())).collect();
        for flight in others.into_iter().chain([first]) {
            assert!(flight.await.is_ok());
        }
        assert_eq!(copies.load(Ordering::SeqCst), callers - 1);
    }
}

#[tokio::test]
async fn who_asks_again_for_an_answer_that_it_was_given_is_told_so_and_does_not_wait_for_ever() {
    let mut flight = flights().join(key(1), |_| async { 1 });
    assert_eq!((&mut flight).await, Ok(1));
    assert_eq!(flight.outcome(), None);
    assert!(flight.await.unwrap_err().message.contains("given already"));
}

#[tokio::test(start_paused = true)]
async fn a_panic_reaches_all_who_wait_with_its_words_and_nobody_after_them() {
    let flights = flights::<u8>();
    let start = |_: &Arc<()>| async {
        sleep(Duration::from_millis(1)).await;
        panic!("number {}", 7)
    };
    let (one, other) = (flights.join(key(1), start), flights.join(key(1), start));
    assert_eq!(one.await.unwrap_err().message, "number 7");
    assert_eq!(other.await.unwrap_err().to_string(), "number 7");
    assert_eq!(flights.join(key(1), |_| async { 3 }).await, Ok(3));
    assert!(flights.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_start_that_panics_leaves_nothing_behind() {
    let flights = flights::<u8>();
    let start = |_: &Arc<()>| -> std::future::Ready<u8> { panic!("no future") };
    let join = std::panic::AssertUnwindSafe(|| drop(flights.join(key(1), start)));
    assert!(std::panic::catch_unwind(join).is_err());
    assert!(flights.is_empty());
    assert_eq!(flights.join(key(1), |_| async { 3 }).await, Ok(3));
}

#[test]
fn a_runtime_that_ends_is_told_to_those_who_wait() {
    let flights = flights::<u8>();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let entered = runtime.enter();
    let flight = flights.join(key(1), |_| async { pending().await });
    drop(entered);
    drop(runtime);
    assert!(flights.is_empty());
    let other = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert!(other.block_on(flight).unwrap_err().message.contains("runtime ended"));
}

#[tokio::test(start_paused = true)]
async fn a_call_may_make_another_call_of_the_same_table() {
    let flights = flights();
    let inner = flights.clone();
    let outer = flights.join(key(1), |_| {
        let begun = inner.join(key(2), |_| async { 20 });
        async move { begun.await.unwrap() + inner.join(key(3), |_| async { 2 }).await.unwrap() }
    });
    assert_eq!(outer.await, Ok(22));
    assert!(flights.is_empty());
}

// -------------------------------------------------------------------------------------------------------- as a law

#[derive(Clone, Debug)]
enum Step {
    /// Asks for a key.
    Join(u8),
    /// The n-th of those who wait leaves.
    Leave(usize),
    /// Milliseconds pass.
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..3_u8).prop_map(Step::Join),
        3 => any::<usize>().prop_map(Step::Leave),
        2 => (0..15_u64).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// A call takes 10 ms. The model: a key has a call in flight from its start until 10 ms later or until all its
    /// callers have left; a caller joins it exactly then, and gets the answer of the call it joined.
    #[test]
    fn every_caller_gets_the_answer_of_the_one_call_that_was_in_flight(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            const TAKES_MS: u64 = 10;
            let (runs, held) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let flights = flights();
            let (mut now, mut started) = (0, 0);
            // Who waits: the flight, its key, the number of its call. What is in flight: start and number by key.
            let mut waiting: Vec<(thryd::cache::Flight<usize>, u8, usize)> = Vec::new();
            let mut calls: std::collections::BTreeMap<u8, (u64, usize)> = std::collections::BTreeMap::new();
            for step in steps {
                match step {
                    Step::Join(number) => {
                        let flight = flights.join(key(number), |_| {
                            let (run, guard) = (runs.fetch_add(1, Ordering::SeqCst), Held::new(&held));
                            async move {
                                let _guard = guard;
                                sleep(Duration::from_millis(TAKES_MS)).await;
                                run
                            }
                        });
                        let is_expected = calls.contains_key(&number);
                        prop_assert_eq!(flight.is_joined(), is_expected);
                        if !is_expected {
                            calls.insert(number, (now, started));
                            started += 1;
                        }
                        waiting.push((flight, number, calls[&number].1));
                        // Lets the call begin to sleep, so that its 10 ms are counted from now.
                        tokio::task::yield_now().await;
                    }
                    Step::Leave(which) if !waiting.is_empty() => {
                        let (_, number, call) = waiting.swap_remove(which % waiting.len());
                        let is_last = waiting.iter().all(|(_, _, other)| *other != call);
                        if is_last && calls.get(&number).is_some_and(|(_, current)| *current == call) {
                            calls.remove(&number);
                        }
                    }
                    Step::Leave(_) => {}
                    Step::Pass(milliseconds) => {
                        now += milliseconds;
                        tokio::time::advance(Duration::from_millis(milliseconds)).await;
                        for _ in 0..8 {
                            tokio::task::yield_now().await;
                        }
                        calls.retain(|_, (start, _)| now < *start + TAKES_MS);
                    }
                }
                prop_assert_eq!(flights.len(), calls.len());
            }
            prop_assert_eq!(runs.load(Ordering::SeqCst), started);
            for (flight, _, call) in waiting {
                prop_assert_eq!(flight.await, Ok(call));
            }
            tokio::task::yield_now().await;
            prop_assert!(flights.is_empty());
            prop_assert_eq!(held.load(Ordering::SeqCst), 0);
            Ok(())
        })?;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_threads_that_join_and_leave_leave_nothing_behind() {
    let flights = flights();
    let (live, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let tasks: Vec<_> = (0..8_u64)
        .map(|seed| {
            let (flights, live, most) = (flights.clone(), Arc::clone(&live), Arc::clone(&most));
            tokio::spawn(async move {
                let mut rng = fastrand::Rng::with_seed(seed);
                for round in 0..2_000 {
                    let number = rng.u8(0..4);
                    let flight = flights.join(key(number), |_| {
                        let guard = Held::new(&live);
                        most.fetch_max(live.load(Ordering::SeqCst), Ordering::SeqCst);
                        async move {
                            let _guard = guard;
                            for _ in 0..round % 4 {
                                tokio::task::yield_now().await;
                            }
                            number
                        }
                    });
                    if rng.bool() {
                        assert_eq!(flight.await, Ok(number));
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert!(flights.is_empty());
    // A task that was aborted on its last leave may still have to be dropped by its thread.
    let begun = std::time::Instant::now();
    while live.load(Ordering::SeqCst) > 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "a task that was aborted is not dropped");
        tokio::task::yield_now().await;
    }
    assert!(most.load(Ordering::SeqCst) > 0);
}
