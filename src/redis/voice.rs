//! What those who use one Redis in this process for one thing say of it: one of them for all, and nobody is silent for the sake of one
//! that is gone.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::say::Topic;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Choir {
    topic: Topic,
    /// How many of them know that what was said last, that something is wrong, is so.
    unwell: Mutex<usize>,
}

/// Those of this process, by what they speak of.
static CHOIRS: Mutex<Option<HashMap<String, Weak<Choir>>>> = Mutex::new(None);

/// One of them.
#[derive(Debug)]
pub(crate) struct Voice {
    choir: Arc<Choir>,
    /// Whether all that was said is that it is well, and it is.
    is_well: AtomicBool,
}

impl Choir {
    /// Those who speak of this.
    pub fn of(name: &str) -> Arc<Self> {
        let mut choirs = locked(&CHOIRS);
        let choirs = choirs.get_or_insert_default();
        choirs.retain(|_, choir| choir.strong_count() > 0);
        let known = choirs.get(name).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let choir = Arc::new(Self { topic: Topic::named(name), ..Self::default() });
            choirs.insert(name.to_owned(), Arc::downgrade(&choir));
            choir
        })
    }
}

impl Voice {
    pub fn new(choir: Arc<Choir>) -> Self {
        Self { choir, is_well: AtomicBool::new(true) }
    }

    /// Whether it is to be said that it is so, "" being well, as none has.
    pub fn is_to_be_said(&self, news: &'static str) -> bool {
        let is_well = news.is_empty();
        if is_well && self.is_well.load(Ordering::Relaxed) {
            return false;
        }
        let mut unwell = locked(&self.choir.unwell);
        let is_to_be_said = self.choir.topic.is_to_be_said(news);
        // Also where another has said it: whoever finds first that it is over says so.
        if self.choir.topic.is_said(news) && self.is_well.swap(is_well, Ordering::Relaxed) != is_well {
            *unwell = if is_well { *unwell - 1 } else { *unwell + 1 };
        }
        is_to_be_said
    }

    /// It will say no more. What nobody else knows to be so counts as not said.
    pub fn withdraw(&self) {
        let mut unwell = locked(&self.choir.unwell);
        if !self.is_well.swap(true, Ordering::Relaxed) {
            *unwell -= 1;
            if *unwell == 0 {
                // In silence.
                _ = self.choir.topic.is_to_be_said("");
            }
        }
    }
}

impl Drop for Voice {
    fn drop(&mut self) {
        self.withdraw();
    }
}

// A std mutex: nothing is awaited while it is held.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
