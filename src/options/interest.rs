//! Whether whoever called still wants the answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// For a caller who may leave from another thread than its call is on, where the call can only be dropped a little later: if it
/// waits in a line, nothing is sent for it in between. It has to be dropped soon, as others wait behind it. Copies are one, and one is for
/// one call.
#[derive(Clone, Debug, Default)]
pub struct Interest(Arc<AtomicBool>);

impl Interest {
    /// It is not wanted any more. What was begun ends when it is dropped.
    pub fn lose(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether it is not wanted any more.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
