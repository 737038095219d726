//! Notebooks of a Jupyter Server that shares them among its clients: edited in the same document as the tabs in which they are open.

mod cells;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout, timeout_at};
use yrs::Transact;

use super::edit::Edit;
use super::error::{DocumentError, Refusal, Unreadable};
use super::nbformat::Notebook;
use super::store::{Applied, Created, NEW, Notice, Stored, blocking, pin};
use crate::connection::Connection;
use crate::jupyter::{JupyterError, Room, Server};
use crate::runtime::RuntimeError;
use cells::Shared;

/// For the server to receive an edit.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(30);
/// For the server to save an edit.
const SAVE_TIMEOUT: Duration = Duration::from_secs(5);
/// From the first request to do so to the second. Every change cuts a saving short, as another request does: the next pauses are longer.
const SAVE_INTERVAL: Duration = Duration::from_millis(200);
/// Tries of an edit when connections break, and the pause between them.
const MAX_TRIES: u32 = 3;
const TRY_DELAY: Duration = Duration::from_millis(300);

/// Notebooks in rooms.
#[derive(Debug)]
pub(super) struct LiveStore {
    connection: Arc<Connection>,
}

/// The notebook of a call.
pub(super) struct Place {
    pub(super) server: Arc<Server>,
    /// Its path below the server's root.
    pub(super) path: String,
}

/// What an edit made of a shared document.
struct Outcome {
    notebook: Notebook,
    index: Option<usize>,
    /// None if nothing was changed.
    changed: Option<Before>,
}

/// The digest of the file before an edit.
struct Before(Option<String>);

impl LiveStore {
    pub(super) fn new(connection: Arc<Connection>) -> Self {
        Self { connection }
    }

    fn failed(&self, path: &str, why: JupyterError) -> DocumentError {
        let address = self.connection.place().unwrap_or_default();
        DocumentError::of_server(&address, path, why)
    }

    async fn join(&self, place: &Place, deadline: Instant) -> Result<Arc<Room>, DocumentError> {
        let joining = timeout_at(deadline, place.server.join(&place.path)).await;
        match joining.unwrap_or(Err(JupyterError::TimedOut)) {
            Ok(room) => Ok(Arc::new(room)),
            Err(JupyterError::NotFound) => Err(DocumentError::Missing {
                path: place.path.clone(),
            }),
            Err(error) => Err(self.failed(&place.path, error)),
        }
    }

    pub(super) async fn read(
        &self,
        place: &Place,
        deadline: Instant,
    ) -> Result<Stored, DocumentError> {
        let room = self.join(place, deadline).await?;
        let read = blocking(move || {
            let mut transaction = room.doc().transact_mut();
            let shared = Shared::of(&mut transaction);
            Notebook::parse(shared.text(&transaction).into_bytes())
        });
        let path = place.path.clone();
        match read.await {
            Ok(notebook) => Ok(Stored {
                path,
                notebook: Arc::new(notebook),
            }),
            Err(why) => Err(DocumentError::Unreadable { path, why }),
        }
    }

    async fn try_apply(
        &self,
        place: &Place,
        edit: &mut Edit,
        may_be_there: bool,
        deadline: Instant,
    ) -> Result<Applied, DocumentError> {
        let room = self.join(place, deadline).await?;
        let (asked, shared) = (edit.clone(), room.clone());
        let done = blocking(move || {
            let mut asked = asked;
            let done = change(&shared, &mut asked, may_be_there);
            (asked, done)
        });
        let (asked, done) = done.await;
        *edit = asked;
        let path = place.path.clone();
        let outcome = match done {
            Ok(outcome) => outcome,
            Err(Fault::Refused(why)) => return Err(DocumentError::Refused { path, why }),
            Err(Fault::Unreadable(why)) => return Err(DocumentError::Unreadable { path, why }),
        };
        let mut notice = None;
        if let Some(Before(digest)) = outcome.changed {
            let settled = timeout_at(deadline, room.settle(SETTLE_TIMEOUT)).await;
            let settled = settled.unwrap_or(Err(JupyterError::TimedOut));
            settled.map_err(|error| self.failed(&place.path, error))?;
            let is_saved = timeout_at(deadline, is_saved(place, &room, digest)).await;
            if !is_saved.unwrap_or(false) {
                notice = Some(match is_deleted(place).await {
                    true => Notice::Deleted,
                    false => Notice::NotSaved,
                });
            }
        }
        Ok(Applied {
            path,
            notebook: Arc::new(outcome.notebook),
            index: outcome.index,
            notice,
        })
    }

    /// Makes an edit in the newest state of the notebook.
    pub(super) async fn apply(
        &self,
        place: &Place,
        mut edit: Edit,
        deadline: Instant,
    ) -> Result<Applied, DocumentError> {
        let mut tried = 1;
        loop {
            let done = self.try_apply(place, &mut edit, tried > 1, deadline).await;
            match done {
                Err(DocumentError::Runtime(RuntimeError::Unreachable { .. }))
                    if tried < MAX_TRIES && Instant::now() + TRY_DELAY < deadline =>
                {
                    tried += 1;
                    sleep(TRY_DELAY).await;
                }
                done => return done,
            }
        }
    }

    /// Creates a notebook of this text, or an empty one, unless there is one.
    pub(super) async fn create(
        &self,
        place: &Place,
        text: Option<String>,
        deadline: Instant,
    ) -> Result<Created, DocumentError> {
        let (server, path) = (&place.server, &place.path);
        let failed = |error| self.failed(path, error);
        // Only where there is none: to write a notebook that is open would destroy what its tabs have changed.
        if server.digest(path).await.map_err(failed)?.is_some() {
            let (stored, is_new) = (self.read(place, deadline).await?, false);
            return Ok(Created { stored, is_new });
        }
        // It may have been deleted while tabs have it open: they have it still.
        let open = match self.join(place, deadline).await {
            Ok(room) => Some(room),
            Err(DocumentError::Missing { .. }) => None,
            Err(error) => return Err(error),
        };
        let shown = open.as_ref().map(|room| {
            let mut transaction = room.doc().transact_mut();
            let shared = Shared::of(&mut transaction);
            (shared.text(&transaction), shared.digest(&transaction))
        });
        let (text, before) = match shown {
            Some((text, before)) => (text, before),
            None => (text.unwrap_or_else(|| NEW.to_owned()), None),
        };
        let created = timeout_at(deadline, server.create_text(path, &text)).await;
        let created = created.unwrap_or(Err(JupyterError::TimedOut));
        let is_new = created.map_err(failed)?;
        if let Some(room) = open {
            // The server takes the file for another writer's change, and drops edits that are made before it has read that.
            let _ = timeout_at(deadline, is_saved(place, &room, before)).await;
        }
        let stored = self.read(place, deadline).await?;
        Ok(Created { stored, is_new })
    }
}

enum Fault {
    Refused(Refusal),
    Unreadable(Unreadable),
}

impl From<Refusal> for Fault {
    fn from(why: Refusal) -> Self {
        Self::Refused(why)
    }
}

impl From<Unreadable> for Fault {
    fn from(why: Unreadable) -> Self {
        Self::Unreadable(why)
    }
}

/// Makes an edit in a shared document, in one transaction.
fn change(room: &Room, edit: &mut Edit, may_be_there: bool) -> Result<Outcome, Fault> {
    room.edit(|transaction| {
        let shared = Shared::of(transaction);
        let digest = shared.digest(transaction);
        let text = shared.text(transaction);
        let notebook = Notebook::parse(text.into_bytes())?;
        if may_be_there && let Some(index) = notebook.has(edit) {
            return Ok(Outcome {
                notebook,
                index,
                changed: None,
            });
        }
        pin(edit, &notebook);
        let index = shared.apply(transaction, &notebook, edit)?;
        let after = Notebook::parse(shared.text(transaction).into_bytes())?;
        let changed = (after.text != notebook.text).then_some(Before(digest));
        Ok(Outcome {
            notebook: after,
            index,
            changed,
        })
    })
}

/// Whether a document has lost its file: the server does not write it again.
async fn is_deleted(place: &Place) -> bool {
    matches!(place.server.digest(&place.path).await, Ok(None))
}

/// Has the document saved; returns whether the file then is what the server saved after the edit. `before` is the digest of the file before it.
async fn is_saved(place: &Place, room: &Room, mut before: Option<String>) -> bool {
    let digest = || {
        let mut transaction = room.doc().transact_mut();
        let shared = Shared::of(&mut transaction);
        shared.digest(&transaction)
    };
    let end = Instant::now() + SAVE_TIMEOUT;
    let mut changes = room.changes();
    let mut pause = SAVE_INTERVAL;
    while Instant::now() < end && !room.is_closed() {
        room.ask_to_save();
        let saving = async {
            loop {
                match digest() {
                    Some(now) if before.as_ref() != Some(&now) => return now,
                    Some(_) | None => {
                        let _ = changes.changed().await;
                    }
                }
            }
        };
        let Ok(saved) = timeout(pause, saving).await else {
            if is_deleted(place).await {
                return false;
            }
            pause *= 2;
            continue;
        };
        match place.server.digest(&place.path).await {
            Ok(Some(found)) if found == saved => return true,
            Ok(_) | Err(_) => before = Some(saved),
        }
    }
    false
}
