//! Stub: the one factory behind every provider that ships with the crate.
use std::sync::Arc;

use super::Provider;
use crate::error::{Invalid, Result};
use crate::fields::Fields;

/// What makes a provider.
#[derive(Clone, Debug, Default)]
pub struct ProviderOptions {}

impl ProviderOptions {
    /// Reads the options of `addProvider`.
    ///
    /// # Errors
    /// If a field is unknown, missing or wrong.
    pub fn read(_fields: Fields) -> Result<Self, Invalid> {
        todo!()
    }
}

/// Makes a provider.
///
/// # Errors
/// `ERR_NO_PROVIDER` if the key is missing, naming the environment variable.
pub fn create_provider(_options: ProviderOptions) -> Result<Arc<dyn Provider>> {
    todo!()
}
