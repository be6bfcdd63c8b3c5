//! Which generation of a namespace's answers is the current one: when it was last cleared, which is part of their keys. So clearing takes
//! one step, however much is cleared: what is of an older generation is found by nobody and expires.
//!
//! Redis has one set of what was cleared, by when. A process asks for a namespace when it first needs it, and again and again for what
//! was cleared since it last asked, at first since it was begun to be used: it learns of each clear, and takes one step for all that it
//! knows. A set that is gone is begun anew: what was kept before is of nobody, and whoever has cleared something lately clears it again, for
//! those who had not heard of it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::cache::Namespace;
use crate::redis::{Fault, Values, unique_name};

/// Namespaces that are known at a time; beyond that all are asked for anew.
const MOST: usize = 1 << 16;

/// What all namespaces together are called.
const ALL: &str = "all";

/// What says when the set was begun.
const BEGUN: &str = "thryd 1";

/// For how long a process clears again what it has cleared, and how many namespaces it remembers for that; more count as all.
const CLEARS_AGAIN: Duration = Duration::from_secs(3600);
const MOST_AGAIN: usize = 256;

/// How much longer than it was used a process asks back at first: for the way there, and clocks of servers that differ.
const MARGIN: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub(super) struct Generations {
    prefix: String,
    /// The key of the set.
    set: String,
    known: Mutex<Known>,
    /// Held by whoever clears or looks, so that one who looks is not told of what this process has cleared itself.
    changing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    /// Up to when it is known what was cleared; 0 at first.
    seen: u64,
    /// When all were cleared, or begun.
    since: u64,
    /// When each was cleared, or 0.
    each: HashMap<Namespace, u64>,
    /// What this process has cleared lately, and when; `None` is all.
    own: Vec<(Option<Namespace>, Instant)>,
    /// What of that is still to be cleared again.
    again: Vec<(Option<Namespace>, Instant)>,
}

/// What was found to have been cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cache) enum Cleared {
    One(Namespace),
    All,
}

impl Known {
    /// This namespace was cleared then, or later if that is known.
    fn insert(&mut self, namespace: Namespace, own: u64) {
        if self.each.len() >= MOST {
            self.each.clear();
        }
        let known = self.each.entry(namespace).or_default();
        *known = own.max(*known);
    }

    /// This process has cleared a namespace, or all.
    fn note(&mut self, namespace: Option<Namespace>) {
        let now = Instant::now();
        self.own.retain(|(own, at)| *own != namespace && now - *at < CLEARS_AGAIN);
        let is_all = namespace.is_none() || self.own.len() >= MOST_AGAIN;
        if is_all {
            self.own.clear();
        }
        self.own.push((namespace.filter(|_| !is_all), now));
    }
}

impl Generations {
    pub fn new(prefix: &str) -> Self {
        let (prefix, set) = (prefix.to_owned(), format!("{prefix}:cache:cleared"));
        Self { prefix, set, known: Mutex::default(), changing: tokio::sync::Mutex::default() }
    }

    /// What the keys of a namespace's answers have in common, its tag and its generation, if that is known.
    pub fn known(&self, namespace: Namespace) -> Option<String> {
        let known = self.lock();
        let own = known.each.get(&namespace)?;
        Some(self.name(namespace, known.since.max(*own)))
    }

    /// The same of a generation that was asked for, unless a later one is known by now.
    pub fn named(&self, namespace: Namespace, generation: u64) -> String {
        let known = self.lock();
        let own = known.each.get(&namespace).copied().unwrap_or_default();
        self.name(namespace, generation.max(known.since).max(own))
    }

    /// Asks for the generation of a namespace; and whether it was cleared so lately that it has not been told, so that what was asked for
    /// before may yet come.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn ask(&self, values: &Values, namespace: Namespace) -> Result<(u64, bool), Fault> {
        let seen = self.lock().seen;
        let said = values.cleared(&self.set, seen.cast_signed(), &name(namespace), false).await?;
        let (mut known, generation) = (self.lock(), said.since.max(said.own));
        let is_news = generation > known.seen;
        // What is older than what has become known meanwhile is not remembered, and what is newer not before it is told.
        if said.told >= known.seen && !is_news {
            known.insert(namespace, said.own);
        }
        Ok((generation, is_news))
    }

    /// Whether it has ever been told what was cleared.
    pub fn is_begun(&self) -> bool {
        self.lock().seen > 0
    }

    /// Begins a new generation of a namespace, or of all.
    ///
    /// # Errors
    /// If Redis does not do it.
    pub async fn clear(&self, values: &Values, namespace: Option<Namespace>) -> Result<(), Fault> {
        let _one = self.changing.lock().await;
        self.begin(values, namespace).await?;
        self.lock().note(namespace);
        Ok(())
    }

    async fn begin(&self, values: &Values, namespace: Option<Namespace>) -> Result<(), Fault> {
        let (seen, name) = (self.lock().seen, namespace.map_or_else(|| ALL.to_owned(), name));
        let said = values.cleared(&self.set, seen.cast_signed(), &name, true).await?;
        let mut known = self.lock();
        known.since = known.since.max(said.since);
        // Nothing else was: what else was is told when it is looked for.
        if said.news.iter().all(|(news, _)| *news == name) {
            known.seen = known.seen.max(said.told);
        }
        if let Some(namespace) = namespace {
            known.insert(namespace, said.own);
        }
        Ok(())
    }

    /// Looks whether anything was cleared, and tells what. Nothing goes by it before it is told: from then on nothing may be kept that
    /// was asked for before. At first what was cleared since it was begun to be used, which is so long ago.
    ///
    /// # Errors
    /// If Redis does not answer; the rest is told the next time.
    pub async fn look(&self, values: &Values, used: Duration, tell: impl Fn(Vec<Cleared>)) -> Result<(), Fault> {
        let _one = self.changing.lock().await;
        let mut seen = self.lock().seen;
        let is_first = seen == 0;
        if !is_first && !values.has_cleared_since(&self.set, seen).await? {
            return self.clear_again(values).await;
        }
        loop {
            let back = i64::try_from((used + MARGIN).as_micros()).unwrap_or(i64::MAX);
            let from = if seen == 0 { -back } else { seen.cast_signed() };
            let said = values.cleared(&self.set, from, "", false).await?;
            let is_anew = !is_first && said.news.iter().any(|(name, _)| name == BEGUN);
            let news = || said.news.iter().filter_map(|(name, at)| Some((Cleared::read(name)?, *at)));
            if news().next().is_some() {
                tell(news().map(|(what, _)| what).collect());
            }
            {
                let mut known = self.lock();
                known.since = known.since.max(said.since);
                known.seen = known.seen.max(said.told);
                seen = known.seen;
                for (what, at) in news() {
                    if let Cleared::One(namespace) = what
                        && let Some(own) = known.each.get_mut(&namespace)
                    {
                        *own = at.max(*own);
                    }
                }
                if is_anew {
                    let own = known.own.clone();
                    known.again = own;
                }
            }
            if !said.is_part {
                return self.clear_again(values).await;
            }
        }
    }

    /// Clears again what was cleared lately, until all of it is.
    async fn clear_again(&self, values: &Values) -> Result<(), Fault> {
        loop {
            let Some((namespace, at)) = self.lock().again.last().copied() else { return Ok(()) };
            if at.elapsed() < CLEARS_AGAIN {
                self.begin(values, namespace).await?;
            }
            self.lock().again.pop();
        }
    }

    /// A key where nothing is, of the slot of this place.
    pub fn probe(&self, place: &str) -> String {
        format!("{}:cache:{{{place}}}", self.prefix)
    }

    fn name(&self, Namespace(tag): Namespace, generation: u64) -> String {
        format!("{}:cache:{tag:016x}.{generation:x}", self.prefix)
    }

    // A std mutex: nothing is awaited while it is held.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cleared {
    /// None is all.
    pub fn namespace(self) -> Option<Namespace> {
        match self {
            Self::All => None,
            Self::One(namespace) => Some(namespace),
        }
    }

    /// What a name stands for.
    fn read(name: &str) -> Option<Self> {
        match name {
            ALL => Some(Self::All),
            _ => u64::from_str_radix(name, 16).ok().map(|tag| Self::One(Namespace(tag))),
        }
    }
}

fn name(Namespace(tag): Namespace) -> String {
    format!("{tag:016x}")
}

/// A text that nobody else has.
pub(super) fn fresh() -> String {
    unique_name() + &unique_name()
}
