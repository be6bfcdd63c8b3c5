//! What is said on the standard error.

use std::io::Write as _;

/// One line for whoever reads what the process says. That nobody does any more is no reason to fail, or to panic.
pub(crate) fn say(line: &str) {
    // In one piece, so that lines of several threads and processes do not mix.
    _ = std::io::stderr().write_all(format!("thryd: {line}\n").as_bytes());
}
