//! What becomes of routers whose network loses what is sent, so that nobody is told anything.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::cache::SOON;
use super::reached::reach;
use super::server::Server;
use super::{ask, redis_of, router, until};

/// A way to a server that can be cut: what was opened before carries nothing ever after, what is opened meanwhile neither.
pub struct Way {
    pub port: u16,
    is_cut: watch::Sender<bool>,
}

impl Way {
    pub async fn to(server: &Server) -> Self {
        let (listener, to) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), server.port);
        let (port, is_cut) = (listener.local_addr().unwrap().port(), watch::Sender::new(false));
        let cut = is_cut.subscribe();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(carry(near, to, cut.clone()));
            }
        });
        Self { port, is_cut }
    }

    pub fn cut(&self, is_cut: bool) {
        self.is_cut.send_replace(is_cut);
    }
}

async fn carry(mut near: TcpStream, to: u16, mut cut: watch::Receiver<bool>) {
    if !*cut.borrow_and_update() {
        let mut far = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
        let both = tokio::io::copy_bidirectional(&mut near, &mut far);
        tokio::select! {
            _ = both => return,
            _ = cut.changed() => {}
        }
        // Open on both sides, and silent.
        std::future::pending::<()>().await;
    }
    std::future::pending::<()>().await;
}

/// A way to a server whose answers are carried like this; its port.
async fn way<F>(server: &Server, carry: impl Fn(OwnedReadHalf, OwnedWriteHalf) -> F + Send + 'static) -> u16
where
    F: Future<Output = ()> + Send + 'static,
{
    let (listener, to) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), server.port);
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
            let ((mut asks, hears), (answers, mut asked)) = (near.into_split(), far.into_split());
            tokio::spawn(async move { tokio::io::copy(&mut asks, &mut asked).await });
            tokio::spawn(carry(answers, hears));
        }
    });
    port
}

/// One that takes so long to carry what it answers, and carries nothing else meanwhile.
pub async fn slow_way(server: &Server, delay: Duration) -> u16 {
    way(server, move |mut answers, mut hears| async move {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(count @ 1..) = answers.read(&mut bytes).await {
            tokio::time::sleep(delay).await;
            hears.write_all(&bytes[..count]).await.unwrap();
        }
    })
    .await
}

/// One that all answers take that long to come over, however many there are.
pub async fn long_way(server: &Server, delay: Duration) -> u16 {
    way(server, move |mut answers, mut hears| async move {
        let (sender, mut under_way) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut bytes = vec![0; 1 << 16];
            while let Ok(count @ 1..) = answers.read(&mut bytes).await {
                _ = sender.send((Instant::now() + delay, bytes[..count].to_vec()));
            }
        });
        while let Some((at, bytes)) = under_way.recv().await {
            tokio::time::sleep_until(at).await;
            _ = hears.write_all(&bytes).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_connection_that_carries_nothing_any_more_is_given_up_and_another_is_made() {
    let Some(server) = Server::start() else { return };
    let way = Way::to(&server).await;
    let limits = format!(r#"{{"redis": {{"url": "redis://127.0.0.1:{}", "timeoutMs": 1000}}}}"#, way.port);
    let _connected = reach(&limits).await;
    let router = router(&limits, r#""rpm": 100"#, "{}");
    ask(&router).await.unwrap();
    assert_eq!(redis_of(&router).status, "connected");
    way.cut(true);
    for _ in 0..5 {
        ask(&router).await.unwrap();
    }
    let redis = redis_of(&router);
    assert_eq!(redis.status, "local");
    let error = redis.error.unwrap();
    let waited =
        error.split_once("did not answer within ").and_then(|(_, time)| time.strip_suffix(" ms")?.parse().ok());
    // A moment may pass before it is sent.
    assert!(waited.is_some_and(|waited: u64| (990..=1000).contains(&waited)), "{error}");
    // New ones are no better meanwhile.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(redis_of(&router).status, "local");
    way.cut(false);
    // How soon is told where the clock does not run.
    until(SOON, || redis_of(&router).status == "connected").await;
}
