//! Where the providers of a router answer: what those who ask it from outside are not told.

use std::sync::{Arc, PoisonError, RwLock};

/// The hosts of all providers that a router has had. Clones are the same list.
#[derive(Clone, Debug, Default)]
pub struct Hosts(Arc<RwLock<Vec<String>>>);

impl Hosts {
    /// Adds one, for good: a call in flight may still be asking a provider that was taken away.
    pub(crate) fn add(&self, host: &str) {
        let host = host.to_ascii_lowercase();
        // A std lock: nothing is awaited while it is held.
        let mut hosts = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }

    /// The hosts, without their ports, in lower case.
    #[must_use]
    pub fn all(&self) -> Vec<String> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
