//! What a deployment costs that nobody has asked yet. Alone in its binary, because it counts every allocation.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use thryd::Router;
use thryd::kinds::Completion;
use thryd::options::{DeployOptions, RouterOptions};
use thryd::provider::ProviderOptions;
use thryd::tracker::Limits;

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call is the system allocator's own; only numbers are kept beside it.
#[allow(unsafe_code, reason = "there is no other way to count allocations")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn an_idle_deployment_takes_no_more_than_16_kib_and_gives_them_back() {
    const COUNT: usize = 200;
    let router: Router<Completion> = Router::new(RouterOptions::default()).unwrap();
    router.add_provider(ProviderOptions::new("dummy")).unwrap();
    let deploy = |number: usize| {
        let limits = Limits { rpm: Some(60), tpm: Some(100_000), max_concurrent: Some(10) };
        let options = DeployOptions { limits, ..DeployOptions::default() };
        router.deploy("default", &format!("dummy::model-{number}"), options).unwrap();
    };
    deploy(0);
    let before = ALLOCATED.load(Ordering::Relaxed);
    (1..=COUNT).for_each(deploy);
    let each = (ALLOCATED.load(Ordering::Relaxed) - before) / COUNT;
    println!("an idle deployment takes {each} bytes");
    assert!((1_000..=16 << 10).contains(&each), "{each} bytes");
    for number in 1..=COUNT {
        assert!(router.undeploy("default", &format!("dummy::model-{number}")));
    }
    // The last one that went may still be remembered, with what it spent: nothing.
    let left = ALLOCATED.load(Ordering::Relaxed).saturating_sub(before);
    assert!(left <= 2 * each, "{left} bytes are left behind");
}
