//! The scripts of limits: what they are told, and what they answer.

use std::time::Duration;

use redis::Value;

use super::super::Redis;
use super::super::fault::Fault;
use super::super::script::Script;
use crate::constants::BUCKET_WIDTH;
use crate::tracker::Limits;

/// What both scripts need where the first part of each does not answer already.
const WINDOW: &str = include_str!("../scripts/window.lua");

static RESERVE: Script =
    Script::new([include_str!("../scripts/reserve-one.lua"), WINDOW, include_str!("../scripts/reserve.lua")]);
static ADJUST: Script =
    Script::new([include_str!("../scripts/adjust-one.lua"), WINDOW, include_str!("../scripts/adjust.lua")]);

/// Whoever waits comes again this soon, whatever the script foresees, which cannot foresee what others give back; where many wait,
/// later.
const AGAIN: Duration = BUCKET_WIDTH;

/// How much later than it said somebody may come and still keep its place. What is kept for one that has died is kept for this
/// long, once; one that is late for want of a processor loses its share if this is too short.
const GRACE: Duration = Duration::from_secs(1);

/// The keys of one deployment, all of one slot: that of its account.
#[derive(Clone, Debug)]
pub(super) struct Keys([String; 7]);

/// What a reservation asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reservation {
    /// How many requests there is use for, and how many are wanted at once.
    pub want: u64,
    pub most: u64,
    /// Of each of them.
    pub tokens: u64,
    pub limits: Limits,
    pub account: Limits,
    /// Requests that are held already.
    pub holds: u64,
    /// Whether the process is to be counted.
    pub counts: bool,
}

/// What was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Granted {
    pub count: u64,
    pub tick: u64,
    /// Until there may be room, if nothing was.
    pub wait: Duration,
    /// Until it is to ask again.
    pub pause: Duration,
    pub epoch: Epoch,
    /// Processes that are alive, if they were counted.
    pub processes: Option<u64>,
}

/// When the windows of a deployment and of its account were begun: others than before have forgotten what was charged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Epoch {
    pub own: u64,
    /// 0 if the account has no limits.
    pub account: u64,
}

/// What windows are told.
#[derive(Clone, Debug)]
pub(super) struct Adjustment<'a> {
    pub limits: Limits,
    pub account: Limits,
    pub holds: u64,
    /// Whether it waits no longer.
    pub leaves: bool,
    /// Whether the process is to be counted.
    pub counts: bool,
    pub changes: Changes<'a>,
    /// The windows that are meant, if not any.
    pub epoch: Option<Epoch>,
}

/// When, how many requests and how many tokens more.
#[derive(Clone, Copy, Debug)]
pub(super) enum Changes<'a> {
    /// In the buckets of these ticks.
    Ticks(&'a [(u64, i64, i64)]),
    /// So long ago.
    Ages(&'a [(Duration, u64, u64)]),
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

impl Keys {
    /// Those of a model of this account, below a prefix.
    pub fn new(prefix: &str, account: &str, model: &str) -> Self {
        let key = |what: &str| format!("{prefix}:limits:{{{account}}}:{what}");
        let own = |what: &str| key(&format!("{what}:{model}"));
        let (held, account_held) = (own("held"), key("account-held"));
        Self([own("window"), own("queue"), own("waits"), key("processes"), key("account"), held, account_held])
    }

    /// That of the deployment's window.
    pub fn window(&self) -> &str {
        &self.0[0]
    }

    /// Those that a script needs under these limits.
    fn needed(&self, limits: Limits, account: Limits) -> Vec<&str> {
        let is_all = limits.max_concurrent.is_some() || account != Limits::default();
        self.0.iter().take(if is_all { 7 } else { 4 }).map(String::as_str).collect()
    }
}

/// Reserves.
///
/// # Errors
/// As [`Redis::run`].
pub(super) async fn reserve(redis: &Redis, keys: &Keys, speaker: &Speaker, ask: Reservation) -> Result<Granted, Fault> {
    let numbers = |limits: Limits| [limits.rpm, limits.tpm, limits.max_concurrent].map(|limit| limit.unwrap_or(0));
    let [lease, again, grace] = [speaker.lease, AGAIN, GRACE].map(milliseconds);
    let mut told = Vec::with_capacity(15 * 8);
    for three in [[ask.want, ask.most, ask.tokens], numbers(ask.limits), numbers(ask.account)] {
        put(&mut told, &three);
    }
    put(&mut told, &[ask.holds, lease, again, grace, u64::from(ask.counts), speaker.clock.unwrap_or(0)]);
    let told = [speaker.ledger.as_bytes(), speaker.process.as_bytes(), &told];
    let answer = RESERVE.run(redis, &keys.needed(ask.limits, ask.account), &told).await?;
    let [count, tick, wait, own, account, processes, pause] = numbers_of(answer)?.map(whole);
    let number = |number: Option<u64>| number.unwrap_or(0);
    Ok(Granted {
        count: number(count),
        tick: number(tick),
        wait: Duration::from_millis(number(wait)),
        pause: Duration::from_millis(number(pause)),
        epoch: Epoch { own: number(own), account: number(account) },
        processes,
    })
}

/// Tells windows what requests really were. Gives their epoch, and how many processes are alive if
/// that was asked.
///
/// # Errors
/// As [`Redis::run`].
pub(super) async fn adjust(
    redis: &Redis,
    keys: &Keys,
    speaker: &Speaker,
    adjustment: &Adjustment<'_>,
) -> Result<(Epoch, Option<u64>), Fault> {
    let Adjustment { limits, account, holds, leaves, counts, changes, epoch } = adjustment;
    let is_age = matches!(changes, Changes::Ages(_));
    let of = [*account != Limits::default(), limits.max_concurrent.is_some(), account.max_concurrent.is_some()];
    let [is_charged, is_held, is_account_held] = of;
    let flags = [is_charged, is_held, is_account_held, *leaves, *counts, is_age].map(u64::from);
    let epoch = epoch.unwrap_or_default();
    let mut told = Vec::with_capacity(11 * 8);
    put(&mut told, &[*holds, milliseconds(speaker.lease)]);
    put(&mut told, &flags);
    put(&mut told, &[speaker.clock.unwrap_or(0), epoch.own, epoch.account]);
    let mut threes = Vec::new();
    match changes {
        Changes::Ticks(all) => {
            for (tick, requests, tokens) in *all {
                put(&mut threes, &[*tick]);
                put_signed(&mut threes, &[*requests, *tokens]);
            }
        }
        Changes::Ages(all) => {
            all.iter().for_each(|(age, requests, tokens)| put(&mut threes, &[milliseconds(*age), *requests, *tokens]));
        }
    }
    let told = [speaker.ledger.as_bytes(), speaker.process.as_bytes(), &told, &threes];
    let answer = ADJUST.run(redis, &keys.needed(*limits, *account), &told).await?;
    let [own, account, processes] = numbers_of(answer)?.map(whole);
    let number = |number: Option<u64>| number.unwrap_or(0);
    Ok((Epoch { own: number(own), account: number(account) }, processes))
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
