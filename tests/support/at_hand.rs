//! A way to a runtime that is in the test's own process: it needs neither an address nor a start.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use smart_colab::connection::Connection;
use smart_colab::provision::Provisioner;
use smart_colab::runtime::{Runtime, RuntimeResult};
use tokio::time::Instant;

#[derive(Debug)]
struct AtHand(Arc<dyn Runtime>);

/// A connection that leads to `runtime`; addresses would be saved in `data_dir`.
pub(crate) fn at_hand(runtime: Arc<dyn Runtime>, data_dir: &Path) -> Connection {
    Connection::through(Arc::new(AtHand(runtime)), data_dir)
}

#[async_trait]
impl Provisioner for AtHand {
    async fn runtime(&self, _: Instant) -> RuntimeResult<Arc<dyn Runtime>> {
        Ok(self.0.clone())
    }

    fn place(&self) -> Option<String> {
        Some(self.0.address().to_owned())
    }

    fn boot_id(&self) -> Option<String> {
        self.0.boot_id()
    }
}
