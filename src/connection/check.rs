//! Checks once whether there is an executor that accepts the token, or can be started where there is a Jupyter Server.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::Connection;
use crate::edge::settings::{Endpoint, Kind};
use crate::provision::remote::{Address, Remote};
use crate::runtime::{Runtime, RuntimeError, RuntimeResult};
use crate::wire::machine::Health;
use crate::wire::session::Session;

/// Limit for checking that there is an executor at a new address.
const NEW_ADDRESS_TIMEOUT: Duration = Duration::from_secs(15);
/// The same where it has to be sent and started first.
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// The same where the machine may have to boot before.
const BOOT_TIMEOUT: Duration = Duration::from_secs(300);

/// Limit for checking what is at an address.
#[must_use]
pub fn check_timeout(endpoint: &Endpoint) -> Duration {
    match endpoint.kind {
        Kind::Executor => NEW_ADDRESS_TIMEOUT,
        Kind::Jupyter => START_TIMEOUT,
        Kind::Machine => BOOT_TIMEOUT,
    }
}

/// The state of a runtime that answered.
#[derive(Debug)]
pub struct Checked {
    pub health: Health,
    /// Round trip of one request on an open connection.
    pub latency: Duration,
    pub sessions: Vec<Session>,
    /// Why there is no executor, where kernels alone run code.
    pub lacks_executor: Option<String>,
}

impl Connection {
    /// Returns the runtime's address and state. Asks once, and once more if a saved connection leads elsewhere.
    ///
    /// # Errors
    /// As [`Self::runtime`] and [`check`].
    pub async fn check(&self, deadline: Instant) -> RuntimeResult<(String, Checked)> {
        let runtime = self.runtime(deadline).await?;
        let (runtime, checked) = match check(&*runtime, deadline).await {
            Err(error) if self.heal(&*runtime, &error) => {
                let other = self.runtime(deadline).await?;
                let checked = check(&*other, deadline).await;
                (other, checked)
            }
            checked => (runtime, checked),
        };
        Ok((runtime.address().to_owned(), checked?))
    }
}

/// The outcome of [`Connection::switch`].
#[derive(Debug)]
pub struct Switched {
    pub checked: Checked,
    /// Whether the address was saved for later starts on this computer.
    pub saved: io::Result<()>,
}

impl Connection {
    /// Switches to `endpoint`, also for calls in flight, and saves the address for later starts, if an executor answers there by `deadline`.
    ///
    /// # Errors
    /// As [`Address::start`] and [`check`]; nothing is changed then.
    pub async fn switch(&self, endpoint: Endpoint, deadline: Instant) -> RuntimeResult<Switched> {
        let address = Address::new(endpoint.clone(), &self.data_dir);
        let checked = check_address(&address, deadline).await?;
        let saved = self.remember(&endpoint);
        self.set_provisioner(Arc::new(Remote::through(address, &self.data_dir)));
        Ok(Switched { checked, saved })
    }
}

impl Connection {
    /// Switches to the machine at `endpoint` before there is an executor, which is started in the background, and saves the address. Returns
    /// once it is there.
    ///
    /// # Errors
    /// As [`Self::runtime`], while it still starts or could not be started; the connection leads there nevertheless.
    pub async fn turn_to(&self, endpoint: Endpoint, deadline: Instant) -> RuntimeResult<()> {
        if let Err(error) = self.remember(&endpoint) {
            tracing::warn!(%error, "the address could not be saved");
        }
        self.set_provisioner(Arc::new(Remote::at(endpoint, &self.data_dir)));
        self.runtime(deadline).await.map(drop)
    }
}

/// Checks `endpoint` without switching to it. What is kept of it is in `data_dir`.
///
/// # Errors
/// As [`Address::start`] and [`check`].
pub async fn check_endpoint(
    endpoint: &Endpoint,
    data_dir: &Path,
    deadline: Instant,
) -> RuntimeResult<Checked> {
    let address = Address::new(endpoint.clone(), data_dir);
    let checked = check_address(&address, deadline).await;
    address.stop().await;
    checked
}

async fn check_address(address: &Address, deadline: Instant) -> RuntimeResult<Checked> {
    check(&*address.start(deadline).await?, deadline).await
}

/// Requests `/sessions`, which shows whether the token is right, and `/health` for the latency.
///
/// # Errors
/// The errors of the runtime; [`RuntimeError::TimedOut`] after `deadline`.
async fn check(runtime: &dyn Runtime, deadline: Instant) -> RuntimeResult<Checked> {
    let asking = async {
        let sessions = match runtime.sessions().await {
            // An idle connection may have been closed just then: that says nothing about the next one.
            Err(RuntimeError::Broken { .. }) => runtime.sessions().await?,
            sessions => sessions?,
        };
        let started = Instant::now();
        let health = runtime.health().await?;
        Ok(Checked {
            health,
            latency: started.elapsed(),
            sessions,
            lacks_executor: runtime.lacks_executor().map(str::to_owned),
        })
    };
    let timed_out = |_| RuntimeError::TimedOut {
        url: runtime.address().to_owned(),
    };
    timeout_at(deadline, asking).await.map_err(timed_out)?
}
