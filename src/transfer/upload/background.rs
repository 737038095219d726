//! Uploads that outlive the calls that asked for them.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::allowed::{Allowed, Source};
use super::error::{UploadError, UploadResult};
use super::push::{Limits, Push};
use super::report::{Meter, Progress, State, UploadReport};
use crate::runtime::Runtime;
use crate::runtime::connection::Connection;
use crate::transfer::file::blocking;

/// What a call asks for; the same again means the same upload, while that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Request {
    /// A file or folder of this computer: absolute, `~/…`, or relative to one of the allowed folders.
    pub local_path: String,
    /// Where it goes: absolute, or relative to the content root.
    pub remote_path: String,
    /// More is not sent.
    pub max_bytes: u64,
}

/// How a call waits.
pub struct Watch<'a> {
    /// When the call has to answer; the upload goes on without it.
    pub deadline: Instant,
    /// Ends the waiting and the upload; what has arrived is kept there.
    pub cancel: CancellationToken,
    pub progress: &'a (dyn Fn(Progress) + Send + Sync),
}

/// Every upload of this process. Dropping it ends them; what has arrived is kept there.
#[derive(Debug)]
pub struct Uploads {
    connection: Arc<Connection>,
    allowed: Allowed,
    limits: Limits,
    running: Mutex<HashMap<Request, Running>>,
    stop: DropGuard,
}

#[derive(Debug, Clone)]
struct Running {
    began: Instant,
    state: watch::Receiver<State>,
    stop: CancellationToken,
}

impl Running {
    /// One that has ended is none: the file may have been written to since, and what is there is not sent again.
    fn is_under_way(&self) -> bool {
        let ended = self.state.borrow().ended.is_some();
        !ended && !self.stop.is_cancelled() && self.state.has_changed().is_ok()
    }
}

impl Uploads {
    #[must_use]
    pub fn new(connection: Arc<Connection>, allowed: Allowed) -> Self {
        Self::with_limits(connection, allowed, Limits::default())
    }

    #[must_use]
    pub fn with_limits(connection: Arc<Connection>, allowed: Allowed, limits: Limits) -> Self {
        Self {
            connection,
            allowed,
            limits,
            running: Mutex::default(),
            stop: CancellationToken::new().drop_guard(),
        }
    }

    /// Uploads a file or folder, or goes on waiting for it when the same call is already under way. At the deadline the report says `running`
    /// and the upload goes on. `roots` are folders of the client that may be uploaded from, too.
    ///
    /// # Errors
    /// [`UploadError`]; what has arrived is kept there for another call, except after `Damaged`.
    pub async fn upload(
        &self,
        request: &Request,
        roots: &[PathBuf],
        watch: Watch<'_>,
    ) -> UploadResult<UploadReport> {
        loop {
            let running = match self.running(request) {
                Some(running) => running,
                None => self.start(request, roots, &watch).await?,
            };
            let state = follow(running.clone(), &watch).await;
            let since = running.began.elapsed();
            match state.ended {
                None | Some(Ok(())) => return Ok(state.report.worded(since)),
                // Another call wanted its end, this one does not.
                Some(Err(UploadError::Cancelled { .. }))
                    if running.stop.is_cancelled()
                        && !watch.cancel.is_cancelled()
                        && !self.stop.token().is_cancelled() => {}
                Some(Err(error)) => return Err(error),
            }
        }
    }

    async fn start(
        &self,
        request: &Request,
        roots: &[PathBuf],
        watch: &Watch<'_>,
    ) -> UploadResult<Running> {
        let (allowed, path) = (self.allowed.and(roots), request.local_path.clone());
        let source = blocking(move || allowed.find(&path)).await?;
        let remote = &request.remote_path;
        let runtime = tokio::select! {
            () = watch.cancel.cancelled() => return Err(UploadError::cancelled(remote)),
            runtime = self.connection.runtime(watch.deadline) => runtime,
        };
        let runtime = runtime.map_err(|error| UploadError::runtime(remote, error))?;
        Ok(self.begin(request, source, runtime))
    }

    fn running(&self, request: &Request) -> Option<Running> {
        let all = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(request)
            .filter(|running| running.is_under_way())
            .cloned()
    }

    /// Starts the upload in the background, unless the same one was started meanwhile.
    fn begin(&self, request: &Request, source: Source, runtime: Arc<dyn Runtime>) -> Running {
        let mut all = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, running| running.is_under_way());
        if let Some(running) = all.get(request) {
            return running.clone();
        }
        let (meter, state) = Meter::new(&source.path.to_string_lossy(), &request.remote_path);
        let stop = self.stop.token().child_token();
        let push = Push::new(runtime, self.limits, meter.clone(), stop.clone());
        let connection = self.connection.clone();
        let (began, asked) = (Instant::now(), request.clone());
        tokio::spawn(async move {
            let result = push.any(&source, &asked.remote_path, asked.max_bytes).await;
            if let Err(error) = &result {
                tracing::info!(
                    remote = asked.remote_path,
                    code = error.code(),
                    "an upload ended: {error}"
                );
                if let UploadError::Runtime { source, .. } = error {
                    // For the next call: this one's runtime is the one that it began with.
                    connection.heal_after(&*push.runtime, source);
                }
            }
            meter.change(|report| report.elapsed_sec = began.elapsed().as_secs_f64());
            meter.end(result);
        });
        let running = Running { began, state, stop };
        all.insert(request.clone(), running.clone());
        running
    }
}

/// Waits until the upload ends or the deadline comes.
async fn follow(mut running: Running, watch: &Watch<'_>) -> State {
    loop {
        let state = running.state.borrow_and_update().clone();
        if state.ended.is_some() {
            return state;
        }
        (watch.progress)(state.progress());
        let cancelled = async {
            watch.cancel.cancelled().await;
            running.stop.cancel();
            std::future::pending().await
        };
        let changed = async {
            tokio::select! {
                changed = running.state.changed() => changed,
                never = cancelled => never,
            }
        };
        match timeout_at(watch.deadline, changed).await {
            Ok(Ok(())) => {}
            // Its task is gone without a word: the program is ending, or there was a panic, which is in the log.
            Ok(Err(_)) => {
                let ended = Some(Err(UploadError::cancelled(&state.report.remote_path)));
                return State { ended, ..state };
            }
            Err(_) => return state,
        }
    }
}
