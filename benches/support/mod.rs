//! What the benches that are no criterion benches have in common: rounds, a clock of CPU time, and where results go.
#![allow(dead_code, reason = "each bench uses its own part")]

use std::fs::OpenOptions;
use std::io::Write;
use std::time::Duration;

use serde_json::{Value, json};
use thryd::tracker::Limits;

/// Rounds of everything; results are their medians.
pub const ROUNDS: usize = 5;

/// Limits that nobody meets but that are kept: charged, reserved and settled.
pub const GENEROUS: Limits =
    Limits { rpm: Some(1_000_000_000), tpm: Some(1_000_000_000_000), max_concurrent: Some(1_000_000) };

/// CPU time of this process so far, all threads.
#[cfg(unix)]
pub fn cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.cast_unsigned(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Elsewhere the time that passes stands for it.
#[cfg(not(unix))]
pub fn cpu() -> Duration {
    static BEGUN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    BEGUN.get_or_init(std::time::Instant::now).elapsed()
}

/// Resident memory of this process in bytes, where the system says it.
pub fn resident() -> Option<u64> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse::<u64>().ok()?;
    Some(pages * 4096)
}

/// Microseconds.
pub fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// Prints a result, and keeps it where `benchmark/run.mjs` says.
pub fn record(result: &Value) {
    println!("{result}");
    let Ok(path) = std::env::var("THRYD_BENCHMARK_RECORDS") else { return };
    let file = OpenOptions::new().create(true).append(true).open(path);
    let written = file.and_then(|mut file| writeln!(file, "{result}"));
    written.expect("the results can be written");
}

/// One line of a plot: values of the rounds at each place of the x axis.
#[derive(Default)]
pub struct Curve {
    name: String,
    points: Vec<(u64, Vec<f64>)>,
}

impl Curve {
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), points: Vec::new() }
    }

    /// A value of another round at this place.
    pub fn add(&mut self, x: u64, value: f64) {
        match self.points.iter_mut().find(|(at, _)| *at == x) {
            Some((_, values)) => values.push(value),
            None => self.points.push((x, vec![value])),
        }
    }
}

/// Keeps the curves of one plot.
pub fn plot(name: &str, title: &str, x: &str, y: &str, curves: &[Curve]) {
    let series = curves.iter().map(|curve| {
        let points = curve.points.iter().map(|(x, values)| {
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            let (least, most) = (sorted[0], sorted[sorted.len() - 1]);
            json!({ "x": x, "median": sorted[sorted.len() / 2], "least": least, "most": most })
        });
        json!({ "name": curve.name, "points": points.collect::<Vec<_>>() })
    });
    let series: Vec<_> = series.collect();
    record(&json!({ "name": name, "title": title, "x": x, "y": y, "series": series }));
}
