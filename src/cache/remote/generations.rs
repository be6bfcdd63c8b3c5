//! Which generation of a namespace's answers is the current one. Clearing begins a new one, under whose keys nothing is yet, so
//! that it takes one step, however much is cleared; what is of an older one is found by nobody and expires.
//!
//! Every process knows the generations that it uses, and learns within a second or so that something was cleared.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::future::try_join;

use crate::cache::Namespace;
use crate::redis::{Fault, Found, Values};

/// Namespaces that are known at a time; beyond that all are asked for anew.
const MOST: usize = 1 << 16;

/// See the module.
#[derive(Debug)]
pub(super) struct Generations {
    prefix: String,
    known: Mutex<Known>,
    /// Held by whoever clears or looks, so that a look does not bring back what it saw before a clear.
    changing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    /// When anybody last cleared anything.
    cleared: Option<Token>,
    /// Of all namespaces together.
    all: Option<Token>,
    each: HashMap<Namespace, Token>,
}

type Token = [u8; 8];

/// A generation as Redis has it.
struct Current {
    token: Token,
    /// It was begun by whoever cleared the one before, and not because Redis had forgotten it.
    is_cleared: bool,
}

/// What generations that were begun by clearing begin with.
const CLEARED: &str = "cleared-";

impl Current {
    fn is_clear_of(&self, before: Token) -> bool {
        self.is_cleared && self.token != before
    }
}

/// What was found to have been cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cache) enum Cleared {
    One(Namespace),
    All,
}

impl Generations {
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), known: Mutex::default(), changing: tokio::sync::Mutex::default() }
    }

    /// What the keys of a namespace's answers have in common: its tag and its generation, which is asked for if it is not known.
    ///
    /// # Errors
    /// If Redis has to be asked and does not answer.
    pub async fn of(&self, values: &Values, namespace: Namespace) -> Result<String, Fault> {
        if let Some(both) = self.lock().both(namespace) {
            return Ok(self.name(namespace, both));
        }
        let (all, own) = (self.key(None), self.key(Some(namespace)));
        let (all, own) = try_join(self.current(values, &all), self.current(values, &own)).await?;
        let mut known = self.lock();
        if known.each.len() >= MOST {
            known.each.clear();
        }
        // Whoever was first is right until it is looked at again.
        let both = (*known.all.get_or_insert(all.token), *known.each.entry(namespace).or_insert(own.token));
        drop(known);
        Ok(self.name(namespace, both))
    }

    /// Begins a new generation of a namespace, or of all.
    ///
    /// # Errors
    /// If Redis does not do it.
    pub async fn clear(&self, values: &Values, namespace: Option<Namespace>) -> Result<(), Fault> {
        let _one = self.changing.lock().await;
        let text = format!("{CLEARED}{}", fresh());
        values.set(&self.key(namespace), &text, false).await?;
        {
            let (mut known, token) = (self.lock(), token(text.as_bytes()));
            match namespace {
                None => known.all = Some(token),
                Some(namespace) => _ = known.each.insert(namespace, token),
            }
        }
        values.set(&self.cleared_key(), &fresh(), false).await
    }

    /// Looks whether anything was cleared, and if so what: of the namespaces that are known here.
    ///
    /// # Errors
    /// If Redis does not answer.
    pub async fn look(&self, values: &Values) -> Result<Vec<Cleared>, Fault> {
        let _one = self.changing.lock().await;
        // Another one also where Redis has forgotten it, and with it the generations.
        let now = Some(self.current(values, &self.cleared_key()).await?.token);
        let (before, all, each) = {
            let known = self.lock();
            (known.cleared, known.all, known.each.iter().map(|(name, token)| (*name, *token)).collect::<Vec<_>>())
        };
        if now == before {
            return Ok(Vec::new());
        }
        let mut cleared = Vec::new();
        if let Some(all) = all {
            let current = self.current(values, &self.key(None)).await?;
            self.lock().all = Some(current.token);
            cleared.extend(current.is_clear_of(all).then_some(Cleared::All));
        }
        for (namespace, token) in each {
            let current = self.current(values, &self.key(Some(namespace))).await?;
            self.lock().each.insert(namespace, current.token);
            cleared.extend(current.is_clear_of(token).then_some(Cleared::One(namespace)));
        }
        // Last, so that a look that was cut short is done again.
        self.lock().cleared = now;
        Ok(cleared)
    }

    /// What Redis says is current. If it says nothing, because it has forgotten or never knew, that is made so: what is kept
    /// under any other is then of nobody.
    async fn current(&self, values: &Values, key: &str) -> Result<Current, Fault> {
        let found = match values.get(key).await? {
            Found::Nothing => {
                values.set(key, &fresh(), true).await?;
                values.get(key).await?
            }
            found => found,
        };
        match found {
            Found::Value(text) => Ok(Current { token: token(&text), is_cleared: text.starts_with(CLEARED.as_bytes()) }),
            Found::Nothing | Found::Foreign => {
                Err(Fault::refused(format!("{key} is of another type, or does not last")))
            }
        }
    }

    fn key(&self, namespace: Option<Namespace>) -> String {
        match namespace {
            None => format!("{}:cache:generation", self.prefix),
            Some(Namespace(tag)) => format!("{}:cache:generation:{tag:016x}", self.prefix),
        }
    }

    fn cleared_key(&self) -> String {
        format!("{}:cache:cleared", self.prefix)
    }

    fn name(&self, Namespace(tag): Namespace, (all, own): (Token, Token)) -> String {
        let hash = token(&[all, own].concat());
        format!("{}:cache:{tag:016x}.{:016x}", self.prefix, u64::from_be_bytes(hash))
    }

    // A std mutex: nothing is awaited while it is held.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn both(&self, namespace: Namespace) -> Option<(Token, Token)> {
        Some((self.all?, *self.each.get(&namespace)?))
    }
}

/// A text that nobody else has.
pub(super) fn fresh() -> String {
    format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..))
}

fn token(text: &[u8]) -> Token {
    let mut token = [0; 8];
    token.copy_from_slice(&blake3::hash(text).as_bytes()[..8]);
    token
}
