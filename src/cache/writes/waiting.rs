//! An entry between whoever stored it and the thread that writes it.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use bytes::Bytes;

use crate::cache::Record;

type Make = Box<dyn FnOnce() -> Bytes + Send>;

/// Makes what stands beside an answer, what was asked in short, when it is written: that takes longer than all else that
/// is done while somebody waits for the answer.
pub(in crate::cache) struct Sketch {
    pub make: Make,
    /// What it keeps until then, about.
    pub bytes: u64,
}

impl Sketch {
    /// The same for two who write, whichever is first: it is made once.
    pub fn twice(self) -> [Self; 2] {
        let (bytes, asks) = (self.bytes, Mutex::new(Some(self.make)));
        let sketch = Arc::new(LazyLock::new(move || {
            let make = asks.lock().unwrap_or_else(PoisonError::into_inner).take();
            make.map_or_else(Bytes::new, |make| make())
        }));
        [Arc::clone(&sketch), sketch].map(|sketch| Self { make: Box::new(move || (**sketch).clone()), bytes })
    }
}

/// An entry on its way.
pub(in crate::cache) struct Waiting {
    /// As it is found meanwhile.
    pub record: Arc<Record>,
    /// Bytes that wait with it, about.
    pub bytes: u64,
    sketch: Mutex<Option<Make>>,
}

impl Waiting {
    pub fn new(record: Arc<Record>, sketch: Option<Sketch>) -> Self {
        let bytes = record.size().saturating_add(sketch.as_ref().map_or(0, |sketch| sketch.bytes));
        Self { record, bytes, sketch: Mutex::new(sketch.map(|sketch| sketch.make)) }
    }

    /// What is written.
    pub fn whole(&self) -> Arc<Record> {
        match self.sketch.lock().unwrap_or_else(PoisonError::into_inner).take() {
            None => Arc::clone(&self.record),
            Some(make) => Arc::new(Record { question: make(), ..(*self.record).clone() }),
        }
    }
}
