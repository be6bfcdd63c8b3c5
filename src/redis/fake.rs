//! A server for tests that says what a test makes it say.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::address::{Credentials, Endpoint};
use super::connection::Settings;

/// What it answers at its port to a command, as it goes over the wire; nothing if it is to keep still.
type Answers = dyn Fn(u16, &[String]) -> String + Send + Sync;

/// See the module.
pub(super) struct Fake {
    pub port: u16,
    /// Connections that were made to it.
    pub connections: Arc<AtomicUsize>,
    /// Told to close those that there are.
    closing: watch::Sender<()>,
}

impl Fake {
    /// Answers commands by this; of what is said when a connection begins, who asks and for which database is accepted.
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
                tokio::spawn(async move {
                    close.mark_unchanged();
                    tokio::select! { () = serve(stream, port, &*answers) => {}, _ = close.changed() => {} }
                });
            }
        });
        Self { port, connections, closing }
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
    let (credentials, timeout) = (Credentials::default(), std::time::Duration::from_secs(3));
    Settings { is_secure: false, credentials, database: 0, timeout, watchers: None }
}

/// Once whoever has the other side is gone.
async fn closed(close: &mut watch::Receiver<()>) {
    while close.changed().await.is_ok() {}
}

async fn serve(stream: TcpStream, port: u16, answers: &Answers) {
    let mut stream = BufReader::new(stream);
    while let Some(words) = command(&mut stream).await {
        let name = words.first().map(|name| name.to_ascii_uppercase()).unwrap_or_default();
        let answer = match name.as_str() {
            "CLIENT" | "SELECT" => "+OK\r\n".to_owned(),
            _ => answers(port, &words),
        };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The words of a command, until there are no more.
async fn command(stream: &mut BufReader<TcpStream>) -> Option<Vec<String>> {
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

async fn number(stream: &mut BufReader<TcpStream>, mark: char) -> Option<usize> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    line.trim().strip_prefix(mark)?.parse().ok()
}
