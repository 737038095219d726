//! Notebooks of a Jupyter Server that shares them among its clients: edited in the same document as the tabs in which they are open.
//!
//! Which way is taken is decided for each call: the room of the notebook if the server has one, else the runtime's files.

mod apply;
mod cells;
mod outputs;
mod showing;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout_at};
use yrs::Transact;

use super::edit::{Edit, Target};
use super::error::DocumentError;
use super::nbformat::Notebook;
use super::showing::Showing;
use super::store::{Applied, FileStore, NEW, Notice, Store, Stored, blocking};
use crate::base::lock::Lock;
use crate::connection::Connection;
use crate::jupyter::{JupyterError, Room, Server};
use crate::provision::jupyter::server_error;
use crate::runtime::{Files, ListQuery, RuntimeError};
use crate::wire::files::FileList;
use apply::SETTLE_TIMEOUT;
use cells::Shared;

/// Tries of an edit when connections break, and the pause between them.
const MAX_TRIES: u32 = 3;
const TRY_DELAY: Duration = Duration::from_millis(300);

/// Notebooks in rooms, or as files.
#[derive(Debug)]
pub(super) struct LiveStore {
    connection: Arc<Connection>,
    files: FileStore,
    /// The server that was asked last, and whether it has rooms.
    known: Lock<Option<(Arc<Server>, bool)>>,
}

/// The notebook of a call.
struct Place {
    server: Arc<Server>,
    /// Its path below the server's root.
    path: String,
}

impl LiveStore {
    pub(super) fn new(connection: Arc<Connection>) -> Self {
        Self {
            files: FileStore::new(connection.clone()),
            connection,
            known: Lock::default(),
        }
    }

    /// Where a notebook is shared; none if it is a file.
    async fn place(&self, path: &str, deadline: Instant) -> Result<Option<Place>, DocumentError> {
        let Some(server) = self.server(deadline).await? else {
            return Ok(None);
        };
        let known = match &*self.known.lock() {
            Some((known, has_rooms)) if Arc::ptr_eq(known, &server) => Some(*has_rooms),
            Some(_) | None => None,
        };
        let has_rooms = match known {
            Some(has_rooms) => has_rooms,
            None => {
                let asking = timeout_at(deadline, server.is_collaborative()).await;
                let found = asking.unwrap_or(Err(JupyterError::TimedOut));
                let has_rooms = found.map_err(|error| self.failed(path, error))?;
                *self.known.lock() = Some((server.clone(), has_rooms));
                has_rooms
            }
        };
        if !has_rooms {
            return Ok(None);
        }
        let path = self.below_root(path, deadline).await?;
        Ok(Some(Place { server, path }))
    }

    /// The server; none if the runtime is not on one. Never the files in its place because it does not answer: what is written to the file of a
    /// shared notebook destroys what was changed in it since it was saved.
    async fn server(&self, deadline: Instant) -> Result<Option<Arc<Server>>, DocumentError> {
        loop {
            match self.connection.jupyter(deadline).await {
                Err(error) if error.is_transient() && Instant::now() + TRY_DELAY < deadline => {
                    sleep(TRY_DELAY).await;
                }
                found => return Ok(found?),
            }
        }
    }

    /// The path below the server's root, at which kernels begin.
    async fn below_root(&self, path: &str, deadline: Instant) -> Result<String, DocumentError> {
        let mut path = path.replace('\\', "/");
        let is_absolute = path.starts_with('/') || path.as_bytes().get(1) == Some(&b':');
        if is_absolute {
            let query = ListQuery {
                path: String::new(),
                name: None,
                recursive: false,
                limit: 1,
                cursor: None,
            };
            let root = self.connection.until(deadline).list_files(&query).await?;
            let root = root.path.replace('\\', "/");
            let below = path.strip_prefix(root.trim_end_matches('/'));
            path = match below.filter(|below| below.starts_with('/')) {
                Some(below) => below.to_owned(),
                None => return Err(DocumentError::Missing { path }),
            };
        }
        let steps = path.split('/').filter(|step| !matches!(*step, "" | "."));
        Ok(steps.collect::<Vec<_>>().join("/"))
    }

    fn failed(&self, path: &str, why: JupyterError) -> DocumentError {
        match why {
            JupyterError::Unreachable(_)
            | JupyterError::TimedOut
            | JupyterError::Broken(_)
            | JupyterError::Unauthorized
            | JupyterError::Stopped(_) => {
                let address = self.connection.place().unwrap_or_default();
                server_error(why, &address).into()
            }
            JupyterError::NotFound
            | JupyterError::Stranger(_)
            | JupyterError::NoKernels(_)
            | JupyterError::Refused(_) => {
                let path = path.to_owned();
                DocumentError::Server { path, why }
            }
        }
    }

    /// Says of a notebook that is no file of the runtime whether it is one of the server's.
    async fn explained<T>(
        &self,
        path: &str,
        done: Result<T, DocumentError>,
        deadline: Instant,
    ) -> Result<T, DocumentError> {
        if let Err(DocumentError::Missing { .. }) = &done
            && let Ok(Some(server)) = self.connection.jupyter(deadline).await
            && let Ok(Ok(Some(_))) = timeout_at(deadline, server.digest(path)).await
        {
            let path = path.to_owned();
            return Err(DocumentError::Elsewhere { path });
        }
        done
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

    async fn read_shared(&self, place: Place, deadline: Instant) -> Result<Stored, DocumentError> {
        let room = self.join(&place, deadline).await?;
        let read = blocking(move || {
            let mut transaction = room.doc().transact_mut();
            let shared = Shared::of(&mut transaction);
            Notebook::parse(shared.text(&transaction).into_bytes())
        });
        let path = place.path;
        match read.await {
            Ok(notebook) => Ok(Stored {
                path,
                notebook: Arc::new(notebook),
            }),
            Err(why) => Err(DocumentError::Unreadable { path, why }),
        }
    }
}

#[async_trait]
impl Store for LiveStore {
    async fn read(&self, path: &str, deadline: Instant) -> Result<Stored, DocumentError> {
        match self.place(path, deadline).await? {
            Some(place) => self.read_shared(place, deadline).await,
            None => {
                let read = self.files.read(path, deadline).await;
                self.explained(path, read, deadline).await
            }
        }
    }

    async fn apply(
        &self,
        path: &str,
        mut edit: Edit,
        deadline: Instant,
    ) -> Result<Applied, DocumentError> {
        let Some(place) = self.place(path, deadline).await? else {
            let applied = self.files.apply(path, edit, deadline).await;
            let mut applied = self.explained(path, applied, deadline).await?;
            if let Ok(Some(server)) = self.connection.jupyter(deadline).await {
                let asking = timeout_at(deadline, server.is_open(&applied.path)).await;
                let is_open = matches!(asking, Ok(Ok(true)));
                applied.notice = is_open.then_some(Notice::OpenElsewhere);
            }
            return Ok(applied);
        };
        let mut tried = 1;
        loop {
            let done = self.try_apply(&place, &mut edit, tried > 1, deadline).await;
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

    async fn create(
        &self,
        path: &str,
        text: Option<String>,
        deadline: Instant,
    ) -> Result<Stored, DocumentError> {
        let Some(place) = self.place(path, deadline).await? else {
            return self.files.create(path, text, deadline).await;
        };
        let failed = |error| self.failed(path, error);
        // Only where there is none: to write a notebook that is open would destroy what its tabs have changed.
        if place
            .server
            .digest(&place.path)
            .await
            .map_err(failed)?
            .is_none()
        {
            let content: Value =
                serde_json::from_str(text.as_deref().unwrap_or(NEW)).unwrap_or_default();
            let created = place.server.create_notebook(&place.path, &content).await;
            created.map_err(failed)?;
        }
        self.read_shared(place, deadline).await
    }

    async fn show(&self, showing: &Showing) {
        self.show_outputs(showing).await;
    }

    async fn rest(
        &self,
        path: &str,
        cell: &Target,
        deadline: Instant,
    ) -> Result<(), DocumentError> {
        let Some(place) = self.place(path, deadline).await? else {
            return Ok(());
        };
        let room = self.join(&place, deadline).await?;
        if outputs::rest(&room, cell).is_ok() {
            let settled = timeout_at(deadline, room.settle(SETTLE_TIMEOUT)).await;
            let settled = settled.unwrap_or(Err(JupyterError::TimedOut));
            settled.map_err(|error| self.failed(&place.path, error))?;
        }
        Ok(())
    }

    async fn list(&self, deadline: Instant) -> Result<FileList, DocumentError> {
        self.files.list(deadline).await
    }
}
