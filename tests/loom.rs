//! The hand-over of room between permits and lines, in every order in which threads can take their locks:
//! `cargo test --no-default-features --features loom --test loom`. A wake-up that is lost is a deadlock, which loom reports.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use loom::future::block_on;
use loom::thread;
use thryd::route::line::Line;
use thryd::tracker::{Ahead, Limits, Permit, Tracker, Turn};
use tokio::time::Instant;

/// A group of one deployment with one slot. Slots and not windows, because loom has no clock.
fn group() -> (Arc<Line>, Tracker) {
    let line = Arc::new(Line::default());
    let tracker = Tracker::new(Limits { rpm: None, tpm: None, max_concurrent: Some(1) });
    tracker.on_release(line.waker());
    (line, tracker)
}

fn any_wait(_: Ahead, _: Instant, _: Option<Duration>) -> Option<Duration> {
    Some(Duration::ZERO)
}

/// Waits in the line as a group's calls do: with a ticket, left where there was no room.
async fn admit(line: &Line, tracker: &Tracker, priority: i64) -> Permit {
    let mut turn = Turn::default();
    let ask = |now, ticket| {
        turn.begin(ticket);
        let permit = tracker.acquire_in_turn(1, now, &mut turn);
        if permit.is_err() {
            turn.end();
        }
        permit
    };
    line.admit(1, priority, None, ask, any_wait).await.expect("there is always room again").value
}

/// Runs the model with every interleaving of at most this many preemptions.
fn model(preemptions: usize, run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(run);
}

fn nothing_is_left(lines: &[&Line], tracker: &Tracker) {
    assert!(lines.iter().all(|line| line.waiting() == 0));
    assert_eq!(tracker.in_flight(), 0);
    assert!(tracker.try_acquire(1, Instant::now()).is_ok(), "no ticket is left behind");
}

#[test]
fn a_slot_that_is_given_back_while_the_next_goes_to_sleep_is_not_lost() {
    model(3, || {
        let (line, tracker) = group();
        let first = tracker.try_acquire(1, Instant::now()).unwrap();
        let waiting = {
            let (line, tracker) = (Arc::clone(&line), tracker.clone());
            thread::spawn(move || drop(block_on(admit(&line, &tracker, 0))))
        };
        drop(first);
        waiting.join().unwrap();
        nothing_is_left(&[&line], &tracker);
    });
}

#[test]
fn one_slot_serves_everyone_in_line_one_after_the_other() {
    model(2, || {
        let (line, tracker) = group();
        let threads: Vec<_> = (0..2)
            .map(|priority| {
                let (line, tracker) = (Arc::clone(&line), tracker.clone());
                thread::spawn(move || {
                    let permit = block_on(admit(&line, &tracker, priority));
                    assert_eq!(tracker.in_flight(), 1, "one slot, one request");
                    drop(permit);
                })
            })
            .collect();
        drop(block_on(admit(&line, &tracker, 0)));
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        nothing_is_left(&[&line], &tracker);
    });
}

/// Polls a wait once, as a task does that is cancelled afterwards.
async fn polled_once(wait: impl Future) {
    let mut wait = pin!(wait);
    std::future::poll_fn(|context: &mut Context<'_>| {
        let _ = wait.as_mut().poll(context);
        Poll::Ready(())
    })
    .await;
}

#[test]
fn a_head_that_leaves_while_it_is_being_woken_hands_its_turn_on() {
    model(2, || {
        let (line, tracker) = group();
        let first = tracker.try_acquire(1, Instant::now()).unwrap();
        let leaver = {
            let (line, tracker) = (Arc::clone(&line), tracker.clone());
            thread::spawn(move || block_on(polled_once(admit(&line, &tracker, 1))))
        };
        let waiting = {
            let (line, tracker) = (Arc::clone(&line), tracker.clone());
            thread::spawn(move || drop(block_on(admit(&line, &tracker, 0))))
        };
        drop(first);
        leaver.join().unwrap();
        waiting.join().unwrap();
        nothing_is_left(&[&line], &tracker);
    });
}

#[test]
fn heads_of_two_lines_that_want_one_slot_both_get_it() {
    model(2, || {
        let (line, tracker) = group();
        let other = Arc::new(Line::default());
        tracker.on_release(other.waker());
        let first = tracker.try_acquire(1, Instant::now()).unwrap();
        let waiting = {
            let (other, tracker) = (Arc::clone(&other), tracker.clone());
            thread::spawn(move || drop(block_on(admit(&other, &tracker, 0))))
        };
        let giving = thread::spawn(move || drop(first));
        drop(block_on(admit(&line, &tracker, 0)));
        giving.join().unwrap();
        waiting.join().unwrap();
        nothing_is_left(&[&line, &other], &tracker);
    });
}

#[test]
fn an_account_below_two_deployments_is_handed_over_too() {
    model(2, || {
        let account = Tracker::new(Limits { rpm: None, tpm: None, max_concurrent: Some(1) });
        let on_account = || {
            let (line, tracker) = (Arc::new(Line::default()), Tracker::new(Limits::default()));
            tracker.stand_on(Some(account.clone()));
            account.on_release(line.waker());
            (line, tracker)
        };
        let ((one, one_tracker), (other, other_tracker)) = (on_account(), on_account());
        let waiting = {
            let other = Arc::clone(&other);
            thread::spawn(move || drop(block_on(admit(&other, &other_tracker, 0))))
        };
        drop(block_on(admit(&one, &one_tracker, 0)));
        waiting.join().unwrap();
        nothing_is_left(&[&one, &other], &account);
    });
}
