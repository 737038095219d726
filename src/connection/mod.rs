//! The way to the runtime of this moment: lazily, so that neither start-up nor `tools/list` waits for a network or a process; and so that a runtime
//! can be exchanged for another while calls are under way.
//!
//! - here: what leads to a runtime now, and how that stands;
//! - [`until`](Connection::until): the four traits, asked again until a deadline; `tries`: when again; `resumed`: streams across tries;
//! - `trouble`: what repeated calls meet with; `check`: whether there is an executor at all.
//!
//! May import `base`, `wire`, `edge`, `runtime`, `provision`.

mod check;
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
use crate::provision::remote::Remote;
use crate::provision::{self, Provisioner};
use crate::runtime::{Runtime, RuntimeError, RuntimeResult};
pub use check::{Checked, NEW_ADDRESS_TIMEOUT, Switched, check_endpoint};
use trouble::Troubles;
pub use until::Until;

/// How long nothing but refusals is met with patience: an executor that is being started anew is back by then.
pub const LASTING_ERROR_TIMEOUT: Duration = Duration::from_secs(10);

/// The one way to the runtime of this moment.
#[derive(Debug)]
pub struct Connection {
    /// What leads to a runtime now.
    provisioner: Lock<Arc<dyn Provisioner>>,
    /// What the settings named: jobs there go on when the connection leads elsewhere.
    first: Arc<dyn Provisioner>,
    is_configured: bool,
    data_dir: PathBuf,
    troubles: Troubles,
}

/// How the way to the runtime stands. What a call does in each state is in `tries`: it waits while one is starting, is repeated while one is
/// lost, and goes over to another address when that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// No place is named: each call looks whether `connect` has saved one.
    NotConfigured,
    /// The runtime is being started; `step` is what that is busy with.
    Starting { step: String },
    /// Calls are being repeated; `trouble` is what the newest of them met with.
    Lost { trouble: String },
    /// Nothing is known that would keep a call from its answer.
    Ready,
}

impl Connection {
    /// Connects to nothing yet. Where the settings name no address, what `connect` saved is taken.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let is_configured = settings.target != Target::NotConfigured;
        Self {
            is_configured,
            ..Self::through(provision::configured(settings), &settings.data_dir)
        }
    }

    /// By a way that is no matter of the settings; addresses are saved in `data_dir`.
    #[must_use]
    pub fn through(provisioner: Arc<dyn Provisioner>, data_dir: &Path) -> Self {
        Self {
            provisioner: Lock::new(provisioner.clone()),
            first: provisioner,
            is_configured: true,
            data_dir: data_dir.to_owned(),
            troubles: Troubles::default(),
        }
    }

    /// Begins, in the background, what takes time: a local executor's start.
    pub fn warm_up(&self) {
        self.first.begin();
    }

    /// Leads to another executor from now on, calls that are under way among them: it may be the same machine behind another tunnel.
    ///
    /// # Errors
    /// When the address cannot be used; nothing is changed then.
    fn connect(&self, endpoint: Endpoint) -> RuntimeResult<()> {
        let remote = Remote::at(endpoint, &self.data_dir);
        remote.executor()?;
        // The former one is dropped outside of the lock: it may still write to the disk.
        let mut provisioner = self.provisioner.lock();
        let _former = std::mem::replace(&mut *provisioner, Arc::new(remote));
        drop(provisioner);
        Ok(())
    }

    /// Keeps `endpoint` for later starts, and for the other servers of this computer.
    ///
    /// # Errors
    /// Those of the file system.
    fn remember(&self, endpoint: &Endpoint) -> io::Result<()> {
        Pairing::new(&self.data_dir).save(endpoint)
    }

    /// Whether the settings named where to compute: they do so again at the next start, before what is saved.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        self.is_configured
    }

    /// How the way to the runtime stands.
    #[must_use]
    pub fn state(&self) -> State {
        let provisioner = self.provisioner();
        if let Some(step) = provisioner.doing() {
            State::Starting { step }
        } else if let Some(trouble) = self.troubles.newest() {
            State::Lost { trouble }
        } else if provisioner.place().is_none() {
            State::NotConfigured
        } else {
            State::Ready
        }
    }

    /// The runtime, waiting for a local one to be ready until `deadline`.
    ///
    /// # Errors
    /// `NotConfigured`; `Starting` at the deadline; `StartFailed`.
    pub async fn runtime(&self, deadline: Instant) -> RuntimeResult<Arc<dyn Runtime>> {
        self.provisioner().runtime(deadline).await
    }

    /// Where code goes, for people: an address without its token, or `local`; none when nothing is configured.
    #[must_use]
    pub fn place(&self) -> Option<String> {
        self.provisioner().place()
    }

    /// What it means that the executor does not know a job, where it is a local one and another client's knows it. Reads the disk.
    #[must_use]
    pub fn other_client(&self, job: JobId) -> Option<RuntimeError> {
        self.provisioner().explain_missing(job)
    }

    /// Which start of the executor answered last, where that is known.
    #[must_use]
    pub fn boot_id(&self) -> Option<String> {
        self.provisioner().boot_id()
    }

    /// Bytes that came through ngrok to this computer in this month; none where the connection is not through ngrok.
    #[must_use]
    pub fn ngrok_month_bytes(&self) -> Option<u64> {
        self.provisioner().ngrok_month_bytes()
    }

    /// Ends what this connection started.
    pub async fn stop(&self) {
        self.first.stop().await;
    }

    /// Goes over to another known address when an error of `asked` says that its own may be an old one. Says whether another is taken now.
    fn heal(&self, asked: &dyn Runtime, error: &RuntimeError) -> bool {
        self.provisioner().heal(asked, error)
    }

    fn provisioner(&self) -> Arc<dyn Provisioner> {
        let provisioner = self.provisioner.lock();
        provisioner.clone()
    }
}

impl State {
    /// What calls wait for, for their progress messages; none when all goes well.
    #[must_use]
    pub fn message(self) -> Option<String> {
        match self {
            Self::Starting { step: message } | Self::Lost { trouble: message } => Some(message),
            Self::NotConfigured | Self::Ready => None,
        }
    }
}
