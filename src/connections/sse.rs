//! Stub: bytes to server-sent events, pure.
use crate::error::Failure;

/// Takes bytes as they come, split anywhere, and gives the data of each event.
#[derive(Debug, Default)]
pub struct SseParser {}

impl SseParser {
    /// Appends the data of every event that `bytes` completes.
    ///
    /// # Errors
    /// If an event grows beyond the bound.
    pub fn push(&mut self, _bytes: &[u8], _events: &mut Vec<String>) -> Result<(), Failure> {
        todo!()
    }
}
