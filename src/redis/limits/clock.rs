//! Until when what was said to Redis may still run there, by the clock of the server and by that of this process. Pure.
//!
//! Whoever lost patience does not know whether its script ran: the server may read it later, after what was said since over another
//! connection. So each says up to which moment it may run, and nothing more is said before that is over.

use std::time::Duration;

use tokio::time::Instant;

use crate::constants::BUCKET_WIDTH;

/// How far the two clocks may have gone apart since the last answer. Beyond it a script is taken for late, and asked again by what was
/// heard of the clock then.
const SLACK: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    /// The bucket in which the server was, when it was asked, and how long the answer took.
    heard: Option<(u64, Instant, Duration)>,
    /// Until when what was said may run, if it was not answered.
    busy_until: Option<Instant>,
}

impl Clock {
    /// Something is said for whose answer is waited so long. Gives the last moment at which it may run, in milliseconds of the server's
    /// clock, if that is known.
    pub fn says(&mut self, patience: Duration, now: Instant) -> Option<u64> {
        self.busy_until = Some(now + patience + self.doubt());
        let (tick, asked, _) = self.heard?;
        let since = now.saturating_duration_since(asked) + BUCKET_WIDTH + patience + SLACK;
        Some(tick.saturating_mul(milliseconds(BUCKET_WIDTH)).saturating_add(milliseconds(since)))
    }

    /// It was not answered by now, for which it was waited as long as was said.
    pub fn gives_up(&mut self, now: Instant) {
        // That may be sooner, where it was waited for a connection.
        self.busy_until = self.busy_until.min(Some(now + self.doubt()));
    }

    /// How much later than its process lost patience a script may run: the server was somewhere in the bucket that it named, at some
    /// moment from the question to the answer.
    fn doubt(&self) -> Duration {
        SLACK + BUCKET_WIDTH + self.heard.map_or(Duration::ZERO, |(_, _, took)| took)
    }

    /// It was answered in this bucket, and had been asked then.
    pub fn hears(&mut self, tick: u64, asked: Instant, now: Instant) {
        self.heard = Some((tick, asked, now.saturating_duration_since(asked)));
        self.busy_until = None;
    }

    /// It was refused, or never sent, or its connection has ended: a server reads no more from that, unless whoever stands between has
    /// passed it on already.
    pub fn is_over(&mut self) {
        self.busy_until = None;
    }

    /// For how long it may still run.
    pub fn is_busy_for(&self, now: Instant) -> Option<Duration> {
        self.busy_until.map(|until| until.saturating_duration_since(now)).filter(|left| !left.is_zero())
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_in_time_is_never_late_and_nothing_runs_when_the_next_is_said(
            offset in 0u64..1_000_000, took in 0u64..3000, at in 0.0..1.0, idle in 0u64..600_000, patience in 1u64..3000,
        ) {
            let of = Duration::from_millis;
            let zero = Instant::now();
            // The server's clock, in milliseconds of its own, at a moment of this process.
            let server = |moment: Instant| offset + u64::try_from((moment - zero).as_millis()).unwrap();
            let (asked, mut clock) = (zero + of(100), Clock::default());
            prop_assert_eq!(clock.says(of(patience), asked), None);
            clock.hears(server(asked + of(took).mul_f64(at)) / 250, asked, asked + of(took));
            prop_assert_eq!(clock.is_busy_for(asked + of(took)), None);
            let now = asked + of(took) + of(idle);
            let latest = clock.says(of(patience), now).unwrap();
            prop_assert!(server(now + of(patience)) <= latest);
            let free = now + clock.is_busy_for(now).unwrap();
            prop_assert!(server(free) + 1 >= latest, "{} {}", server(free), latest);
            prop_assert_eq!(clock.is_busy_for(free), None);
            clock.gives_up(now + of(patience));
            prop_assert_eq!(clock.is_busy_for(now), Some(free - now));
        }
    }

    #[test]
    fn what_was_refused_or_not_sent_holds_up_nobody() {
        let (now, mut clock) = (Instant::now(), Clock::default());
        clock.says(Duration::from_millis(100), now);
        assert!(clock.is_busy_for(now).is_some());
        clock.is_over();
        assert_eq!(clock.is_busy_for(now), None);
    }
}
