//! The addon's own Tokio runtime: one per process, started with the first call that needs it.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, OnceLock};
use std::thread;

use futures_util::future::{AbortHandle, BoxFuture, abortable};
use tokio::runtime::{Builder, Handle};
use tokio::sync::Notify;
use tokio::task::yield_now;

use super::mailbox::lock;

/// Most threads for blocking work: the cache's files, long counts. They are started when they are needed and end when they
/// have been idle for a while. Far more than there is work for at a time: what waits for a file that another process
/// holds, for seconds, must not keep counts and other files from theirs.
const BLOCKING_THREADS: usize = 64;

/// The runtime.
///
/// One thread for all sockets unless `THRYD_THREADS` asks for more: on it, calls of one process never wait for each
/// other's locks, and it was measured to be the cheapest.
///
/// # Panics
/// If the operating system gives no thread or no event queue.
pub fn handle() -> &'static Handle {
    static HANDLE: OnceLock<Handle> = OnceLock::new();
    HANDLE.get_or_init(|| start(threads(std::env::var("THRYD_THREADS").ok().as_deref())))
}

/// At least one; anything that is not a number counts as one.
fn threads(setting: Option<&str>) -> usize {
    setting.and_then(|text| text.trim().parse().ok()).unwrap_or(1).clamp(1, 64)
}

fn start(threads: usize) -> Handle {
    let mut builder = if threads > 1 { Builder::new_multi_thread() } else { Builder::new_current_thread() };
    let (sender, receiver) = sync_channel(1);
    thread::Builder::new()
        .name("thryd-io".to_owned())
        .spawn(move || {
            let runtime = builder
                .enable_all()
                .worker_threads(threads)
                .max_blocking_threads(BLOCKING_THREADS)
                .thread_name("thryd-io")
                .build()
                .expect("the operating system gives an event queue");
            sender.send(runtime.handle().clone()).expect("the caller waits");
            runtime.block_on(ERRANDS.run());
        })
        .expect("the operating system gives a thread");
    receiver.recv().expect("the thread sends the handle or panics")
}

/// Begins work on the runtime, from any thread.
pub fn spawn(work: impl Future<Output = ()> + Send + 'static) -> Task {
    let (work, end) = abortable(work);
    let work = async move { _ = work.await };
    if Handle::try_current().is_ok() {
        // From there nobody has to be woken.
        tokio::spawn(work);
    } else {
        handle();
        ERRANDS.give(Errand::Begin(Box::pin(work)));
    }
    Task(end)
}

/// Work that was begun.
pub struct Task(AbortHandle);

impl Task {
    /// Ends it: it is dropped before what is begun from here on comes to anything.
    pub fn abort(&self) {
        if Handle::try_current().is_ok() {
            self.0.abort();
        } else {
            let end = self.0.clone();
            ERRANDS.give(Errand::Call(Box::new(move || end.abort())));
        }
    }
}

/// Does something short on the runtime's thread, before whatever is begun from here on.
pub fn call(work: impl FnOnce() + Send + 'static) {
    handle();
    ERRANDS.give(Errand::Call(Box::new(work)));
}

/// After so many the runtime does what else there is, such as reading answers. Calls that are begun by the thousand would else
/// all be sent before the first is answered, each over a connection of its own: with 4,096 of them and a server that answers
/// at once, 32 opened 2,800 connections, and 8 opened 270, for a quarter less CPU and memory.
const AT_ONCE: usize = 8;

/// What other threads want done on the runtime's, in their order; with more than one (`THRYD_THREADS`) it is only begun in that order.
/// To wake the runtime is a system call, so it is woken once for all that comes before it looks.
struct Errands {
    waiting: Mutex<VecDeque<Errand>>,
    is_woken: AtomicBool,
    wake: Notify,
}

enum Errand {
    Begin(BoxFuture<'static, ()>),
    Call(Box<dyn FnOnce() + Send>),
}

static ERRANDS: Errands =
    Errands { waiting: Mutex::new(VecDeque::new()), is_woken: AtomicBool::new(false), wake: Notify::const_new() };

impl Errands {
    fn give(&self, errand: Errand) {
        lock(&self.waiting).push_back(errand);
        if !self.is_woken.swap(true, Ordering::SeqCst) {
            self.wake.notify_one();
        }
    }

    async fn run(&self) {
        loop {
            self.wake.notified().await;
            // First: what is given from now on wakes again, at worst for nothing.
            self.is_woken.store(false, Ordering::SeqCst);
            while self.do_some() {
                yield_now().await;
            }
        }
    }

    /// Whether there were as many as are done at once.
    fn do_some(&self) -> bool {
        let errands: Vec<_> = {
            let mut waiting = lock(&self.waiting);
            let some = waiting.len().min(AT_ONCE);
            waiting.drain(..some).collect()
        };
        let is_full = errands.len() == AT_ONCE;
        for errand in errands {
            match errand {
                Errand::Begin(work) => drop(tokio::spawn(work)),
                // A panic would end the thread; nobody waits to be told of it.
                Errand::Call(work) => drop(catch_unwind(AssertUnwindSafe(work))),
            }
        }
        is_full
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::RecvTimeoutError;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_setting_that_is_no_number_means_one_thread() {
        for setting in [None, Some(""), Some("many"), Some("0"), Some("-1")] {
            assert_eq!(threads(setting), 1, "{setting:?}");
        }
        assert_eq!(threads(Some(" 2 ")), 2);
    }

    #[test]
    fn work_runs_on_one_named_thread() {
        let (sender, receiver) = sync_channel(1);
        let told = sender.clone();
        spawn(async move {
            let name = || thread::current().name().map(str::to_owned);
            told.send(name()).unwrap();
            // From there as well.
            spawn(async move { told.send(name()).unwrap() });
        });
        assert_eq!([(); 2].map(|()| receiver.recv().unwrap()), ["thryd-io"; 2].map(|name| Some(name.to_owned())));
    }

    #[test]
    fn of_many_that_are_begun_by_many_threads_none_is_forgotten() {
        let (sender, receiver) = sync_channel(100_000);
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let sender = sender.clone();
                thread::spawn(move || {
                    for number in 0..10_000_u32 {
                        let sender = sender.clone();
                        spawn(async move { sender.send(number).unwrap() });
                    }
                })
            })
            .collect();
        drop(sender);
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(receiver.into_iter().map(u64::from).sum::<u64>(), 4 * 49_995_000);
    }

    #[test]
    fn what_is_ended_before_it_was_begun_is_dropped() {
        let (sender, receiver) = sync_channel::<()>(1);
        spawn(async move {
            sender.send(()).unwrap();
            std::future::pending::<()>().await;
        })
        .abort();
        // What was begun before the end may have sent.
        let next = || receiver.recv_timeout(Duration::from_secs(60));
        let end = next().and_then(|()| next()).unwrap_err();
        assert_eq!(end, RecvTimeoutError::Disconnected, "the sender is kept");
    }
}
