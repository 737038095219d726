//! How a runtime comes to life: one trait, and a folder for each way.
//!
//! - [`remote`]: an executor at an address, started by somebody else: the configured one, or the one that `connect` saved;
//! - [`local`]: the executor that is inside this binary, started on this machine.
//!
//! Another way is a folder here, a line in [`configured`], and a name in the settings. May import `base`, `wire`, `edge`, `runtime`.

pub mod local;
pub mod remote;

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::base::ids::JobId;
use crate::edge::settings::{Settings, Target};
use crate::runtime::{Runtime, RuntimeError, RuntimeResult};
use local::Local;
use remote::Remote;

/// The way that the settings name. The one place where ways are registered.
#[must_use]
pub fn configured(settings: &Settings) -> Arc<dyn Provisioner> {
    match &settings.target {
        Target::NotConfigured => Arc::new(Remote::saved(&settings.data_dir)),
        Target::Remote(endpoint) => Arc::new(Remote::at(endpoint.clone(), &settings.data_dir)),
        Target::Local => Arc::new(Local::new(settings)),
    }
}

/// A way to a runtime. Making one starts nothing and waits for nothing.
#[async_trait]
pub trait Provisioner: Debug + Send + Sync {
    /// Begins, in the background, what takes time. Returns at once; call it inside a tokio runtime.
    fn begin(&self) {}

    /// The runtime, found or started, and ready.
    ///
    /// # Errors
    /// Why there is none by `deadline`; with [`RuntimeError::Starting`] a later call finds it.
    async fn runtime(&self, deadline: Instant) -> RuntimeResult<Arc<dyn Runtime>>;

    /// What a start is busy with, for people; none when none is under way.
    fn doing(&self) -> Option<String> {
        None
    }

    /// After `error` of `asked`: whether there is another runtime now, at which the same call may do better.
    fn heal(&self, _asked: &dyn Runtime, _error: &RuntimeError) -> bool {
        false
    }

    /// Ends what was started here, and waits for that. Nothing is started afterwards.
    async fn stop(&self) {}

    /// Where code goes, for people: an address without its token, or a word; none while that is not known.
    fn place(&self) -> Option<String>;

    /// Which start of the runtime knows the jobs that are sent now: another one does not. None while that is not known, and where every start
    /// knows the jobs of those before it.
    fn boot_id(&self) -> Option<String>;

    /// What it means that the runtime does not know a job, where more is known here. May read the disk.
    fn explain_missing(&self, _job: JobId) -> Option<RuntimeError> {
        None
    }

    /// Bytes that came through ngrok to this computer in this month; none where the way is not through ngrok.
    fn ngrok_month_bytes(&self) -> Option<u64> {
        None
    }
}
