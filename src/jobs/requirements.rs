//! What the user's code requires, named or remembered: installed on each machine before the first code runs there, by a job of its own.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::Jobs;
use super::follow::{self, Ended, Followed};
use super::remembered::{Changes, Remembered};
use crate::base::ids::JobId;
use crate::caller::Caller;
use crate::edge::settings::Required;
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
    source: Source,
    state: Mutex<State>,
}

#[derive(Debug)]
enum Source {
    /// In the form of a requirements file; empty if there are none.
    Named(String),
    Remembered(Remembered),
}

impl Default for Source {
    fn default() -> Self {
        Self::Named(String::new())
    }
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Unknown,
    Running(JobId),
    /// They are tried again before the next code.
    Failed {
        boot_id: Option<String>,
        problem: Problem,
    },
    Installed {
        boot_id: Option<String>,
        seen: Instant,
    },
}

impl Jobs {
    /// Requires packages; those that code installs are remembered in `folder`, if they are to be.
    #[must_use]
    pub fn requiring(mut self, required: Required, folder: PathBuf) -> Self {
        self.requirements.source = match required {
            Required::Named(text) => Source::Named(text),
            Required::Remembered => Source::Remembered(Remembered::new(folder)),
        };
        self
    }

    /// Remembers what code has changed among the machine's packages, if that is to be.
    pub(super) fn note_packages(&self, changes: &Changes) {
        if let Source::Remembered(remembered) = &self.requirements.source
            && !changes.is_empty()
        {
            remembered.note(&self.place(), changes);
        }
    }

    /// Returns why code is refused on this machine, and what to do: what it requires could not be installed when it was last tried.
    #[must_use]
    pub fn lacks_requirements(&self) -> Option<String> {
        let state = self.requirements.state.try_lock().ok()?;
        let State::Failed { boot_id, problem } = &*state else {
            return None;
        };
        let Problem { detail, hint, .. } = problem;
        (*boot_id == self.connection.boot_id()).then(|| format!("{detail} {hint}"))
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
        let is_unneeded = matches!(&requirements.source, Source::Named(text) if text.is_empty());
        if is_unneeded || kernel_of_adopted(&request.session).is_some() {
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
                let text = requirements.text(&self.place())?;
                if text.is_empty() {
                    self.connection.until(caller.deadline).health().await?;
                    *state = self.installed();
                    return Ok(());
                }
                let (id, request) = (JobId::fresh(), Requirements::request(&text));
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

    fn installed(&self) -> State {
        State::Installed {
            boot_id: self.connection.boot_id(),
            seen: Instant::now(),
        }
    }

    /// The state after a job was followed, and why the code must not run.
    fn judge(&self, followed: Followed, reason: &str) -> (State, RuntimeResult<()>) {
        let id = followed.id;
        let state = followed.job.map(|job| job.state);
        match followed.ended {
            Ended::Finished if state == Some(JobState::Succeeded) => (self.installed(), Ok(())),
            Ended::Finished => {
                let reason = format!("{reason} (job {id})");
                let problem = self.requirements.not_installed(&self.place(), &reason);
                let failed = State::Failed {
                    boot_id: self.connection.boot_id(),
                    problem: problem.clone(),
                };
                (failed, Err(RuntimeError::Refused(problem)))
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
    /// What the machine at `place` is to have, in the form of a requirements file.
    fn text(&self, place: &str) -> RuntimeResult<String> {
        match &self.source {
            Source::Named(text) => Ok(text.clone()),
            Source::Remembered(remembered) => (remembered.read(place))
                .map_err(|error| self.not_installed(place, &error.to_string()))
                .map_err(RuntimeError::Refused),
        }
    }

    fn request(text: &str) -> JobRequest {
        // A text of JSON is one of Python too.
        JobRequest {
            code: format!("{SCRIPT}\ninstall({})", json!(text)),
            session: SESSION.to_owned(),
            timeout_sec: TIMEOUT_SEC,
            iterations: None,
            kernel_id: None,
            folder: None,
            answers: false,
        }
    }

    fn not_installed(&self, place: &str, reason: &str) -> Problem {
        let (packages, remedy) = match &self.source {
            Source::Named(_) => (
                "of SMART_COLAB_REQUIREMENTS",
                "correct SMART_COLAB_REQUIREMENTS, or the file that it names, and to restart the client"
                    .to_owned(),
            ),
            Source::Remembered(remembered) => {
                let path = remembered.path(place);
                let remedy = format!(
                    "correct their lines in {} or to delete them",
                    path.display()
                );
                ("that code installed on earlier machines", remedy)
            }
        };
        Problem {
            status: 424,
            code: "requirements_failed".to_owned(),
            detail: format!("The packages {packages} could not be installed: {reason}."),
            hint: format!(
                "Ask the user to {remedy}. If the package index could not be reached, send the code again."
            ),
            retryable: false,
            retry_after_sec: None,
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
