//! The helper kernel of this bridge.

use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use super::fault::Fault;
use super::slot::Slot;
use crate::jupyter::{JupyterError, Server};

/// The kernel that belongs to this bridge.
#[derive(Debug)]
pub(super) struct Helper {
    pub(super) server: Arc<Server>,
    /// The server's address.
    pub(super) address: String,
    pub(super) slot: Slot,
    pub(super) kernel: Option<String>,
}

impl Helper {
    /// Takes over the kernel that an earlier bridge left, if there is one. Its record is in `folder`.
    pub(super) fn take(folder: &Path, server: Arc<Server>, address: String) -> Result<Self, Fault> {
        let slot = Slot::take(folder, &address)?;
        Ok(Self {
            server,
            address,
            kernel: slot.kernel(),
            slot,
        })
    }

    /// The kernel's id, if the server still has it.
    pub(super) async fn living_kernel(&mut self) -> Result<Option<String>, Fault> {
        if let Some(kernel) = &self.kernel
            && !self.server.has_kernel(kernel).await?
        {
            self.kernel = None;
        }
        Ok(self.kernel.clone())
    }

    /// Starts a kernel, records it, and returns its id.
    pub(super) async fn start_kernel(&mut self) -> Result<String, Fault> {
        let name = self.server.python_kernel().await?;
        // Recorded before: if this process dies, the next one finds it.
        let wanted = Uuid::now_v7().to_string();
        self.record(&wanted)?;
        let kernel = self.server.start_kernel(&name, &wanted).await?;
        if kernel != wanted {
            self.record(&kernel)?;
        }
        Ok(kernel)
    }

    fn record(&mut self, kernel: &str) -> Result<(), Fault> {
        self.kernel = Some(kernel.to_owned());
        self.slot.record(kernel)
    }

    /// Deletes the kernel. What was started beside it goes on.
    pub(super) async fn delete(self) {
        let Some(kernel) = &self.kernel else { return };
        match self.server.delete_kernel(kernel).await {
            Ok(()) | Err(JupyterError::NotFound) => self.slot.forget(),
            // The next start finds it.
            Err(error) => tracing::warn!("the helper kernel was not deleted: the server {error}"),
        }
    }
}
