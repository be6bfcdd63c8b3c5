//! A strategy with a defect. Strategies see numbers alone, so nobody outside can make one panic; here the crate's own tests
//! can, and only they are compiled with it.

use std::cell::Cell;
use std::time::Duration;

use serde_json::json;
use tokio::time::{sleep, timeout};

use super::Router;
use super::strategy::Strategy;
use crate::error::{Error, Result};
use crate::fields::Fields;
use crate::kinds::{Completion, CompletionRequest};
use crate::options::{InvokeOptions, RouterOptions};

thread_local! {
    /// How often a strategy panics from now on, in this thread.
    static DUE: Cell<u32> = const { Cell::new(0) };
}

/// Called where a strategy is asked, with the lock of its group held.
pub(super) fn panic_if_due() {
    let due = DUE.get();
    if due > 0 {
        DUE.set(due - 1);
        panic!("a defect in a strategy");
    }
}

/// Two deployments that take 10 ms for an answer, and one request at a time.
fn router(strategy: &str) -> Router<Completion> {
    let deployment = |model: &str| json!({ "model": model, "maxConcurrent": 1 });
    let options = json!({
        "providers": [{ "type": "dummy", "dummy": { "latencyMs": 10 } }],
        "groups": { "default": { "strategy": strategy, "deployments": [deployment("dummy::a"), deployment("dummy::b")] } },
    });
    Router::new(RouterOptions::read(Fields::new("router options", options).unwrap()).unwrap()).unwrap()
}

async fn ask(router: &Router<Completion>, text: &str) -> Result<String> {
    let answer = router.invoke("default", CompletionRequest::message(text), InvokeOptions::default()).await?;
    Ok(answer.value.content)
}

fn expect_bug(error: &Error) {
    assert_eq!(error.code(), "ERR_BUG");
    assert!(error.to_string().contains("a defect in a strategy"), "{error}");
}

async fn expect_sound(router: &Router<Completion>) {
    let stats = router.stats();
    assert_eq!((stats.in_flight, stats.waiting), (0, 0));
    assert!(stats.groups["default"].deployments.iter().all(|one| one.in_flight == 0));
    timeout(Duration::from_secs(1), router.close()).await.expect("it can be closed").unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_strategy_fails_the_call_that_asked_it_and_no_other() {
    for (name, _) in Strategy::WORDS {
        let router = router(name);
        DUE.set(1);
        expect_bug(&ask(&router, "hi").await.unwrap_err());
        for text in ["one", "two", "three"] {
            assert_eq!(ask(&router, text).await.unwrap(), text, "{name}");
        }
        expect_sound(&router).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_for_the_head_of_the_line_moves_the_line_on() {
    for (name, _) in Strategy::WORDS {
        let router = router(name);
        let texts: Vec<_> = (0..6).map(|number| format!("call {number}")).collect();
        let calls = futures_util::future::join_all(
            texts.iter().map(|text| timeout(Duration::from_secs(1), ask(&router, text))),
        );
        let defect = async {
            sleep(Duration::from_millis(5)).await;
            assert_eq!(router.stats().waiting, 4, "two are under way");
            DUE.set(1);
        };
        let (results, ()) = tokio::join!(calls, defect);
        let results: Vec<_> = results.into_iter().map(|result| result.expect("nobody waits for ever")).collect();
        let failed: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).collect();
        assert_eq!(failed.len(), 1, "{name}: {results:?}");
        expect_bug(failed[0]);
        expect_sound(&router).await;
    }
}
