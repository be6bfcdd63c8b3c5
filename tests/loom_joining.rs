//! Joining, in every order in which threads can take their locks and at every point at which a call can wait:
//! `cargo test --no-default-features --features loom --test loom_joining`. A wake-up that is lost is a deadlock, which loom
//! reports; so is a call that is not ended when the last caller leaves.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_util::future::BoxFuture;
use loom::future::block_on;
use loom::sync::Mutex;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use thryd::ErrorKind;
use thryd::cache::{Flight, Flights, Key};
use thryd::kinds::Chunk;
use thryd::route::log::{Found, Log, Reader, Wish};

const KEY: Key = Key([1; 32]);

/// Runs the model with every interleaving of at most this many preemptions.
fn model(preemptions: usize, run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(run);
}

/// A flag that wakes whoever waits for it.
#[derive(Default)]
struct Flag(Mutex<(bool, Vec<Waker>)>);

impl Flag {
    fn raise(&self) {
        let wakers = {
            let mut state = self.0.lock().unwrap();
            state.0 = true;
            std::mem::take(&mut state.1)
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock().unwrap();
        if state.0 {
            return Poll::Ready(());
        }
        state.1.push(context.waker().clone());
        Poll::Pending
    }

    async fn raised(&self) {
        poll_fn(|context| self.poll(context)).await;
    }
}

/// Runs a call on a thread of its own; what ends it drops it there.
fn on_thread(mut task: BoxFuture<'static, ()>) -> Box<dyn FnOnce() + Send> {
    let stop = Arc::new(Flag::default());
    let stopped = Arc::clone(&stop);
    thread::spawn(move || {
        block_on(poll_fn(move |context| match stopped.poll(context) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => Pin::new(&mut task).poll(context),
        }));
    });
    Box::new(move || stop.raise())
}

type Calls = Flights<usize, Arc<Log>>;

/// Joins a call that waits for `gate` and then answers with the number of its start.
fn join(flights: &Calls, starts: &Arc<AtomicUsize>, gate: &Arc<Flag>) -> Flight<usize, Arc<Log>> {
    let start = |_: &Arc<Arc<Log>>| {
        let (number, gate) = (starts.fetch_add(1, Ordering::SeqCst) + 1, Arc::clone(gate));
        async move {
            gate.raised().await;
            number
        }
    };
    flights.join_on(KEY, start, on_thread)
}

fn setup() -> (Calls, Arc<AtomicUsize>, Arc<Flag>) {
    (Flights::new(), Arc::new(AtomicUsize::new(0)), Arc::default())
}

#[test]
fn callers_that_come_while_the_call_ends_get_its_answer_or_make_another() {
    model(2, || {
        let (flights, starts, gate) = setup();
        let other = {
            let (flights, starts, gate) = (flights.clone(), Arc::clone(&starts), Arc::clone(&gate));
            thread::spawn(move || block_on(join(&flights, &starts, &gate)).unwrap())
        };
        let mine = join(&flights, &starts, &gate);
        gate.raise();
        let (mine, other) = (block_on(mine).unwrap(), other.join().unwrap());
        let starts = starts.load(Ordering::SeqCst);
        assert!(starts == 1 && mine == other || starts == 2 && mine != other, "{starts}: {mine}, {other}");
        assert!(flights.is_empty());
    });
}

#[test]
fn whoever_leaves_at_whatever_moment_takes_nothing_from_who_stays() {
    model(2, || {
        let (flights, starts, gate) = setup();
        let first = join(&flights, &starts, &gate);
        let staying = join(&flights, &starts, &gate);
        assert!(staying.is_joined());
        let leaving = thread::spawn(move || drop(first));
        gate.raise();
        assert_eq!(block_on(staying), Ok(1));
        leaving.join().unwrap();
        assert!(flights.is_empty());
    });
}

#[test]
fn when_all_leave_the_call_ends_though_nobody_lets_it() {
    model(2, || {
        let (flights, starts, gate) = setup();
        let (one, other) = (join(&flights, &starts, &gate), join(&flights, &starts, &gate));
        let leaving = thread::spawn(move || drop(one));
        drop(other);
        leaving.join().unwrap();
        // The gate stays closed: the thread of the call ends only because it was told to.
        assert!(flights.is_empty());
    });
}

#[test]
fn who_comes_while_the_last_one_leaves_never_joins_a_call_that_dies() {
    model(2, || {
        let (flights, starts, gate) = setup();
        let first = join(&flights, &starts, &gate);
        let leaving = thread::spawn(move || drop(first));
        let mine = join(&flights, &starts, &gate);
        gate.raise();
        assert!(block_on(mine).is_ok());
        leaving.join().unwrap();
        assert!(flights.is_empty());
    });
}

#[test]
fn a_call_that_panics_or_is_dropped_fails_all_who_wait_and_nobody_else() {
    for is_dropped in [false, true] {
        model(2, move || {
            let (flights, gate) = (Calls::new(), Arc::new(Flag::default()));
            let fails = |_: &Arc<Arc<Log>>| {
                let gate = Arc::clone(&gate);
                async move {
                    gate.raised().await;
                    panic!("defect")
                }
            };
            // A runtime that ends drops its tasks; here the thread of the call is told to.
            let on_ending_thread = |task| {
                let stop = on_thread(task);
                if is_dropped {
                    stop();
                    return Box::new(|| ()) as Box<dyn FnOnce() + Send>;
                }
                stop
            };
            let one = flights.join_on(KEY, fails, on_ending_thread);
            let other = {
                let (flights, gate) = (flights.clone(), Arc::clone(&gate));
                thread::spawn(move || {
                    let flight = flights.join_on(KEY, |_| async { 7 }, on_thread);
                    gate.raise();
                    (flight.is_joined(), block_on(flight))
                })
            };
            assert!(block_on(one).is_err());
            let (is_joined, outcome) = other.join().unwrap();
            assert_eq!(outcome.is_err(), is_joined, "{outcome:?}");
            assert!(flights.is_empty());
        });
    }
}

// --------------------------------------------------------------------------------------------------------- the log

fn content(delta: &str) -> Chunk {
    Chunk::Content { delta: delta.to_owned() }
}

/// Reads to the end of a call: what the reader has in the end, and whether it was interrupted.
async fn read(mut flight: Flight<usize, Arc<Log>>, reader: Reader) -> (String, bool) {
    let mut text = String::new();
    loop {
        let found = poll_fn(|context| {
            reader.register(context.waker());
            let is_over = flight.poll_end(context).is_ready();
            match reader.take() {
                Found::Nothing if !is_over => Poll::Pending,
                found => Poll::Ready(found),
            }
        });
        match found.await {
            Found::Nothing => return (text, false),
            Found::Interrupted(_) => return (text, true),
            Found::Chunks(chunks) => {
                for chunk in chunks {
                    match chunk {
                        Chunk::Content { delta } => text.push_str(&delta),
                        Chunk::Restart { discarded, .. } => assert_eq!(std::mem::take(&mut text), discarded),
                        other => panic!("{other:?}"),
                    }
                }
            }
        }
    }
}

/// Says `a`, breaks, and if somebody wants it says `b` and `c`.
async fn breaking(log: Arc<Log>) -> usize {
    log.begin("first");
    log.push(&[content("a")]).await;
    if log.interrupt(|_| ErrorKind::Cancelled.into()).is_err() {
        return 1;
    }
    log.begin("second");
    log.push(&[content("b")]).await;
    log.push(&[content("c")]).await;
    log.end();
    2
}

#[test]
fn a_late_reader_gets_what_has_come_and_the_rest_and_never_a_mixture() {
    for late in [Wish::Restart, Wish::Error] {
        model(2, move || {
            let flights = Calls::new();
            let enter = |flight: &Flight<usize, Arc<Log>>, wish| flight.companion().enter(wish, Box::new(()));
            let mut first = None;
            let start = |log: &Arc<Arc<Log>>| {
                first = Some(log.enter(Wish::Restart, Box::new(())));
                breaking(Arc::clone(log))
            };
            let flight = flights.join_on(KEY, start, on_thread);
            let other = {
                let flights = flights.clone();
                thread::spawn(move || {
                    let flight = flights.join_on(KEY, |log| breaking(Arc::clone(log)), on_thread);
                    let reader = enter(&flight, late);
                    block_on(read(flight, reader))
                })
            };
            assert_eq!(block_on(read(flight, first.unwrap())), ("bc".to_owned(), false));
            match other.join().unwrap() {
                (text, true) => assert_eq!((text.as_str(), late), ("a", Wish::Error)),
                // Alone, and too late to be seen by its own call.
                (text, false) => assert!(text == "bc" || text == "a" && late == Wish::Error, "{text}"),
            }
            assert!(flights.is_empty());
        });
    }
}

#[test]
fn a_call_that_waits_for_its_readers_goes_on_when_one_reads_or_all_leave() {
    for is_left in [false, true] {
        model(2, move || {
            let flights = Calls::new();
            let mut reader = None;
            let start = |log: &Arc<Arc<Log>>| {
                reader = Some(log.enter(Wish::Error, Box::new(())));
                let log = Arc::clone(log);
                async move {
                    // More than the log lets a call be ahead.
                    log.push(&[content(&"x".repeat(300 << 10))]).await;
                    log.push(&[content("y")]).await;
                    log.end();
                    1
                }
            };
            let flight = flights.join_on(KEY, start, on_thread);
            let reader = reader.unwrap();
            if is_left {
                drop(reader);
                assert_eq!(block_on(flight), Ok(1));
            } else {
                let (text, is_interrupted) = block_on(read(flight, reader));
                assert_eq!((text.len(), is_interrupted), ((300 << 10) + 1, false));
            }
            assert!(flights.is_empty());
        });
    }
}
