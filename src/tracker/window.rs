//! The arithmetic of a sliding window. Pure: `now` is an argument, counted from whatever origin the owner chose.
//!
//! Time is cut into buckets, [`BUCKET_COUNT`] of them to [`BUCKETS_WINDOW_S`]. A bucket leaves when its *whole* content
//! is older than that, so it leaves up to one bucket late and never early: in any 60 s, however aligned, no more is
//! admitted than the limits say.
//!
//! Only buckets that hold something are kept, as running totals. So the sum of any stretch is one subtraction, asking
//! for room is O(1), and finding the moment at which there will be room is a binary search. The price is paid by
//! settling, which moves the totals of the buckets that came after: at most 241 additions.

use std::collections::VecDeque;
use std::time::Duration;

use super::Limits;
use crate::constants::{BUCKET_COUNT, BUCKETS_WINDOW_S};

/// After this long a saturated window repeats itself: what was admitted in a bucket leaves, and as much is admitted again.
pub(super) const PERIOD: Duration = Duration::from_millis(<Window>::SPAN * <Window>::WIDTH_MS);

/// What was charged in the last 60 s, and in which bucket.
///
/// `COUNT` is the number of buckets that 60 s are divided into, from 1 to 60,000: a parameter so that the choice of
/// [`BUCKET_COUNT`] can be measured, which `benches/limiters` does.
#[derive(Clone, Debug)]
pub struct Window<const COUNT: usize = BUCKET_COUNT> {
    /// Oldest first, at most `SPAN` of them; allocated once.
    buckets: VecDeque<Bucket>,
    /// The running number of the oldest one.
    first: u64,
    /// The totals up to the oldest one, itself excluded.
    before: Totals,
    /// The bucket in which the clock stands. It never goes back, even if the clock does.
    tick: u64,
}

/// Running totals at the end of a bucket. They may wrap around: only differences are read.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    tick: u64,
    upto: Totals,
}

/// Requests and tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Totals {
    requests: u64,
    tokens: u64,
}

/// One admitted request: what it is charged with, and where.
#[derive(Debug)]
pub struct Charge {
    bucket: u64,
    requests: u64,
    tokens: u64,
}

/// Whether a request fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// At once.
    Now,
    /// At this moment, and not before, if nothing else is charged, settled or given back until then.
    At(Duration),
    /// In no window: the request is larger than the limit.
    Never,
}

// For this one count only: a parameter's default says nothing where a type is inferred.
impl Default for Window {
    fn default() -> Self {
        Self::empty()
    }
}

impl<const COUNT: usize> Window<COUNT> {
    /// Width of a bucket in milliseconds.
    const WIDTH_MS: u64 = BUCKETS_WINDOW_S * 1000 / COUNT as u64;

    /// Buckets from the one that is charged until the one in which that charge is gone: those of a window, and one more
    /// for the bucket that is still being filled.
    const SPAN: u64 = (BUCKETS_WINDOW_S * 1000).div_ceil(Self::WIDTH_MS) + 1;

    /// Nothing charged.
    #[must_use]
    pub fn empty() -> Self {
        #[allow(clippy::cast_possible_truncation, reason = "a few hundred")]
        let buckets = VecDeque::with_capacity(Self::SPAN as usize);
        Self { buckets, first: 0, before: Totals::default(), tick: 0 }
    }

    /// Bytes that it takes, its buckets included. They are allocated once, so this never changes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.buckets.capacity() * size_of::<Bucket>()
    }

    /// Requests and tokens charged in the window that ends now, rounded up to whole buckets.
    pub fn spent(&mut self, now: Duration) -> (u64, u64) {
        self.advance(now);
        let Totals { requests, tokens } = self.live();
        (requests, tokens)
    }

    /// Whether one request with these tokens fits under `limits`, and if not, when. Charges nothing.
    pub fn room(&mut self, limits: Limits, tokens: u64, now: Duration) -> Room {
        self.advance(now);
        if fits(limits, self.live(), tokens) {
            return Room::Now;
        }
        if !fits(limits, Totals::default(), tokens) {
            return Room::Never;
        }
        let end = self.end();
        let index = self.buckets.partition_point(|bucket| !fits(limits, end.since(bucket.upto), tokens));
        // There is such a bucket: once the last one has left, nothing is charged any more.
        self.buckets
            .get(index)
            .map_or(Room::Now, |bucket| Room::At(Self::start(bucket.tick.saturating_add(Self::SPAN))))
    }

    /// Charges one request with these tokens to the current bucket, whether or not there is room.
    pub fn charge(&mut self, tokens: u64, now: Duration) -> Charge {
        self.advance(now);
        let end = self.end();
        // What one window holds stays countable, whatever sizes are asked for.
        let tokens = tokens.min(u64::MAX - self.live().tokens);
        let upto = Totals { requests: end.requests.wrapping_add(1), tokens: end.tokens.wrapping_add(tokens) };
        match self.buckets.back_mut() {
            Some(bucket) if bucket.tick == self.tick => bucket.upto = upto,
            _ => self.buckets.push_back(Bucket { tick: self.tick, upto }),
        }
        Charge { bucket: self.first + (self.buckets.len() as u64 - 1), requests: 1, tokens }
    }

    /// Sets the tokens of a charge to what they really were, in the bucket that it was charged to. Saying it twice
    /// changes nothing; if that bucket has left the window, nothing changes either.
    ///
    /// Returns whether there is more room than before.
    pub fn settle(&mut self, charge: &mut Charge, tokens: u64) -> bool {
        let eased = tokens < charge.tokens;
        self.replace(charge, charge.requests, tokens);
        eased
    }

    /// Takes a charge back, as if it had never been.
    pub fn refund(&mut self, charge: &mut Charge) {
        self.replace(charge, 0, 0);
    }

    /// Adds tokens to the newest charge, which stays longest; for settling upward when the bucket is not known.
    pub fn raise(&mut self, tokens: u64, now: Duration) {
        self.advance(now);
        let tokens = tokens.min(u64::MAX - self.live().tokens);
        if let Some(bucket) = self.buckets.back_mut() {
            bucket.upto.tokens = bucket.upto.tokens.wrapping_add(tokens);
        }
    }

    /// Takes tokens from the oldest charges, which leave first; for settling downward when the bucket is not known.
    ///
    /// From the oldest, because taken from a newer one than the truth they would be missing there after the older one
    /// has left, and more could be admitted than the limit says.
    pub fn lower(&mut self, tokens: u64, now: Duration) {
        self.advance(now);
        let before = self.before.tokens;
        for bucket in &mut self.buckets {
            let held = bucket.upto.tokens.wrapping_sub(before);
            bucket.upto.tokens = bucket.upto.tokens.wrapping_sub(held.min(tokens));
        }
    }

    /// An upper bound on the requests, none smaller than `smallest`, and on the tokens that can be admitted from now until `at`,
    /// the last moment included, if nothing else is. Exact for requests of one size. Several windows long if need be.
    ///
    /// The window is that of the last call which moved the clock.
    #[must_use]
    pub fn capacity(&self, limits: Limits, smallest: u64, at: Duration) -> (u64, u64) {
        let ticks = Self::tick(at).saturating_sub(self.tick);
        let (windows, within) = (ticks / Self::SPAN, self.tick.saturating_add(ticks % Self::SPAN));
        let left = self.left_by(within);
        let first = admissible(limits, self.end().since(left), smallest);
        let whole = admissible(limits, Totals::default(), smallest);
        let upto = |whole: u64, first: u64| windows.saturating_mul(whole).saturating_add(first);
        (upto(whole.requests, first.requests), upto(whole.tokens, first.tokens))
    }

    /// A lower bound on the requests, none larger than `largest`, that a strict line gets through from now until `at`:
    /// its head is blocked only when a window has all its requests, or less room for tokens than the largest needs.
    ///
    /// The window is that of the last call which moved the clock.
    #[must_use]
    pub fn certain(&self, limits: Limits, largest: u64, at: Duration) -> u64 {
        let ticks = Self::tick(at).saturating_sub(self.tick);
        let (windows, within) = (ticks / Self::SPAN, self.tick.saturating_add(ticks % Self::SPAN));
        let left = self.left_by(within);
        let admitted = |live: Totals| {
            let requests = limits.rpm.map_or(u64::MAX, |rpm| rpm.saturating_sub(live.requests));
            let blocked_from = |tpm: u64| tpm.saturating_sub(live.tokens).saturating_sub(largest.saturating_sub(1));
            requests.min(limits.tpm.map_or(u64::MAX, |tpm| blocked_from(tpm).div_ceil(largest.max(1))))
        };
        windows.saturating_mul(admitted(Totals::default())).saturating_add(admitted(self.end().since(left)))
    }

    /// The totals up to the buckets that have left by this one.
    fn left_by(&self, tick: u64) -> Totals {
        let gone = self.buckets.partition_point(|bucket| bucket.tick.saturating_add(Self::SPAN) <= tick);
        gone.checked_sub(1).and_then(|last| self.buckets.get(last)).map_or(self.before, |bucket| bucket.upto)
    }

    /// What is charged: how long ago at least, requests, tokens; oldest first. A bucket counts as charged at its end, which is
    /// never too early.
    pub fn history(&mut self, now: Duration) -> Vec<(Duration, u64, u64)> {
        self.advance(now);
        let mut before = self.before;
        let charged = self.buckets.iter().map(|bucket| {
            let Totals { requests, tokens } = bucket.upto.since(std::mem::replace(&mut before, bucket.upto));
            let end = Self::start(bucket.tick.saturating_add(1));
            (now.saturating_sub(end), requests, tokens)
        });
        charged.filter(|(_, requests, tokens)| *requests > 0 || *tokens > 0).collect()
    }

    /// When the oldest charge leaves.
    #[must_use]
    pub fn steady_until(&self) -> Duration {
        self.buckets.front().map_or(Duration::MAX, |oldest| Self::start(oldest.tick.saturating_add(Self::SPAN)))
    }

    /// Lets the clock run to `now`, and forgets the buckets that have left by then.
    pub fn advance(&mut self, now: Duration) {
        self.tick = self.tick.max(Self::tick(now));
        while let Some(oldest) =
            self.buckets.front().filter(|oldest| oldest.tick.saturating_add(Self::SPAN) <= self.tick)
        {
            self.before = oldest.upto;
            self.first += 1;
            self.buckets.pop_front();
        }
    }

    fn replace(&mut self, charge: &mut Charge, requests: u64, tokens: u64) {
        let index = charge.bucket.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        let Some((index, bucket)) = index.and_then(|index| Some((index, *self.buckets.get(index)?))) else { return };
        let before = index.checked_sub(1).and_then(|index| self.buckets.get(index)).map_or(self.before, |it| it.upto);
        let held = bucket.upto.since(before);
        // `lower` may have taken from this charge already; then there is less to take.
        let (old_requests, old_tokens) = (charge.requests.min(held.requests), charge.tokens.min(held.tokens));
        let tokens = tokens.min((u64::MAX - self.live().tokens).saturating_add(old_tokens));
        for bucket in self.buckets.range_mut(index..) {
            let upto = &mut bucket.upto;
            upto.requests = upto.requests.wrapping_sub(old_requests).wrapping_add(requests);
            upto.tokens = upto.tokens.wrapping_sub(old_tokens).wrapping_add(tokens);
        }
        (charge.requests, charge.tokens) = (requests, tokens);
    }

    fn live(&self) -> Totals {
        self.end().since(self.before)
    }

    fn end(&self) -> Totals {
        self.buckets.back().map_or(self.before, |newest| newest.upto)
    }

    /// The bucket that holds this moment.
    fn tick(at: Duration) -> u64 {
        // In 64 bits, because this is on the way of every admission: `as_millis` has 128.
        at.as_secs().saturating_mul(1000).saturating_add(u64::from(at.subsec_millis())) / Self::WIDTH_MS
    }

    /// The first moment of a bucket.
    fn start(tick: u64) -> Duration {
        Duration::from_millis(tick.saturating_mul(Self::WIDTH_MS))
    }
}

impl Totals {
    fn since(self, before: Self) -> Self {
        Self { requests: self.requests.wrapping_sub(before.requests), tokens: self.tokens.wrapping_sub(before.tokens) }
    }
}

fn fits(limits: Limits, live: Totals, tokens: u64) -> bool {
    let under = |limit: Option<u64>, live: u64, more| limit.is_none_or(|limit| live.saturating_add(more) <= limit);
    under(limits.rpm, live.requests, 1) && under(limits.tpm, live.tokens, tokens)
}

/// How much fits beside what is charged: tokens, and requests none of which is smaller than `smallest`.
fn admissible(limits: Limits, live: Totals, smallest: u64) -> Totals {
    let requests = limits.rpm.map_or(u64::MAX, |rpm| rpm.saturating_sub(live.requests));
    let Some(tpm) = limits.tpm else { return Totals { requests, tokens: u64::MAX } };
    match tpm.checked_sub(live.tokens) {
        None => Totals::default(),
        Some(tokens) => Totals { requests: requests.min(tokens.checked_div(smallest).unwrap_or(u64::MAX)), tokens },
    }
}
