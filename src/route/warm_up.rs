//! What is done ahead of the first request, where a provider's options ask for it: a connection is opened, and the
//! vocabulary loaded that the request will be counted with.
//!
//! Nobody waits for it, and what comes of it is nobody's error: the first request meets the same, and says so.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::connections::Client;
use crate::provider::Provider;
use crate::tokens;

/// What a router is doing ahead of its calls. Dropping it abandons all.
#[derive(Debug, Default)]
pub(crate) struct WarmUps(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Connections that are, or were, being opened, by the names of their providers.
    tasks: HashMap<String, Task>,
    /// Where it is done; nowhere as long as nobody asks for it.
    runtime: Option<Handle>,
    is_closed: bool,
}

/// Ends with this.
#[derive(Debug)]
struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl WarmUps {
    /// Opens a connection to this provider, if it says so and there is a runtime. What was under way for one of its name
    /// is abandoned.
    pub fn begin(&self, provider: &dyn Provider, connect: Duration) {
        let mut state = self.lock();
        state.tasks.remove(provider.name());
        let Some(url) = provider.warm_up().filter(|_| !state.is_closed).map(str::to_owned) else { return };
        let Ok(runtime) = Handle::try_current() else { return };
        let task = runtime.spawn(async move {
            let _nobodys_error = Client::shared(connect).warm_up(&url).await;
        });
        state.tasks.insert(provider.name().to_owned(), Task(task.abort_handle()));
        state.runtime = Some(runtime);
    }

    /// Loads the vocabulary of this model, if there is one and something was begun.
    pub fn count(&self, model: Option<String>) {
        let Some(model) = model.filter(|model| !tokens::is_loaded(model)) else { return };
        if let Some(runtime) = &self.lock().runtime {
            runtime.spawn_blocking(move || tokens::preload(&model));
        }
    }

    /// The provider is gone.
    pub fn abandon(&self, provider: &str) {
        self.lock().tasks.remove(provider);
    }

    /// Abandons what is under way, and begins nothing any more.
    pub fn close(&self) {
        *self.lock() = State { is_closed: true, ..State::default() };
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
