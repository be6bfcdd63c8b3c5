//! Calls that nobody wants any more, though they have not been dropped yet.

mod support;

use std::pin::{Pin, pin};
use std::time::Duration;

use futures_util::poll;
use support::{Reply, Server};
use thryd::error::Result;
use thryd::kinds::{Completion, CompletionRequest};
use thryd::options::{CacheUse, DeployOptions, Interest, InvokeOptions, RouterOptions, Timeouts};
use thryd::provider::ProviderOptions;
use thryd::route::{Answer, Router};

const ANSWER: &str =
    r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]}"#;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn router(server: &Server) -> Router<Completion> {
    let provider = ProviderOptions::new("openai-compatible").name("p").base_url(server.url("/v1"));
    let options = RouterOptions { providers: vec![provider], ..RouterOptions::default() };
    let router = Router::new(options).unwrap();
    router.deploy("default", "p::m", DeployOptions::default()).unwrap();
    router
}

/// Asks, and waits in the line for so long.
async fn ask(router: &Router<Completion>, queue: Duration, options: InvokeOptions) -> Result<Answer<Completion>> {
    let timeouts = Some(Timeouts { queue, ..*router.timeouts() });
    router.invoke("default", CompletionRequest::message("Hi"), InvokeOptions { timeouts, ..options }).await
}

/// A call that has room at once or fails, and is joined with no other.
async fn ask_alone(router: &Router<Completion>) -> Result<Answer<Completion>> {
    ask(router, Duration::ZERO, InvokeOptions { cache: CacheUse::NoStore, ..InvokeOptions::default() }).await
}

/// A call that nobody wants any more, as far as it comes.
async fn left(router: &Router<Completion>) -> Pin<Box<impl Future<Output = Result<Answer<Completion>>>>> {
    let interest = Interest::default();
    interest.lose();
    let options = InvokeOptions { interest: Some(interest), ..InvokeOptions::default() };
    let mut call = Box::pin(ask(router, PATIENCE, options));
    assert!(poll!(&mut call).is_pending());
    settle().await;
    call
}

/// Until everything has happened that can.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_call_that_nobody_wants_is_not_sent_and_refuses_nobody_who_comes_after_it() {
    let server = Server::start(|_| Reply::json(200, ANSWER)).await;
    let router = router(&server);
    {
        let mut left = left(&router).await;
        let mut impatient = pin!(ask_alone(&router));
        assert!(poll!(&mut impatient).is_pending(), "it hears of room when the other has been dropped");
        settle().await;
        assert!(poll!(&mut impatient).is_pending() && poll!(&mut left).is_pending());
        assert_eq!((server.requests().len(), router.stats().waiting), (0, 2));
    }
    // Both were dropped.
    settle().await;
    assert_eq!((server.requests().len(), router.stats().waiting), (0, 0));
    assert!(ask_alone(&router).await.is_ok());
}

#[tokio::test]
async fn whoever_stood_behind_a_call_that_nobody_wants_goes_when_it_has_been_dropped() {
    let server = Server::start(|_| Reply::json(200, ANSWER)).await;
    let router = router(&server);
    let left = left(&router).await;
    let mut impatient = pin!(ask_alone(&router));
    assert!(poll!(&mut impatient).is_pending());
    settle().await;
    drop(left);
    assert!(impatient.await.is_ok());
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn whoever_joins_a_call_that_nobody_wanted_any_more_is_answered() {
    let server = Server::start(|_| Reply::json(200, ANSWER)).await;
    let router = router(&server);
    let left = left(&router).await;
    assert!(ask(&router, PATIENCE, InvokeOptions::default()).await.is_ok());
    assert!(left.await.is_ok(), "it was not dropped");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn an_interest_that_is_lost_while_the_call_is_under_way_changes_nothing() {
    let server = Server::start(|_| Reply::json(200, ANSWER)).await;
    let router = router(&server);
    let interest = Interest::default();
    let options = InvokeOptions { interest: Some(interest.clone()), ..InvokeOptions::default() };
    let mut call = pin!(ask(&router, Duration::ZERO, options));
    while server.requests().is_empty() {
        assert!(poll!(&mut call).is_pending());
        tokio::task::yield_now().await;
    }
    interest.lose();
    assert!(call.await.is_ok());
}
