//! More threads that ask one router.

use std::slice::from_ref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use thryd::Router;
use thryd::cache::CacheOptions;
use thryd::kinds::Completion;
use thryd::options::RouterOptions;
use tokio::runtime::Builder;

use super::support::{Curve, GENEROUS, ROUNDS, plot};
use super::{ask, deploy, router};

const ROUND: Duration = Duration::from_millis(400);
const TASKS: u64 = 64;
/// Questions of those who ask what is known already.
const KNOWN: u64 = 1_000;

pub fn threads() {
    let cores = available_parallelism().map_or(2, |cores| cores.get() as u64);
    let sizes: Vec<_> = [1, 2, 4, 8].into_iter().filter(|size| *size <= cores.max(2)).collect();
    let make = || {
        let router = router(RouterOptions { cache: Some(CacheOptions::default()), ..RouterOptions::default() });
        deploy(&router, "default", 0, GENEROUS);
        deploy(&router, "default", 1, GENEROUS);
        router
    };
    let router = make();
    let [mut hits, mut misses, mut own] = [
        Curve::new("hits from memory, one router"),
        Curve::new("calls, one router"),
        Curve::new("calls, a router for each thread"),
    ];
    super::one_thread().block_on(async {
        for number in 0..KNOWN {
            ask(&router, "default", number).await;
        }
    });
    let next = Arc::new(AtomicU64::new(KNOWN));
    for _ in 0..ROUNDS {
        for &size in &sizes {
            let fresh = Arc::clone(&next);
            let new = move || fresh.fetch_add(1, Ordering::Relaxed);
            let known = Arc::new(AtomicU64::new(0));
            hits.add(size, rate(size, from_ref(&router), move || known.fetch_add(1, Ordering::Relaxed) % KNOWN));
            misses.add(size, rate(size, from_ref(&router), new.clone()));
            let routers: Vec<_> = (0..size).map(|_| make()).collect();
            own.add(size, rate(size, &routers, new));
        }
    }
    let title = "Calls and hits a second, by the threads that ask";
    plot("scale-threads", title, "threads", "thousands a second", &[hits, misses, own]);
}

/// Thousands of answers a second, on a runtime of so many threads.
fn rate(threads: u64, routers: &[Router<Completion>], number: impl Fn() -> u64 + Clone + Send + 'static) -> f64 {
    let workers = usize::try_from(threads).expect("few threads");
    let runtime = Builder::new_multi_thread().worker_threads(workers).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let begun = Instant::now();
        let tasks: Vec<_> = (0..TASKS)
            .map(|task| {
                let at = usize::try_from(task).expect("few tasks") % routers.len();
                let (router, number) = (routers[at].clone(), number.clone());
                tokio::spawn(async move {
                    let mut done = 0_u32;
                    while begun.elapsed() < ROUND {
                        ask(&router, "default", number()).await;
                        done += 1;
                        // A hit never waits, and would let nobody else have a turn.
                        tokio::task::yield_now().await;
                    }
                    done
                })
            })
            .collect();
        let mut done = 0.0;
        for task in tasks {
            done += f64::from(task.await.expect("no panic"));
        }
        done / begun.elapsed().as_secs_f64() / 1000.0
    })
}
