//! Provisioners for runtimes that tests choose; they start nothing.

use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use smart_colab::connection::Connection;
use smart_colab::edge::settings::endpoint;
use smart_colab::provision::Provisioner;
use smart_colab::runtime::executor::Executor;
use smart_colab::runtime::{Runtime, RuntimeResult};
use tokio::time::Instant;

#[derive(Debug)]
struct Fixed(Arc<dyn Runtime>);

/// Connects to `runtime`; a saved address would be in `data_dir`.
pub(crate) fn connect_to(runtime: Arc<dyn Runtime>, data_dir: &Path) -> Connection {
    Connection::through(Arc::new(Fixed(runtime)), data_dir)
}

#[async_trait]
impl Provisioner for Fixed {
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

/// A provisioner that switches to another runtime on demand.
#[derive(Debug)]
pub(crate) struct Switchable(Mutex<Arc<dyn Runtime>>);

impl Switchable {
    pub(crate) fn to(runtime: Arc<dyn Runtime>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(runtime)))
    }

    pub(crate) fn switch_to(&self, runtime: Arc<dyn Runtime>) {
        *self.0.lock().unwrap() = runtime;
    }

    fn current(&self) -> Arc<dyn Runtime> {
        self.0.lock().unwrap().clone()
    }
}

#[async_trait]
impl Provisioner for Switchable {
    async fn runtime(&self, _: Instant) -> RuntimeResult<Arc<dyn Runtime>> {
        Ok(self.current())
    }

    fn place(&self) -> Option<String> {
        Some(self.current().address().to_owned())
    }

    fn boot_id(&self) -> Option<String> {
        self.current().boot_id()
    }
}

/// Returns the client of the executor that printed `line`.
pub(crate) fn executor(line: &str) -> Arc<dyn Runtime> {
    Arc::new(Executor::new(&endpoint(line, None).unwrap()).unwrap())
}
