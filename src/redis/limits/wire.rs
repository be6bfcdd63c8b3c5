//! The scripts of limits: what they are told, and what they answer.

use std::time::Duration;

use redis::Value;

use super::super::Redis;
use super::super::fault::Fault;
use super::super::script::Script;
use crate::constants::BUCKET_WIDTH;
use crate::tracker::Limits;

/// What both scripts begin with.
const WINDOW: &str = include_str!("../scripts/window.lua");

static RESERVE: Script = Script::new([WINDOW, include_str!("../scripts/reserve.lua")]);
static ADJUST: Script = Script::new([WINDOW, include_str!("../scripts/adjust.lua")]);

/// Whoever waits comes again this soon, whatever the script foresees: it cannot foresee what others give back.
pub(super) const AGAIN: Duration = BUCKET_WIDTH;

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
    /// Until it is worth asking again, if nothing was.
    pub wait: Duration,
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
        Self([own("window"), key("account"), own("queue"), own("waits"), held, account_held, key("processes")])
    }

    /// That of the deployment's window.
    pub fn window(&self) -> &str {
        &self.0[0]
    }

    fn all(&self) -> [&str; 7] {
        self.0.each_ref().map(String::as_str)
    }
}

/// Reserves.
///
/// # Errors
/// As [`Redis::run`].
pub(super) async fn reserve(redis: &Redis, keys: &Keys, speaker: &Speaker, ask: Reservation) -> Result<Granted, Fault> {
    let numbers = |limits: Limits| [limits.rpm, limits.tpm, limits.max_concurrent].map(|limit| limit.unwrap_or(0));
    let mut told = speaker.told();
    let [lease, again, grace] = [speaker.lease, AGAIN, GRACE].map(milliseconds);
    let all = [[ask.want, ask.most, ask.tokens], numbers(ask.limits), numbers(ask.account)];
    let rest = [ask.holds, lease, again, grace, u64::from(ask.counts)];
    told.extend(all.iter().flatten().chain(&rest).map(ToString::to_string));
    let answer = integers(RESERVE.run(redis, &keys.all(), &told).await?)?;
    let &[count, tick, wait, own, account, processes, _] = &answer[..] else { return Err(strange()) };
    let number = |number: i64| u64::try_from(number).unwrap_or(0);
    Ok(Granted {
        count: number(count),
        tick: number(tick),
        wait: Duration::from_millis(number(wait)),
        epoch: Epoch { own: number(own), account: number(account) },
        processes: u64::try_from(processes).ok(),
    })
}

/// Tells windows what requests really were. Gives their epoch, and how many processes are alive.
///
/// # Errors
/// As [`Redis::run`].
pub(super) async fn adjust(
    redis: &Redis,
    keys: &Keys,
    speaker: &Speaker,
    adjustment: &Adjustment<'_>,
) -> Result<(Epoch, u64), Fault> {
    let Adjustment { limits, account, holds, leaves, changes, epoch } = adjustment;
    let flag = |is: bool| u64::from(is);
    let flags = [*account != Limits::default(), limits.max_concurrent.is_some(), account.max_concurrent.is_some()];
    let mut told = speaker.told();
    let rest = [*holds, milliseconds(speaker.lease), flag(*leaves)];
    told.extend(flags.map(flag).iter().chain(&rest).map(ToString::to_string));
    match changes {
        Changes::Ticks(all) => {
            told.push("tick".to_owned());
            for (tick, requests, tokens) in *all {
                told.extend([tick.to_string(), requests.to_string(), tokens.to_string()]);
            }
        }
        Changes::Ages(all) => {
            told.push("age".to_owned());
            for (age, requests, tokens) in *all {
                told.extend([milliseconds(*age), *requests, *tokens].iter().map(ToString::to_string));
            }
        }
    }
    let meant = epoch.map_or_else(Default::default, |epoch| [epoch.own.to_string(), epoch.account.to_string()]);
    told.extend(meant);
    let answer = integers(ADJUST.run(redis, &keys.all(), &told).await?)?;
    let &[own, account, processes] = &answer[..] else { return Err(strange()) };
    let number = |number: i64| u64::try_from(number).unwrap_or(0);
    Ok((Epoch { own: number(own), account: number(account) }, number(processes)))
}

impl Speaker {
    /// What every script is told first.
    fn told(&self) -> Vec<String> {
        let clock = self.clock.map(|clock| clock.to_string()).unwrap_or_default();
        vec![self.ledger.clone(), clock, self.process.clone()]
    }
}

/// The integers that a script answered; those beyond what a script's numbers hold come as texts.
fn integers(answer: Value) -> Result<Vec<i64>, Fault> {
    let Value::Array(values) = answer else { return Err(strange()) };
    let integer = |value: &Value| match value {
        Value::Int(number) => Some(*number),
        Value::BulkString(text) => std::str::from_utf8(text).ok()?.parse().ok(),
        _ => None,
    };
    values.iter().map(integer).collect::<Option<_>>().ok_or_else(strange)
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn strange() -> Fault {
    Fault::refused("the script answered something else than it should")
}
