//! What is said on the standard error.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long it is not said again that something is wrong, however often that comes and goes.
const QUIET: Duration = Duration::from_secs(60);

/// One line for whoever reads what the process says. That nobody does any more is no reason to fail, or to panic.
pub(crate) fn say(line: &str) {
    // In one piece, so that lines of several threads and processes do not mix.
    _ = std::io::stderr().write_all(format!("thryd: {line}\n").as_bytes());
}

/// Something that several of a process say the same of, so that one of them says it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Topic(Arc<Mutex<Said>>);

/// What was said last, nothing being well, and when it was said that something is wrong.
#[derive(Debug, Default)]
struct Said {
    news: &'static str,
    at: Option<Instant>,
}

/// The topics of this process, by their names.
static TOPICS: Mutex<Option<HashMap<String, Topic>>> = Mutex::new(None);

impl Topic {
    /// The one of this name.
    pub fn named(name: &str) -> Self {
        let mut topics = TOPICS.lock().unwrap_or_else(PoisonError::into_inner);
        let topics = topics.get_or_insert_default();
        // Those that nobody has any more.
        topics.retain(|_, topic| Arc::strong_count(&topic.0) > 1);
        topics.entry(name.to_owned()).or_default().clone()
    }

    /// Whether it is to be said that it is so, "" being well: if that is another thing than was said last; that something is wrong at
    /// most once in a while, and that it is over whenever it had been said.
    pub fn is_to_be_said(&self, news: &'static str) -> bool {
        let (mut said, now) = (self.0.lock().unwrap_or_else(PoisonError::into_inner), Instant::now());
        let is_due = news.is_empty() || said.at.is_none_or(|at| now - at >= QUIET);
        if said.news == news || !is_due {
            return false;
        }
        said.news = news;
        if !news.is_empty() {
            said.at = Some(now);
        }
        true
    }

    /// Whether what was said last is this.
    pub fn is_said(&self, news: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).news == news
    }
}

/// Lines that would be said, as tests hear them.
#[cfg(test)]
pub(crate) mod hearing {
    use std::cell::RefCell;

    thread_local!(static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) });

    /// Instead of saying it.
    pub fn hear(line: &str) {
        LINES.with_borrow_mut(|lines| lines.push(line.to_owned()));
    }

    /// What was heard in this thread since that was last asked.
    pub fn heard() -> Vec<String> {
        LINES.take()
    }
}
