//! Stub: whether a deployment is fit to be asked, and how fast it has been.
