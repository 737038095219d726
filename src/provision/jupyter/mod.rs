//! The executor that is embedded in this binary, on the machine of a Jupyter Server: nothing to install there.
//!
//! A *helper kernel* of this bridge receives a relay and the executor's package, starts the executor beside it, and carries HTTP to it through its
//! control channel. The executor outlives helper, bridge and client: a helper that is gone is replaced, and the executor is found again.

mod carry;
mod fault;
mod files;
mod package;
mod slot;
mod start;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use tokio::sync::{Mutex, OnceCell, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Host, Provisioner};
use crate::base::lock::Lock;
use crate::edge::jupyter::{JupyterServer, running};
use crate::edge::settings::Endpoint;
use crate::jupyter::{Channel, JupyterError, OpenNotebook, Server};
use crate::runtime::executor::Executor;
use crate::runtime::{Runtime, RuntimeError, RuntimeResult};
use carry::Tunnel;
use fault::{Fault, WHAT};
use slot::Slot;

/// The request that a helper kernel answers at once.
const PULSE: &str = "sc_hello_request";
/// A server that is found by its file.
const RUNNING: &str = "the Jupyter Server on this computer";

/// The first step of a start.
const CONNECTING: &str = "connecting to the Jupyter Server";

/// Reports the current step of a start.
type Say<'a> = dyn Fn(&str) + Send + Sync + 'a;

/// The executor on a Jupyter Server: found or started when it is first needed, and again after its helper kernel or itself ended.
#[derive(Debug)]
pub struct Jupyter {
    shared: Arc<Shared>,
    executor: OnceLock<Arc<Executor>>,
}

#[derive(Debug)]
struct Shared {
    server: JupyterServer,
    /// For people: no token in it.
    address: String,
    /// The records of helper kernels.
    folder: PathBuf,
    /// Names this bridge among the clients of its helper kernel.
    session: String,
    state: watch::Sender<State>,
    helper: Mutex<Option<Helper>>,
    /// The task that starts.
    starting: Lock<Option<JoinHandle<()>>>,
    stop: CancellationToken,
}

/// The kernel that belongs to this bridge.
#[derive(Debug)]
struct Helper {
    server: Arc<Server>,
    /// The server's address.
    address: String,
    slot: Slot,
    kernel: Option<String>,
}

/// A helper kernel beside a running executor.
#[derive(Debug)]
struct Live {
    channel: Channel,
    boot_id: String,
    server: Arc<Server>,
    /// Whether the server's files are the executor's, once that was asked.
    shares_files: OnceCell<bool>,
}

#[derive(Debug)]
enum State {
    /// Not needed yet.
    Down,
    Starting {
        doing: String,
        /// Why the start before failed, until this one has reached the server.
        before: Option<Fault>,
    },
    /// Until the channel is closed.
    Ready(Arc<Live>),
    Failed(Fault),
    Stopped,
}

impl Jupyter {
    /// Starts nothing yet.
    #[must_use]
    pub fn new(server: JupyterServer, data_dir: &Path) -> Self {
        let address = match &server {
            JupyterServer::At(endpoint) => endpoint.address(),
            JupyterServer::Running(_) => RUNNING.to_owned(),
        };
        let shared = Arc::new(Shared {
            server,
            address,
            folder: data_dir.join("jupyter"),
            session: Uuid::now_v7().to_string(),
            state: watch::Sender::new(State::Down),
            helper: Mutex::new(None),
            starting: Lock::new(None),
            stop: CancellationToken::new(),
        });
        Self {
            shared,
            executor: OnceLock::new(),
        }
    }

    fn executor(&self) -> RuntimeResult<Arc<Executor>> {
        if let Some(executor) = self.executor.get() {
            return Ok(executor.clone());
        }
        let made = Executor::through(Arc::new(Tunnel(self.shared.clone())))?;
        Ok(self.executor.get_or_init(|| Arc::new(made)).clone())
    }
}

#[async_trait]
impl Provisioner for Jupyter {
    fn begin(&self) {
        self.shared.begin();
    }

    /// While the server cannot be reached this succeeds, and the runtime's requests fail: they are retried as with any address.
    async fn runtime(&self, deadline: Instant) -> RuntimeResult<Arc<dyn Runtime>> {
        match self.shared.live(deadline).await {
            Err(error @ RuntimeError::Starting { .. }) => Err(error),
            Err(error) if !error.is_transient() => Err(error),
            Ok(_) | Err(_) => Ok(self.executor()?),
        }
    }

    fn doing(&self) -> Option<String> {
        match &*self.shared.state.borrow() {
            State::Starting { doing, .. } => Some(doing.clone()),
            State::Down | State::Ready(_) | State::Failed(_) | State::Stopped => None,
        }
    }

    /// Deletes the helper kernel. The executor and its jobs go on.
    async fn stop(&self) {
        self.shared.state.send_replace(State::Stopped);
        self.shared.stop.cancel();
        let starting = self.shared.starting.lock().take();
        if let Some(starting) = starting {
            let _ = starting.await;
        }
        let Some(helper) = self.shared.helper.lock().await.take() else {
            return;
        };
        let Some(kernel) = &helper.kernel else { return };
        match helper.server.delete_kernel(kernel).await {
            Ok(()) | Err(JupyterError::NotFound) => helper.slot.forget(),
            // The next start finds it.
            Err(error) => tracing::warn!("the helper kernel was not deleted: the server {error}"),
        }
    }

    async fn notebooks(&self) -> RuntimeResult<Vec<OpenNotebook>> {
        let listing = async {
            let (server, _) = self.shared.find().await?;
            Ok::<_, Fault>(server.notebooks().await?)
        };
        let listed = listing.await;
        listed.map_err(|fault| self.shared.error(fault))
    }

    fn place(&self) -> Option<String> {
        Some(self.shared.address.clone())
    }

    async fn jupyter(&self, deadline: Instant) -> RuntimeResult<Option<Host>> {
        let live = self.shared.live(deadline).await?;
        let asking = live
            .shares_files
            .get_or_try_init(|| files::are_shared(&live));
        let asked = timeout_at(deadline, asking).await;
        let asked = asked.unwrap_or(Err(JupyterError::TimedOut));
        let shares_files = *asked.map_err(|error| self.shared.error(error.into()))?;
        Ok(Some(Host {
            server: live.server.clone(),
            shares_files,
        }))
    }

    fn boot_id(&self) -> Option<String> {
        let answered = self.executor.get().and_then(|executor| executor.boot_id());
        answered.or_else(|| match &*self.shared.state.borrow() {
            State::Ready(live) => Some(live.boot_id.clone()),
            State::Down | State::Starting { .. } | State::Failed(_) | State::Stopped => None,
        })
    }
}

impl Drop for Jupyter {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

impl Shared {
    /// Starts unless it is starting, or ready and its channel open.
    fn begin(self: &Arc<Self>) {
        let mut is_shut_down = false;
        let begins = self.state.send_if_modified(|state| {
            let mut before = None;
            match state {
                State::Starting { .. } | State::Stopped => return false,
                State::Ready(live) if !live.channel.is_closed() => return false,
                State::Ready(live) => is_shut_down = live.channel.is_shut_down(),
                State::Failed(fault) => before = Some(fault.clone()),
                State::Down => {}
            }
            let doing = CONNECTING.to_owned();
            *state = State::Starting { doing, before };
            true
        });
        if begins {
            let shared = self.clone();
            let starting = tokio::spawn(async move {
                let started = tokio::select! {
                    biased;
                    () = shared.stop.cancelled() => return,
                    started = shared.start(is_shut_down) => started,
                };
                shared.set_state(match started {
                    Ok(live) => State::Ready(Arc::new(live)),
                    Err(fault) => State::Failed(fault),
                });
            });
            *self.starting.lock() = Some(starting);
        }
    }

    /// Returns the channel to a running executor; waits until `deadline` for a start.
    async fn live(self: &Arc<Self>, deadline: Instant) -> RuntimeResult<Arc<Live>> {
        self.begin();
        let mut state = self.state.subscribe();
        let settled = state.wait_for(|state| !matches!(state, State::Starting { .. }));
        let _ = timeout_at(deadline, settled).await.is_ok();
        match &*self.state.borrow() {
            State::Ready(live) => Ok(live.clone()),
            State::Failed(fault)
            | State::Starting {
                before: Some(fault),
                ..
            } => Err(self.error(fault.clone())),
            State::Starting { doing, .. } => Err(not_ready(doing)),
            State::Down => Err(not_ready("starting")),
            State::Stopped => Err(RuntimeError::Cancelled),
        }
    }

    /// Starts what is missing; `is_shut_down` says that the helper kernel will not come back.
    async fn start(self: &Arc<Self>, is_shut_down: bool) -> Result<Live, Fault> {
        if is_shut_down && let Some(helper) = &mut *self.helper.lock().await {
            helper.kernel = None;
        }
        let (server, address) = self.find().await?;
        // In a task of its own: a kernel that is started is recorded also if this start is abandoned.
        let (shared, at) = (self.clone(), server.clone());
        let helping = tokio::spawn(async move { shared.helper(at, address).await });
        let ended = |_| Fault::start("the start was interrupted", "Call again.");
        let kernel = helping.await.map_err(ended)??;
        self.say("connecting to the helper kernel");
        let channel = server.open(&kernel, &self.session, PULSE).await?;
        let boot_id = start::start(&channel, &|step| self.say(step)).await?;
        Ok(Live {
            channel,
            boot_id,
            server,
            shares_files: OnceCell::new(),
        })
    }

    fn error(&self, fault: Fault) -> RuntimeError {
        fault.into_error(&self.address, self.has_token())
    }

    /// Whether a token is sent, as far as is known.
    fn has_token(&self) -> bool {
        match &self.server {
            JupyterServer::At(endpoint) => !endpoint.token.expose().is_empty(),
            JupyterServer::Running(_) => true,
        }
    }

    /// Finds the server, and its address.
    async fn find(&self) -> Result<(Arc<Server>, String), Fault> {
        let endpoints = match &self.server {
            JupyterServer::At(endpoint) => vec![endpoint.clone()],
            JupyterServer::Running(folder) => running(folder),
        };
        let mut first = None;
        for endpoint in &endpoints {
            match probe(endpoint).await {
                Ok(server) => return Ok((server, endpoint.address())),
                Err(error) => first = first.or(Some(error)),
            }
        }
        Err(first.map_or(Fault::NotRunning, Fault::Server))
    }

    /// Finds this bridge's helper kernel, or starts one, and returns its id.
    async fn helper(&self, server: Arc<Server>, address: String) -> Result<String, Fault> {
        let mut held = self.helper.lock().await;
        let helper = match held.take().filter(|helper| helper.address == address) {
            Some(helper) => Helper { server, ..helper },
            None => {
                let slot = Slot::take(&self.folder, &address)?;
                Helper {
                    server,
                    address,
                    kernel: slot.kernel(),
                    slot,
                }
            }
        };
        let helper = held.insert(helper);
        if let Some(kernel) = &helper.kernel
            && helper.server.has_kernel(kernel).await?
        {
            return Ok(kernel.clone());
        }
        helper.kernel = None;
        if self.stop.is_cancelled() {
            return Err(Fault::start("it is being stopped", "Restart the client."));
        }
        self.say("starting a helper kernel");
        let name = helper.server.python_kernel().await?;
        let kernel = helper.server.start_kernel(&name).await?;
        helper.kernel = Some(kernel.clone());
        helper.slot.record(&kernel)?;
        Ok(kernel)
    }

    fn say(&self, step: &str) {
        tracing::info!("Jupyter Server: {step}");
        self.set_state(State::Starting {
            doing: step.to_owned(),
            before: None,
        });
    }

    /// Changes the state to `next`, unless it is `Stopped`.
    fn set_state(&self, next: State) {
        self.state.send_if_modified(|state| {
            let alive = !matches!(state, State::Stopped);
            if alive {
                *state = next;
            }
            alive
        });
    }
}

/// The error of a request to the server at `address` beside those that its executor answers.
#[must_use]
pub fn server_error(error: JupyterError, address: &str) -> RuntimeError {
    Fault::Server(error).into_error(address, true)
}

async fn probe(endpoint: &Endpoint) -> Result<Arc<Server>, JupyterError> {
    let server = Server::new(endpoint)?;
    server.probe().await?;
    Ok(Arc::new(server))
}

fn not_ready(doing: &str) -> RuntimeError {
    let remedy = match doing {
        CONNECTING => {
            "The server has not answered yet. Call again; if it does not answer then either, check that a Jupyter Server runs at this address."
        }
        _ => "It starts in seconds. Call again.",
    };
    RuntimeError::Starting {
        what: WHAT,
        doing: doing.to_owned(),
        remedy: remedy.into(),
    }
}
