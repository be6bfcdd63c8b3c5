//! What requests cost more or less than was granted for them, until Redis is told. Pure.

use tokio::time::Instant;

/// Corrections that are kept while Redis is away; the oldest go first, and leave the window higher than it need be.
const MOST: usize = 512;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Corrections {
    all: Vec<Correction>,
    /// Since when there are some.
    since: Option<Instant>,
}

/// Requests and tokens more than were granted, in one bucket of one epoch.
#[derive(Clone, Copy, Debug)]
struct Correction {
    epoch: u64,
    tick: u64,
    requests: i64,
    tokens: i64,
}

impl Corrections {
    /// So many requests more than were granted there, and these tokens instead of those.
    pub fn note(&mut self, epoch: u64, tick: u64, requests: i64, (from, to): (u64, u64), now: Instant) {
        let signed = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
        self.add(Correction { epoch, tick, requests, tokens: signed(to).saturating_sub(signed(from)) }, now);
    }

    /// Since when there is something to tell.
    pub fn since(&self) -> Option<Instant> {
        self.since
    }

    /// Takes those of this epoch: when, how many requests and how many tokens more. Those of others are void.
    pub fn take(&mut self, epoch: u64) -> Vec<(u64, i64, i64)> {
        self.since = None;
        let all = std::mem::take(&mut self.all);
        all.iter().filter(|it| it.epoch == epoch).map(|it| (it.tick, it.requests, it.tokens)).collect()
    }

    /// Puts back what was taken and could not be told. Where nobody knows whether it was, only what makes the window fuller: said
    /// twice that costs room, and the other would give away room that there is not.
    pub fn restore(&mut self, all: Vec<(u64, i64, i64)>, epoch: u64, is_unheard: bool, now: Instant) {
        for (tick, requests, tokens) in all {
            let (requests, tokens) = if is_unheard { (requests, tokens) } else { (requests.max(0), tokens.max(0)) };
            self.add(Correction { epoch, tick, requests, tokens }, now);
        }
    }

    fn add(&mut self, more: Correction, now: Instant) {
        if more.requests == 0 && more.tokens == 0 {
            return;
        }
        self.since.get_or_insert(now);
        let known = self.all.iter_mut().find(|it| it.epoch == more.epoch && it.tick == more.tick);
        match known {
            Some(known) => {
                known.requests += more.requests;
                known.tokens = known.tokens.saturating_add(more.tokens);
            }
            None => self.all.push(more),
        }
        if self.all.len() > MOST {
            self.all.remove(0);
        }
    }
}
