//! A way to a server that carries its answers as late as a test wants them: all, or from the first word of some kind on that is said over a
//! connection.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use super::Server;

const WORD_DELAYS_BY: Duration = Duration::from_secs(2);

/// See the module.
pub struct SlowWay {
    port: u16,
    milliseconds: Arc<AtomicU64>,
    word: Arc<Mutex<Option<&'static str>>>,
    /// By how much what is asked next is delayed, once.
    asking: Arc<AtomicU64>,
}

impl SlowWay {
    pub async fn to(server: &Server) -> Self {
        let (listener, to) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), server.port);
        let way = Self {
            port: listener.local_addr().unwrap().port(),
            milliseconds: Arc::default(),
            word: Arc::default(),
            asking: Arc::default(),
        };
        let (milliseconds, word) = (Arc::clone(&way.milliseconds), Arc::clone(&way.word));
        let asking = Arc::clone(&way.asking);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(("127.0.0.1", to)).await else { continue };
                let ((mut asks, mut hears), (mut answers, mut asked)) = (near.into_split(), far.into_split());
                let (milliseconds, word, is_late) =
                    (Arc::clone(&milliseconds), Arc::clone(&word), Arc::new(AtomicBool::new(false)));
                let (is_said, asking) = (Arc::clone(&is_late), Arc::clone(&asking));
                tokio::spawn(async move {
                    let mut bytes = vec![0; 1 << 16];
                    while let Ok(count @ 1..) = asks.read(&mut bytes).await {
                        let has = |word: &mut &str| bytes[..count].windows(word.len()).any(|it| it == word.as_bytes());
                        if word.lock().unwrap().take_if(has).is_some() {
                            is_said.store(true, Ordering::Relaxed);
                        }
                        sleep(Duration::from_millis(asking.swap(0, Ordering::Relaxed))).await;
                        if asked.write_all(&bytes[..count]).await.is_err() {
                            return;
                        }
                    }
                });
                tokio::spawn(async move {
                    let mut bytes = vec![0; 1 << 16];
                    while let Ok(count @ 1..) = answers.read(&mut bytes).await {
                        let late = if is_late.load(Ordering::Relaxed) { WORD_DELAYS_BY } else { Duration::ZERO };
                        sleep(late + Duration::from_millis(milliseconds.load(Ordering::Relaxed))).await;
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

    /// From when this is said on, once: of the connection over which it is.
    pub fn delays_after(&self, word: &'static str) {
        *self.word.lock().unwrap() = Some(word);
    }

    /// What is asked next, and nothing else.
    pub fn delays_one(&self, milliseconds: u64) {
        self.asking.store(milliseconds, Ordering::Relaxed);
    }

    pub fn delays_by(&self, milliseconds: u64) {
        self.milliseconds.store(milliseconds, Ordering::Relaxed);
    }
}
