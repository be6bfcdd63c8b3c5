//! Which provider has what later requests go on from: earlier answers and conversations, by their ids.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

/// How many ids are remembered: the last ones. An id that is forgotten costs questions to providers that do not have it.
const REMEMBERED: usize = 10_000;

/// Longer ones are not remembered: no provider's are as long.
const MAX_ID_BYTES: usize = 512;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct States(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    providers: HashMap<String, String>,
    /// The ids in the order in which they came.
    order: VecDeque<String>,
}

impl States {
    /// These ids are of a deployment (`provider::model`) of that provider.
    pub fn remember(&self, ids: &[&str], deployment: &str) {
        let provider = provider_of(deployment);
        // A std mutex: nothing is awaited while it is held.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for id in ids.iter().filter(|id| !id.is_empty() && id.len() <= MAX_ID_BYTES) {
            if known.providers.insert((*id).to_owned(), provider.to_owned()).is_none() {
                known.order.push_back((*id).to_owned());
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner).providers.get(id).cloned()
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
            states.remember(&[&format!("resp_{number}")], "openai::m");
            states.remember(&["conv"], "azure::m");
        }
        assert_eq!(states.provider("resp_0"), None);
        assert_eq!(states.provider(&format!("resp_{}", REMEMBERED + 4)).as_deref(), Some("openai"));
        states.remember(&["", &"x".repeat(MAX_ID_BYTES + 1)], "openai::m");
        assert_eq!(states.0.lock().unwrap().order.len(), REMEMBERED);
        assert_eq!(states.provider(""), None);
    }
}
