//! The executor that is inside this binary, run on this machine.

use std::path::Path;
use std::sync::Arc;

use tokio::time::Instant;

use super::Runtime;
use super::error::{RuntimeError, RuntimeResult};

/// Starts the embedded executor once and keeps it.
#[derive(Debug)]
pub struct Local;

impl Local {
    #[must_use]
    pub fn new(_data_dir: &Path, _python: Option<&Path>) -> Self {
        Self
    }

    pub fn begin(&self) {}

    pub async fn runtime(&self, _deadline: Instant) -> RuntimeResult<Arc<dyn Runtime>> {
        Err(RuntimeError::NotConfigured)
    }

    #[must_use]
    pub fn doing(&self) -> Option<String> {
        None
    }

    pub async fn stop(&self) {}
}
