//! The answer of a synchronous call: `{"ok":…}` or `{"err":…}` as JSON text. A panic is a failure like any other.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Serialize;

use super::failure;
use crate::error::{Error, ErrorKind, Result, panic_text};

/// Runs `work` and writes what came of it.
pub fn reply<T: Serialize>(work: impl FnOnce() -> Result<T>) -> String {
    match guarded(work) {
        Ok(value) => format!("{{\"ok\":{}}}", serde_json::to_string(&value).expect("plain data serialises")),
        Err(error) => refused(&error),
    }
}

/// The answer that is a failure.
pub fn refused(error: &Error) -> String {
    format!("{{\"err\":{}}}", failure::to_json(error))
}

/// Runs `work`; a panic becomes `ERR_BUG`.
///
/// # Errors
/// Those of `work`.
pub fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(bug(&*panic)))
}

/// The error for a panic, with its text.
pub fn bug(panic: &(dyn Any + Send)) -> Error {
    ErrorKind::Bug(panic_text(panic)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_answer_not_an_abort() {
        let text = reply::<()>(|| panic!("an arm that cannot be reached"));
        assert!(text.starts_with("{\"err\":{\"name\":\"ThrydError\",\"code\":\"ERR_BUG\""), "{text}");
        assert!(text.contains("an arm that cannot be reached"));
    }
}
