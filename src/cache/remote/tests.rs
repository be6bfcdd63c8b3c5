//! How often Redis is asked, and what it costs, on a server of its own: that is measured, not tested: `cargo test --release
//! --no-default-features --lib what_redis_costs -- --ignored --nocapture`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};

use super::Remote;
use crate::cache::{Cache, CacheOptions, Codec, Entry, Glance, Key, RedisCacheOptions};

#[allow(clippy::duplicate_mod, reason = "tests of other folders use it too")]
#[path = "../../../tests/redis/server.rs"]
mod server;

#[tokio::test(start_paused = true)]
async fn a_cache_that_nobody_uses_asks_seldom_until_somebody_does() {
    // Nobody is there, which is an answer too.
    let remote = Remote::new(&RedisCacheOptions::at("redis://127.0.0.1:1").unwrap(), Codec::default());
    let asked = Arc::new(AtomicU32::new(0));
    let asks = Arc::clone(&asked);
    remote.watch(move |_| asks.fetch_add(1, Ordering::Relaxed) < u32::MAX);
    let asked_within = async |seconds| {
        asked.store(0, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        asked.load(Ordering::Relaxed)
    };
    assert!(asked_within(59).await > 40);
    asked_within(10).await;
    assert!(asked_within(60).await < 20);
    assert!(remote.is_first_use());
    asked_within(10).await;
    assert!(asked_within(40).await > 20);
}

/// Of each kind, in rounds that alternate.
const ROUNDS: usize = 20;
const EACH: usize = 500;

fn key(number: usize) -> Key {
    Key(*blake3::hash(&number.to_le_bytes()).as_bytes())
}

/// An answer of two kilobytes, as they are.
fn answer(number: usize) -> Bytes {
    let words = ["the", "answer", "of", "a", "model", "is", "made", "of", "words", "that", "come", "again"];
    let mut random = fastrand::Rng::with_seed(number as u64);
    let content: Vec<_> = std::iter::repeat_with(|| words[random.usize(..words.len())]).take(340).collect();
    let json = format!(
        "null\n{{\"id\":\"chatcmpl-{number}\",\"object\":\"chat.completion\",\"choices\":[{{\"index\":0,\"message\":\
         {{\"role\":\"assistant\",\"content\":\"{}\"}},\"finish_reason\":\"stop\"}}]}}",
        content.join(" ")
    );
    json.into()
}

fn used() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap())
}

#[derive(Default)]
struct Times(Vec<Duration>, Duration);

impl Times {
    async fn of(&mut self, work: impl AsyncFn(usize)) {
        let cpu = used();
        for number in 0..EACH {
            let begun = Instant::now();
            work(number).await;
            self.0.push(begun.elapsed());
        }
        self.1 += used().saturating_sub(cpu);
    }

    fn tell(mut self, name: &str) {
        self.0.sort_unstable();
        let cpu = self.1.as_secs_f64() * 1e6 / f64::from(u32::try_from(self.0.len()).unwrap());
        println!("{name:34} {:7.1} us, {cpu:6.1} us of the processor", self.0[self.0.len() / 2].as_secs_f64() * 1e6);
    }
}

#[tokio::test]
#[ignore = "it measures"]
async fn what_redis_costs() {
    let Some(server) = server::Server::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let none = CacheOptions { memory_bytes: 0, ..CacheOptions::default() };
    let file = Cache::open(CacheOptions { path: Some(folder.path().join("cache")), ..none.clone() }).unwrap();
    let redis = Some(RedisCacheOptions::at(&server.url()).unwrap());
    let shared = Cache::open(CacheOptions { redis, ..none }).unwrap();
    let put = |cache: &Cache, number| cache.put(key(number), Entry { payload: answer(number), ..Entry::default() });
    for number in 0..EACH {
        put(&file, number);
        put(&shared, number);
    }
    file.flush().await.unwrap();
    shared.flush().await.unwrap();
    let remote = shared.0.remote.as_ref().unwrap();
    let (namespace, values) = (shared.0.codec.namespace(""), remote.values().unwrap());
    let place = remote.place(&key(0), namespace).await.unwrap();
    let generation = place.answer.split('{').next().unwrap();
    let hex = |number| blake3::Hash::from_bytes(key(number).0).to_hex();
    let places: Vec<_> = (0..EACH).map(|number| format!("{generation}{{{}}}", hex(number))).collect();
    let [mut plain, mut hit, mut slow, mut fast, mut miss, mut none, mut kept] =
        std::array::from_fn(|_| Times::default());
    for round in 0..ROUNDS {
        plain.of(async |number| _ = values.get(&places[number]).await.unwrap()).await;
        hit.of(async |number| assert!(shared.redis_get(&key(number), "").await.is_some())).await;
        slow.of(async |number| assert!(file.disk_get(&key(number)).await.is_some())).await;
        fast.of(async |number| assert!(matches!(file.disk_now(&key(number)), Glance::Hit(_)))).await;
        miss.of(async |number| assert!(shared.redis_get(&key(EACH + number), "").await.is_none())).await;
        none.of(async |number| assert!(file.redis_get(&key(number), "").await.is_none())).await;
        kept.of(async |number| {
            put(&shared, 1_000_000 + round * EACH + number);
            if number % 50 == 49 {
                shared.flush().await.unwrap();
            }
        })
        .await;
    }
    plain.tell("a GET of the same client");
    hit.tell("a hit in Redis");
    slow.tell("a hit in the file, beside");
    fast.tell("a hit in the file, at once");
    miss.tell("a miss in Redis");
    none.tell("a miss without one");
    kept.tell("an answer kept");
    let bytes = server.ask(&["MEMORY", "USAGE", &places[0]]);
    println!(
        "an answer of {} bytes takes {} bytes of Redis' memory",
        answer(0).len(),
        bytes.trim().trim_start_matches(':')
    );
}
