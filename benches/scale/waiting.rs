//! More calls in the line of a group. On a clock that jumps to whatever is next when nobody has anything to do, so that only
//! work takes time.

use std::time::Duration;

use thryd::Router;
use thryd::kinds::{Completion, CompletionRequest};
use thryd::options::{InvokeOptions, RouterOptions};
use thryd::provider::{DummyOptions, ProviderOptions};
use thryd::tracker::Limits;
use tokio::runtime::Builder;
use tokio::task::{JoinHandle, yield_now};

use super::deploy;
use super::support::{Curve, ROUNDS, cpu, micros, plot};

/// Calls that one deployment answers at a time, and how long each takes.
const SLOTS: u64 = 64;
const ANSWERED_AFTER: Duration = Duration::from_millis(1);

/// Calls that come when all others stand in the line already, and leave again.
const LATE: u64 = 1_000;

pub fn waiters() {
    let sizes = [0, 10, 100, 1_000, 10_000, 100_000];
    let [mut leaves, mut passes] =
        [Curve::new("joins the line and leaves it"), Curve::new("joins the line and is answered")];
    for _ in 0..ROUNDS {
        for size in sizes {
            let (leave, pass) = line(size);
            // A logarithmic axis has no zero.
            leaves.add(size.max(1), leave);
            passes.add(size.max(1), pass);
        }
    }
    let title = "A call that waits, by the calls in its line";
    plot("scale-waiters", title, "calls that wait", "CPU of a call, us", &[leaves, passes]);
}

/// With so many in the line: microseconds for one more to join and to leave, and for each to be answered.
fn line(size: u64) -> (f64, f64) {
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let router = Router::new(RouterOptions::default()).expect("a router");
        let dummy = DummyOptions { latency: (ANSWERED_AFTER, ANSWERED_AFTER), ..DummyOptions::default() };
        router.add_provider(ProviderOptions::new("dummy").dummy(dummy)).expect("a provider");
        deploy(&router, "default", 0, Limits { max_concurrent: Some(SLOTS), ..Limits::default() });

        let begun = cpu();
        let calls: Vec<_> = (0..SLOTS + size).map(|number| begin(&router, number)).collect();
        until_waiting(&router, size).await;
        let joining = cpu() - begun;

        let begun = cpu();
        let late: Vec<_> = (0..LATE).map(|number| begin(&router, SLOTS + size + number)).collect();
        until_waiting(&router, size + LATE).await;
        for call in &late {
            call.abort();
        }
        until_waiting(&router, size).await;
        let left = cpu() - begun;

        let begun = cpu();
        for call in calls {
            call.await.expect("no panic");
        }
        let passed = joining + (cpu() - begun);
        (per(left, LATE), per(passed, SLOTS + size))
    })
}

fn begin(router: &Router<Completion>, number: u64) -> JoinHandle<()> {
    let router = router.clone();
    tokio::spawn(async move {
        let request = CompletionRequest::message(format!("question {number:08}"));
        router.invoke("default", request, InvokeOptions::default()).await.expect("an answer");
    })
}

/// Lets the tasks run, but not the clock, until so many wait.
async fn until_waiting(router: &Router<Completion>, count: u64) {
    while router.stats().waiting as u64 != count {
        yield_now().await;
    }
}

fn per(spent: Duration, count: u64) -> f64 {
    micros(spent) / f64::from(u32::try_from(count).expect("fewer calls"))
}
