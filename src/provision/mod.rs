//! Provisioning a runtime: one trait, and a folder for each implementation.
//!
//! - [`remote`]: what is at the configured address or the one that `connect` saved: an executor that was started elsewhere, or a Jupyter Server;
//! - [`local`]: the executor that is embedded in this binary, started on this machine;
//! - [`jupyter`]: the same, started on the machine of a Jupyter Server and spoken to through one of its kernels;
//! - [`colab`]: the same, on a machine that Colab has assigned.
//!
//! A new provisioner is a folder here, a line in [`configured`], and a name in the settings. May import `base`, `wire`, `edge`, `jupyter`, `runtime`.

pub mod colab;
mod embedded;
pub mod jupyter;
pub mod local;
pub mod remote;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::base::ids::JobId;
use crate::edge::settings::{Settings, Target};
use crate::jupyter::{OpenNotebook, Server};
use crate::runtime::{Runtime, RuntimeError, RuntimeResult};
pub use embedded::NOTEBOOK;
use jupyter::Jupyter;
use local::Local;
use remote::Remote;

/// Returns the provisioner that the settings name. The one place where provisioners are registered.
#[must_use]
pub fn configured(settings: &Settings) -> Arc<dyn Provisioner> {
    match &settings.target {
        Target::NotConfigured => Arc::new(Remote::saved(&settings.data_dir)),
        Target::Remote(endpoint) => Arc::new(Remote::at(endpoint.clone(), &settings.data_dir)),
        Target::RunningJupyter(folder) => {
            Arc::new(Jupyter::running(folder.clone(), &settings.data_dir))
        }
        Target::Local => local(settings),
    }
}

/// Returns the provisioner of an executor on this computer.
#[must_use]
pub fn local(settings: &Settings) -> Arc<dyn Provisioner> {
    Arc::new(Local::new(settings))
}

/// The Jupyter Server through which a runtime is reached.
#[derive(Debug, Clone)]
pub struct Host {
    pub server: Arc<Server>,
    /// Its files are the runtime's. If not, its kernels run on another machine, and its notebooks are on its own.
    pub shares_files: bool,
}

/// Finds or starts a runtime. Making one starts nothing and waits for nothing.
#[async_trait]
pub trait Provisioner: Debug + Send + Sync {
    /// Starts slow work in the background. Returns at once; call it inside a tokio runtime.
    fn begin(&self) {}

    /// Returns the runtime, found or started, once it is ready.
    ///
    /// # Errors
    /// Why there is none by `deadline`; with [`RuntimeError::Starting`] a later call finds it.
    async fn runtime(&self, deadline: Instant) -> RuntimeResult<Arc<dyn Runtime>>;

    /// The current step of a start, for people; none if no start is in progress.
    fn doing(&self) -> Option<String> {
        None
    }

    /// Called after `error` of `asked`; returns whether there is another runtime now, where the same call may succeed.
    fn heal(&self, _asked: &dyn Runtime, _error: &RuntimeError) -> bool {
        false
    }

    /// Stops what was started here, and waits for its end. Nothing is started afterwards.
    async fn stop(&self) {}

    /// Where code runs, for people: an address without its token, or a word; none while it is unknown.
    fn place(&self) -> Option<String>;

    /// The boot id of the runtime that knows the jobs that are sent now; with another id they are unknown. None while it is not known, and if
    /// every start knows the jobs of earlier ones.
    fn boot_id(&self) -> Option<String>;

    /// As [`Runtime::machine_age`].
    fn machine_age(&self) -> Option<Duration> {
        None
    }

    /// The Jupyter Server through which the runtime is reached, once that is ready; none if there is none.
    ///
    /// # Errors
    /// As [`Self::runtime`].
    async fn jupyter(&self, _deadline: Instant) -> RuntimeResult<Option<Host>> {
        Ok(None)
    }

    /// Returns why the runtime does not know a job, if more is known here. May read the disk.
    fn explain_missing(&self, _job: JobId) -> Option<RuntimeError> {
        None
    }

    /// Returns the notebooks that have a kernel beside the runtime.
    ///
    /// # Errors
    /// Why they are not known.
    async fn notebooks(&self) -> RuntimeResult<Vec<OpenNotebook>> {
        Ok(Vec::new())
    }

    /// Bytes that this computer received through ngrok this month; none if the runtime is not behind ngrok.
    fn ngrok_month_bytes(&self) -> Option<u64> {
        None
    }
}
