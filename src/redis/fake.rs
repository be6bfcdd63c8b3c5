//! A server for tests that says what a test makes it say, and what sees whether a test was held up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;

use super::address::{Credentials, Endpoint};
use super::connection::{Connection, Settings};
use super::node::Connect;

/// See the module.
pub(super) struct Fake {
    pub port: u16,
    /// Connections that were made to it.
    pub connections: Arc<AtomicUsize>,
    /// Told to close those that there are.
    closing: watch::Sender<()>,
}

impl Fake {
    /// Answers commands by this, which is told its port and gives what goes over the wire, nothing to keep still; of what is said when a
    /// connection begins, who asks and for which database is accepted.
    pub async fn start(answers: impl Fn(u16, &[String]) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (answers, connections, closing) = (Arc::new(answers), Arc::default(), watch::Sender::new(()));
        let (count, close) = (Arc::clone(&connections), closing.subscribe());
        tokio::spawn(async move {
            let mut over = close.clone();
            while let Ok((stream, _)) =
                tokio::select! { it = listener.accept() => it, () = closed(&mut over) => return }
            {
                AtomicUsize::fetch_add(&count, 1, Ordering::SeqCst);
                let (answers, mut close) = (Arc::clone(&answers), close.clone());
                let answer = move |words: Vec<String>| std::future::ready(answers(port, &words));
                tokio::spawn(async move {
                    close.mark_unchanged();
                    tokio::select! { () = serve(stream, answer) => {}, _ = close.changed() => {} }
                });
            }
        });
        Self { port, connections, closing }
    }

    /// Connects to one without a network, for a clock that does not run: answers to all but first words take so many milliseconds. Counts
    /// connections.
    pub fn late(takes: Arc<AtomicU64>, connections: Arc<AtomicUsize>, timeout: Duration) -> Connect {
        Arc::new(move |deadline| {
            connections.fetch_add(1, Ordering::SeqCst);
            let ((near, far), takes) = (tokio::io::duplex(1 << 16), Arc::clone(&takes));
            tokio::spawn(serve(far, move |words: Vec<String>| {
                let is_first = ["PING", "INFO"].contains(&words[0].as_str());
                let takes = if is_first { 0 } else { takes.load(Ordering::SeqCst) };
                async move {
                    tokio::time::sleep(Duration::from_millis(takes)).await;
                    "+OK\r\n".to_owned()
                }
            }));
            let endpoint = Endpoint { host: "late".to_owned(), port: 1 };
            let settings = Settings { timeout, ..settings() };
            Box::pin(async move { Connection::over(near, &endpoint, &settings, deadline).await })
        })
    }

    /// Closes all its connections, and takes new ones.
    pub fn hang_up(&self) {
        self.closing.send_replace(());
    }

    pub fn endpoint(&self) -> Endpoint {
        Endpoint { host: "127.0.0.1".to_owned(), port: self.port }
    }
}

/// What connections to it are made with.
pub(super) fn settings() -> Settings {
    let (credentials, timeout) = (Credentials::default(), Duration::from_secs(3));
    Settings { is_secure: false, credentials, database: 0, timeout, watchers: None }
}

/// Once whoever has the other side is gone.
async fn closed(close: &mut watch::Receiver<()>) {
    while close.changed().await.is_ok() {}
}

async fn serve<F: Future<Output = String>>(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    answers: impl Fn(Vec<String>) -> F,
) {
    let mut stream = BufReader::new(stream);
    while let Some(words) = command(&mut stream).await {
        let name = words.first().map(|name| name.to_ascii_uppercase()).unwrap_or_default();
        let answer = match name.as_str() {
            "CLIENT" | "SELECT" => "+OK\r\n".to_owned(),
            _ => answers(words).await,
        };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The words of a command, until there are no more.
async fn command(stream: &mut (impl AsyncBufRead + Unpin)) -> Option<Vec<String>> {
    let count = number(stream, '*').await?;
    let mut words = Vec::new();
    for _ in 0..count {
        let mut word = vec![0; number(stream, '$').await? + 2];
        stream.read_exact(&mut word).await.ok()?;
        word.truncate(word.len() - 2);
        words.push(String::from_utf8(word).unwrap());
    }
    Some(words)
}

async fn number(stream: &mut (impl AsyncBufRead + Unpin), mark: char) -> Option<usize> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    line.trim().strip_prefix(mark)?.parse().ok()
}

/// A test is made again only where its thread was held up for longer than this.
pub const HELD_UP: Duration = Duration::from_millis(100);

/// Does this, and says for how long this thread was held up at most meanwhile.
pub async fn watched<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let (pause, mut longest) = (Duration::from_millis(10), Duration::ZERO);
    let watches = async {
        loop {
            let begun = Instant::now();
            tokio::time::sleep(pause).await;
            longest = longest.max(begun.elapsed().saturating_sub(pause));
        }
    };
    let done = tokio::select! { done = work => done, done = watches => done };
    (done, longest)
}
