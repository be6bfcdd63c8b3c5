//! What makes the keys of a group's requests: put together once, and not for each of them, as long as its deployments stay the same.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::memo::Generation;
use crate::cache::KeyBuilder;
use crate::deployment::Deployment;

/// A group's deployments, and what makes keys for them in any namespace.
type Keyed = (Arc<[Arc<Deployment>]>, KeyBuilder);

/// See the module.
#[derive(Default)]
pub(crate) struct Keys(Mutex<Option<(Generation, Keyed)>>);

impl Keys {
    /// Those of the deployments that the group has, if nothing has changed since `generation`, else of those that it has now.
    pub fn of(&self, generation: Generation, deployments: impl FnOnce() -> Arc<[Arc<Deployment>]>) -> Keyed {
        // A std mutex: nothing is awaited while it is held.
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, keyed)) = &*made
            && *at == generation
        {
            return keyed.clone();
        }
        let deployments = deployments();
        let models: Vec<_> = deployments.iter().map(|deployment| deployment.cached_as()).collect();
        let keyed = (deployments, KeyBuilder::new("", "", models.iter().map(|model| &**model)));
        *made = Some((generation, keyed.clone()));
        keyed
    }

    /// Holds on to no deployment.
    pub fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}
