//! How the tools reach a runtime: lazily, so that neither start-up nor `tools/list` waits for a network or a process; and so that a runtime can be
//! exchanged for another while calls are under way.

mod check;
mod resumed;
mod route;
mod tries;
mod trouble;
mod until;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::base::ids::JobId;
use crate::edge::allowance::Allowance;
use crate::edge::pairing::Pairing;
use crate::edge::settings::{Endpoint, Settings, Target};
use crate::runtime::local::Local;
use crate::runtime::{Runtime, RuntimeError, RuntimeResult};
pub use check::{Checked, NEW_ADDRESS, check_endpoint};
use route::{Route, Way};
use trouble::Troubles;
pub use until::Until;

/// How long nothing but refusals is met with patience: an executor that is being started anew is back by then.
pub const LASTING_PATIENCE: Duration = Duration::from_secs(10);

/// The one way to the runtime of this moment.
#[derive(Debug)]
pub struct Connection {
    route: Route,
    /// Where this process computes or has computed on its own machine: its jobs go on when the connection leads elsewhere.
    local: Option<Arc<Local>>,
    is_configured: bool,
    troubles: Troubles,
}

impl Connection {
    /// Connects to nothing yet. Where the settings name no address, what `connect` saved is taken.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let pairing = Pairing::new(&settings.data_dir);
        let allowance = Arc::new(Allowance::new(settings.data_dir.join("ngrok.json")));
        let (way, local) = match &settings.target {
            Target::NotConfigured => (Way::NotConfigured, None),
            Target::Remote(endpoint) => (Way::remote(endpoint.clone(), Some(&allowance)), None),
            Target::Local => {
                let local = Arc::new(Local::new(settings));
                (Way::Local(local.clone()), Some(local))
            }
        };
        Self {
            route: Route::new(way, Some(pairing), Some(allowance)),
            local,
            is_configured: settings.target != Target::NotConfigured,
            troubles: Troubles::default(),
        }
    }

    /// Always to this runtime.
    #[must_use]
    pub fn fixed(runtime: Arc<dyn Runtime>) -> Self {
        Self {
            route: Route::new(Way::Fixed(runtime), None, None),
            local: None,
            is_configured: true,
            troubles: Troubles::default(),
        }
    }

    /// Begins, in the background, what takes time: the local executor's start.
    pub fn warm_up(&self) {
        if let Some(local) = &self.local {
            local.begin();
        }
    }

    /// Leads to another executor from now on, calls that are under way among them: it may be the same machine behind another tunnel.
    ///
    /// # Errors
    /// Those of [`Executor::new`]; nothing is changed then.
    pub fn connect(&self, endpoint: Endpoint) -> RuntimeResult<()> {
        self.route.lead_to(endpoint)
    }

    /// Keeps `endpoint` for later starts, and for the other servers of this computer.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn remember(&self, endpoint: &Endpoint) -> io::Result<()> {
        let pairing = self.route.pairing();
        pairing.map_or(Ok(()), |pairing| pairing.save(endpoint))
    }

    /// Whether the settings named where to compute: they do so again at the next start, before what is saved.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        self.is_configured
    }

    /// The runtime, waiting for a local one to be ready until `deadline`.
    ///
    /// # Errors
    /// `NotConfigured`; `Starting` at the deadline; `LocalFailed`.
    pub async fn runtime(&self, deadline: Instant) -> RuntimeResult<Arc<dyn Runtime>> {
        let mut way = self.route.way();
        if matches!(*way, Way::NotConfigured) {
            self.route.begin();
            way = self.route.way();
        }
        match &*way {
            Way::NotConfigured => Err(RuntimeError::NotConfigured),
            Way::Remote(remote) => Ok(remote.executor()?),
            Way::Local(local) => local.runtime(deadline).await,
            Way::Fixed(runtime) => Ok(runtime.clone()),
        }
    }

    /// Goes over to another known address when an error of `asked` says that its own may be an old one. Says whether another is taken now.
    fn heal(&self, asked: &dyn Runtime, error: &RuntimeError) -> bool {
        self.route.heal(asked, error)
    }

    /// Where code goes, for people: an address without its token, or `local`; none when nothing is configured.
    #[must_use]
    pub fn place(&self) -> Option<String> {
        match &*self.route.way() {
            Way::NotConfigured => None,
            Way::Remote(remote) => Some(remote.address()),
            Way::Local(_) => Some("local".to_owned()),
            Way::Fixed(runtime) => Some(runtime.address().to_owned()),
        }
    }

    /// What it means that the executor does not know a job, where it is a local one and another client's knows it. Reads the disk.
    #[must_use]
    pub fn other_client(&self, job: JobId) -> Option<RuntimeError> {
        match &*self.route.way() {
            Way::Local(local) => local.other_client(job),
            Way::NotConfigured | Way::Remote(_) | Way::Fixed(_) => None,
        }
    }

    /// Which start of the executor answered last, where that is known.
    #[must_use]
    pub fn boot_id(&self) -> Option<String> {
        match &*self.route.way() {
            Way::Remote(remote) => remote.executor().ok()?.boot_id(),
            Way::Fixed(runtime) => runtime.boot_id(),
            // Its state stays at every start, and with it what it knows.
            Way::NotConfigured | Way::Local(_) => None,
        }
    }

    /// Bytes that came through ngrok to this computer in this month; none where the connection is not through ngrok.
    #[must_use]
    pub fn ngrok_month_bytes(&self) -> Option<u64> {
        match &*self.route.way() {
            Way::Remote(remote) => remote.ngrok_bytes(),
            Way::NotConfigured | Way::Local(_) | Way::Fixed(_) => None,
        }
    }

    /// What a local start, or a call that is being repeated, is busy with, for progress messages; none when all goes well.
    #[must_use]
    pub fn doing(&self) -> Option<String> {
        let starting = match &*self.route.way() {
            Way::Local(local) => local.doing(),
            Way::NotConfigured | Way::Remote(_) | Way::Fixed(_) => None,
        };
        starting.or_else(|| self.troubles.newest())
    }

    /// Ends what this connection started.
    pub async fn stop(&self) {
        if let Some(local) = &self.local {
            local.stop().await;
        }
    }
}
