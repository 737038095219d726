//! The executor that is embedded in this binary, run on this machine: no account, no tunnel, nothing to install but Python.
//!
//! Under the data folder, in `executor/`: `package/` (unpacked from the binary), `environment/` (Python packages), `state/` (jobs). User code
//! starts in `LOCAL_SAVE_DIR/workspace`, where the user finds the files that it writes.

mod command;
mod environment;
mod fault;
mod install;
mod layout;
pub mod look;
mod package;
mod process;
mod python;
mod slot;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::Provisioner;
use crate::base::advice::Step;
use crate::base::fault::Fault as _;
use crate::base::ids::JobId;
use crate::base::lock::Lock;
use crate::edge::settings::{Endpoint, Settings};
use crate::runtime::executor::Executor;
use crate::runtime::{Runtime, RuntimeError, RuntimeResult};
use fault::{Fault, WHAT};
use layout::Environment;
use process::Process;
use slot::Slot;

/// In the data folder.
const FOLDER: &str = "executor";

/// Reports the current step of a start.
type Say<'a> = dyn Fn(&str) + Send + Sync + 'a;

/// The local executor: started when it is first needed, again after it failed or died, stopped at the end or when dropped.
#[derive(Debug)]
pub struct Local(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    setup: Setup,
    state: watch::Sender<State>,
    /// Kept across restarts of the executor, so that its old jobs are found again.
    slot: OnceLock<Slot>,
    /// The task that starts, watches and stops the executor.
    keeper: Lock<Option<JoinHandle<()>>>,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Setup {
    /// This program's folder: package, environment, state.
    folder: PathBuf,
    /// The user's folder, where code starts.
    root: PathBuf,
    python: Option<PathBuf>,
    search_path: OsString,
    /// For risky calls in code.
    policy: String,
}

#[derive(Debug)]
enum State {
    /// Not needed yet, or died.
    Down,
    Starting {
        doing: String,
        /// Why the previous try failed, for callers that cannot wait for the end of this one.
        before: Option<Fault>,
    },
    Ready(Arc<Executor>),
    Failed(Fault),
    Stopped,
}

/// Returns the executors that bridges on this computer have started, the newest first. One that has just ended is among them until it is
/// started again, and does not answer.
#[must_use]
pub fn running(data_dir: &Path) -> Vec<Endpoint> {
    let files = slot::ready_files(&data_dir.join(FOLDER).join("state"));
    let lines = files
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok());
    lines.filter_map(|line| process::endpoint(&line)).collect()
}

impl Local {
    /// Starts nothing yet.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self(Arc::new(Shared {
            setup: Setup {
                folder: settings.data_dir.join(FOLDER),
                root: settings.save_dir.join("workspace"),
                python: settings.python.clone(),
                search_path: settings.search_path.clone(),
                policy: settings.policy.clone(),
            },
            state: watch::Sender::new(State::Down),
            slot: OnceLock::new(),
            keeper: Lock::new(None),
            stop: CancellationToken::new(),
        }))
    }

    fn keeper(&self) -> std::sync::MutexGuard<'_, Option<JoinHandle<()>>> {
        self.0.keeper.lock()
    }
}

#[async_trait]
impl Provisioner for Local {
    /// Starts the executor unless it is running or starting.
    fn begin(&self) {
        let begins = self.0.state.send_if_modified(|state| {
            let before = match state {
                State::Down => None,
                State::Failed(fault) => Some(fault.clone()),
                State::Starting { .. } | State::Ready(_) | State::Stopped => return false,
            };
            let doing = "starting".to_owned();
            *state = State::Starting { doing, before };
            true
        });
        if begins {
            let keeper = tokio::spawn(supervise(self.0.clone()));
            *self.keeper() = Some(keeper);
        }
    }

    /// Fails with [`RuntimeError::StartFailed`] if the start failed during the wait: the next call tries again.
    async fn runtime(&self, deadline: Instant) -> RuntimeResult<Arc<dyn Runtime>> {
        self.begin();
        let mut state = self.0.state.subscribe();
        let settled = state.wait_for(|state| !matches!(state, State::Starting { .. }));
        let _ = timeout_at(deadline, settled).await.is_ok();
        match &*self.0.state.borrow() {
            State::Ready(executor) => Ok(executor.clone()),
            State::Failed(fault) => Err(fault.clone().into()),
            State::Starting {
                doing,
                before: None,
            } => Err(not_ready(doing.clone())),
            State::Starting {
                doing,
                before: Some(fault),
            } => Err(not_ready(format!(
                "{doing}; the previous try failed: {}",
                fault.detail
            ))),
            State::Down => Err(not_ready("it ended right after its start".to_owned())),
            State::Stopped => Err(RuntimeError::EndedWithClient),
        }
    }

    fn doing(&self) -> Option<String> {
        match &*self.0.state.borrow() {
            State::Starting { doing, .. } => Some(doing.clone()),
            State::Down | State::Ready(_) | State::Failed(_) | State::Stopped => None,
        }
    }

    /// Looks for the job in the state of other clients' executors.
    fn explain_missing(&self, job: JobId) -> Option<RuntimeError> {
        let own = self.0.slot.get().map(|slot| slot.state.as_path());
        let log = slot::find_log(&self.0.setup.folder.join("state"), own, job)?;
        Some(RuntimeError::OtherClient { log })
    }

    /// Takes a few seconds at most.
    async fn stop(&self) {
        self.0.state.send_replace(State::Stopped);
        self.0.stop.cancel();
        let keeper = self.keeper().take();
        if let Some(keeper) = keeper {
            let _ = keeper.await;
        }
    }

    fn place(&self) -> Option<String> {
        Some("local".to_owned())
    }

    /// None: its state is kept across starts, and with it all jobs.
    fn boot_id(&self) -> Option<String> {
        None
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.0.stop.cancel();
    }
}

fn not_ready(doing: String) -> RuntimeError {
    RuntimeError::Starting {
        what: WHAT,
        doing,
        remedy: Step::AwaitEnvironment.into(),
    }
}

/// Starts the executor once and watches it until its end.
async fn supervise(shared: Arc<Shared>) {
    let started = tokio::select! {
        biased;
        () = shared.stop.cancelled() => return,
        started = shared.start() => started,
    };
    let (mut process, executor) = match started {
        Ok(started) => started,
        Err(fault) => {
            tracing::warn!("the local executor could not be started: {}", fault.detail);
            return shared.set_state(State::Failed(fault));
        }
    };
    tracing::info!("the local executor is ready");
    shared.set_state(State::Ready(Arc::new(executor)));
    tokio::select! {
        () = shared.stop.cancelled() => process.stop().await,
        end = process.ended() => {
            match end {
                Ok(status) => tracing::warn!("the local executor ended ({status}); the next call starts it again"),
                Err(error) => tracing::warn!("the local executor was lost ({error}); the next call starts it again"),
            }
            shared.set_state(State::Down);
        }
    }
}

impl Shared {
    async fn start(&self) -> Result<(Process, Executor), Fault> {
        let Setup {
            folder,
            root,
            python,
            search_path,
            policy,
        } = &self.setup;
        let place = folder.join("package");
        let package = blocking(move || package::unpack(&place)).await?;
        let environment = match python {
            Some(python) => Environment::named(&python::named(python, search_path).await?),
            None => {
                let say = |step: &str| self.say(step);
                environment::ready(&folder.join("environment"), &package, search_path, &say).await?
            }
        };
        self.say("starting the executor");
        let slot = self.slot()?;
        let process =
            Process::start(&environment, &package, root, slot, search_path, policy).await?;
        let executor = Executor::new(&process.endpoint)
            .map_err(|error| Fault::new(error.to_string(), error.remedy()))?;
        Ok((process, executor))
    }

    fn slot(&self) -> Result<&Slot, Fault> {
        match self.slot.get() {
            Some(slot) => Ok(slot),
            None => {
                let slot = Slot::take(&self.setup.folder.join("state"))?;
                Ok(self.slot.get_or_init(|| slot))
            }
        }
    }

    fn say(&self, step: &str) {
        tracing::info!("local executor: {step}");
        self.state.send_if_modified(|state| {
            let State::Starting { doing, .. } = state else {
                return false;
            };
            step.clone_into(doing);
            true
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

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(Fault::new(error.to_string(), "Call again.")))
}
