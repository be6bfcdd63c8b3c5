//! How long somebody waits for Redis, and what is done about one that takes longer.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::Remote;
use crate::cache::{Key, PATIENCE};
use crate::redis::Fault;

/// How much longer than the bound a look may take.
const GRACE: Duration = Duration::from_millis(2);

/// How soon one that was late is asked again whether it still is, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What a look may cost whoever waits for it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RemotePatience {
    /// When the call ends that waits.
    pub end: Option<Instant>,
    /// Whether nobody else may answer: it is then waited for as long as for the file, also where it is known to be late.
    pub is_last: bool,
}

/// The same of one look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    begun: Instant,
    pub end: Instant,
    is_last: bool,
}

/// Whether a look waits for the first that it has asked. Only then a Redis is late that does not answer within the bound: whoever
/// has to ask twice takes as long as two do.
#[derive(Debug, Default)]
pub(super) struct Steps(AtomicBool);

/// Why a look came to nothing.
#[derive(Debug)]
pub(super) enum Missed {
    /// Redis is late, or would be, after so long.
    Late(Duration),
    Fault(Fault),
}

impl Steps {
    /// It asks something else from here on.
    pub fn next(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_first(&self) -> bool {
        !self.0.load(Ordering::Relaxed)
    }
}

impl Remote {
    /// Until when a look is waited for that begins now.
    pub(super) fn bound(&self, patience: RemotePatience) -> Bound {
        let (begun, is_last) = (Instant::now(), patience.is_last);
        let left = patience.end.map_or(Duration::MAX, |end| end.saturating_duration_since(begun));
        let end = if is_last {
            begun + self.limit.max(PATIENCE).min(left)
        } else {
            // Nobody waits for the first look, or the connection before it, longer than the first who came.
            let since = if self.generations.is_begun() { None } else { self.beginning.since(&()) };
            // Half of the time is for whoever is asked instead.
            (since.unwrap_or(begun) + self.limit + GRACE).min(begun + self.share(left))
        };
        Bound { begun, end, is_last }
    }

    /// How long looks of a call may take that has so much time left.
    pub fn share(&self, left: Duration) -> Duration {
        (self.limit + GRACE).min(left / 2)
    }

    /// Does something for this key that somebody waits for, within the bound. The caller says that it did without.
    pub(super) async fn in_time<T>(
        self: &Arc<Self>,
        key: &Key,
        bound: Bound,
        steps: &Steps,
        work: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Missed> {
        if self.status.is_late() && !bound.is_last {
            return Err(Missed::Late(Duration::ZERO));
        }
        let Ok(done) = timeout_at(bound.end, work).await else {
            let waited = bound.end.saturating_duration_since(bound.begun);
            // Whoever has less time has not found out anything.
            if waited >= self.limit && steps.is_first() {
                self.be_late(key);
            }
            return Err(Missed::Late(waited));
        };
        let done = done.map_err(Missed::Fault)?;
        self.status.found();
        Ok(done)
    }

    /// A look for this key came too late. The connection stays, as it may be busy with what is long, and nobody looks until it has
    /// answered something in time. One that answers nothing at all for a second is given up.
    fn be_late(self: &Arc<Self>, key: &Key) {
        if self.status.late(&self.silence(self.limit)) {
            return;
        }
        // Of the same node as what was looked for.
        let probed = self.generations.probe(&blake3::Hash::from_bytes(self.codec.place(key).0).to_hex());
        let remote = Arc::downgrade(self);
        tokio::spawn(async move {
            let mut pause = FIRST_PAUSE;
            loop {
                let Some(remote) = remote.upgrade() else { return };
                let Ok(values) = remote.values() else { return };
                let asked = Instant::now();
                match values.get(&probed).await {
                    Ok(_) if asked.elapsed() > remote.limit => {
                        tokio::time::sleep(pause.mul_f64(fastrand::f64() * 0.5 + 0.75)).await;
                        pause = (pause * 2).min(LONGEST_PAUSE);
                    }
                    // What is away is known to be.
                    answered => {
                        remote.status.in_time();
                        match answered {
                            Ok(_) => remote.status.found(),
                            Err(fault) => remote.status.lost(&fault.message),
                        }
                        return;
                    }
                }
            }
        });
    }

    /// A lookup did without; why, in words.
    pub(super) fn without(&self, missed: Missed) -> String {
        self.status.skipped();
        match missed {
            Missed::Late(waited) => self.silence(waited),
            Missed::Fault(fault) => {
                self.status.lost(&fault.message);
                fault.message
            }
        }
    }

    pub(super) fn is_away(&self) -> bool {
        self.values().is_ok_and(|values| values.is_away())
    }

    fn silence(&self, waited: Duration) -> String {
        format!("{} did not answer within {} ms", self.status.url(), waited.as_micros().div_ceil(1000))
    }
}
