//! Stub: the order in which things happen.
