//! Folders of the runtime that are mirrored here: what changes there is downloaded as it settles, so that a machine that vanishes has left its
//! results here.
//!
//! - [`order`]: what one call asks for; `running`: a mirror at work, pass by `pass`; `pending`: the files that it has yet to download;
//! - `note`: what the next process must know of it, on disk; `error`, [`report`]: what the faces say of it.
//!
//! A mirror only adds: what is deleted there stays here. The folder here belongs to it, and to one mirror at a time.
//!
//! May import `base`, `wire`, `edge`, `runtime`, `connection`, `transfer`, `checkpoints`; knows nothing of MCP.

mod error;
mod note;
pub mod order;
mod pass;
mod pending;
pub mod report;
mod running;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::base::lock::Lock;
use crate::checkpoints::Checkpoints;
use crate::connection::Connection;
use crate::runtime::{ChangesQuery, Files};
use crate::transfer::TransferError;
use crate::transfer::disk::blocking;
use crate::transfer::download::Downloads;
pub use error::MirrorError;
use note::{Note, Notes};
use order::{Order, Work};
use report::MirrorReport;
use running::Mirror;

/// For the first question about a folder.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// All mirrors of this process. Dropping it ends them; the next process takes them up again.
#[derive(Debug)]
pub struct Mirrors {
    means: Means,
    save_dir: PathBuf,
    notes: Notes,
    /// By their folders here; those that have ended too.
    known: Lock<BTreeMap<PathBuf, Arc<Mirror>>>,
    leaving: DropGuard,
}

/// What mirrors work with.
#[derive(Debug, Clone)]
struct Means {
    connection: Arc<Connection>,
    downloads: Arc<Downloads>,
    checkpoints: Checkpoints,
}

/// A mirror that a call has started. A mirror of a piece of work does not end before the call that starts this work is over, which is when this
/// is dropped.
#[derive(Debug)]
pub struct Begun {
    mirror: Arc<Mirror>,
    is_new: bool,
    call: Option<DropGuard>,
}

impl Mirrors {
    /// Mirrors into folders of `save_dir`; `notes_dir` holds the notes for other processes.
    #[must_use]
    pub fn new(
        connection: Arc<Connection>,
        downloads: Arc<Downloads>,
        checkpoints: Checkpoints,
        save_dir: PathBuf,
        notes_dir: PathBuf,
    ) -> Self {
        Self {
            means: Means {
                connection,
                downloads,
                checkpoints,
            },
            save_dir,
            notes: Notes::new(notes_dir),
            known: Lock::default(),
            leaving: CancellationToken::new().drop_guard(),
        }
    }

    /// Starts a mirror in the background, or finds the one that runs.
    ///
    /// # Errors
    /// When the folder here cannot be its own, or the runtime refuses the one there.
    pub async fn start(&self, order: Order, deadline: Instant) -> Result<Begun, MirrorError> {
        if order.remote.trim().is_empty() {
            return Err(MirrorError::Unnamed);
        }
        let (name, remote) = (order.name()?, order.remote.clone());
        let call = CancellationToken::new();
        let root = self.root()?;
        let target = name.under(&root);
        if let Some(mirror) = self.running_at(&target, &remote)? {
            let is_tied = order.until.is_some();
            mirror.change(&order, &call);
            return Ok(Begun {
                mirror,
                is_new: false,
                call: is_tied.then(|| call.drop_guard()),
            });
        }
        self.check(&remote, &target, deadline).await?;
        let (notes, path) = (self.notes.clone(), target);
        let (note, held) = blocking(move || {
            let held = notes.hold(&path)?;
            let before = notes.get(&path);
            let note = order.note(&path, before)?;
            name.prepare_folder(&root)?;
            notes.write(&note);
            Ok::<_, MirrorError>((note, held))
        })
        .await?;
        let guard = note.until.is_some().then(|| call.clone().drop_guard());
        let mirror = self.run(note, call, held);
        Ok(Begun {
            mirror,
            is_new: true,
            call: guard,
        })
    }

    /// The mirror that this work had before, unless the user stopped it: what resumes the work starts it again. Reads the disk.
    #[must_use]
    pub fn earlier(&self, work: &Work) -> Option<Order> {
        let note = self.notes.of(work)?;
        Some(Order {
            remote: note.remote,
            to: None,
            max_bytes: note.max_bytes,
            until: Some(work.clone()),
        })
    }

    /// Ends the mirrors of this remote folder, or only the one into this folder here, and waits for their ends.
    ///
    /// # Errors
    /// [`MirrorError::NotFound`], with those that there are.
    pub async fn stop(
        &self,
        order: &Order,
        deadline: Instant,
    ) -> Result<Vec<MirrorReport>, MirrorError> {
        let to = match &order.to {
            Some(_) => Some(real(&order.name()?.under(&self.root()?))),
            None if order.remote.is_empty() => return Err(MirrorError::Unnamed),
            None => None,
        };
        let known: Vec<Arc<Mirror>> = {
            let known = self.known.lock();
            let running = known.values().filter(|mirror| !mirror.is_over());
            running.cloned().collect()
        };
        let is_meant = |mirror: &&Arc<Mirror>| {
            (order.remote.is_empty() || mirror.remote == order.remote)
                && to.as_ref().is_none_or(|to| real(&mirror.local_path) == *to)
        };
        let meant: Vec<_> = known.iter().filter(is_meant).collect();
        if meant.is_empty() {
            let named = [Some(&order.remote), order.to.as_ref()]
                .into_iter()
                .flatten();
            let named = named.filter(|name| !name.is_empty()).cloned();
            return Err(MirrorError::NotFound {
                remote: named.collect::<Vec<_>>().join(" into "),
                known: known.iter().map(|mirror| mirror.remote.clone()).collect(),
            });
        }
        for mirror in &meant {
            mirror.note.lock().until = None;
            mirror.end_by_user();
        }
        for mirror in &meant {
            let _ = timeout_at(deadline, mirror.over()).await;
        }
        Ok(meant.iter().filter_map(|mirror| mirror.listed()).collect())
    }

    /// The mirrors of this process, by their folders here; those that have ended only once.
    #[must_use]
    pub fn list(&self) -> Vec<MirrorReport> {
        let known = self.known.lock();
        let listed = known.values().filter_map(|mirror| mirror.listed());
        listed.collect()
    }

    /// The mirror of a job or an operation, by its id or name.
    #[must_use]
    pub fn of(&self, work: &str) -> Option<MirrorReport> {
        let known = self.known.lock();
        let is_meant = |mirror: &&Arc<Mirror>| {
            let report = mirror.report();
            [&report.until, &report.job_id]
                .iter()
                .any(|is| is.as_deref() == Some(work))
        };
        known.values().find(is_meant).map(|mirror| mirror.tell())
    }

    /// Mirrors that have lost their runtime since the last call.
    #[must_use]
    pub fn news(&self) -> Vec<MirrorReport> {
        let known = self.known.lock();
        let news = known.values().filter(|mirror| mirror.has_news());
        news.map(|mirror| mirror.report()).collect()
    }

    /// Takes up the mirrors that were running when the last process of this computer ended.
    pub fn catch_up(&self) {
        for note in self.notes.left() {
            // Another process has it.
            let Ok(held) = self.notes.hold(&note.local_path) else {
                continue;
            };
            tracing::info!(remote = note.remote, "a mirror is taken up again");
            let over = CancellationToken::new();
            over.cancel();
            self.run(note, over, held);
        }
    }

    /// Asks the runtime for the folder once, so that what is wrong with it is said before anything is made or sent. A runtime that does not answer
    /// now is the mirror's own to wait for.
    async fn check(
        &self,
        remote: &str,
        target: &Path,
        deadline: Instant,
    ) -> Result<(), MirrorError> {
        let query = ChangesQuery {
            path: remote.to_owned(),
            after: None,
            wait: Duration::ZERO,
            limit: 1,
            job: None,
        };
        let deadline = deadline.min(Instant::now() + CHECK_TIMEOUT);
        let changes = self.means.connection.until(deadline).changes(&query).await;
        match changes.map_err(|error| MirrorError::runtime(remote, error)) {
            Ok(changes) if is_itself(Path::new(&changes.path), target) => {
                Err(MirrorError::Itself {
                    remote: changes.path,
                    path: target.to_owned(),
                })
            }
            Err(error) if error.is_final() => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// The folder of all mirrors, as an absolute path.
    fn root(&self) -> Result<PathBuf, MirrorError> {
        let failed = |error| TransferError::disk(&self.save_dir, error);
        Ok(std::path::absolute(&self.save_dir).map_err(failed)?)
    }

    fn run(&self, note: Note, call: CancellationToken, held: note::Held) -> Arc<Mirror> {
        let stop = self.leaving.token().child_token();
        let path = note.local_path.clone();
        let mirror = Arc::new(Mirror::new(note, call, stop));
        self.known.lock().insert(path, mirror.clone());
        tokio::spawn(
            mirror
                .clone()
                .run(self.means.clone(), self.notes.clone(), held),
        );
        mirror
    }

    /// The running mirror into `target`, if it is the wanted one.
    fn running_at(&self, target: &Path, remote: &str) -> Result<Option<Arc<Mirror>>, MirrorError> {
        let (known, path) = (self.known.lock(), real(target));
        let mut running = known.values().filter(|mirror| !mirror.is_over());
        let overlapping = running.find(|mirror| overlap(&real(&mirror.local_path), &path));
        match overlapping {
            Some(mirror) if real(&mirror.local_path) == path && mirror.remote == remote => {
                Ok(Some(mirror.clone()))
            }
            Some(mirror) => Err(MirrorError::Taken {
                path: target.to_owned(),
                by: mirror.remote.clone(),
            }),
            None => Ok(None),
        }
    }
}

impl Begun {
    /// Waits until the mirror has looked once, or the deadline passes.
    ///
    /// # Errors
    /// Why it has ended already.
    pub async fn first_look(self, deadline: Instant) -> Result<MirrorReport, MirrorError> {
        let _ = timeout_at(deadline, self.mirror.looked()).await;
        match self.mirror.failure() {
            Some(error) => Err(error),
            None => Ok(self.mirror.report()),
        }
    }

    /// Ends the mirror, if it is new, and removes its folder here, if it is empty: its work was not started.
    pub fn withdraw(self) {
        if self.is_new {
            self.mirror.withdraw();
        }
    }

    /// Says that the call is over, and waits, if the work has ended too, for the last pass until the deadline.
    pub async fn last_pass(self, has_ended: bool, deadline: Instant) -> MirrorReport {
        drop(self.call);
        if has_ended {
            let _ = timeout_at(deadline, self.mirror.over()).await;
        }
        self.mirror.tell()
    }
}

/// The path without links in what exists of it, for comparing.
fn real(path: &Path) -> PathBuf {
    let mut missing = Vec::new();
    for folder in path.ancestors() {
        if let Ok(found) = std::fs::canonicalize(folder) {
            return missing
                .iter()
                .rev()
                .fold(found, |path, part| path.join(part));
        }
        missing.extend(folder.file_name().map(ToOwned::to_owned));
    }
    path.to_owned()
}

/// Whether a folder of the runtime, by its absolute path, is the folder here, as they share a disk.
fn is_itself(there: &Path, here: &Path) -> bool {
    there.is_absolute() && overlap(&real(there), &real(here))
}

/// Whether one of the folders is the other one, or inside it.
fn overlap(one: &Path, other: &Path) -> bool {
    one.starts_with(other) || other.starts_with(one)
}
