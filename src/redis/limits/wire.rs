//! The scripts of limits: what they are told, and what they answer.

use std::time::Duration;

use super::super::Redis;
use super::super::fault::Fault;
use super::super::script::{Argument, Script, Source};
use crate::constants::BUCKET_WIDTH;
use crate::tracker::Limits;

static RESERVE: Script =
    Script::new(concat!(include_str!("../scripts/window.lua"), include_str!("../scripts/reserve.lua")), || {
        Source::new(concat!(include_str!("../scripts/window.lua"), include_str!("../scripts/reserve.lua")))
    });

static ADJUST: Script =
    Script::new(concat!(include_str!("../scripts/window.lua"), include_str!("../scripts/adjust.lua")), || {
        Source::new(concat!(include_str!("../scripts/window.lua"), include_str!("../scripts/adjust.lua")))
    });

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
    let clock = speaker.clock();
    let of = |limits: Limits| [limits.rpm, limits.tpm, limits.max_concurrent].map(|limit| number(limit.unwrap_or(0)));
    let mut told = vec![
        Argument::Text(&speaker.ledger),
        Argument::Text(&clock),
        Argument::Text(&speaker.process),
        number(ask.want),
        number(ask.most),
        number(ask.tokens),
    ];
    told.extend(of(ask.limits).into_iter().chain(of(ask.account)));
    told.extend([ask.holds, milliseconds(speaker.lease), milliseconds(AGAIN), milliseconds(GRACE)].map(number));
    told.push(number(u64::from(ask.counts)));
    let answer = RESERVE.run(redis, &keys.all(), &told).await?;
    let said: Option<(u64, u64, u64, String, String, i64, u64)> = redis::from_redis_value(answer).ok();
    let read = said.and_then(|(count, tick, wait, own, account, processes, _)| {
        Some(Granted {
            count,
            tick,
            wait: Duration::from_millis(wait),
            epoch: Epoch { own: own.parse().ok()?, account: account.parse().ok()? },
            processes: u64::try_from(processes).ok(),
        })
    });
    read.ok_or_else(strange)
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
    let clock = speaker.clock();
    let flag = |is: bool| number(u64::from(is));
    let meant = epoch.map_or_else(Default::default, |epoch| [epoch.own.to_string(), epoch.account.to_string()]);
    let (word, changes): (_, Vec<String>) = match changes {
        Changes::Ticks(all) => {
            ("tick", all.iter().flat_map(|(tick, r, t)| [tick.to_string(), r.to_string(), t.to_string()]).collect())
        }
        Changes::Ages(all) => {
            let three = |(age, r, t): &(Duration, u64, u64)| [milliseconds(*age), *r, *t].map(|it| it.to_string());
            ("age", all.iter().flat_map(three).collect())
        }
    };
    let mut told = vec![
        Argument::Text(&speaker.ledger),
        Argument::Text(&clock),
        Argument::Text(&speaker.process),
        flag(*account != Limits::default()),
        flag(limits.max_concurrent.is_some()),
        flag(account.max_concurrent.is_some()),
        number(*holds),
        number(milliseconds(speaker.lease)),
        flag(*leaves),
        Argument::Text(word),
    ];
    told.extend(changes.iter().map(|text| Argument::Text(text)));
    told.extend(meant.iter().map(|text| Argument::Text(text)));
    let answer = ADJUST.run(redis, &keys.all(), &told).await?;
    let said: Option<(String, String, u64)> = redis::from_redis_value(answer).ok();
    let read = said.and_then(|(own, account, processes)| {
        Some((Epoch { own: own.parse().ok()?, account: account.parse().ok()? }, processes))
    });
    read.ok_or_else(strange)
}

impl Speaker {
    fn clock(&self) -> String {
        self.clock.map(|clock| clock.to_string()).unwrap_or_default()
    }
}

fn number<'a>(number: u64) -> Argument<'a> {
    Argument::Number(number)
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn strange() -> Fault {
    Fault::refused("the script answered something else than it should")
}
