//! The pace of a stream is its reader's: nothing is held back from it, and nothing piles up before it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use futures_util::stream;
use serde_json::json;
use thryd::kinds::{Chunk, Completion, CompletionRequest};
use thryd::options::{DeployOptions, InvokeOptions, RouterOptions, StreamOptions, Timeouts};
use thryd::provider::{CustomCall, CustomHandler, CustomProvider, LocalFuture, Reply};
use thryd::route::{Batch, CompletionStream, Poll, Router};
use tokio::time::{Instant, sleep};

/// Most bytes of chunks that wait for a reader.
const MOST: usize = 192 << 10;

/// Bytes of a chunk.
const SIZE: usize = 1 << 10;

/// Says chunk after chunk, with a pause after each, and counts them.
struct Talker {
    chunks: usize,
    pause: Duration,
    said: Arc<AtomicUsize>,
}

impl CustomHandler for Talker {
    fn call(&self, _call: CustomCall) -> LocalFuture {
        let (said, chunks, pause) = (Arc::clone(&self.said), self.chunks, self.pause);
        let events = stream::unfold(0, move |number| {
            let said = Arc::clone(&said);
            async move {
                if number > 0 {
                    sleep(pause).await;
                }
                if number == chunks {
                    return None;
                }
                said.fetch_add(1, Ordering::SeqCst);
                Some((Ok(json!("x".repeat(SIZE)).to_string()), number + 1))
            }
        });
        Box::pin(async move { Ok(Reply::Events(Box::pin(events))) })
    }
}

/// A stream of this many chunks, one every so often, and how many were said.
fn talking(chunks: usize, pause: Duration, options: StreamOptions) -> (CompletionStream, Arc<AtomicUsize>) {
    let said = Arc::new(AtomicUsize::new(0));
    let talker = Arc::new(Talker { chunks, pause, said: Arc::clone(&said) });
    let router = Router::<Completion>::new(RouterOptions::default()).unwrap();
    router.add(Arc::new(CustomProvider::new("p", ["completion"], talker).unwrap()));
    router.deploy("default", "p::m", DeployOptions::default()).unwrap();
    let stream = router.stream("default", &CompletionRequest::message("hi"), options).unwrap();
    (stream, said)
}

fn bytes(chunks: &[Chunk]) -> usize {
    chunks.iter().map(|chunk| if let Chunk::Content { delta } = chunk { delta.len() } else { 0 }).sum()
}

async fn batch(stream: &CompletionStream) -> Option<Vec<Chunk>> {
    match stream.next().await.unwrap().unwrap() {
        Batch::Chunks(chunks) => Some(chunks),
        Batch::End(_) => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_who_pauses_is_waited_for_after_192_kib() {
    let (stream, said) = talking(4 * MOST / SIZE, Duration::ZERO, StreamOptions::default());
    let mut read = bytes(&batch(&stream).await.unwrap());
    loop {
        // Longer than it takes to say everything, if nobody held it back.
        sleep(Duration::from_secs(60)).await;
        let waiting = said.load(Ordering::SeqCst) * SIZE - read;
        // One is in the hand of who waits for room, one was let in with the last room.
        assert!(waiting <= MOST + 2 * SIZE, "{waiting} bytes wait");
        let Some(chunks) = batch(&stream).await else { break };
        read += bytes(&chunks);
    }
    assert_eq!(read, 4 * MOST);
}

#[tokio::test(start_paused = true)]
async fn a_chunk_is_handed_over_when_it_comes_and_not_with_the_next() {
    let pause = Duration::from_secs(1);
    let (stream, _said) = talking(5, pause, StreamOptions::default());
    let begun = Instant::now();
    for number in 0..5 {
        assert_eq!(batch(&stream).await.unwrap().len(), 1);
        assert_eq!(begun.elapsed().as_secs(), number);
    }
}

#[tokio::test(start_paused = true)]
async fn who_leaves_ends_what_is_said() {
    let (stream, said) = talking(100, Duration::from_secs(1), StreamOptions::default());
    batch(&stream).await.unwrap();
    drop(stream);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(said.load(Ordering::SeqCst), 1);
}

#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_without_waiting_is_woken_by_what_comes() {
    let (stream, _said) = talking(2, Duration::from_secs(1), StreamOptions::default());
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(Arc::clone(&bell));
    // Before the first chunk there is a clock to run.
    assert!(stream.try_next_or_wake(&waker).is_none());
    batch(&stream).await.unwrap();
    assert!(matches!(stream.try_next_or_wake(&waker), Some(Poll::Waiting)));
    assert_eq!(bell.0.load(Ordering::SeqCst), 0);
    sleep(Duration::from_millis(1100)).await;
    assert_ne!(bell.0.load(Ordering::SeqCst), 0);
    assert!(matches!(stream.try_next_or_wake(&waker), Some(Poll::Ready(Some(Ok(Batch::Chunks(_)))))));
    // The end is something that comes, too.
    let rung = bell.0.load(Ordering::SeqCst);
    assert!(matches!(stream.try_next_or_wake(&waker), Some(Poll::Waiting)));
    sleep(Duration::from_millis(1100)).await;
    assert!(bell.0.load(Ordering::SeqCst) > rung);
    assert!(matches!(stream.try_next_or_wake(&waker), Some(Poll::Ready(Some(Ok(Batch::End(_)))))));
}

#[tokio::test(start_paused = true)]
async fn who_is_in_a_hurry_has_a_clock_to_run() {
    let timeouts = Timeouts { total: Some(Duration::from_secs(90)), ..Timeouts::default() };
    let invoke = InvokeOptions { timeouts: Some(timeouts), ..InvokeOptions::default() };
    let options = StreamOptions { invoke, ..StreamOptions::default() };
    let (stream, _said) = talking(2, Duration::from_secs(1), options);
    batch(&stream).await.unwrap();
    assert!(stream.try_next_or_wake(Waker::noop()).is_none());
}
