//! A way to a server that carries its answers as late as a test wants them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use super::Server;

/// See the module.
pub struct SlowWay {
    port: u16,
    milliseconds: Arc<AtomicU64>,
}

impl SlowWay {
    pub async fn to(server: &Server) -> Self {
        let (listener, to) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), server.port);
        let way = Self { port: listener.local_addr().unwrap().port(), milliseconds: Arc::default() };
        let milliseconds = Arc::clone(&way.milliseconds);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                let ((mut asks, mut hears), (mut answers, mut asked)) = (near.into_split(), far.into_split());
                tokio::spawn(async move { tokio::io::copy(&mut asks, &mut asked).await });
                let milliseconds = Arc::clone(&milliseconds);
                tokio::spawn(async move {
                    let mut bytes = vec![0; 1 << 16];
                    while let Ok(count @ 1..) = answers.read(&mut bytes).await {
                        sleep(Duration::from_millis(milliseconds.load(Ordering::Relaxed))).await;
                        if hears.write_all(&bytes[..count]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        way
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn delays_by(&self, milliseconds: u64) {
        self.milliseconds.store(milliseconds, Ordering::Relaxed);
    }
}
