//! The executor that is embedded in this binary, on the machine of a Jupyter Server: nothing to install there.
//!
//! A *helper kernel* of this bridge receives a relay and the executor's package, starts the executor beside it, and carries HTTP to it through its
//! control channel. The executor outlives helper, bridge and client: a helper that is gone is replaced, and the executor is found again.

mod boot;
mod carry;
pub(super) mod fault;
mod files;
mod helper;
mod package;
mod place;
mod slot;
mod start;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, OnceCell, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::colab::Assigned;
use super::{Host, Provisioner};
use crate::base::lock::Lock;
use crate::edge::settings::Endpoint;
use crate::jupyter::{Channel, JupyterError, OpenNotebook, Server};
use crate::runtime::executor::Executor;
use crate::runtime::kernel::Kernels;
use crate::runtime::{Runtime, RuntimeError, RuntimeResult};
use carry::Tunnel;
pub use fault::explained;
use fault::{CONNECTING, Fault, not_ready};
use helper::Helper;
use place::Place;

/// The executor on a Jupyter Server: found or started when it is first needed, and again after its helper kernel or itself ended.
#[derive(Debug)]
pub struct Jupyter {
    shared: Arc<Shared>,
    executor: OnceLock<Arc<Executor>>,
}

#[derive(Debug)]
struct Shared {
    place: Place,
    /// For people: no token in it.
    address: String,
    /// The records of helper kernels.
    folder: PathBuf,
    /// Names this bridge among the clients of its helper kernel.
    session: String,
    state: watch::Sender<State>,
    helper: Mutex<Option<Helper>>,
    /// From the first start without an executor on: it follows jobs.
    kernels: Lock<Option<Arc<Kernels>>>,
    /// The task that starts.
    starting: Lock<Option<JoinHandle<()>>>,
    stop: CancellationToken,
}

/// A helper kernel beside a running executor.
#[derive(Debug)]
struct Live {
    channel: Channel,
    boot_id: String,
    server: Arc<Server>,
    /// In place of an executor, where none can run.
    kernels: Option<Arc<Kernels>>,
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
    /// On the server at `endpoint`. Starts nothing yet.
    #[must_use]
    pub fn at(endpoint: Endpoint, data_dir: &Path) -> Self {
        Self::new(Place::At(endpoint), data_dir)
    }

    /// On a server of this computer, as the files in `folder` describe those that run. Starts nothing yet.
    #[must_use]
    pub fn running(folder: PathBuf, data_dir: &Path) -> Self {
        Self::new(Place::Running(folder), data_dir)
    }

    /// On a machine of Colab. Starts nothing yet.
    pub(super) fn assigned(machine: Assigned, data_dir: &Path) -> Self {
        Self::new(Place::Machine(machine), data_dir)
    }

    fn new(place: Place, data_dir: &Path) -> Self {
        let shared = Arc::new(Shared {
            address: place.address(),
            place,
            folder: data_dir.join("jupyter"),
            session: Uuid::now_v7().to_string(),
            state: watch::Sender::new(State::Down),
            helper: Mutex::new(None),
            kernels: Lock::default(),
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
        self.shared.begin();
        self.shared.await_boot(deadline).await?;
        match self.shared.live(deadline).await {
            Err(error @ RuntimeError::Starting { .. }) => Err(error),
            Err(error) if !error.is_transient() => Err(error),
            Ok(live) => match &live.kernels {
                Some(kernels) => Ok(kernels.clone()),
                None => Ok(self.executor()?),
            },
            Err(_) => match &*self.shared.kernels.lock() {
                Some(kernels) => Ok(kernels.clone()),
                None => Ok(self.executor()?),
            },
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
        let helper = self.shared.helper.lock().await.take();
        if let Some(helper) = helper {
            helper.delete().await;
        }
    }

    async fn notebooks(&self) -> RuntimeResult<Vec<OpenNotebook>> {
        let listing = async {
            let (server, _) = self.shared.place.find(&|_| ()).await?;
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

    fn machine_age(&self) -> Option<Duration> {
        self.executor.get()?.machine_age()
    }

    fn boot_id(&self) -> Option<String> {
        let kernels = self.shared.kernels.lock().clone();
        let answered = match kernels {
            Some(kernels) => kernels.boot_id(),
            None => self.executor.get().and_then(|executor| executor.boot_id()),
        };
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

impl Drop for Shared {
    /// After the last request through it: the connection leads elsewhere now.
    fn drop(&mut self) {
        if let Some(helper) = self.helper.get_mut().take()
            && let Ok(tokio) = Handle::try_current()
        {
            tokio.spawn(helper.delete());
        }
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
        let (server, address) = self.place.find(&|step| self.say(step)).await?;
        // In a task of its own: a kernel that is started is recorded also if this start is abandoned.
        let (shared, at) = (self.clone(), server.clone());
        let helping = tokio::spawn(async move { shared.helper(at, address).await });
        let ended = |_| Fault::start("the start was interrupted", "Call again.");
        let (kernel, is_new) = helping.await.map_err(ended)??;
        self.say("connecting to the helper kernel");
        let reached = start::reach(&server, &kernel, &self.session, is_new).await?;
        let Some(channel) = reached else {
            tracing::info!("the helper kernel that was found does not answer");
            return Box::pin(self.start(true)).await;
        };
        let (boot_id, kernels) = match start::start(&channel, &|step| self.say(step)).await {
            Ok(boot_id) => (boot_id, None),
            Err(Fault::NoExecutor { reason }) => {
                let kernels = self.kernels(&server, reason).await?;
                (kernels.boot_id().unwrap_or_default(), Some(kernels))
            }
            Err(fault) => return Err(fault),
        };
        Ok(Live {
            channel,
            boot_id,
            server,
            shares_files: match kernels {
                // There is no executor.
                Some(_) => OnceCell::new_with(Some(false)),
                None => OnceCell::new(),
            },
            kernels,
        })
    }

    fn error(&self, fault: Fault) -> RuntimeError {
        fault.into_error(&self.address, self.place.has_token())
    }

    /// Uses the server's kernels alone.
    async fn kernels(&self, server: &Arc<Server>, reason: String) -> Result<Arc<Kernels>, Fault> {
        let held = self.helper.lock().await;
        let Some(helper) = &*held else {
            return Err(Fault::start("it is being stopped", "Restart the client."));
        };
        tracing::warn!("no executor can run on the Jupyter Server: {reason}");
        let folder = helper.slot.kernels();
        let mut kernels = self.kernels.lock();
        if let Some(known) = &*kernels {
            return Ok(known.clone());
        }
        let opened = Kernels::open(server.clone(), self.address.clone(), &folder, reason);
        let opened = Arc::new(opened.map_err(|error| Fault::disk(&folder, &error))?);
        Ok(kernels.insert(opened).clone())
    }

    /// Finds this bridge's helper kernel, or starts one, and returns its id, and whether it is new.
    async fn helper(&self, server: Arc<Server>, address: String) -> Result<(String, bool), Fault> {
        let mut held = self.helper.lock().await;
        let helper = match held.take().filter(|helper| helper.address == address) {
            Some(helper) => Helper { server, ..helper },
            None => Helper::take(&self.folder, server, address)?,
        };
        let helper = held.insert(helper);
        if let Some(kernel) = helper.living_kernel().await? {
            return Ok((kernel, false));
        }
        if self.stop.is_cancelled() {
            return Err(Fault::start("it is being stopped", "Restart the client."));
        }
        self.say("starting a helper kernel");
        Ok((helper.start_kernel().await?, true))
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
