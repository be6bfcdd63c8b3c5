//! Whether a file answers fast enough to be read where nothing may wait, such as the thread that runs JavaScript.
//!
//! Nobody can tell beforehand whether a page is in memory or on a disk far away, so it is measured: after a read that took
//! long, so many others are made beside that thread, and twice as many each time if few fast ones stood between two of
//! them. A thread whose processor was given to another one looks just the same, and that says nothing of the file, so after
//! a first long read it is also asked, where the system tells it, how long the thread stood in line for a processor.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A read that takes this long is one too many where others wait.
const LONG: Duration = Duration::from_millis(1);

/// Reads made elsewhere for each such time that one took.
const ELSEWHERE: u32 = 16;

/// So many fast reads between two slow ones, and the second is an accident too.
const FEW: u32 = 64;

/// How often their number doubles, and the most there are.
const DOUBLINGS: u32 = 8;
const MOST: u32 = 1 << 12;

/// So many reads after a long one are watched.
const WATCHED: u32 = 256;

/// What is known of how fast a file answers.
pub(super) struct Pace {
    state: Mutex<State>,
    clock: Box<dyn Fn() -> Instant + Send + Sync>,
    line: Box<dyn Fn() -> Option<Duration> + Send + Sync>,
}

#[derive(Debug, Default)]
struct State {
    /// Reads that are still to be made elsewhere.
    elsewhere: u32,
    /// Reads that are still watched.
    watched: u32,
    /// Slow reads with few fast ones between them.
    slow: u32,
    /// Fast ones since the last slow one.
    fast: u32,
}

/// A read under way.
pub(super) struct Reading {
    begun: Instant,
    /// How long the thread had stood in line by then, if the read is watched.
    stood: Option<Duration>,
}

impl Pace {
    /// By the clock, and by what the system tells of the thread.
    pub fn new() -> Self {
        Self::by(Instant::now, stood_in_line)
    }

    /// By this clock, and this in place of what the system tells: how long the thread stood in line, ever.
    pub fn by(
        clock: impl Fn() -> Instant + Send + Sync + 'static,
        line: impl Fn() -> Option<Duration> + Send + Sync + 'static,
    ) -> Self {
        Self { state: Mutex::default(), clock: Box::new(clock), line: Box::new(line) }
    }

    /// Begins a read, unless this one is to be made elsewhere.
    pub fn begin(&self) -> Option<Reading> {
        let mut state = self.state();
        if state.elsewhere > 0 {
            state.elsewhere -= 1;
            return None;
        }
        let stood = if state.watched > 0 { (self.line)() } else { None };
        Some(Reading { begun: (self.clock)(), stood })
    }

    /// Whether the next read would be made here.
    pub fn is_fast(&self) -> bool {
        self.state().elsewhere == 0
    }

    /// Ends a read.
    pub fn end(&self, reading: &Reading) {
        let took = (self.clock)().saturating_duration_since(reading.begun);
        let mut state = self.state();
        if took < LONG {
            state.fast = state.fast.saturating_add(1);
            state.watched = state.watched.saturating_sub(1);
            return;
        }
        let stood = match (reading.stood, (self.line)()) {
            (Some(before), Some(after)) => after.saturating_sub(before),
            // The first long one, and from now on it will be known.
            (None, Some(_)) => took,
            (_, None) => Duration::ZERO,
        };
        state.watched = WATCHED;
        state.note_slow(took.saturating_sub(stood));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn note_slow(&mut self, took: Duration) {
        if took < LONG {
            return;
        }
        let times = u32::try_from(took.as_millis()).unwrap_or(u32::MAX);
        self.elsewhere = times.saturating_mul(ELSEWHERE << self.slow).min(MOST);
        self.slow = if self.fast < FEW { (self.slow + 1).min(DOUBLINGS) } else { 0 };
        self.fast = 0;
    }
}

/// How long this thread stood in line for a processor, ever, if the system tells it.
#[cfg(target_os = "linux")]
fn stood_in_line() -> Option<Duration> {
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    thread_local! {
        static OF_THREAD: Option<File> = File::open("/proc/thread-self/schedstat").ok();
    }
    let mut text = [0; 64];
    let length = OF_THREAD.with(|file| file.as_ref()?.read_at(&mut text, 0).ok())?;
    // Nanoseconds on a processor, nanoseconds in line, how often.
    let text = std::str::from_utf8(text.get(..length)?).ok()?;
    text.split_ascii_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
}

#[cfg(not(target_os = "linux"))]
fn stood_in_line() -> Option<Duration> {
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use proptest::prelude::*;

    use super::*;

    const FAST: Duration = Duration::from_micros(10);

    /// A file on a clock that the test turns.
    struct File {
        pace: Pace,
        now: Arc<AtomicU64>,
        in_line: Arc<AtomicU64>,
    }

    impl File {
        fn new(is_told: bool) -> Self {
            let (begun, now, in_line) = (Instant::now(), Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
            let (hand, line) = (Arc::clone(&now), Arc::clone(&in_line));
            let clock = move || begun + Duration::from_micros(hand.load(Ordering::SeqCst));
            let line = move || is_told.then(|| Duration::from_micros(line.load(Ordering::SeqCst)));
            Self { pace: Pace::by(clock, line), now, in_line }
        }

        /// Asks for a read that takes so long, so much of it in line. Returns how long it took here, if it was made here.
        fn read(&self, took: Duration, in_line: Duration) -> Option<Duration> {
            let reading = self.pace.begin()?;
            let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap();
            self.in_line.fetch_add(micros(in_line), Ordering::SeqCst);
            self.now.fetch_add(micros(took), Ordering::SeqCst);
            self.pace.end(&reading);
            Some(took)
        }

        fn read_all(&self, took: Duration, count: usize) -> usize {
            (0..count).filter(|_| self.read(took, Duration::ZERO).is_some()).count()
        }
    }

    #[test]
    fn a_file_that_is_always_slow_is_hardly_ever_read() {
        for is_told in [false, true] {
            let made = File::new(is_told).read_all(Duration::from_millis(5), 100_000);
            assert!((1..=33).contains(&made), "{made}");
        }
    }

    #[test]
    fn one_slow_read_among_many_is_an_accident() {
        for is_told in [false, true] {
            let file = File::new(is_told);
            for _ in 0..1_000 {
                assert!(file.read_all(FAST, 100) >= 84);
                file.read(LONG, Duration::ZERO);
            }
        }
    }

    #[test]
    fn a_thread_that_waits_for_its_processor_says_nothing_of_the_file() {
        let file = File::new(true);
        for _ in 0..1_000 {
            assert_eq!(file.read_all(FAST, 10), 10);
            assert!(file.read(LONG * 20 + FAST, LONG * 20).is_some());
        }
        assert_eq!(file.read_all(LONG * 20, 100), 1, "it is still told from a slow one");
    }

    #[test]
    fn what_has_become_fast_is_read_again_all_the_time() {
        let file = File::new(true);
        file.read_all(LONG * 20, 50_000);
        file.read_all(FAST, MOST as usize);
        assert_eq!(file.read_all(FAST, 1_000), 1_000);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_system_tells_how_long_a_thread_stood_in_line_and_that_only_grows() {
        // Not everywhere: where it is not told, a clock has to do.
        let Some(before) = stood_in_line() else { return };
        assert!(stood_in_line().is_some_and(|after| after >= before));
    }

    proptest! {
        #[test]
        fn slow_reads_never_add_more_than_an_eighth_of_a_millisecond_to_a_read_but_for_the_first_and_the_last(
            reads in prop::collection::vec((0..20_u64, 0..100_000_u64), 1..5_000), is_told in any::<bool>()
        ) {
            let file = File::new(is_told);
            let took = |(kind, us): &(u64, u64)| Duration::from_micros(if *kind == 0 { us + 1_000 } else { us % 900 });
            let slow: Duration = reads.iter().map(took).filter(|took| *took >= LONG).filter_map(|took| file.read(took, Duration::ZERO)).sum();
            let most = reads.iter().map(took).max().unwrap_or_default();
            prop_assert!(slow <= LONG * 2 * u32::try_from(reads.len()).unwrap() / ELSEWHERE + most * 2);
        }
    }
}
