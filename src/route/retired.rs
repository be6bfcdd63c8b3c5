//! The windows of deployments that were taken out of a group: one that comes back has still spent what it spent.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use crate::tracker::Tracker;

/// By group and model, for as long as they hold anything of the last 60 s or in flight.
#[derive(Debug, Default)]
pub(crate) struct Retired(Mutex<HashMap<(String, String), Tracker>>);

impl Retired {
    /// Keeps the window of a deployment that goes.
    pub fn keep(&self, group: &str, model: &str, tracker: &Tracker) {
        let now = Instant::now();
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        windows.retain(|_, tracker| !tracker.is_forgotten(now));
        windows.insert((group.to_owned(), model.to_owned()), tracker.clone());
    }

    /// The window that the deployment had before, if that was a moment ago.
    pub fn recall(&self, group: &str, model: &str) -> Option<Tracker> {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        windows.remove(&(group.to_owned(), model.to_owned()))
    }
}
