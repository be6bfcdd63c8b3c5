//! Stub: answers by key.
