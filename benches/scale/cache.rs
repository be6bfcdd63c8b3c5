//! More entries in the cache, in memory and in a file.

use thryd::Router;
use thryd::cache::CacheOptions;
use thryd::kinds::Completion;
use thryd::options::RouterOptions;
use thryd::tracker::Limits;
use tokio::runtime::Runtime;

use super::support::{Curve, ROUNDS, cpu, micros, plot, resident};
use super::{ask, deploy, one_thread, router};

const HITS: u64 = 5_000;
const FILE_HITS: u64 = 2_000;

/// Room for all of them.
const BYTES: u64 = 1 << 40;

pub fn memory() {
    let sizes = [1_000, 10_000, 100_000, 1_000_000];
    let [mut hits, mut stores] = [Curve::new("a hit"), Curve::new("a call whose answer is stored")];
    let mut bytes = Curve::new("memory of the process for each entry");
    let options = CacheOptions { memory_bytes: BYTES, max_bytes: BYTES, ..CacheOptions::default() };
    let (runtime, router) = (one_thread(), cached(options));
    let (mut filled, before) = (0, resident().unwrap_or(0));
    for size in sizes {
        fill(&runtime, &router, filled..size);
        filled = size;
        bytes.add(size, each(resident().unwrap_or(0).saturating_sub(before), size));
        for round in 0..ROUNDS as u64 {
            hits.add(size, spent(&runtime, &router, HITS, |index| (index + round * HITS) * 7_919 % size));
            // Of numbers that were never asked for, and that do not make it much larger.
            let first = 10_000_000 + size + round * 100;
            stores.add(size, spent(&runtime, &router, 100, |index| first + index));
        }
    }
    let title = "The cache in memory, by its entries";
    plot("scale-memory", title, "entries", "CPU of a call, us", &[hits, stores]);
    plot("scale-memory-bytes", "What an entry takes of memory", "entries", "bytes an entry", &[bytes]);
}

pub fn file() {
    let sizes = [1_000, 10_000, 100_000];
    let mut curve = Curve::new("a hit, none in memory");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("cache");
    let options = || CacheOptions { memory_bytes: 0, max_bytes: BYTES, ..CacheOptions::at(&path) };
    let (runtime, router) = (one_thread(), cached(options()));
    let mut filled = 0;
    for size in sizes {
        fill(&runtime, &router, filled..size);
        filled = size;
        let cache = router.cache().expect("a cache");
        runtime.block_on(cache.flush()).expect("a disk");
        for round in 0..ROUNDS as u64 {
            curve.add(size, spent(&runtime, &router, FILE_HITS, |index| (index + round * FILE_HITS) * 7_919 % size));
        }
    }
    runtime.block_on(router.close()).expect("a disk");
    plot("scale-file", "The cache in a file, by its entries", "entries", "CPU of a call, us", &[curve]);
}

fn cached(cache: CacheOptions) -> Router<Completion> {
    let router = router(RouterOptions { cache: Some(cache), ..RouterOptions::default() });
    deploy(&router, "default", 0, Limits::default());
    router
}

fn fill(runtime: &Runtime, router: &Router<Completion>, numbers: std::ops::Range<u64>) {
    runtime.block_on(async {
        for number in numbers {
            ask(router, "default", number).await;
        }
    });
}

/// Microseconds of CPU for each of so many calls.
fn spent(runtime: &Runtime, router: &Router<Completion>, calls: u64, number: impl Fn(u64) -> u64) -> f64 {
    runtime.block_on(async {
        let begun = cpu();
        for index in 0..calls {
            ask(router, "default", number(index)).await;
        }
        micros(cpu() - begun) / f64::from(u32::try_from(calls).expect("few calls"))
    })
}

fn each(bytes: u64, count: u64) -> f64 {
    f64::from(u32::try_from(bytes / count).unwrap_or(u32::MAX))
}
