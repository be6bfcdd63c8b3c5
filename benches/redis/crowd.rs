//! What an admission costs Redis where each comes over a connection of its own: ten thousand processes.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream;
use thryd::redis::limits::{SharedLimits, SharedLimitsOptions};

use super::server::Server;
use super::{Deployment, used};

/// How many processes, each with a connection; and how many of them ask at a time.
const PROCESSES: usize = 10_000;
const AT_ONCE: usize = 64;

/// Admissions that are measured.
const ADMISSIONS: usize = 100_000;

pub async fn measure() {
    let Some(server) = Server::start_with(&["--maxclients", "10200"]) else { return };
    let processes = (0..PROCESSES).map(|number| {
        let mut options = SharedLimitsOptions::at(&server.url()).unwrap();
        // Those of the same options would share one.
        options.redis.timeout = Duration::from_secs(5) + Duration::from_micros(number as u64);
        Deployment::new(&SharedLimits::new(options), "of all")
    });
    let processes: Vec<_> = processes.collect();
    let processes = &processes;
    stream::iter(processes).map(|process| admit(process, false)).buffer_unordered(AT_ONCE).count().await;
    for (name, settles) in [("reserved", false), ("reserved and settled", true)] {
        // Nobody has anything more to say.
        tokio::time::sleep(Duration::from_secs(1)).await;
        server.ask(&["CONFIG", "RESETSTAT"]);
        let (cpu, begun) = (used(&server), Instant::now());
        // One after the other, far apart: none of them asks for two at a time.
        let places = (0..ADMISSIONS).map(|number| number * 7919 % PROCESSES);
        let calls = stream::iter(places).map(|place| admit(&processes[place], settles));
        calls.buffer_unordered(AT_ONCE).count().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        #[allow(clippy::cast_precision_loss, reason = "a count of thousands")]
        let each = (used(&server) - cpu) / ADMISSIONS as f64;
        let clients = super::info(&server, "clients", "connected_clients:");
        let scripts = super::info(&server, "commandstats", "cmdstat_evalsha:calls=");
        println!(
            "{name} over {clients} connections: {:.1} us of Redis' processor, {:.0} a second of one core; {scripts} scripts in {:.1} s",
            each * 1e6,
            1.0 / each,
            begun.elapsed().as_secs_f64()
        );
    }
}

async fn admit(process: &Deployment, settles: bool) {
    let mut permit = process.admit().await;
    permit.sent();
    if settles {
        permit.settle(90);
    }
}
