//! What limits over Redis cost: an admission against a PING of the same client, what one core of Redis admits, and memory. What
//! answers in Redis cost it, in `values.rs`; ten thousand connections, in `crowd.rs`.
//!
//! `cargo bench --no-default-features --bench redis`, with a redis-server of its own on this machine; `-- limits`, `-- values` or
//! `-- crowd` for a part of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use thryd::redis::limits::{SharedLimits, SharedLimitsOptions};
use thryd::redis::{Redis, RedisOptions};
use thryd::tracker::{Limits, Permit, Ticket, Tracker, Turn, Wait};
use tokio::sync::Notify;

mod crowd;
#[path = "../../tests/redis/server.rs"]
mod server;
mod values;

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
        Self::with(limits, model, wide, Limits::default())
    }

    /// With these limits, and these of its account.
    fn with(limits: &SharedLimits, model: &str, own: Limits, account: Limits) -> Self {
        let (tracker, told) = (Tracker::new(own), Arc::new(Notify::new()));
        if account != Limits::default() {
            tracker.stand_on(Some(Tracker::new(account)));
        }
        tracker.count_with(|way| limits.ledger(&[7; 32], model, way));
        let heard = Arc::clone(&told);
        tracker.on_release(move || heard.notify_one());
        Self { tracker, told }
    }

    async fn admit(&self) -> Permit {
        // As the head of a line, which keeps its place while it waits.
        let (mut turn, mut ticket) = (Turn::default(), None);
        loop {
            turn.begin(ticket);
            let tried = self.tracker.acquire_in_turn(100, tokio::time::Instant::now(), &mut turn);
            ticket = ticket.or_else(|| tried.is_err().then(|| Ticket::draw(0)));
            match tried {
                Ok(permit) => return permit,
                Err(Wait::Never) => panic!("it fits"),
                Err(Wait::Until(at)) => drop(tokio::time::timeout_at(at, self.told.notified()).await),
                Err(_) => self.told.notified().await,
            }
        }
    }

    /// Admissions that settle, one after the other: how long each took.
    async fn work(&self, settles: bool, times: &mut Vec<Duration>) {
        for _ in 0..EACH {
            let begun = Instant::now();
            let mut permit = self.admit().await;
            times.push(begun.elapsed());
            permit.sent();
            if settles {
                permit.settle(90);
            }
        }
    }
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6
}

/// Seconds that its processor has worked.
fn used(server: &Server) -> f64 {
    info(server, "cpu", "used_cpu_user:") + info(server, "cpu", "used_cpu_sys:")
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
    let parts: Vec<_> = std::env::args().skip(1).filter(|part| !part.starts_with('-')).collect();
    let is_wanted = |part: &str| parts.is_empty() || parts.iter().any(|wanted| wanted == part);
    if is_wanted("limits") {
        runtime.block_on(measure(&server));
    }
    if is_wanted("values") {
        runtime.block_on(values::measure(&server));
    }
    if is_wanted("crowd") {
        runtime.block_on(crowd::measure());
    }
}

async fn measure(server: &Server) {
    let redis = Redis::shared(RedisOptions::at("url", &server.url()).unwrap());
    let limits = SharedLimits::new(SharedLimitsOptions::at(&server.url()).unwrap());
    let one = Deployment::new(&limits, "one");
    let of = |rpm, max_concurrent| Limits { rpm: Some(rpm), tpm: None, max_concurrent };
    let wide = of(1_000_000_000, None);
    let below = Deployment::with(&limits, "below", wide, wide);
    let slots = Deployment::with(&limits, "slots", of(1_000_000_000, Some(1_000_000)), Limits::default());
    let mut pings = Vec::new();
    let mut rows = [
        ("an admission", &one, false, Vec::new()),
        ("an admission, and the one before is settled", &one, true, Vec::new()),
        ("the same on an account with limits", &below, true, Vec::new()),
        ("the same with maxConcurrent", &slots, true, Vec::new()),
    ];
    for _ in 0..ROUNDS {
        for _ in 0..EACH {
            let begun = Instant::now();
            redis.ping().await.unwrap();
            pings.push(begun.elapsed());
        }
        for (_, deployment, settles, times) in &mut rows {
            deployment.work(*settles, times).await;
        }
    }
    let ping = median(pings);
    println!("{:44} {ping:8.1} us", "a PING");
    for (name, _, _, times) in rows {
        let time = median(times);
        println!("{name:44} {time:8.1} us   {:.2} times a PING", time / ping);
    }

    // As many as one core of Redis can do, by the time that it used.
    let many: Vec<_> = (0..64).map(|number| Deployment::new(&limits, &format!("many {number}"))).collect();
    for (name, settles) in [("reserved", false), ("reserved and settled", true)] {
        server.ask(&["CONFIG", "RESETSTAT"]);
        let (cpu, begun) = (used(server), Instant::now());
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
        let (cpu, took) = (used(server) - cpu, begun.elapsed().as_secs_f64());
        let script = info(server, "commandstats", "cmdstat_evalsha:calls=");
        let text = server.ask(&["INFO", "commandstats"]);
        let each = text.lines().find(|line| line.starts_with("cmdstat_evalsha")).unwrap_or_default();
        println!(
            "{name}: 64,000 in {took:.2} s, {cpu:.2} s of Redis' processor: {:.0} a second of one core; {script} scripts; {each}",
            64_000.0 / cpu
        );
    }
    // What it costs that many processes wait for one deployment, of which ten requests a second become free.
    for count in [100, 1000] {
        let narrow = Limits { rpm: Some(600), ..Limits::default() };
        let model = format!("waited for by {count}");
        let waiting: Vec<_> =
            (0..count).map(|_| Deployment::with(&limits, &model, narrow, Limits::default())).collect();
        let work = futures_util::future::join_all(waiting.iter().map(|deployment| async {
            loop {
                deployment.admit().await.sent();
            }
        }));
        let measured = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            server.ask(&["CONFIG", "RESETSTAT"]);
            let (cpu, begun) = (used(server), Instant::now());
            tokio::time::sleep(Duration::from_secs(20)).await;
            let scripts = info(server, "commandstats", "cmdstat_evalsha:calls=");
            let took = begun.elapsed().as_secs_f64();
            println!(
                "{count} wait for one deployment: {:.1} % of a core of Redis, {:.0} scripts a second",
                (used(server) - cpu) / took * 100.0,
                scripts / took
            );
        };
        futures_util::future::select(std::pin::pin!(work), std::pin::pin!(measured)).await;
    }
    let keys = server.ask(&["KEYS", "*one"]);
    let account = server.ask(&["KEYS", "*processes"]);
    for key in keys.lines().chain(account.lines()).filter(|line| line.starts_with("thryd:")) {
        let bytes = server.ask(&["MEMORY", "USAGE", key]);
        println!("{key}: {} bytes", bytes.trim().trim_start_matches(':'));
    }
}
