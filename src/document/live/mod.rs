//! Notebooks of a Jupyter Server that shares them among its clients: edited in the same document as the tabs in which they are open.

mod apply;
mod cells;
mod outputs;
mod showing;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use yrs::Transact;

use super::edit::{Edit, Target};
use super::error::DocumentError;
use super::nbformat::Notebook;
use super::places::Places;
use super::store::{Applied, Created, NEW, Stored, blocking};
use crate::base::lock::Lock;
use crate::connection::Connection;
use crate::jupyter::{JupyterError, Room, Server};
use crate::runtime::RuntimeError;
use apply::{SETTLE_TIMEOUT, is_saved};
use cells::Shared;

/// Tries of an edit when connections break, and the pause between them.
const MAX_TRIES: u32 = 3;
const TRY_DELAY: Duration = Duration::from_millis(300);

/// The name to the people in a room, after that of the client.
const NAME: &str = "smart-colab";
/// Characters of a client's name.
const MAX_CLIENT_CHARS: usize = 40;

/// Notebooks in rooms.
#[derive(Debug)]
pub(super) struct LiveStore {
    connection: Arc<Connection>,
    /// How this process appears to the people in a room.
    name: Lock<String>,
}

/// The notebook of a call.
pub(super) struct Place {
    pub(super) server: Arc<Server>,
    /// Its path below the server's root.
    pub(super) path: String,
}

impl LiveStore {
    pub(super) fn new(connection: Arc<Connection>) -> Self {
        Self {
            connection,
            name: Lock::new(NAME.to_owned()),
        }
    }

    /// Appears as this client's from now on.
    pub(super) fn appear_for(&self, client: &str) {
        let client: String = client.chars().filter(|c| !c.is_control()).collect();
        let client: String = client.trim().chars().take(MAX_CLIENT_CHARS).collect();
        if !client.is_empty() {
            *self.name.lock() = format!("{client} ({NAME})");
        }
    }

    fn failed(&self, path: &str, why: JupyterError) -> DocumentError {
        let address = self.connection.place().unwrap_or_default();
        DocumentError::of_server(&address, path, why)
    }

    async fn join(&self, place: &Place, deadline: Instant) -> Result<Arc<Room>, DocumentError> {
        let name = self.name.lock().clone();
        let joining = timeout_at(deadline, place.server.join(&place.path, &name)).await;
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
                Err(
                    DocumentError::Runtime(RuntimeError::Unreachable { .. })
                    | DocumentError::Contended { .. },
                ) if tried < MAX_TRIES && Instant::now() + TRY_DELAY < deadline => {
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

    /// Ends the state of a cell that is shown as running.
    pub(super) async fn rest(
        &self,
        place: &Place,
        cell: &Target,
        deadline: Instant,
    ) -> Result<(), DocumentError> {
        let room = self.join(place, deadline).await?;
        if outputs::rest(&room, cell).is_ok() {
            let settled = timeout_at(deadline, room.settle(SETTLE_TIMEOUT)).await;
            let settled = settled.unwrap_or(Err(JupyterError::TimedOut));
            settled.map_err(|error| self.failed(&place.path, error))?;
        }
        Ok(())
    }
}
