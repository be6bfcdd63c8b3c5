//! Who is told when there is more room than before.

use std::sync::Arc;

/// A list that is copied when it changes and shared when it is read, so that it can be called without any lock held.
#[derive(Clone)]
pub(super) struct Listeners(Arc<[Listener]>);

pub(super) type Listener = Arc<dyn Fn() + Send + Sync>;

impl Default for Listeners {
    fn default() -> Self {
        Self(Arc::new([]))
    }
}

impl Listeners {
    /// Tells everyone.
    pub fn tell(&self) {
        self.0.iter().for_each(|listener| listener());
    }

    pub fn add(&mut self, listener: Listener) {
        self.0 = self.0.iter().cloned().chain([listener]).collect();
    }

    pub fn remove(&mut self, listener: &Listener) {
        self.0 = self.0.iter().filter(|known| !Arc::ptr_eq(known, listener)).cloned().collect();
    }
}
