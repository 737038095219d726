//! Notebooks on the runtime, worked on cell by cell: read, edited and run.
//!
//! - here: [`Documents`], the work as the face asks for it;
//! - `places`: where a notebook is; `files`: files of the runtime or of a Jupyter Server; `live`: documents that a Jupyter Server shares with open
//!   tabs; `tab`: the notebook in a tab of Colab; `store`: what is read there;
//! - `nbformat`: a notebook's cells and their places in its text; `scan`: the places of values in JSON; `style`: how a file is written;
//! - `edit`: edits that change only the bytes of their cell; `page`: cells as a model reads them;
//! - `runs`: cells as jobs; `rest`: those that outlive their call; `active`: which run now; `showing`: their outputs as they come, with a
//!   `trail` of what was shown; `written`: their outputs at the end; `notes`: those that are not written yet, for a later process;
//! - `error`: what can go wrong.
//!
//! Architecture Invariant: knows nothing of MCP. May import every floor below.

mod active;
mod edit;
mod error;
mod files;
mod live;
mod nbformat;
mod notes;
mod page;
mod places;
mod rest;
mod runs;
mod scan;
mod showing;
mod store;
mod style;
mod tab;
mod trail;
mod written;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep};

pub use active::Claim;
pub use edit::{Edit, Target, fresh_id};
pub use error::{DocumentError, Refusal, Unreadable};
pub use nbformat::{Cell, Notebook};
pub use page::{Facts, Page, Wanted, names};
use places::Places;
pub use runs::{CellRun, Plan, RunReport};
use showing::Worker;
use store::ENDING;
pub use store::{Applied, Notice, Stored};
pub use tab::{TAB, TabRun};
pub use written::Written;

use crate::base::hex::hex;
use crate::base::ids::JobId;
use crate::base::lock::Lock;
use crate::browser::Browser;
use crate::caller::Caller;
use crate::connection::Connection;
use crate::jobs::Jobs;
use crate::wire::files::FileList;
use active::Active;

/// For the outputs of a job that has ended to be written, and between looks.
const WRITING_TIME: Duration = Duration::from_secs(5);
const WRITING_POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Characters of a notebook's name in the name of its session.
const MAX_NAME_CHARS: usize = 40;

/// Notebooks, and the one that was opened last.
#[derive(Debug)]
pub struct Documents {
    connection: Arc<Connection>,
    jobs: Arc<Jobs>,
    store: Places,
    browser: Arc<Browser>,
    opened: Lock<Option<String>>,
    active: Arc<Active>,
    /// By their jobs.
    shown: Lock<BTreeMap<JobId, Worker>>,
    /// Why outputs are not in their cells, by their jobs.
    unwritten: Lock<BTreeMap<JobId, String>>,
    /// The folder of the notes on runs.
    folder: PathBuf,
}

impl Documents {
    /// Works on the files of the connected runtime, with notes on runs in `folder`, and locks beside it.
    #[must_use]
    pub fn new(
        connection: Arc<Connection>,
        jobs: Arc<Jobs>,
        browser: Arc<Browser>,
        folder: PathBuf,
    ) -> Self {
        Self {
            store: Places::new(connection.clone(), browser.clone()),
            connection,
            jobs,
            browser,
            opened: Lock::default(),
            active: Arc::new(Active::new(folder.with_file_name("claims"))),
            shown: Lock::default(),
            unwritten: Lock::default(),
            folder,
        }
    }

    /// Appears to the people who have a notebook open as the client with this name.
    pub fn appear_for(&self, client: &str) {
        self.store.live.appear_for(client);
    }

    /// Why the outputs of a job are not in the cell that it ran, once that is known.
    #[must_use]
    pub fn unwritten(&self, job: JobId) -> Option<String> {
        self.unwritten.lock().get(&job).cloned()
    }

    /// The notebooks there are: those of the content root, or of a Jupyter Server whose kernels run on another machine.
    ///
    /// # Errors
    /// Those of the runtime.
    pub async fn list(&self, deadline: Instant) -> Result<FileList, DocumentError> {
        self.store.list(deadline).await
    }

    /// Opens a notebook, which is then the default of other calls; creates it if asked.
    ///
    /// # Errors
    /// [`DocumentError`].
    pub async fn open(
        &self,
        path: &str,
        create: bool,
        deadline: Instant,
    ) -> Result<Facts, DocumentError> {
        if path != TAB && !path.to_lowercase().ends_with(ENDING) {
            return Err(DocumentError::Name {
                path: path.to_owned(),
            });
        }
        let (stored, created) = if create {
            let created = self.store.create(path, None, deadline).await?;
            (created.stored, Some(created.is_new))
        } else {
            (self.store.read(path, deadline).await?, None)
        };
        *self.opened.lock() = Some(stored.path.clone());
        Ok(Facts {
            created,
            ..Facts::of(&stored)
        })
    }

    /// Makes the notebook in the tab of Colab the default of other calls, now or as soon as one connects.
    pub fn open_tab(&self) {
        *self.opened.lock() = Some(TAB.to_owned());
    }

    /// The notebook that a call means: the named one, or the one that was opened last.
    ///
    /// # Errors
    /// [`DocumentError::NoneOpen`], [`DocumentError::Name`].
    pub fn named(&self, path: Option<String>) -> Result<String, DocumentError> {
        let path = path.or_else(|| self.opened.lock().clone());
        let in_tab = || self.browser.tab().map(|_| TAB.to_owned());
        let path = path.or_else(in_tab).ok_or(DocumentError::NoneOpen)?;
        if path == TAB || path.to_lowercase().ends_with(ENDING) {
            Ok(path)
        } else {
            Err(DocumentError::Name { path })
        }
    }

    /// Shows cells.
    ///
    /// # Errors
    /// [`DocumentError`].
    pub async fn page(
        &self,
        path: &str,
        wanted: Wanted,
        deadline: Instant,
    ) -> Result<Page, DocumentError> {
        let mut stored = self.store.read(path, deadline).await?;
        if self.await_outputs(&stored.path, deadline).await {
            stored = self.store.read(path, deadline).await?;
        }
        let count = stored.notebook.cells().len();
        if wanted.from > 0 && wanted.from >= count {
            let why = Refusal::NoIndex {
                index: wanted.from,
                count,
            };
            return Err(DocumentError::Refused {
                path: stored.path,
                why,
            });
        }
        let state = match path {
            TAB => self.store.tab.state(),
            _ => self.active.state(&stored.path),
        };
        Ok(page::page(&stored, &state, wanted, deadline).await)
    }

    /// Waits for the outputs of jobs that have ended and are not written yet; returns whether there were some.
    async fn await_outputs(&self, path: &str, deadline: Instant) -> bool {
        let end = deadline.min(Instant::now() + WRITING_TIME);
        let mut were_some = false;
        for (_, job) in self.active.state(path).running {
            let Some(job) = job else { continue };
            let looked = self.jobs.poll(job, 0, 0.0, end).await;
            if !looked.is_ok_and(|job| job.state.is_final()) {
                continue;
            }
            let is_unwritten = || {
                let running = self.active.state(path).running;
                running.iter().any(|(_, other)| *other == Some(job))
            };
            while is_unwritten() && Instant::now() < end {
                sleep(WRITING_POLL_INTERVAL).await;
            }
            were_some = true;
        }
        were_some
    }

    /// Creates a notebook of this text, which is then the default of other calls.
    ///
    /// # Errors
    /// [`DocumentError`].
    pub async fn create(
        &self,
        path: &str,
        text: String,
        deadline: Instant,
    ) -> Result<(), DocumentError> {
        let created = self.store.create(path, Some(text), deadline).await?;
        *self.opened.lock() = Some(created.stored.path);
        Ok(())
    }

    /// Runs a code cell of the tab of Colab once. What is not done when the call ends goes on there.
    ///
    /// # Errors
    /// [`DocumentError`].
    pub async fn run_in_tab(
        &self,
        cell: &Target,
        expect: Option<&str>,
        caller: &Caller<'_>,
    ) -> Result<TabRun, DocumentError> {
        self.store.tab.run(cell, expect, caller).await
    }

    /// Claims a notebook for a run of its cells as `job`, which no other run mixes with until the claim is dropped.
    ///
    /// # Errors
    /// [`DocumentError::Busy`], [`DocumentError::BusyElsewhere`].
    pub fn claim(&self, path: &str, job: JobId) -> Result<Claim, DocumentError> {
        let claim = self
            .active
            .claim(&self.jobs.place(), path, Vec::new(), false)?;
        claim.note_job(job);
        Ok(claim)
    }

    /// Makes an edit.
    ///
    /// # Errors
    /// [`DocumentError`]; then nothing was changed.
    pub async fn edit(
        &self,
        path: &str,
        edit: Edit,
        deadline: Instant,
    ) -> Result<Applied, DocumentError> {
        self.store.apply(path, edit, deadline).await
    }
}

/// The default session of the notebook at this absolute path: its name, and a digest of the path, since other folders may have one of that name.
#[must_use]
pub fn session_of(path: &str) -> String {
    session_named(path, &hex(&Sha256::digest(path)[..2]))
}

/// The name of a session for the notebook at this path, with a `mark` that tells it from others.
#[must_use]
pub fn session_named(path: &str, mark: &str) -> String {
    let file = path.rsplit(['/', '\\']).next().unwrap_or(path);
    let stem = file.split('.').next().unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = stem.chars().map(plain).take(MAX_NAME_CHARS).collect();
    format!("{name}-{mark}")
}

/// The folder where a session of the notebook's own starts, as in Jupyter: the notebook's.
#[must_use]
pub fn folder_of(path: &str, session: &str) -> Option<String> {
    let (folder, _) = path.rsplit_once(['/', '\\'])?;
    (session == session_of(path) && !folder.is_empty()).then(|| folder.to_owned())
}

#[cfg(test)]
mod tests;
