//! What was cleared, counted: whether anything of a namespace was since a count that was taken.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::Namespace;

/// Namespaces that are told apart; beyond that what was cleared before counts as all.
const MOST: usize = 1 << 16;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Clears {
    count: AtomicU64,
    latest: Mutex<Latest>,
}

/// The count of the last time.
#[derive(Debug, Default)]
struct Latest {
    all: u64,
    each: HashMap<Namespace, u64>,
}

impl Clears {
    /// How often something was cleared.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    /// A namespace is cleared, or all.
    pub fn add(&self, namespace: Option<Namespace>) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let count = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        if namespace.is_none() || latest.each.len() >= MOST {
            *latest = Latest { all: count, each: HashMap::new() };
        }
        latest.each.extend(namespace.map(|namespace| (namespace, count)));
    }

    /// Whether this namespace was cleared since there was this count. As long as nothing was, it takes no lock.
    pub fn is_cleared_since(&self, namespace: Namespace, count: u64) -> bool {
        if self.count() == count {
            return false;
        }
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.all.max(latest.each.get(&namespace).copied().unwrap_or_default()) > count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_cleared_by_its_own_clears_and_by_those_of_all_and_by_no_others() {
        let (clears, [a, b]) = (Clears::default(), ["a", "b"].map(Namespace::new));
        let before = clears.count();
        clears.add(Some(a));
        let between = clears.count();
        assert!(clears.is_cleared_since(a, before) && !clears.is_cleared_since(b, before));
        assert!(!clears.is_cleared_since(a, between));
        clears.add(None);
        assert!(clears.is_cleared_since(a, between) && clears.is_cleared_since(b, between));
        assert!(!clears.is_cleared_since(b, clears.count()));
    }

    #[test]
    fn more_namespaces_than_are_told_apart_forget_no_clear() {
        let clears = Clears::default();
        let before = clears.count();
        for tag in 0..=MOST as u64 {
            clears.add(Some(Namespace(tag)));
        }
        assert!(clears.is_cleared_since(Namespace(1), before));
        assert!(clears.latest.lock().unwrap().each.len() <= MOST);
    }
}
