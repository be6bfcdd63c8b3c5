//! The addon's own Tokio runtime: one per process, started with the first call that needs it.

use std::sync::OnceLock;
use std::sync::mpsc::sync_channel;
use std::thread;

use tokio::runtime::{Builder, Handle};

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
            runtime.block_on(std::future::pending::<()>());
        })
        .expect("the operating system gives a thread");
    receiver.recv().expect("the thread sends the handle or panics")
}

#[cfg(test)]
mod tests {
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
        handle().spawn(async move { sender.send(thread::current().name().map(str::to_owned)) });
        assert_eq!(receiver.recv().unwrap().as_deref(), Some("thryd-io"));
    }
}
