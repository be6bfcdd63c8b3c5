//! Which generation of a namespace's answers is the current one: when it was last cleared, which is part of their keys. So clearing takes
//! one step, however much is cleared: what is of an older generation is found by nobody and expires.
//!
//! Redis has one set of what was cleared, by when. A process asks for a namespace when it first needs it, and again and again for what
//! was cleared since it last asked: it learns of each clear, and takes one step for all that it knows. A set that is gone is begun
//! anew, and what was kept before is of nobody.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::cache::Namespace;
use crate::redis::{Fault, History, Values};

/// Namespaces that are known at a time; beyond that all are asked for anew.
const MOST: usize = 1 << 16;

/// What all namespaces together are called.
const ALL: &str = "all";

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
}

/// What was found to have been cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cache) enum Cleared {
    One(Namespace),
    All,
}

impl Generations {
    pub fn new(prefix: &str) -> Self {
        let (prefix, set) = (prefix.to_owned(), format!("{prefix}:cache:cleared"));
        Self { prefix, set, known: Mutex::default(), changing: tokio::sync::Mutex::default() }
    }

    /// What the keys of a namespace's answers have in common: its tag and its generation, which is asked for if it is not known.
    ///
    /// # Errors
    /// If Redis has to be asked and does not answer.
    pub async fn of(&self, values: &Values, namespace: Namespace) -> Result<String, Fault> {
        let seen = {
            let known = self.lock();
            if let Some(own) = known.each.get(&namespace) {
                return Ok(self.name(namespace, known.since.max(*own)));
            }
            known.seen
        };
        let said = values.cleared(&self.set, seen, &name(namespace), false).await?;
        let mut known = self.lock();
        known.take_in(&said);
        if known.seen == 0 {
            // What was cleared before it was first asked is no news.
            known.seen = said.told;
        }
        // What is older than what has become known meanwhile is not remembered.
        if said.told >= known.seen {
            if known.each.len() >= MOST {
                known.each.clear();
            }
            known.each.insert(namespace, said.own);
        }
        Ok(self.name(namespace, known.since.max(said.own)))
    }

    /// Begins a new generation of a namespace, or of all.
    ///
    /// # Errors
    /// If Redis does not do it.
    pub async fn clear(&self, values: &Values, namespace: Option<Namespace>) -> Result<(), Fault> {
        let _one = self.changing.lock().await;
        let (seen, name) = (self.lock().seen, namespace.map_or_else(|| ALL.to_owned(), name));
        let said = values.cleared(&self.set, seen, &name, true).await?;
        let mut known = self.lock();
        known.take_in(&said);
        // Nothing else was: what else was is told when it is looked for.
        if said.news.iter().all(|(news, _)| *news == name) {
            known.seen = known.seen.max(said.told);
        }
        if let Some(own) = namespace.and_then(|namespace| known.each.get_mut(&namespace)) {
            *own = said.own.max(*own);
        }
        Ok(())
    }

    /// Looks whether anything was cleared, and if so what.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn look(&self, values: &Values) -> Result<Vec<Cleared>, Fault> {
        let _one = self.changing.lock().await;
        let (mut cleared, mut seen) = (Vec::new(), self.lock().seen);
        if seen > 0 && !values.has_cleared_since(&self.set, seen).await? {
            return Ok(cleared);
        }
        loop {
            let said = match values.cleared(&self.set, seen, "", false).await {
                Ok(said) => said,
                // The rest is told when it is looked for again.
                Err(_) if !cleared.is_empty() => return Ok(cleared),
                Err(fault) => return Err(fault),
            };
            let mut known = self.lock();
            known.take_in(&said);
            known.seen = known.seen.max(said.told);
            seen = known.seen;
            for (name, at) in said.news {
                let Some(what) = Cleared::read(&name) else { continue };
                if let Cleared::One(namespace) = what
                    && let Some(own) = known.each.get_mut(&namespace)
                {
                    *own = at.max(*own);
                }
                cleared.push(what);
            }
            if !said.is_part {
                return Ok(cleared);
            }
        }
    }

    fn name(&self, Namespace(tag): Namespace, generation: u64) -> String {
        format!("{}:cache:{tag:016x}.{generation:x}", self.prefix)
    }

    // A std mutex: nothing is awaited while it is held.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn take_in(&mut self, said: &History) {
        self.since = self.since.max(said.since);
    }
}

impl Cleared {
    /// What a name stands for; `None` for what says how the set is to be read.
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
    format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..))
}
