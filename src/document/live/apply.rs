//! Edits of a shared document, until the server has saved them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};
use yrs::Transact;

use super::cells::Shared;
use super::outputs::Frame;
use super::{LiveStore, Place};
use crate::document::edit::Edit;
use crate::document::error::{DocumentError, Refusal, Unreadable};
use crate::document::nbformat::Notebook;
use crate::document::store::{Applied, Notice, blocking, pin};
use crate::jupyter::{JupyterError, Room};

/// For the server to receive an edit.
pub(super) const SETTLE_TIMEOUT: Duration = Duration::from_secs(30);
/// For the server to save an edit.
const SAVE_TIMEOUT: Duration = Duration::from_secs(5);
/// From the first request to do so to the second. Every change cuts a saving short, as another request does: the next pauses are longer.
const SAVE_INTERVAL: Duration = Duration::from_millis(200);
/// How long to wait to be told of a change, before asking: after a fault in another room a server tells nobody, but it answers.
const ASK_INTERVAL: Duration = Duration::from_millis(50);

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
    /// Makes an edit in a newly joined room.
    pub(super) async fn try_apply(
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
            if let Ok(Outcome {
                index: Some(index), ..
            }) = &done
            {
                point_at(&shared, *index);
            }
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
        let made = Arc::new(outcome.notebook);
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
            } else if !is_kept(&room, edit, &made, outcome.index).await {
                // The outputs of a run belong to nobody else, and are written again.
                if matches!(edit, Edit::Outputs { .. }) {
                    return Err(DocumentError::Contended { path });
                }
                notice = Some(Notice::Overtaken);
            }
        }
        Ok(Applied {
            path,
            notebook: made,
            index: outcome.index,
            notice,
        })
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

/// Makes an edit in a shared document, in one transaction, before which the outputs of a run make room.
fn change(room: &Room, edit: &mut Edit, may_be_there: bool) -> Result<Outcome, Fault> {
    if let Some(frame) = Frame::of(edit) {
        room.edit(|transaction| frame.remove_others(transaction, room.session()))?;
    }
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

/// Whether the shared document still has an edit that made `made` of it. Where another program has written the file, the server reads that in place
/// of what it has not saved yet.
async fn is_kept(
    room: &Arc<Room>,
    edit: &Edit,
    made: &Arc<Notebook>,
    index: Option<usize>,
) -> bool {
    let (room, edit, made) = (room.clone(), edit.clone(), made.clone());
    let look = blocking(move || {
        let mut transaction = room.doc().transact_mut();
        let text = Shared::of(&mut transaction).text(&transaction);
        if text == made.text {
            return true;
        }
        let Ok(now) = Notebook::parse(text.into_bytes()) else {
            return false;
        };
        match (&edit, index) {
            (Edit::Outputs { cell, .. }, Some(index)) => {
                let outputs = |notebook: &Notebook, at: usize| {
                    notebook.value(&notebook.cells()[at])["outputs"].take()
                };
                // Somebody may have deleted the cell.
                now.find(cell, None)
                    .is_ok_and(|at| outputs(&now, at) == outputs(&made, index))
            }
            (Edit::Move { .. }, _) => order(&now, &made) == order(&made, &now),
            _ => now.has(&edit).is_some(),
        }
    });
    look.await
}

/// The ids of a notebook's cells that another one has too, in their order.
fn order<'a>(notebook: &'a Notebook, other: &Notebook) -> Vec<&'a str> {
    let known: HashSet<&str> = other
        .cells()
        .iter()
        .filter_map(|cell| cell.id.as_deref())
        .collect();
    let ids = notebook
        .cells()
        .iter()
        .filter_map(|cell| cell.id.as_deref());
    ids.filter(|id| known.contains(id)).collect()
}

/// Shows the others which cell is edited.
fn point_at(room: &Room, index: usize) {
    let mut transaction = room.doc().transact_mut();
    let source = Shared::of(&mut transaction).source(&transaction, index);
    drop(transaction);
    if let Some(source) = source {
        room.point_at(&source);
    }
}

/// Whether a document has lost its file: the server does not write it again.
async fn is_deleted(place: &Place) -> bool {
    matches!(place.server.digest(&place.path).await, Ok(None))
}

/// Has the document saved; returns whether the file then is what the server saved after the edit. `before` is the digest of the file before it.
pub(super) async fn is_saved(place: &Place, room: &Room, mut before: Option<String>) -> bool {
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
                        let told = timeout(ASK_INTERVAL, changes.changed()).await;
                        if told.is_err() {
                            let _ = room.settle(SETTLE_TIMEOUT).await;
                        }
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
