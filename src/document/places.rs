//! Where a notebook is, decided for each call: in a tab of Colab, in the document that a Jupyter Server shares with open tabs, among the files of the runtime, or among
//! those of a server whose kernels run on another machine.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::edit::{Edit, Target};
use super::error::DocumentError;
use super::files::{Disk, Files, RuntimeDisk, ServerDisk};
use super::live::{LiveStore, Place};
use super::store::{Applied, Created, Notice, Stored};
use super::tab::{TAB, TabStore};
use crate::base::lock::Lock;
use crate::browser::Browser;
use crate::connection::Connection;
use crate::jupyter::{JupyterError, Server};
use crate::provision::Host;
use crate::runtime::kernel::below_root;
use crate::runtime::{Files as _, ListQuery};
use crate::wire::files::FileList;

/// Between two tries while the server cannot be reached.
const TRY_DELAY: Duration = Duration::from_millis(300);

/// Jupyter's copies of notebooks are in folders of this name.
const CHECKPOINTS: &str = ".ipynb_checkpoints";

/// Keeps notebooks. Nothing of another writer is overwritten, but for what `files::server` says.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) connection: Arc<Connection>,
    pub(super) live: LiveStore,
    pub(super) tab: TabStore,
    files: Files,
    /// The server that was asked last, and whether it has rooms.
    known: Lock<Option<(Arc<Server>, bool)>>,
}

/// Where the notebook of one call is.
enum Way {
    Tab,
    Shared(Place),
    File(FileWay),
}

/// A notebook that is a file.
struct FileWay {
    host: Option<Host>,
    path: String,
}

impl Places {
    pub(super) fn new(connection: Arc<Connection>, browser: Arc<Browser>) -> Self {
        Self {
            live: LiveStore::new(connection.clone()),
            tab: TabStore(browser),
            connection,
            files: Files::default(),
            known: Lock::default(),
        }
    }

    pub(super) async fn read(
        &self,
        path: &str,
        deadline: Instant,
    ) -> Result<Stored, DocumentError> {
        match self.way(path, deadline).await? {
            Way::Tab => self.tab.read(deadline).await,
            Way::Shared(place) => self.live.read(&place, deadline).await,
            Way::File(file) => {
                let disk = self.disk(file.host.as_ref(), deadline);
                self.files.read(&*disk, &file.path).await
            }
        }
    }

    /// Makes an edit in the newest state of the notebook.
    pub(super) async fn apply(
        &self,
        path: &str,
        edit: Edit,
        deadline: Instant,
    ) -> Result<Applied, DocumentError> {
        match self.way(path, deadline).await? {
            Way::Tab => self.tab.apply(&edit, deadline).await,
            Way::Shared(place) => self.live.apply(&place, edit, deadline).await,
            Way::File(FileWay { host, path }) => {
                let disk = self.disk(host.as_ref(), deadline);
                let mut applied = self.files.apply(&*disk, &path, edit).await?;
                if let Some(Host { server, .. }) = host {
                    let asking = timeout_at(deadline, server.is_open(&applied.path)).await;
                    let is_open = matches!(asking, Ok(Ok(true)));
                    applied.notice = is_open.then_some(Notice::OpenElsewhere);
                }
                Ok(applied)
            }
        }
    }

    /// Creates a notebook of this text, or an empty one, unless there is one.
    pub(super) async fn create(
        &self,
        path: &str,
        text: Option<String>,
        deadline: Instant,
    ) -> Result<Created, DocumentError> {
        match self.way(path, deadline).await? {
            // Nothing asks for that: it has no name of a notebook.
            Way::Tab => Err(DocumentError::InTab),
            Way::Shared(place) => self.live.create(&place, text, deadline).await,
            Way::File(file) => {
                let disk = self.disk(file.host.as_ref(), deadline);
                self.files.create(&*disk, &file.path, text).await
            }
        }
    }

    pub(super) async fn list(&self, deadline: Instant) -> Result<FileList, DocumentError> {
        let host = self.host(deadline).await?;
        let mut list = self.disk(host.as_ref(), deadline).list().await?;
        let is_copy = |path: &str| path.split(['/', '\\']).any(|step| step == CHECKPOINTS);
        list.entries.retain(|entry| !is_copy(&entry.name));
        Ok(list)
    }

    /// Ends the state of a cell that is shown as running.
    pub(super) async fn rest(
        &self,
        path: &str,
        cell: &Target,
        deadline: Instant,
    ) -> Result<(), DocumentError> {
        match self.place(path, deadline).await? {
            Some(place) => self.live.rest(&place, cell, deadline).await,
            None => Ok(()),
        }
    }

    /// Where a notebook is shared; none if it is a file.
    pub(super) async fn place(
        &self,
        path: &str,
        deadline: Instant,
    ) -> Result<Option<Place>, DocumentError> {
        match self.way(path, deadline).await? {
            Way::Shared(place) => Ok(Some(place)),
            Way::Tab | Way::File(_) => Ok(None),
        }
    }

    async fn way(&self, path: &str, deadline: Instant) -> Result<Way, DocumentError> {
        if path == TAB {
            return Ok(Way::Tab);
        }
        let Some(host) = self.host(deadline).await? else {
            let (host, path) = (None, path.to_owned());
            return Ok(Way::File(FileWay { host, path }));
        };
        if self.has_rooms(&host.server, path, deadline).await? {
            let path = self.below_root(&host, path, deadline).await?;
            let server = host.server;
            return Ok(Way::Shared(Place { server, path }));
        }
        let path = match host.shares_files {
            true => path.to_owned(),
            false => steps(path),
        };
        let host = Some(host);
        Ok(Way::File(FileWay { host, path }))
    }

    fn disk(&self, host: Option<&Host>, deadline: Instant) -> Box<dyn Disk + '_> {
        match host {
            Some(host) if !host.shares_files => Box::new(ServerDisk {
                server: host.server.clone(),
                address: self.connection.place().unwrap_or_default(),
                deadline,
            }),
            Some(_) | None => Box::new(RuntimeDisk {
                connection: &self.connection,
                deadline,
            }),
        }
    }

    /// The server; none if the runtime is not reached through one. Never the files in its place because it does not answer: what is written to
    /// the file of a shared notebook destroys what was changed in it since it was saved.
    async fn host(&self, deadline: Instant) -> Result<Option<Host>, DocumentError> {
        loop {
            match self.connection.jupyter(deadline).await {
                Err(error) if error.is_transient() && Instant::now() + TRY_DELAY < deadline => {
                    sleep(TRY_DELAY).await;
                }
                found => return Ok(found?),
            }
        }
    }

    async fn has_rooms(
        &self,
        server: &Arc<Server>,
        path: &str,
        deadline: Instant,
    ) -> Result<bool, DocumentError> {
        if let Some((known, has_rooms)) = &*self.known.lock()
            && Arc::ptr_eq(known, server)
        {
            return Ok(*has_rooms);
        }
        let asking = timeout_at(deadline, server.is_collaborative()).await;
        let found = asking.unwrap_or(Err(JupyterError::TimedOut));
        let address = self.connection.place().unwrap_or_default();
        let has_rooms = found.map_err(|why| DocumentError::of_server(&address, path, why))?;
        *self.known.lock() = Some((server.clone(), has_rooms));
        Ok(has_rooms)
    }

    /// The path below the server's root, at which kernels begin if its files are theirs.
    async fn below_root(
        &self,
        host: &Host,
        path: &str,
        deadline: Instant,
    ) -> Result<String, DocumentError> {
        let slashed = path.replace('\\', "/");
        let is_absolute = slashed.starts_with('/') || slashed.as_bytes().get(1) == Some(&b':');
        if !host.shares_files || !is_absolute {
            return Ok(below_root(&steps(path))?);
        }
        let query = ListQuery {
            path: String::new(),
            name: None,
            recursive: false,
            limit: 1,
            cursor: None,
        };
        let root = self.connection.until(deadline).list_files(&query).await?;
        let root = root.path.replace('\\', "/");
        let below = slashed.strip_prefix(root.trim_end_matches('/'));
        match below.filter(|below| below.starts_with('/')) {
            Some(below) => Ok(below_root(&steps(below))?),
            None => Err(DocumentError::Missing { path: slashed }),
        }
    }
}

/// A path as servers write it: from their root, with `/`.
fn steps(path: &str) -> String {
    let path = path.replace('\\', "/");
    let steps = path.split('/').filter(|step| !matches!(*step, "" | "."));
    steps.collect::<Vec<_>>().join("/")
}
