//! Which provider has what later requests go on from: earlier answers and conversations, by their ids.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

/// How many ids are remembered: the last ones, some 4 MB. An answer has one, and one for each of its items. An id that is forgotten
/// costs questions to providers that do not have it.
const REMEMBERED: usize = 30_000;

/// Longer ones are not remembered: no provider's are as long.
const MAX_ID_BYTES: usize = 512;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct States(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    providers: HashMap<Arc<str>, Arc<str>>,
    /// The ids in the order in which they came.
    order: VecDeque<Arc<str>>,
}

impl States {
    /// These ids are of a deployment (`provider::model`) of that provider.
    pub fn remember(&self, ids: &[String], deployment: &str) {
        let provider: Arc<str> = provider_of(deployment).into();
        // A std mutex: nothing is awaited while it is held.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for id in ids.iter().filter(|id| !id.is_empty() && id.len() <= MAX_ID_BYTES) {
            let id: Arc<str> = id.as_str().into();
            if known.providers.insert(Arc::clone(&id), Arc::clone(&provider)).is_none() {
                known.order.push_back(id);
            }
        }
        while known.order.len() > REMEMBERED {
            if let Some(oldest) = known.order.pop_front() {
                known.providers.remove(&oldest);
            }
        }
    }

    /// The provider that has it, if that is known.
    pub fn provider(&self, id: &str) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).providers.get(id).map(ToString::to_string)
    }
}

/// The provider's name in a deployment's.
pub(super) fn provider_of(deployment: &str) -> &str {
    deployment.split_once("::").map_or(deployment, |(provider, _)| provider)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_not_remembered_without_bound() {
        let states = States::default();
        for number in 0..REMEMBERED + 5 {
            states.remember(&[format!("resp_{number}")], "openai::m");
            states.remember(&["conv".to_owned()], "azure::m");
        }
        assert_eq!(states.provider("resp_0"), None);
        assert_eq!(states.provider(&format!("resp_{}", REMEMBERED + 4)).as_deref(), Some("openai"));
        states.remember(&[String::new(), "x".repeat(MAX_ID_BYTES + 1)], "openai::m");
        assert_eq!(states.0.lock().unwrap().order.len(), REMEMBERED);
        assert_eq!(states.provider(""), None);
    }
}
