//! More deployments in a group, and more groups in a router.

use thryd::Router;
use thryd::kinds::Completion;
use thryd::options::{GroupOptions, RouterOptions};
use thryd::route::strategy::Strategy;
use thryd::tracker::Limits;

use super::support::{Curve, ROUNDS, cpu, micros, plot};
use super::{ask, deploy, one_thread, router};

const CALLS: u64 = 2_000;

/// Requests and slots; counting tokens would hide what is looked for.
const LIMITS: Limits = Limits { rpm: Some(1_000_000_000), tpm: None, max_concurrent: Some(1_000_000) };

/// Microseconds of CPU for a call, one after the other, each to the group that this names.
fn per_call(router: &Router<Completion>, group: impl Fn(u64) -> String) -> f64 {
    one_thread().block_on(async {
        let begun = cpu();
        for number in 0..CALLS {
            ask(router, &group(number), number).await;
        }
        micros(cpu() - begun) / 2_000.0
    })
}

pub fn deployments() {
    let sizes = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000];
    let make = |strategy, size| {
        let router = router(RouterOptions::default());
        for model in 0..size {
            deploy(&router, "default", model, LIMITS);
        }
        router.configure_group("default", GroupOptions { strategy, ..GroupOptions::default() }).expect("options");
        router
    };
    let mut curves: Vec<_> = Strategy::WORDS.iter().map(|(word, _)| Curve::new(*word)).collect();
    let routers: Vec<Vec<_>> =
        Strategy::WORDS.iter().map(|(_, strategy)| sizes.map(|size| make(*strategy, size)).into()).collect();
    for _ in 0..ROUNDS {
        for (curve, routers) in curves.iter_mut().zip(&routers) {
            for (size, router) in sizes.into_iter().zip(routers) {
                curve.add(size, per_call(router, |_| "default".to_owned()));
            }
        }
    }
    plot("scale-deployments", "A call, by the deployments of its group", "deployments", "CPU of a call, us", &curves);
}

pub fn groups() {
    let sizes = [1, 10, 100, 1_000, 10_000];
    let routers = sizes.map(|size| {
        let router = router(RouterOptions::default());
        for group in 0..size {
            deploy(&router, &format!("group-{group}"), 0, LIMITS);
        }
        router
    });
    let mut curve = Curve::new("calls to all of them in turn");
    for _ in 0..ROUNDS {
        for (size, router) in sizes.into_iter().zip(&routers) {
            curve.add(size, per_call(router, |number| format!("group-{}", number * 7919 % size)));
        }
    }
    plot("scale-groups", "A call, by the groups of its router", "groups", "CPU of a call, us", &[curve]);
}
