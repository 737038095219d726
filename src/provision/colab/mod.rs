//! The executor that is embedded in this binary, on a machine that Colab has assigned: no tunnel, no notebook. The machine is a Jupyter Server behind
//! Colab's proxy, so all the rest is as on any other.
//!
//! The proxy's token ends after an hour: it is replaced before. Colab is told that the machine is in use only while it is.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::jupyter::Jupyter;
use super::jupyter::fault::{CONNECTING, Fault};
use crate::base::lock::Lock;
use crate::colab::{ColabError, Machines, Plane, Proxy};
use crate::jupyter::{JupyterError, Server};

/// A machine boots, and starts its server.
const BOOT_TIMEOUT: Duration = Duration::from_secs(180);
const BOOT_POLL_INTERVAL: Duration = Duration::from_secs(3);
/// A token is replaced this long before its end.
const MARGIN: Duration = Duration::from_secs(300);
/// After a token could not be replaced.
const RETRY_DELAY: Duration = Duration::from_secs(30);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(300);
/// After its last use a machine is not kept alive any longer.
const IDLE_TIME: Duration = Duration::from_secs(1800);

/// The step of a start that takes minutes on a new machine.
pub(super) const BOOTING: &str = "waiting for the machine to boot";

const ASKING: &str = "asking Colab for the machine";

/// Whether a start at this step has not reached the machine's server.
#[must_use]
pub fn is_boot(step: &str) -> bool {
    [ASKING, BOOTING, CONNECTING].contains(&step)
}

/// The executor on the machine of this name, which was assigned from this computer. Its record is in `data_dir`.
#[must_use]
pub fn on(name: &str, data_dir: &Path) -> Jupyter {
    let machine = Assigned {
        name: name.to_owned(),
        machines: Machines::new(data_dir),
        data_dir: data_dir.to_owned(),
        used: Arc::new(Lock::new(Instant::now())),
    };
    Jupyter::assigned(machine, data_dir)
}

/// A machine that was assigned from this computer.
#[derive(Debug)]
pub(super) struct Assigned {
    name: String,
    machines: Machines,
    data_dir: PathBuf,
    /// When it was used last.
    used: Arc<Lock<Instant>>,
}

impl Assigned {
    pub(super) fn address(&self) -> String {
        format!("colab:{}", self.name)
    }

    /// Notes that it is in use.
    pub(super) fn note_use(&self) {
        *self.used.lock() = Instant::now();
    }

    /// Finds its server, and waits until the machine has booted.
    pub(super) async fn server(
        &self,
        say: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<Arc<Server>, Fault> {
        self.note_use();
        let kept = self.machines.named(&self.name)?;
        let plane = kept.plane(&self.data_dir)?;
        say(ASKING);
        let proxy = way(&*plane, &self.name).await?;
        let server = Arc::new(Server::behind_proxy(proxy.url.clone(), &proxy.token)?);
        let end = Instant::now() + BOOT_TIMEOUT;
        let mut half_life = Instant::now() + proxy.expires_in / 2;
        loop {
            match server.probe().await {
                Ok(()) => break,
                Err(
                    error @ (JupyterError::Unreachable(_)
                    | JupyterError::TimedOut
                    | JupyterError::NotFound
                    | JupyterError::Stranger(_)),
                ) if Instant::now() < end => {
                    tracing::debug!("the machine {error}");
                    say(BOOTING);
                    if Instant::now() > half_life {
                        let proxy = way(&*plane, &self.name).await?;
                        server.renew(&proxy.token)?;
                        half_life = Instant::now() + proxy.expires_in / 2;
                    }
                    sleep(BOOT_POLL_INTERVAL).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        let (name, server_of, used) = (
            self.name.clone(),
            Arc::downgrade(&server),
            self.used.clone(),
        );
        tokio::spawn(attend(name, plane, server_of, proxy.expires_in, used));
        Ok(server)
    }
}

/// A fresh way to a machine. One that Colab no longer lists is gone; what the proxy answers proves nothing.
async fn way(plane: &dyn Plane, name: &str) -> Result<Proxy, ColabError> {
    let machine = plane.reach(name).await?;
    let machine = machine.ok_or_else(|| ColabError::Gone(name.to_owned()))?;
    machine
        .proxy
        .ok_or_else(|| ColabError::odd("a machine without an address"))
}

/// Replaces the proxy's token before its end, and keeps the machine alive while it is in use, as long as somebody has the server.
async fn attend(
    name: String,
    plane: Arc<dyn Plane>,
    server: Weak<Server>,
    life: Duration,
    used: Arc<Lock<Instant>>,
) {
    let before_end = |life: Duration| Instant::now() + life - MARGIN.min(life / 2);
    let (mut renewal, mut pulse) = (before_end(life), Instant::now() + KEEP_ALIVE_INTERVAL);
    loop {
        tokio::time::sleep_until(renewal.min(pulse)).await;
        let Some(server) = server.upgrade() else {
            return;
        };
        if Instant::now() >= renewal {
            renewal = match way(&*plane, &name).await {
                Ok(proxy) if server.renew(&proxy.token).is_ok() => before_end(proxy.expires_in),
                Ok(_) => return,
                Err(ColabError::Gone(_)) => return,
                Err(error) => {
                    tracing::warn!(machine = name, %error, "the token of the machine's proxy could not be replaced");
                    Instant::now() + RETRY_DELAY
                }
            };
        }
        if Instant::now() >= pulse {
            pulse += KEEP_ALIVE_INTERVAL;
            if used.lock().elapsed() < IDLE_TIME {
                tracing::info!(machine = name, "telling Colab that the machine is in use");
                if let Err(error) = plane.keep_alive(&name).await {
                    tracing::warn!(machine = name, %error, "Colab did not take it that the machine is in use");
                }
            }
        }
    }
}
