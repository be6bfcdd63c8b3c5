//! The script of limits: what it is told, and what it answers.

use std::time::Duration;

use redis::Value;

use super::super::Redis;
use super::super::fault::Fault;
use super::super::script::Script;
use crate::constants::BUCKET_WIDTH;
use crate::tracker::Limits;

const BEGIN: &str = include_str!("../scripts/count-begin.lua");
const WINDOW: &str = include_str!("../scripts/window.lua");
const ALL: &str = include_str!("../scripts/count.lua");

static COUNT: Script = Script::new(&[BEGIN, include_str!("../scripts/count-one.lua"), WINDOW, ALL]);

/// The same without its short way, which is to make no difference.
#[cfg(test)]
pub(super) static COUNT_THE_LONG_WAY: Script = Script::new(&[BEGIN, WINDOW, ALL]);

/// Whoever waits comes again this soon, whatever the script foresees, which cannot foresee what others give back; where many wait,
/// later.
const AGAIN: Duration = BUCKET_WIDTH;

/// How much later than it said somebody may come and still keep its place. What is kept for one that has died is kept for this
/// long, once; one that is late for want of a processor loses its share if this is too short.
const GRACE: Duration = Duration::from_secs(1);

/// Later than any moment in microseconds, and the last number that a double can tell from others.
const NEVER: u64 = 1 << 53;

/// The keys of one deployment, all of one slot: that of its account.
#[derive(Clone, Debug)]
pub(super) struct Keys([String; 13]);

/// What is said to Redis at once: what requests cost, and what there is use for.
#[derive(Clone, Debug)]
pub(super) struct Words<'a> {
    /// What is to be reserved, if anything is.
    pub ask: Option<Ask>,
    pub limits: Limits,
    pub account: Limits,
    /// Requests that are held already.
    pub holds: u64,
    /// Whether it waits no longer.
    pub leaves: bool,
    /// Whether the process is to be counted.
    pub counts: bool,
    pub changes: Changes<'a>,
    /// The windows that are meant by the changes.
    pub meant: Meant,
    /// The last moment at which it may run, in milliseconds of the server's clock.
    pub latest: Option<u64>,
}

/// Requests that are to be reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    /// How many there is use for, and how many are wanted at once.
    pub want: u64,
    pub most: u64,
    /// Tokens of each of them.
    pub tokens: u64,
}

/// What was granted, and how it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// Whether it came too late to run. Then nothing else is said but when that was.
    pub is_late: bool,
    pub count: u64,
    /// The bucket in which it was granted. The clock of a server that took another's place may be some buckets behind.
    pub tick: u64,
    /// The bucket in which the server's clock stood.
    pub clock: u64,
    /// Until there may be room, if nothing was granted.
    pub wait: Duration,
    /// Until it is to ask again.
    pub pause: Duration,
    pub epoch: Epoch,
    /// Processes that are alive, if they were counted.
    pub processes: Option<u64>,
}

/// The windows of a deployment and of its account, as they were found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Epoch {
    pub own: Found,
    /// Nothing if the account has no limits.
    pub account: Found,
}

/// A window, as it was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// When it was begun: others than before have forgotten what was charged. 0 is none.
    pub epoch: u64,
    /// How often it was charged: with a smaller number than before it has forgotten what was charged since.
    pub number: u64,
    /// How many have told it all that they were charged with in the last minute, because it had forgotten.
    pub told: u64,
}

/// What a change is for: the windows with these epochs, or any where that is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Meant {
    pub own: u64,
    pub account: u64,
}

/// When, how many requests and how many tokens more.
#[derive(Clone, Copy, Debug)]
pub(super) enum Changes<'a> {
    /// In the buckets of these ticks.
    Ticks(&'a [(u64, i64, i64)]),
    /// So long ago.
    Ages(&'a [(Duration, u64, u64)]),
    /// So long ago, and all of the last minute.
    History(&'a [(Duration, u64, u64)], Telling),
}

/// How a window is told all of the last minute: charged once, however often it is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Telling {
    /// Tells it from others of the same ledger.
    pub number: u64,
    /// The windows that were known before.
    pub known: Meant,
}

/// Who speaks: a ledger of a process.
#[derive(Clone, Debug)]
pub(super) struct Speaker {
    pub ledger: String,
    pub process: String,
    pub lease: Duration,
    /// The clock in milliseconds; the server's own but in tests.
    pub clock: Option<u64>,
}

impl Epoch {
    /// Whether a window that was found later has forgotten something: the deployment's, its account's.
    pub fn has_forgotten(self, later: Self) -> [bool; 2] {
        [(self.own, later.own), (self.account, later.account)].map(|(known, found)| {
            let are_both = known.epoch != 0 && found.epoch != 0;
            are_both && (known.epoch != found.epoch || found.number < known.number)
        })
    }

    /// These windows.
    pub fn meant(self) -> Meant {
        Meant { own: self.own.epoch, account: self.account.epoch }
    }
}

impl Meant {
    /// None; no window was begun then.
    const NONE: u64 = 1;

    /// Those of the two that this is true of.
    pub fn only([own, account]: [bool; 2]) -> Self {
        let any_if = |is: bool| if is { 0 } else { Self::NONE };
        Self { own: any_if(own), account: any_if(account) }
    }
}

impl Keys {
    /// Those of a model of this account, below a prefix.
    pub fn new(prefix: &str, account: &str, model: &str) -> Self {
        let key = |what: &str| format!("{prefix}:limits:{{{account}}}:{what}");
        let own = |what: &str| key(&format!("{what}:{model}"));
        let [window, queue, waits, held, held_until, told] =
            ["window", "queue", "waits", "held", "held-until", "told"].map(own);
        let [processes, account, of_queue, of_waits] =
            ["processes", "account", "account-queue", "account-waits"].map(key);
        let [of_held, of_held_until, of_told] = ["account-held", "account-held-until", "account-told"].map(key);
        Self([
            window,
            queue,
            waits,
            processes,
            account,
            of_queue,
            of_waits,
            held,
            held_until,
            of_held,
            of_held_until,
            told,
            of_told,
        ])
    }

    /// That of the deployment's window.
    pub fn window(&self) -> &str {
        &self.0[0]
    }

    /// Those that the script needs for these words.
    fn needed(&self, words: &Words<'_>) -> Vec<&str> {
        let is_more = words.limits.max_concurrent.is_some() || words.account != Limits::default();
        let count = match words.changes {
            Changes::History(..) => 13,
            _ if is_more => 11,
            _ => 4,
        };
        self.0.iter().take(count).map(String::as_str).collect()
    }
}

/// Tells the windows what requests really were, and reserves others.
///
/// # Errors
/// As [`Redis::run`].
pub(super) async fn count(redis: &Redis, keys: &Keys, speaker: &Speaker, words: &Words<'_>) -> Result<Answer, Fault> {
    count_by(&COUNT, redis, keys, speaker, words).await
}

/// The same by one of the scripts above.
///
/// # Errors
/// As [`Redis::run`].
pub(super) async fn count_by(
    script: &Script,
    redis: &Redis,
    keys: &Keys,
    speaker: &Speaker,
    words: &Words<'_>,
) -> Result<Answer, Fault> {
    let Words { ask, limits, account, holds, leaves, counts, changes, meant, latest } = words;
    let numbers = |limits: &Limits| [limits.rpm, limits.tpm, limits.max_concurrent].map(|limit| limit.unwrap_or(0));
    let [lease, again, grace] = [speaker.lease, AGAIN, GRACE].map(milliseconds);
    let kind = match changes {
        Changes::Ticks(_) => 0,
        Changes::Ages(_) => 1,
        Changes::History(..) => 2,
    };
    let latest = latest.map_or(NEVER, |latest| latest.saturating_mul(1000).min(NEVER));
    let mut told = Vec::with_capacity(20 * 8);
    put(&mut told, &ask.map_or([0; 3], |ask| [ask.want, ask.most, ask.tokens]));
    put(&mut told, &numbers(limits));
    put(&mut told, &numbers(account));
    put(&mut told, &[*holds, lease, again, grace]);
    put(&mut told, &[u64::from(*counts), u64::from(*leaves), kind]);
    put(&mut told, &[meant.own, meant.account, speaker.clock.unwrap_or(0), latest]);
    let mut threes = Vec::new();
    match changes {
        Changes::Ticks(all) => {
            for (tick, requests, tokens) in *all {
                put(&mut threes, &[*tick]);
                put_signed(&mut threes, &[*requests, *tokens]);
            }
        }
        Changes::Ages(all) | Changes::History(all, _) => {
            all.iter().for_each(|(age, requests, tokens)| put(&mut threes, &[milliseconds(*age), *requests, *tokens]));
        }
    }
    let mut telling = Vec::new();
    if let Changes::History(_, Telling { number, known }) = changes {
        put(&mut telling, &[*number, known.own, known.account]);
    }
    let told = [speaker.ledger.as_bytes(), speaker.process.as_bytes(), &told, &threes, &telling];
    let count = if telling.is_empty() { 4 } else { 5 };
    let answer = script.run(redis, &keys.needed(words), &told[..count]).await?;
    let numbers: [Option<u64>; 12] = numbers_of(answer)?.map(whole);
    let [count, tick, wait, _, pause, own @ .., epoch, number, told, clock] = numbers.map(Option::unwrap_or_default);
    let account = Found { epoch, number, told };
    let [epoch, number, told] = own;
    Ok(Answer {
        is_late: numbers[0].is_none(),
        count,
        tick,
        clock,
        wait: Duration::from_millis(wait),
        pause: Duration::from_millis(pause),
        epoch: Epoch { own: Found { epoch, number, told }, account },
        processes: numbers[3],
    })
}

/// Appends numbers as scripts unpack them. All are below 2^53, as doubles can tell apart.
fn put(told: &mut Vec<u8>, numbers: &[u64]) {
    #[allow(clippy::cast_precision_loss, reason = "they are counts and moments")]
    told.extend(numbers.iter().flat_map(|number| (*number as f64).to_le_bytes()));
}

fn put_signed(told: &mut Vec<u8>, numbers: &[i64]) {
    #[allow(clippy::cast_precision_loss, reason = "they are differences of counts")]
    told.extend(numbers.iter().flat_map(|number| (*number as f64).to_le_bytes()));
}

/// The numbers that a script answered.
fn numbers_of<const COUNT: usize>(answer: Value) -> Result<[f64; COUNT], Fault> {
    let Value::BulkString(bytes) = answer else { return Err(strange()) };
    let (eights, rest) = bytes.as_chunks::<8>();
    let numbers: Vec<f64> = eights.iter().map(|eight| f64::from_le_bytes(*eight)).collect();
    if rest.is_empty() { numbers.try_into().map_err(|_| strange()) } else { Err(strange()) }
}

/// A count or a moment; what is less than nothing says that there is none.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "whole numbers below 2^53, and not negative"
)]
fn whole(number: f64) -> Option<u64> {
    (number >= 0.0).then_some(number as u64)
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn strange() -> Fault {
    Fault::refused("the script answered something else than it should")
}
