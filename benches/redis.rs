//! What limits over Redis cost: an admission against a PING of the same client, what one core of Redis admits, and memory.
//!
//! `cargo bench --no-default-features --bench redis`, with a redis-server of its own on this machine.

use std::sync::Arc;
use std::time::{Duration, Instant};

use thryd::redis::limits::{SharedLimits, SharedLimitsOptions};
use thryd::redis::{Redis, RedisOptions};
use thryd::tracker::{Limits, Permit, Tracker, Wait};
use tokio::sync::Notify;

#[path = "../tests/redis/server.rs"]
mod server;

use server::Server;

/// Of each kind, in rounds that alternate.
const ROUNDS: usize = 10;
const EACH: usize = 2000;

/// A deployment that asks Redis.
struct Deployment {
    tracker: Tracker,
    told: Arc<Notify>,
}

impl Deployment {
    fn new(limits: &SharedLimits, model: &str) -> Self {
        let wide = Limits { rpm: Some(1_000_000_000), tpm: Some(1_000_000_000_000), max_concurrent: None };
        let (tracker, told) = (Tracker::new(wide), Arc::new(Notify::new()));
        tracker.count_with(|way| limits.ledger(&[7; 32], model, way));
        let heard = Arc::clone(&told);
        tracker.on_release(move || heard.notify_one());
        Self { tracker, told }
    }

    async fn admit(&self) -> Permit {
        loop {
            match self.tracker.try_acquire(100, tokio::time::Instant::now()) {
                Ok(permit) => return permit,
                Err(Wait::Never) => panic!("it fits"),
                Err(_) => self.told.notified().await,
            }
        }
    }
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6
}

/// A number of what `INFO` says.
fn info(server: &Server, section: &str, name: &str) -> f64 {
    let text = server.ask(&["INFO", section]);
    let value = text.split_once(name).map(|(_, rest)| rest.trim_start_matches([':', '=']));
    value
        .and_then(|rest| rest.split(|it: char| !(it.is_ascii_digit() || it == '.')).next()?.parse().ok())
        .unwrap_or(0.0)
}

fn main() {
    let Some(server) = Server::start() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let redis = Redis::shared(RedisOptions::at("url", &server.url()).unwrap());
    let limits = SharedLimits::new(SharedLimitsOptions::at(&server.url()).unwrap());
    runtime.block_on(async {
        let one = Deployment::new(&limits, "one");
        let (mut pings, mut admissions, mut settled) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            for _ in 0..EACH {
                let begun = Instant::now();
                redis.ping().await.unwrap();
                pings.push(begun.elapsed());
            }
            for _ in 0..EACH {
                let begun = Instant::now();
                let mut permit = one.admit().await;
                admissions.push(begun.elapsed());
                permit.sent();
            }
            for _ in 0..EACH {
                let begun = Instant::now();
                let mut permit = one.admit().await;
                settled.push(begun.elapsed());
                permit.sent();
                permit.settle(90);
            }
        }
        let (ping, admission, settled) = (median(pings), median(admissions), median(settled));
        println!("PING                          {ping:8.1} us");
        println!("admission                     {admission:8.1} us   {:.2} times a PING", admission / ping);
        println!("admission while others settle {settled:8.1} us   {:.2} times a PING", settled / ping);

        // As many as one core of Redis can do, by the time that it used.
        let many: Vec<_> = (0..64).map(|number| Deployment::new(&limits, &format!("many {number}"))).collect();
        for (name, settles) in [("reserved", false), ("reserved and settled", true)] {
            server.ask(&["CONFIG", "RESETSTAT"]);
            let used = || info(&server, "cpu", "used_cpu_user:") + info(&server, "cpu", "used_cpu_sys:");
            let (cpu, begun) = (used(), Instant::now());
            let work = many.iter().map(|deployment| async {
                for _ in 0..1000 {
                    let mut permit = deployment.admit().await;
                    permit.sent();
                    if settles {
                        permit.settle(90);
                    }
                }
            });
            futures_util::future::join_all(work).await;
            let (cpu, took) = (used() - cpu, begun.elapsed().as_secs_f64());
            let script = info(&server, "commandstats", "cmdstat_evalsha:calls=");
            let text = server.ask(&["INFO", "commandstats"]);
            let each = text.lines().find(|line| line.starts_with("cmdstat_evalsha")).unwrap_or_default();
            println!(
                "{name}: 64,000 in {took:.2} s, {cpu:.2} s of Redis' processor: {:.0} a second of one core; {script} scripts; {each}",
                64_000.0 / cpu
            );
        }
        let keys = server.ask(&["KEYS", "*one"]);
        let account = server.ask(&["KEYS", "*processes"]);
        for key in keys.lines().chain(account.lines()).filter(|line| line.starts_with("thryd:")) {
            let bytes = server.ask(&["MEMORY", "USAGE", key]);
            println!("{key}: {} bytes", bytes.trim().trim_start_matches(':'));
        }
    });
}
