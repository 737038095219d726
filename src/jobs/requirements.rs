//! What the user's code requires: installed on each machine before the first code runs there, by a job of its own.

use std::ops::ControlFlow;
use std::time::Duration;

use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::Jobs;
use super::follow::{self, Ended, Followed};
use crate::base::ids::JobId;
use crate::caller::Caller;
use crate::runtime::{Machine, RuntimeError, RuntimeResult};
use crate::wire::event::{Event, EventKind};
use crate::wire::job::JobRequest;
use crate::wire::problem::Problem;
use crate::wire::session::kernel_of_adopted;
use crate::wire::state::JobState;

const SCRIPT: &str = include_str!("install.py");
/// All sessions have the same packages; this one is never busy with the user's code.
const SESSION: &str = "requirements";
const TIMEOUT_SEC: u64 = 3_600;
/// A machine that has just answered is not another one.
const SAME_MACHINE: Duration = Duration::from_secs(30);

/// The requirements, and how far they are installed.
#[derive(Debug, Default)]
pub(super) struct Requirements {
    /// In the form of a requirements file; empty if there are none.
    text: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Unknown,
    Running(JobId),
    /// They are tried again before the next code.
    Failed {
        boot_id: Option<String>,
        error: String,
    },
    Installed {
        boot_id: Option<String>,
        seen: Instant,
    },
}

impl Jobs {
    /// Requires packages, in the form of a requirements file.
    #[must_use]
    pub fn requiring(mut self, text: String) -> Self {
        self.requirements.text = text;
        self
    }

    /// Returns why code is refused on this machine: what it requires could not be installed when it was last tried.
    #[must_use]
    pub fn lacks_requirements(&self) -> Option<String> {
        let state = self.requirements.state.try_lock().ok()?;
        let State::Failed { boot_id, error } = &*state else {
            return None;
        };
        (*boot_id == self.connection.boot_id()).then(|| error.clone())
    }

    /// Sees to it that what the user's code requires is there before `request` runs. A notebook's kernel is left as it is.
    ///
    /// # Errors
    /// When it is not: the code must not run.
    pub(super) async fn install_requirements(
        &self,
        request: &JobRequest,
        caller: &Caller<'_>,
    ) -> RuntimeResult<()> {
        let requirements = &self.requirements;
        if requirements.text.is_empty() || kernel_of_adopted(&request.session).is_some() {
            return Ok(());
        }
        let Ok(mut state) = timeout_at(caller.reading, requirements.state.lock()).await else {
            return Err(still_running(None));
        };
        if let State::Installed { boot_id, seen } = &mut *state {
            if seen.elapsed() > SAME_MACHINE {
                self.connection.until(caller.deadline).health().await?;
                *seen = Instant::now();
            }
            if *boot_id == self.connection.boot_id() {
                return Ok(());
            }
            *state = State::Unknown;
        }
        let mut reason = String::new();
        let mut read = |event: &Event| {
            if let EventKind::Error(error) = &event.kind {
                reason.clone_from(&error.evalue);
            }
            ControlFlow::Continue(())
        };
        let caller = Caller {
            turn: None,
            ..caller.clone()
        };
        let followed = match *state {
            State::Running(id) => follow::follow(&self.connection, id, 0, &caller, &mut read).await,
            State::Unknown | State::Failed { .. } | State::Installed { .. } => {
                let (id, request) = (JobId::fresh(), requirements.request());
                self.send(&self.store, id, &request, &caller, &mut read)
                    .await?
            }
        };
        self.note_followed(&self.store, &followed);
        let (found, judged) = self.judge(followed, &reason);
        *state = found;
        judged?;
        // Its kernel has no other use.
        let _ = self.remove_session(SESSION, caller.deadline).await;
        Ok(())
    }

    /// The state after a job was followed, and why the code must not run.
    fn judge(&self, followed: Followed, reason: &str) -> (State, RuntimeResult<()>) {
        let id = followed.id;
        let state = followed.job.map(|job| job.state);
        match followed.ended {
            Ended::Finished if state == Some(JobState::Succeeded) => {
                let installed = State::Installed {
                    boot_id: self.connection.boot_id(),
                    seen: Instant::now(),
                };
                (installed, Ok(()))
            }
            Ended::Finished => {
                let error = not_installed(id, reason);
                let failed = State::Failed {
                    boot_id: self.connection.boot_id(),
                    error: error.to_string(),
                };
                (failed, Err(error))
            }
            Ended::Trouble(error) => (State::Unknown, Err(error)),
            Ended::Cancelled => (State::Running(id), Err(RuntimeError::Cancelled)),
            Ended::Full | Ended::Deadline | Ended::Left => {
                (State::Running(id), Err(still_running(Some(id))))
            }
        }
    }
}

impl Requirements {
    fn request(&self) -> JobRequest {
        // A text of JSON is one of Python too.
        JobRequest {
            code: format!("{SCRIPT}\ninstall({})", json!(self.text)),
            session: SESSION.to_owned(),
            timeout_sec: TIMEOUT_SEC,
            iterations: None,
            kernel_id: None,
            folder: None,
            answers: false,
        }
    }
}

fn still_running(id: Option<JobId>) -> RuntimeError {
    let job = id.map_or_else(String::new, |id| format!(" (job {id})"));
    RuntimeError::Refused(Problem {
        status: 503,
        code: "busy".to_owned(),
        detail: format!("The packages that your code requires are still being installed{job}."),
        hint: "Follow that job to its end, and send the code again.".to_owned(),
        retryable: true,
        retry_after_sec: None,
    })
}

fn not_installed(id: JobId, reason: &str) -> RuntimeError {
    RuntimeError::Refused(Problem {
        status: 424,
        code: "requirements_failed".to_owned(),
        detail: format!(
            "The packages of SMART_COLAB_REQUIREMENTS could not be installed: {reason} (job {id})."
        ),
        hint: "Ask the user to correct SMART_COLAB_REQUIREMENTS and to restart the client. If the package index could not be reached, send the code again."
            .to_owned(),
        retryable: false,
        retry_after_sec: None,
    })
}
