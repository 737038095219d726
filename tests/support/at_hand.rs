//! Ways to runtimes that tests choose: they need no start, and lead elsewhere when the test says so.

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

/// A way that leads to another runtime when it is turned.
#[derive(Debug)]
pub(crate) struct Turning(Mutex<Arc<dyn Runtime>>);

impl Turning {
    pub(crate) fn to(runtime: Arc<dyn Runtime>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(runtime)))
    }

    pub(crate) fn turn(&self, runtime: Arc<dyn Runtime>) {
        *self.0.lock().unwrap() = runtime;
    }

    fn now(&self) -> Arc<dyn Runtime> {
        self.0.lock().unwrap().clone()
    }
}

#[async_trait]
impl Provisioner for Turning {
    async fn runtime(&self, _: Instant) -> RuntimeResult<Arc<dyn Runtime>> {
        Ok(self.now())
    }

    fn place(&self) -> Option<String> {
        Some(self.now().address().to_owned())
    }

    fn boot_id(&self) -> Option<String> {
        self.now().boot_id()
    }
}

/// The executor that prints this line.
pub(crate) fn executor(line: &str) -> Arc<dyn Runtime> {
    Arc::new(Executor::new(&endpoint(line, None).unwrap()).unwrap())
}
