//! One address, and the way to the executor there.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::base::lock::Lock;
use crate::edge::allowance::{Allowance, is_ngrok};
use crate::edge::settings::{Endpoint, Kind};
use crate::provision::jupyter::Jupyter;
use crate::provision::{Provisioner, colab};
use crate::runtime::executor::Executor;
use crate::runtime::{Runtime, RuntimeResult};

/// An address, and what is there from its first use on.
#[derive(Debug)]
pub struct Address {
    pub(super) endpoint: Endpoint,
    pub(super) way: Box<dyn Provisioner>,
    /// The runtime that was returned last.
    runtime: Lock<Option<Arc<dyn Runtime>>>,
    /// When this address became the current one.
    pub(super) since: Timestamp,
}

impl Address {
    /// Connects to nothing yet. What is kept of it is in `data_dir`.
    #[must_use]
    pub fn new(endpoint: Endpoint, data_dir: &Path) -> Self {
        let way: Box<dyn Provisioner> = match endpoint.kind {
            Kind::Executor => Box::new(Direct::new(endpoint.clone(), data_dir)),
            Kind::Jupyter => Box::new(Jupyter::at(endpoint.clone(), data_dir)),
            Kind::Machine => Box::new(colab::on(endpoint.machine_name(), data_dir)),
        };
        Self {
            endpoint,
            way,
            runtime: Lock::default(),
            since: Timestamp::now(),
        }
    }

    /// Returns the runtime at this address alone.
    ///
    /// # Errors
    /// As [`Provisioner::runtime`].
    pub async fn runtime(&self, deadline: Instant) -> RuntimeResult<Arc<dyn Runtime>> {
        let runtime = self.way.runtime(deadline).await?;
        *self.runtime.lock() = Some(runtime.clone());
        Ok(runtime)
    }

    /// As [`Self::runtime`], but fails also if a server there cannot be reached, which a request would find out once more.
    ///
    /// # Errors
    /// As [`Provisioner::runtime`] and [`Provisioner::jupyter`].
    pub async fn start(&self, deadline: Instant) -> RuntimeResult<Arc<dyn Runtime>> {
        self.way.jupyter(deadline).await?;
        self.runtime(deadline).await
    }

    /// Stops what was started for it.
    pub async fn stop(&self) {
        self.way.stop().await;
    }

    /// Whether `asked` is the runtime of this address.
    pub(super) fn leads_to(&self, asked: &dyn Runtime) -> bool {
        let runtime = self.runtime.lock();
        runtime
            .as_ref()
            .is_some_and(|runtime| std::ptr::addr_eq(Arc::as_ptr(runtime), asked))
    }

    pub(super) fn has_answered(&self) -> bool {
        self.way.boot_id().is_some()
    }
}

/// An executor that was started elsewhere and answers at an address.
#[derive(Debug)]
struct Direct {
    endpoint: Endpoint,
    executor: OnceLock<Arc<Executor>>,
    /// Counts the traffic through ngrok; none for other addresses.
    allowance: Option<Arc<Allowance>>,
}

impl Direct {
    fn new(endpoint: Endpoint, data_dir: &Path) -> Self {
        let allowance = || Arc::new(Allowance::new(data_dir.join("ngrok.json")));
        Self {
            allowance: is_ngrok(&endpoint.url).then(allowance),
            endpoint,
            executor: OnceLock::new(),
        }
    }
}

#[async_trait]
impl Provisioner for Direct {
    async fn runtime(&self, _: Instant) -> RuntimeResult<Arc<dyn Runtime>> {
        if let Some(executor) = self.executor.get() {
            return Ok(executor.clone());
        }
        let mut made = Executor::new(&self.endpoint)?;
        if let Some(allowance) = &self.allowance {
            made = made.counting(allowance.clone());
        }
        Ok(self.executor.get_or_init(|| Arc::new(made)).clone())
    }

    fn place(&self) -> Option<String> {
        Some(self.endpoint.address())
    }

    fn boot_id(&self) -> Option<String> {
        self.executor.get()?.boot_id()
    }

    fn machine_age(&self) -> Option<Duration> {
        self.executor.get()?.machine_age()
    }

    fn ngrok_month_bytes(&self) -> Option<u64> {
        let allowance = self.allowance.as_ref()?;
        Some(allowance.of_this_month())
    }
}
