//! The binding: converts, calls the core, converts back. Decides nothing.
//!
//! Calls cross by number. JavaScript picks the number, the core settles it by a letter in the environment's
//! [`Mailbox`](mailbox::Mailbox), and one thread-safe function a batch tells JavaScript to look. Failures cross as
//! data. So nothing here is a promise, and no callback keeps the process alive.

mod any_router;
mod any_stream;
mod cache;
mod custom;
mod failure;
mod gateway;
mod letter;
mod mailbox;
#[cfg(debug_assertions)]
mod panicking;
mod pending;
mod reply;
mod router;
mod runtime;
mod served;
mod tokens;
mod tracker;
