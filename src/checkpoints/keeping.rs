//! Runs of code under a name: their output is kept whole, whatever happens to the machine and to the user's log folder.
//!
//! Each run has a folder of its own, `runs/JOB_ID/`, which exists before its code is sent. The newest run that has ended is the result, and older
//! ones are removed only then. So a run that is in progress, or that never arrives, removes nothing.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::error::CheckpointError;
use super::folder::Folder;
use super::name::Name;
use super::report::{self, CheckpointReport};
use super::run::{KeptRun, Runs};
use super::{Checkpoints, folder};
use crate::base::advice::{Advice, Step};
use crate::base::ids::JobId;
use crate::caller::Caller;
use crate::edge::lock::FileLock;
use crate::edge::store;
use crate::jobs::view::View;
use crate::jobs::{Jobs, Reading};
use crate::runtime::RuntimeError;
use crate::transfer::disk::blocking;
use crate::wire::job::JobRequest;

/// At this interval a job of ten hours costs 600 of the 20,000 requests of a tunnel's month.
const POLL_INTERVAL: Duration = Duration::from_secs(60);
/// Polls for a day: twice the longest run.
const MAX_POLLS: u32 = 24 * 60;
/// For checking that the machine is there: kept results are shown without waiting for one that is gone.
const REACH_TIMEOUT: Duration = Duration::from_secs(5);
/// For fetching everything of a run in the background.
const KEEP_TIMEOUT: Duration = Duration::from_secs(600);

/// A run whose call is in progress. It holds the lock on everything under its name.
#[derive(Debug)]
pub struct Keeping {
    folder: Folder,
    run: KeptRun,
    job: JobId,
    _lock: FileLock,
}

/// A run of code under a name.
#[derive(Debug)]
pub struct NamedRun {
    pub view: View,
    /// Why its result is not kept under the name; none if it is.
    pub unkept: Option<CheckpointError>,
}

impl Checkpoints {
    /// Runs code as [`Jobs::run`] does and keeps its result under `name`; code that outlives the call is kept when it ends.
    ///
    /// # Errors
    /// As [`Checkpoints::begin_result`]; [`CheckpointError::Runtime`] if the code certainly did not start. Nothing is kept then.
    pub async fn run(
        &self,
        name: &str,
        request: &JobRequest,
        caller: &Caller<'_>,
    ) -> Result<NamedRun, CheckpointError> {
        let keeping = self.begin_result(name, &request.session, &request.code)?;
        let id = keeping.job();
        let mut view = match self.jobs.run(id, request, caller).await {
            Ok(view) => view,
            Err(error) => {
                if let Err(error) = self.drop_result(&keeping) {
                    tracing::warn!(%error, "the record of code that did not run could not be removed");
                }
                return Err(error.into());
            }
        };
        let unkept = match self.keep_result(keeping, &view, caller.deadline).await {
            Ok(notes) => {
                view.summary.notes.extend(notes);
                None
            }
            Err(error) => Some(error),
        };
        if !view.job.as_ref().is_some_and(|job| job.state.is_final()) {
            self.note_end_later(id);
        }
        Ok(NamedRun { view, unkept })
    }

    /// Records code before it is sent. It will run as [`Keeping::job`] and be kept under `name`; its id sorts after those of all earlier runs.
    ///
    /// # Errors
    /// [`CheckpointError::Taken`] if a chunked operation has that name, `Busy` while another call works under it; those of [`Name::new`] and
    /// of the disk.
    pub fn begin_result(
        &self,
        name: &str,
        session: &str,
        code: &str,
    ) -> Result<Keeping, CheckpointError> {
        let name = Name::new(name)?;
        let folder = self.folder(&name);
        let lock = folder.lock(&name)?;
        if folder.load()?.is_some() {
            return Err(CheckpointError::Taken {
                name: name.to_string(),
            });
        }
        let newest = folder.run_ids().first().copied();
        let job = newest.map_or_else(JobId::fresh, JobId::fresh_after);
        let run = KeptRun::new(&folder, &name, job, session);
        store::write_atomic(&run.code(), code.as_bytes())
            .map_err(CheckpointError::disk(&run.code()))?;
        run.save()?;
        Ok(Keeping {
            folder,
            run,
            job,
            _lock: lock,
        })
    }

    /// Saves the state of the run, and fetches missing output until `deadline`. The returned notes name what could not be saved;
    /// [`Checkpoints::get`] tries again.
    ///
    /// # Errors
    /// Disk errors.
    pub async fn keep_result(
        &self,
        mut keeping: Keeping,
        view: &View,
        deadline: Instant,
    ) -> Result<Vec<Advice>, CheckpointError> {
        update_run(&self.jobs, &mut keeping, view, deadline).await?;
        Ok(keeping.run.notes)
    }

    /// Removes the record of code that did not run.
    ///
    /// # Errors
    /// Disk errors.
    fn drop_result(&self, keeping: &Keeping) -> Result<(), CheckpointError> {
        let path = keeping.folder.record(keeping.job);
        (keeping.folder.remove_run(keeping.job)).map_err(CheckpointError::disk(&path))
    }

    /// Completes the record of the job if it ran under a name and has ended. Never fails: [`Checkpoints::get`] tries again.
    pub async fn note_end(&self, job: JobId, caller: &Caller<'_>) {
        self.complete_record(job, caller).await;
    }

    /// Like [`Self::note_end`]; false as long as another try may fetch more.
    async fn complete_record(&self, job: JobId, caller: &Caller<'_>) -> bool {
        let dir = self.dir.clone();
        let found = blocking(move || {
            let names = folder::list_names(&dir).into_iter();
            let mut names = names.filter_map(|name| Name::new(&name).ok());
            names.find(|name| Folder::new(&dir, name).record(job).exists())
        });
        let Some(name) = found.await else { return true };
        let folder = self.folder(&name);
        let renewed = match KeptRun::load(folder.record(job)) {
            Ok(Some(run)) => self.refresh(&name, &folder, run, caller).await,
            Ok(None) => return true,
            Err(error) => Err(error),
        };
        match renewed {
            Ok(run) => run.is_none_or(|run| run.is_whole),
            Err(error) => {
                tracing::warn!(%name, %error, "a result could not be completed");
                false
            }
        }
    }

    /// Polls until the job has ended, for as long as this process lives, and completes its record then: its machine may be gone before the next
    /// call. Failures may be temporary, so it tries again.
    pub fn note_end_later(&self, job: JobId) {
        let checkpoints = self.clone();
        tokio::spawn(async move {
            for _ in 0..MAX_POLLS {
                sleep(POLL_INTERVAL).await;
                let deadline = Instant::now() + POLL_INTERVAL;
                match checkpoints.jobs.poll(job, 0, 0.0, deadline).await {
                    Ok(job) if !job.state.is_final() => continue,
                    Err(error) if !error.is_not_found() => continue,
                    Ok(_) | Err(_) => {}
                }
                let caller = Caller::until(Instant::now() + KEEP_TIMEOUT);
                if checkpoints.complete_record(job, &caller).await {
                    return;
                }
            }
        });
    }

    /// Reports the result that `run_code_long` kept under a name, after fetching what is missing; none if there is none.
    pub(super) async fn result(
        &self,
        name: &Name,
        folder: &Folder,
        caller: &Caller<'_>,
    ) -> Result<Option<CheckpointReport>, CheckpointError> {
        while let Some(mut runs) = Runs::load(folder)? {
            if let Some(newest) = self.refresh(name, folder, runs.newest, caller).await? {
                if newest.end_is_known() {
                    runs.previous = None;
                }
                runs.newest = newest;
                return report::report_result(runs).map(Some);
            }
        }
        Ok(None)
    }

    /// Fetches what is missing of the run and returns it; none if it no longer exists.
    async fn refresh(
        &self,
        name: &Name,
        folder: &Folder,
        mut run: KeptRun,
        caller: &Caller<'_>,
    ) -> Result<Option<KeptRun>, CheckpointError> {
        let job = match run.job() {
            Some(job) if !run.is_whole => job,
            _ => return Ok(Some(run)),
        };
        let lock = match folder.lock(name) {
            // It has just been deleted or replaced.
            Ok(_) if !run.is_there() => return Ok(None),
            Ok(lock) => lock,
            Err(error) => {
                let note = format!("this is the last known state: {error}");
                run.notes.push(note.into());
                return Ok(Some(run));
            }
        };
        let mut keeping = Keeping {
            folder: folder.clone(),
            run,
            job,
            _lock: lock,
        };
        let soon = caller.deadline.min(Instant::now() + REACH_TIMEOUT);
        let view = match self.jobs.poll(job, 0, 0.0, soon).await {
            Ok(_) => self.jobs.look(job, Reading::Whole, None, caller).await,
            Err(error) => Err(error),
        };
        match view {
            Ok(view) => update_run(&self.jobs, &mut keeping, &view, caller.deadline).await?,
            // It never arrived: the result before it counts again.
            Err(RuntimeError::UnknownJob) if !keeping.run.was_heard_of() => {
                self.drop_result(&keeping)?;
                return Ok(None);
            }
            Err(error) if error.is_not_found() => {
                keeping.run.give_up(&error.to_string());
                keeping.close()?;
            }
            Err(error) => {
                let note = format!("the runtime could not be asked: {error}");
                keeping.run.notes.push(note.into());
            }
        }
        Ok(Some(keeping.run))
    }
}

impl Keeping {
    /// The id to send the code with.
    #[must_use]
    pub fn job(&self) -> JobId {
        self.job
    }

    /// Saves the record; once a run's end is known, older ones are removed.
    fn close(&self) -> Result<(), CheckpointError> {
        self.run.save()?;
        if self.run.has_ended()
            && let Err(error) = Runs::tidy(&self.folder)
        {
            tracing::warn!(name = %self.run.name, %error, "an older result could not be removed");
        }
        Ok(())
    }
}

async fn update_run(
    jobs: &Jobs,
    keeping: &mut Keeping,
    view: &View,
    deadline: Instant,
) -> Result<(), CheckpointError> {
    let run = &mut keeping.run;
    run.renew(view);
    let mut missing = view.unkept;
    if missing == 0 {
        // An output may have been replaced since.
        run.files.clear();
    }
    for file in &view.files {
        let (to, from) = (
            run.file(file.path.file_name().unwrap_or_default()),
            file.path.clone(),
        );
        match blocking(move || keep_file(&to, &from)).await {
            Ok(path) if run.files.contains(&path) => {}
            Ok(path) => run.files.push(path),
            Err(error) => {
                missing += 1;
                let name = file.path.display();
                run.notes
                    .push(format!("{name} could not be saved: {error}").into());
            }
        }
    }
    if let Some(job) = &view.job {
        let output = run.output();
        if let Some(log) = &view.summary.log {
            seed_output(Path::new(log), &output).await;
        }
        let trouble = match jobs.fetch_log(job.id, &output, deadline).await {
            Ok(fetched) => {
                let synced = blocking(move || fetched.and_then(|()| store::sync(&output)));
                synced.await.err().map(|error| error.to_string())
            }
            Err(error) => Some(error.to_string()),
        };
        if let Some(trouble) = trouble {
            missing += 1;
            let note = format!("the whole output could not be saved yet ({trouble}): ");
            (run.notes).push(Advice::from(note) + Step::GetCheckpoint + " tries again");
        }
    }
    // A cursor in its facts means that only part of it was read in time.
    run.is_whole = run.has_ended() && missing == 0 && run.facts["next"].is_null();
    keeping.close()
}

/// Starts the output file with the log that is here already. If that fails, everything is fetched.
async fn seed_output(log: &Path, output: &Path) {
    if output.exists() {
        return;
    }
    let (log, output) = (log.to_owned(), output.to_owned());
    if let Err(error) = blocking(move || store::copy_atomic(&log, &output)).await {
        tracing::debug!(%error, "a log could not be copied");
    }
}

/// Copies a file to the run's folder. A job's files never change, so one of the same name and length is the same.
fn keep_file(to: &Path, from: &Path) -> io::Result<String> {
    let length = from.metadata()?.len();
    if !to.metadata().is_ok_and(|there| there.len() == length) {
        store::copy_atomic(from, to)?;
    }
    Ok(to.display().to_string())
}
