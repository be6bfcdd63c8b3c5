//! The addresses of names: each asked for once by however many connections want it at a time, and kept for a moment.
//!
//! `getaddrinfo` does not say for how long an answer holds, so it is kept for less than any name would ask for. What did
//! not resolve is not kept, nor the addresses of a host to which no connection could be made.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

/// How long an answer is kept: a burst of connections asks once, and who moves a host behind a name waits no longer than this.
const KEPT: Duration = Duration::from_secs(10);

/// How long a lookup is joined: one that hangs must not take with it those who ask when names can be looked up again.
const JOINED: Duration = Duration::from_secs(2);

/// The same where a lookup that is left costs a thread.
const JOINED_FOR_LONG: Duration = Duration::from_secs(60);

/// Most names that are kept. Providers and proxies are a handful.
const MAX_KEPT: usize = 256;

/// What a lookup said, and when. An `io::Error` cannot be given to several.
type Said = (Result<Arc<[SocketAddr]>, Arc<io::Error>>, Instant);

/// A name that was asked for, when, and what is or will be said.
#[derive(Debug)]
struct Asked {
    begun: Instant,
    answer: watch::Receiver<Option<Said>>,
}

/// The names that were asked for. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// How long an answer is kept, and a lookup joined.
    kept: Duration,
    joined: Duration,
    asked: Arc<Mutex<HashMap<String, Asked>>>,
}

impl Default for Names {
    fn default() -> Self {
        Self { kept: KEPT, joined: JOINED, asked: Arc::default() }
    }
}

impl Names {
    /// Of those whose lookups are joined for a minute, which is longer than any takes that ever ends. Answers are kept for so long.
    pub fn with_one_lookup_each(kept: Duration) -> Self {
        Self { kept, joined: JOINED_FOR_LONG, asked: Arc::default() }
    }

    /// The addresses of a name, all with port 0: those that are known, those that somebody is asking for already, or those that
    /// `lookup` finds. It goes on when whoever wanted it first leaves.
    pub async fn addresses<F>(&self, name: &str, lookup: impl FnOnce(String) -> F) -> io::Result<Arc<[SocketAddr]>>
    where
        F: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        let mut answer = self.answer(name, lookup);
        // Fails when the runtime ends on which the lookup ran.
        let said = answer.wait_for(Option::is_some).await.map_err(io::Error::other)?;
        match said.as_ref() {
            Some((Ok(addresses), _)) => Ok(Arc::clone(addresses)),
            Some((Err(error), _)) => Err(copy(error)),
            None => Err(io::Error::other("the lookup did not end")),
        }
    }

    fn answer<F>(&self, name: &str, lookup: impl FnOnce(String) -> F) -> watch::Receiver<Option<Said>>
    where
        F: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        let mut names = self.lock();
        if let Some(asked) = names.get(name).filter(|asked| self.is_good(asked)) {
            return asked.answer.clone();
        }
        if names.len() >= MAX_KEPT {
            names.retain(|_, asked| asked.is_running());
        }
        let (sender, answer) = watch::channel(None);
        names.insert(name.to_owned(), Asked { begun: Instant::now(), answer: answer.clone() });
        let lookup = lookup(name.to_owned());
        tokio::spawn(async move {
            let found = lookup.await.map(Arc::from).map_err(Arc::new);
            sender.send_replace(Some((found, Instant::now())));
        });
        answer
    }

    /// The next connection to this host asks again: it is no longer where it was, or what is there is down.
    pub fn forget(&self, name: &str) {
        let mut names = self.lock();
        // What is being asked is new.
        if names.get(name).is_some_and(|asked| asked.answer.borrow().is_some()) {
            names.remove(name);
        }
    }

    /// Whether the answer may be used, or waited for.
    fn is_good(&self, asked: &Asked) -> bool {
        match asked.answer.borrow().as_ref() {
            Some((Ok(_), when)) => when.elapsed() < self.kept,
            Some((Err(_), _)) => false,
            // Nobody is asking any more if the runtime that did has ended.
            None => asked.answer.has_changed().is_ok() && asked.begun.elapsed() < self.joined,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asked {
    /// Whether somebody is asking.
    fn is_running(&self) -> bool {
        self.answer.borrow().is_none() && self.answer.has_changed().is_ok()
    }
}

/// Asks the operating system, on one of the threads where work may take its time.
pub(super) async fn lookup(name: String) -> io::Result<Vec<SocketAddr>> {
    let found = tokio::task::spawn_blocking(move || Ok((&*name, 0).to_socket_addrs()?.collect()));
    found.await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// The same on a thread of its own, which is in nobody's way however long it takes.
pub(super) async fn lookup_apart(name: String) -> io::Result<Vec<SocketAddr>> {
    let (sender, found) = oneshot::channel();
    let lookup = move || (&*name, 0).to_socket_addrs().map(Iterator::collect);
    thread::Builder::new().name("thryd-names".to_owned()).spawn(move || drop(sender.send(lookup())))?;
    found.await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

fn copy(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;

    use super::*;

    /// A resolver that takes its time, counts, and says what it is told to.
    #[derive(Clone, Default)]
    struct Resolver {
        asked: Arc<AtomicUsize>,
        is_down: bool,
    }

    impl Resolver {
        /// An address that tells how often it was asked before.
        async fn lookup(self, _: String) -> io::Result<Vec<SocketAddr>> {
            let before = self.asked.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs(1)).await;
            if self.is_down {
                return Err(io::Error::new(io::ErrorKind::NotFound, "no such name"));
            }
            Ok(vec![([127, 0, 0, u8::try_from(before).unwrap()], 0).into()])
        }

        async fn ask(&self, names: &Names, name: &str) -> io::Result<SocketAddr> {
            let resolver = self.clone();
            Ok(names.addresses(name, |name| resolver.lookup(name)).await?[0])
        }

        fn asked(&self) -> usize {
            self.asked.load(Ordering::Relaxed)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_of_connections_asks_once_for_each_name() {
        let (names, resolver) = (Names::default(), Resolver::default());
        let asking = (0..100).map(|index| resolver.ask(&names, if index % 2 == 0 { "a" } else { "b" }));
        let found = join_all(asking).await;
        assert!(found.iter().all(Result::is_ok));
        assert_eq!(resolver.asked(), 2);
        assert_ne!(found[0].as_ref().unwrap(), found[1].as_ref().unwrap(), "two names are two");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_kept_for_ten_seconds_from_when_it_came() {
        let (names, resolver) = (Names::default(), Resolver::default());
        let first = resolver.ask(&names, "a").await.unwrap();
        tokio::time::advance(KEPT.saturating_sub(Duration::from_millis(1))).await;
        assert_eq!(resolver.ask(&names, "a").await.unwrap(), first);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_ne!(resolver.ask(&names, "a").await.unwrap(), first);
        assert_eq!(resolver.asked(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_told_to_all_who_waited_and_to_nobody_after_them() {
        let (names, resolver) = (Names::default(), Resolver { is_down: true, ..Resolver::default() });
        let failed = join_all((0..100).map(|_| resolver.ask(&names, "a"))).await;
        for failure in failed {
            let failure = failure.unwrap_err();
            assert_eq!((failure.kind(), failure.to_string()), (io::ErrorKind::NotFound, "no such name".to_owned()));
        }
        assert_eq!(resolver.asked(), 1);
        let resolver = Resolver { is_down: false, ..resolver };
        assert!(resolver.ask(&names, "a").await.is_ok(), "it is asked anew");
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_was_not_reached_is_asked_for_again_and_only_once() {
        let (names, resolver) = (Names::default(), Resolver::default());
        let first = resolver.ask(&names, "a").await.unwrap();
        resolver.ask(&names, "b").await.unwrap();
        names.forget("a");
        let (second, ()) = tokio::join!(resolver.ask(&names, "a"), async {
            // Others find out late that the first address was a bad one.
            names.forget("a");
            resolver.ask(&names, "a").await.unwrap();
        });
        assert_ne!(second.unwrap(), first);
        resolver.ask(&names, "b").await.unwrap();
        assert_eq!(resolver.asked(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lookup_that_hangs_takes_nobody_with_it_who_asks_later() {
        let (names, resolver) = (Names::default(), Resolver::default());
        let hangs = names.addresses("a", |_| std::future::pending::<io::Result<Vec<SocketAddr>>>());
        let later = async {
            tokio::time::sleep(JOINED).await;
            tokio::time::timeout(Duration::from_secs(2), resolver.ask(&names, "a")).await
        };
        let (hung, later) = tokio::join!(tokio::time::timeout(Duration::from_secs(60), hangs), later);
        assert!(hung.is_err() && later.unwrap().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn who_asked_first_may_leave() {
        let (names, resolver) = (Names::default(), Resolver::default());
        let left = tokio::time::timeout(Duration::from_millis(500), resolver.ask(&names, "a")).await;
        assert!(left.is_err());
        resolver.ask(&names, "a").await.unwrap();
        assert_eq!(resolver.asked(), 1);
    }

    #[test]
    fn a_lookup_that_ended_with_its_runtime_is_made_again() {
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let (names, resolver) = (Names::default(), Resolver::default());
        let first = runtime();
        let ask = || async { tokio::time::timeout(Duration::from_millis(1), resolver.ask(&names, "a")).await };
        let left = first.block_on(ask());
        assert!(left.is_err());
        drop(first);
        runtime().block_on(resolver.ask(&names, "a")).unwrap();
        assert_eq!(resolver.asked(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn names_without_end_take_no_memory_without_end() {
        let (names, resolver) = (Names::default(), Resolver { is_down: true, ..Resolver::default() });
        for index in 0..1000 {
            resolver.ask(&names, &index.to_string()).await.unwrap_err();
        }
        assert!(names.lock().len() <= MAX_KEPT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lookup_that_hangs_is_not_forgotten_for_others_that_were_made_since() {
        let names = Names { joined: Duration::MAX, ..Names::default() };
        let begun = AtomicUsize::new(0);
        let ask = || async {
            let hangs = |_| {
                begun.fetch_add(1, Ordering::Relaxed);
                std::future::pending::<io::Result<Vec<SocketAddr>>>()
            };
            tokio::time::timeout(Duration::from_secs(5), names.addresses("a", hangs)).await
        };
        assert!(ask().await.is_err());
        let resolver = Resolver { is_down: true, ..Resolver::default() };
        for index in 0..1000 {
            resolver.ask(&names, &index.to_string()).await.unwrap_err();
        }
        assert!(ask().await.is_err());
        assert_eq!(begun.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn the_system_knows_this_machine_and_says_what_it_does_not() {
        for found in [lookup("localhost".into()).await, lookup_apart("localhost".into()).await] {
            assert!(found.unwrap().iter().all(|address| address.ip().is_loopback()));
        }
        // With the dot at its end it is looked for nowhere else.
        assert!(lookup("example.invalid.".into()).await.is_err());
        assert!(lookup_apart("example.invalid.".into()).await.is_err());
    }
}
