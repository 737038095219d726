//! Whether there is an executor that takes the token, asked once.

use std::io;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::Connection;
use crate::edge::settings::Endpoint;
use crate::runtime::executor::Executor;
use crate::runtime::{Runtime, RuntimeError, RuntimeResult};
use crate::wire::machine::Health;
use crate::wire::session::Session;

/// How long an address that is new may take to show that it is one.
pub const NEW_ADDRESS_TIMEOUT: Duration = Duration::from_secs(15);

/// What a runtime that answers says of itself.
#[derive(Debug)]
pub struct Checked {
    pub health: Health,
    /// Of one request on an open connection.
    pub latency: Duration,
    pub sessions: Vec<Session>,
}

impl Connection {
    /// What the runtime says of itself, and its address: asked once, and once more where a saved connection leads elsewhere.
    ///
    /// # Errors
    /// Those of [`Self::runtime`] and of [`check`].
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

/// A connection that leads elsewhere than before.
#[derive(Debug)]
pub struct Switched {
    pub checked: Checked,
    /// Whether later starts on this computer will know it.
    pub saved: io::Result<()>,
}

impl Connection {
    /// Leads to the executor at `endpoint` from now on, and keeps it for later starts, if one answers there by `deadline`.
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

/// Asks an executor at `endpoint`, without connecting to it for good.
///
/// # Errors
/// Those of [`check`], and [`RuntimeError::TimedOut`] after `deadline`.
pub async fn check_endpoint(endpoint: &Endpoint, deadline: Instant) -> RuntimeResult<Checked> {
    check(&Executor::new(endpoint)?, deadline).await
}

/// `/sessions` because it tells whether the token is right, `/health` for the latency.
///
/// # Errors
/// Those of the runtime; [`RuntimeError::TimedOut`] after `deadline`.
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
