//! A kernel of ours on the server, and the connection to it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::edge::store::{read_if_there, remove_if_there, write_quickly};
use crate::jupyter::{Attachment, Incoming, JupyterError, Server};

/// For a kernel that is idle to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// The same over a connection that was open before and may be dead.
const FIRST_TIMEOUT: Duration = Duration::from_secs(10);
const RECONNECT_DELAY: Duration = Duration::from_secs(1);

/// A session's kernel, which the next process finds by its record. Started when it is first needed.
#[derive(Debug)]
pub(super) struct OwnKernel {
    server: Arc<Server>,
    file: PathBuf,
    record: Option<Record>,
    attachment: Option<Attachment>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    /// The server's name for it.
    id: String,
    /// Names this client; the server keeps its messages while it is away.
    client: String,
    /// The kernel's process, as its messages name it.
    process: String,
}

/// What comes from a kernel, or becomes of its connection.
pub(super) enum News {
    Message(Incoming),
    /// Connected again.
    Attached,
    Broken,
    /// The server does not know the kernel any more.
    Gone,
    /// Not connected yet, and why.
    Away(JupyterError),
}

impl OwnKernel {
    /// Recorded in `file`.
    pub(super) fn new(server: Arc<Server>, file: PathBuf) -> Self {
        let record = read_if_there(&file).ok().flatten();
        Self {
            server,
            record: record.and_then(|record| serde_json::from_slice(&record).ok()),
            file,
            attachment: None,
        }
    }

    /// The kernel's process; none if there is no kernel.
    pub(super) fn process(&self) -> Option<String> {
        Some(self.record.as_ref()?.process.clone())
    }

    pub(super) fn is_attached(&self) -> bool {
        self.attachment.is_some()
    }

    /// Closes the connection; the next message comes over another one.
    pub(super) fn detach(&mut self) {
        self.attachment = None;
    }

    /// Makes it ready for code, and returns its process.
    pub(super) async fn ready(&mut self) -> Result<String, JupyterError> {
        if let Some(record) = &self.record
            && !self.server.has_kernel(&record.id).await?
        {
            (self.record, self.attachment) = (None, None);
        }
        if self.record.is_none() {
            let name = self.server.python_kernel().await?;
            // Recorded before: if this process dies, the next one finds it.
            let wanted = Uuid::now_v7().to_string();
            self.record(wanted.clone());
            let started = self.server.start_kernel(&name, &wanted).await?;
            if started != wanted {
                self.record(started);
            }
        }
        let was_open = self.is_attached();
        if was_open && let Ok(Some(process)) = timeout(FIRST_TIMEOUT, self.introduce()).await {
            return Ok(process);
        }
        self.attachment = None;
        let introduced = timeout(ANSWER_TIMEOUT, self.introduce()).await;
        let introduced = introduced.map_err(|_| JupyterError::TimedOut)?;
        introduced.ok_or_else(|| JupyterError::Unreachable("its kernel does not answer".to_owned()))
    }

    /// Asks the kernel's shell for its process, and records it.
    async fn introduce(&mut self) -> Option<String> {
        let record = self.record.as_mut()?;
        if self.attachment.is_none() {
            let attached = self.server.attach(&record.id, &record.client).await;
            self.attachment = Some(attached.ok()?);
        }
        let attachment = self.attachment.as_mut()?;
        let (id, nothing) = (Uuid::now_v7().to_string(), json!({}));
        let asked = attachment.send(&id, "kernel_info_request", &nothing);
        asked.await.ok()?;
        loop {
            let message = attachment.next().await?;
            if message.parent.as_ref() == Some(&id) && message.channel == "shell" {
                record.process.clone_from(&message.session);
                self.save();
                return Some(message.session);
            }
        }
    }

    /// Sends a request to its shell. Whether it was received shows in what comes next.
    pub(super) async fn send(&self, id: &str, kind: &str, content: &Value) {
        if let Some(attachment) = &self.attachment {
            let _ = attachment.send(id, kind, content).await;
        }
    }

    /// Waits for the next message, or for a connection.
    pub(super) async fn next(&mut self) -> News {
        let Some(record) = &self.record else {
            return News::Gone;
        };
        if let Some(attachment) = &mut self.attachment {
            let message = attachment.next().await;
            if message.is_none() {
                self.attachment = None;
            }
            return message.map_or(News::Broken, News::Message);
        }
        match self.server.attach(&record.id, &record.client).await {
            Ok(attachment) => {
                self.attachment = Some(attachment);
                News::Attached
            }
            Err(JupyterError::NotFound) => News::Gone,
            Err(error) => {
                sleep(RECONNECT_DELAY).await;
                News::Away(error)
            }
        }
    }

    /// What the server says that it is doing; none if there is none.
    pub(super) async fn state(&self) -> Result<Option<String>, JupyterError> {
        match &self.record {
            Some(record) => self.server.kernel_state(&record.id).await,
            None => Ok(None),
        }
    }

    /// Interrupts what it runs, if it can be reached.
    pub(super) async fn interrupt(&self) {
        if let Some(record) = &self.record
            && let Err(error) = self.server.interrupt_kernel(&record.id).await
        {
            tracing::warn!("a kernel was not interrupted: the server {error}");
        }
    }

    /// Restarts the kernel, or deletes it.
    pub(super) async fn end(&mut self, restarts: bool) -> Result<(), JupyterError> {
        let Some(record) = &self.record else {
            return Ok(());
        };
        let ended = match restarts {
            true => self.server.restart_kernel(&record.id).await,
            false => self.server.delete_kernel(&record.id).await,
        };
        match ended {
            Err(error) if error != JupyterError::NotFound => return Err(error),
            Ok(()) if restarts => {}
            Ok(()) | Err(_) => {
                self.record = None;
                let _ = remove_if_there(&self.file);
            }
        }
        self.attachment = None;
        Ok(())
    }

    fn record(&mut self, id: String) {
        self.record = Some(Record {
            id,
            client: Uuid::now_v7().to_string(),
            process: String::new(),
        });
        self.save();
    }

    fn save(&self) {
        let record = serde_json::to_vec(&self.record).map_err(io::Error::from);
        let written = record.and_then(|record| write_quickly(&self.file, &record));
        if let Err(error) = written {
            tracing::warn!("{}: {error}", self.file.display());
        }
    }
}
