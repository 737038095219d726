//! The connection to the current runtime. It is made lazily, so that neither start-up nor `tools/list` waits for a network or a process, and so
//! that the runtime can be exchanged while calls are in flight.
//!
//! - here: the current provisioner, and the state of the connection;
//! - [`until`](Connection::until): the four traits with retries until a deadline; `tries`: when to retry; `resumed`: streams across tries;
//! - `notebooks`: kernels of the notebooks on a Jupyter Server;
//! - `trouble`: the errors of calls that are being retried; `check`: whether there is an executor at all.
//!
//! May import `base`, `wire`, `edge`, `jupyter`, `runtime`, `provision`.

mod check;
mod notebooks;
mod resumed;
mod tries;
mod trouble;
mod until;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::base::ids::JobId;
use crate::base::lock::Lock;
use crate::edge::pairing::Pairing;
use crate::edge::settings::{Endpoint, Settings, Target};
use crate::provision::{self, Host, Provisioner};
use crate::runtime::{Runtime, RuntimeError, RuntimeResult};
pub use check::{Checked, Switched, check_endpoint, check_timeout};
use trouble::Troubles;
pub use until::Until;

/// How long calls are retried while only lasting errors occur: an executor that restarts is back by then.
pub const LASTING_ERROR_TIMEOUT: Duration = Duration::from_secs(10);

/// The connection to the current runtime.
#[derive(Debug)]
pub struct Connection {
    /// The current provisioner.
    provisioner: Lock<Arc<dyn Provisioner>>,
    /// The provisioner of the settings: jobs there keep running when the connection leads elsewhere.
    first: Arc<dyn Provisioner>,
    /// An executor on this computer, for the user to choose; none where another runtime is configured.
    local: Option<Arc<dyn Provisioner>>,
    is_configured: bool,
    data_dir: PathBuf,
    troubles: Troubles,
}

/// The state of the connection. `tries` defines what a call does in each state: it waits while the runtime is starting, is retried while the
/// runtime is lost, and switches to another address once that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// No address is known: each call checks whether `connect` has saved one.
    NotConfigured,
    /// The runtime is being started; `step` is the current step.
    Starting { step: String },
    /// Calls are being retried; `trouble` is the last error of the newest of them, `tries` the number of its next try.
    Lost { trouble: String, tries: u32 },
    /// Nothing is known that would make a call fail.
    Ready,
}

impl Connection {
    /// Connects to nothing yet. If the settings name no address, the one that `connect` saved is used.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let is_configured = settings.target != Target::NotConfigured;
        Self {
            is_configured,
            local: (!is_configured).then(|| provision::local(settings)),
            ..Self::through(provision::configured(settings), &settings.data_dir)
        }
    }

    /// Uses `provisioner` instead of the settings'; addresses are saved in `data_dir`.
    #[must_use]
    pub fn through(provisioner: Arc<dyn Provisioner>, data_dir: &Path) -> Self {
        Self {
            provisioner: Lock::new(provisioner.clone()),
            first: provisioner,
            local: None,
            is_configured: true,
            data_dir: data_dir.to_owned(),
            troubles: Troubles::default(),
        }
    }

    /// Starts what the settings name in the background, as that takes time.
    pub fn warm_up(&self) {
        self.first.begin();
    }

    /// Switches to another runtime, also for calls in flight: it may be the same machine behind another tunnel.
    fn set_provisioner(&self, next: Arc<dyn Provisioner>) {
        // The former provisioner is dropped outside the lock: it may still write to the disk.
        let mut provisioner = self.provisioner.lock();
        let _former = std::mem::replace(&mut *provisioner, next);
        drop(provisioner);
    }

    /// Switches to an executor on this computer until this process ends, if no runtime is configured.
    pub fn compute_here(&self) {
        if let Some(local) = &self.local {
            self.set_provisioner(local.clone());
            local.begin();
        }
    }

    /// Saves `endpoint` for later starts, and for other servers on this computer.
    ///
    /// # Errors
    /// File system errors.
    fn remember(&self, endpoint: &Endpoint) -> io::Result<()> {
        Pairing::new(&self.data_dir).save(endpoint)
    }

    /// Whether the settings name a runtime: at the next start it takes precedence over a saved address.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        self.is_configured
    }

    /// The state of the connection.
    #[must_use]
    pub fn state(&self) -> State {
        let provisioner = self.provisioner();
        if let Some(step) = provisioner.doing() {
            State::Starting { step }
        } else if let Some((trouble, tries)) = self.troubles.newest() {
            State::Lost { trouble, tries }
        } else if provisioner.place().is_none() {
            State::NotConfigured
        } else {
            State::Ready
        }
    }

    /// Returns the runtime; waits until `deadline` for a local one to be ready.
    ///
    /// # Errors
    /// `NotConfigured`; `Starting` at the deadline; `StartFailed`.
    pub async fn runtime(&self, deadline: Instant) -> RuntimeResult<Arc<dyn Runtime>> {
        self.provisioner().runtime(deadline).await
    }

    /// Where code runs, for people: an address without its token, or `local`; none if nothing is configured.
    #[must_use]
    pub fn place(&self) -> Option<String> {
        self.provisioner().place()
    }

    /// The Jupyter Server through which the runtime is reached; none if there is none.
    ///
    /// # Errors
    /// As [`Self::runtime`].
    pub async fn jupyter(&self, deadline: Instant) -> RuntimeResult<Option<Host>> {
        self.provisioner().jupyter(deadline).await
    }

    /// Returns why a local executor does not know a job, if another client's executor knows it. Reads the disk.
    #[must_use]
    pub fn other_client(&self, job: JobId) -> Option<RuntimeError> {
        self.provisioner().explain_missing(job)
    }

    /// The boot id of the executor that answered last, if known.
    #[must_use]
    pub fn boot_id(&self) -> Option<String> {
        self.provisioner().boot_id()
    }

    /// How long ago the runtime, if it is a machine of Colab, was given to its user; none elsewhere, and before its first answer.
    #[must_use]
    pub fn machine_age(&self) -> Option<Duration> {
        self.provisioner().machine_age()
    }

    /// Bytes that this computer received through ngrok this month; none if the connection does not go through ngrok.
    #[must_use]
    pub fn ngrok_month_bytes(&self) -> Option<u64> {
        self.provisioner().ngrok_month_bytes()
    }

    /// Stops what this connection started.
    pub async fn stop(&self) {
        let current = self.provisioner();
        let local = async {
            if let Some(local) = &self.local {
                local.stop().await;
            }
        };
        tokio::join!(self.first.stop(), local, current.stop());
    }

    /// Switches to another known address if `error` of `asked` suggests that its own is outdated; returns whether another one is in use now.
    fn heal(&self, asked: &dyn Runtime, error: &RuntimeError) -> bool {
        self.provisioner().heal(asked, error)
    }

    fn provisioner(&self) -> Arc<dyn Provisioner> {
        let provisioner = self.provisioner.lock();
        provisioner.clone()
    }
}

impl State {
    /// The obstacle that calls are waiting on, for their progress messages; none if nothing is wrong.
    #[must_use]
    pub fn message(self) -> Option<String> {
        match self {
            Self::Starting { step } => Some(step),
            Self::Lost { trouble, tries } => Some(format!("{trouble}; trying again (try {tries})")),
            Self::NotConfigured | Self::Ready => None,
        }
    }
}
