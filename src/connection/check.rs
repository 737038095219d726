//! Checks once whether there is an executor that accepts the token.

use std::io;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::Connection;
use crate::edge::settings::Endpoint;
use crate::runtime::executor::Executor;
use crate::runtime::{Runtime, RuntimeError, RuntimeResult};
use crate::wire::machine::Health;
use crate::wire::session::Session;

/// Limit for checking that there is an executor at a new address.
pub const NEW_ADDRESS_TIMEOUT: Duration = Duration::from_secs(15);

/// The state of a runtime that answered.
#[derive(Debug)]
pub struct Checked {
    pub health: Health,
    /// Round trip of one request on an open connection.
    pub latency: Duration,
    pub sessions: Vec<Session>,
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
    /// Switches to the executor at `endpoint` and saves the address for later starts, if an executor answers there by `deadline`.
    ///
    /// # Errors
    /// As [`check_endpoint`]; nothing is changed then.
    pub async fn switch(&self, endpoint: Endpoint, deadline: Instant) -> RuntimeResult<Switched> {
        let checked = check_endpoint(&endpoint, deadline).await?;
        let saved = self.remember(&endpoint);
        self.connect(endpoint)?;
        Ok(Switched { checked, saved })
    }
}

/// Checks the executor at `endpoint` without switching to it.
///
/// # Errors
/// As [`check`].
pub async fn check_endpoint(endpoint: &Endpoint, deadline: Instant) -> RuntimeResult<Checked> {
    check(&Executor::new(endpoint)?, deadline).await
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
        })
    };
    let timed_out = |_| RuntimeError::TimedOut {
        url: runtime.address().to_owned(),
    };
    timeout_at(deadline, asking).await.map_err(timed_out)?
}
