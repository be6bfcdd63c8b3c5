//! The line where somebody has to be asked for room, and the answer takes a moment.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use thryd::constants::BUCKETS_WINDOW_S;
use thryd::route::line::{Admitted, Line, Refusal};
use thryd::tracker::Wait;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep};

const MINUTE: Duration = Duration::from_secs(BUCKETS_WINDOW_S);

/// Runs tasks on one thread, on a clock that jumps to the next timer when nothing else is to be done.
fn paused<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(LocalSet::new().run_until(test))
}

/// What a ledger that counts for several processes would say, one answer after the other, each 10 ms after it was asked.
struct Asking {
    line: Arc<Line>,
    answers: RefCell<Vec<Result<(), Wait>>>,
    /// Whether an answer is on its way, or there.
    asked: RefCell<Option<Instant>>,
}

impl Asking {
    fn new(answers: Vec<Result<(), Wait>>) -> Rc<Self> {
        Rc::new(Self { line: Arc::default(), answers: RefCell::new(answers), asked: RefCell::default() })
    }

    async fn admit(self: Rc<Self>, queue: Duration) -> Result<Admitted<()>, Refusal> {
        let try_admit = |now: Instant, _| {
            let asked = *self.asked.borrow();
            match asked {
                None => {
                    *self.asked.borrow_mut() = Some(now);
                    let line = Arc::clone(&self.line);
                    tokio::task::spawn_local(async move {
                        sleep(Duration::from_millis(10)).await;
                        line.wake();
                    });
                    Err(Wait::Asked)
                }
                Some(at) if now < at + Duration::from_millis(10) => Err(Wait::Asked),
                Some(_) => {
                    let answer = self.answers.borrow_mut().remove(0);
                    if answer.is_ok() {
                        *self.asked.borrow_mut() = None;
                    }
                    answer
                }
            }
        };
        let deadline = Some(Instant::now() + queue);
        self.line.admit(0, 0, deadline, try_admit, |_, _, _| Some(Duration::ZERO)).await
    }
}

#[test]
fn who_has_no_patience_waits_for_an_answer_and_those_behind_for_theirs() {
    paused(async {
        let asking = Asking::new(vec![Ok(()), Ok(()), Ok(())]);
        let all: Vec<_> = (0..3).map(|_| tokio::task::spawn_local(Rc::clone(&asking).admit(Duration::ZERO))).collect();
        for (turn, task) in all.into_iter().enumerate() {
            let admitted = task.await.unwrap().unwrap();
            assert_eq!(admitted.queued, Duration::from_millis(10 * (turn as u64 + 1)));
            assert_eq!(admitted.position, 0, "it had to wait for nothing but answers");
        }
        assert_eq!(asking.line.waiting(), 0);
    });
}

#[test]
fn when_the_answer_is_no_everyone_without_patience_leaves_at_once_and_hears_when_to_come_again() {
    paused(async {
        let room = Instant::now() + MINUTE;
        let asking = Asking::new((0..9).map(|_| Err(Wait::Until(room))).collect());
        let all: Vec<_> = (0..3).map(|_| tokio::task::spawn_local(Rc::clone(&asking).admit(Duration::ZERO))).collect();
        let begun = Instant::now();
        let mut waits = Vec::new();
        for task in all {
            match task.await.unwrap() {
                Err(Refusal::WouldTimeOut { retry_after }) => waits.push(retry_after),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(begun.elapsed(), Duration::from_millis(10), "nobody asks a second time for what is known");
        assert_eq!(waits[0], MINUTE - Duration::from_millis(10));
        assert_eq!(asking.line.waiting(), 0);
    });
}
