//! The session with one tab, and calls of its tools.

use std::collections::HashMap;
use std::time::Duration;

use rmcp::handler::client::ClientHandler;
use rmcp::model::{
    CallToolRequest, CallToolRequestParams, CallToolResult, ClientCapabilities, ClientConfig,
    ClientRequest, Implementation, JsonObject, ProgressNotificationParam, ServerResult, Tool,
};
use rmcp::service::{
    ClientInitializeError, NotificationContext, Peer, PeerRequestOptions, RequestHandle,
    RunningService, ServiceError,
};
use rmcp::{RoleClient, ServiceExt};
use serde_json::Value;
use thiserror::Error;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::watch;
use tokio::time::{Instant, error::Elapsed, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::error::TabError;
use super::wire::{self, Line, Socket};

/// For a new tab to say what it is and has.
const GREETING_TIMEOUT: Duration = Duration::from_secs(30);
/// For a tab to answer a ping, before another one takes its place.
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// Notifications of progress that wait for their call.
const MAX_PROGRESS: usize = 64;

/// A tab that is connected.
#[derive(Debug)]
pub struct Tab {
    peer: Peer<RoleClient>,
    line: Line,
    tools: watch::Receiver<Vec<Tool>>,
    runs: watch::Sender<Runs>,
    /// Progress of any call.
    progress: broadcast::Sender<ProgressNotificationParam>,
    /// Since when it is connected.
    pub since: Instant,
}

/// The last runs by the cells' ids, each with the source that was run.
pub type Runs = HashMap<String, (String, Run)>;

/// The session itself; it ends when this is dropped.
pub(super) type Session = RunningService<RoleClient, Listener>;

/// The last run of a cell in this tab.
#[derive(Debug, Clone)]
pub enum Run {
    Running {
        /// Cancels it, as far as the tab does.
        stop: CancellationToken,
        /// What the tab has reported last.
        heard: Option<Heard>,
    },
    /// Its outputs, or why there are none.
    Ended(Result<Vec<Value>, TabError>),
}

/// Progress of a call, as the tab reports it.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    pub done: f64,
    pub total: Option<f64>,
    pub message: Option<String>,
}

/// Receives the progress of a call.
pub type Hear<'a> = dyn Fn(Heard) + Send + Sync + 'a;

/// Why a tab was not let in.
#[derive(Debug, Error)]
pub(super) enum Refused {
    #[error("it did not answer in time")]
    Silent(#[from] Elapsed),
    #[error("its session did not begin")]
    Handshake(#[from] Box<ClientInitializeError>),
    #[error("it did not list its tools")]
    Tools(#[from] ServiceError),
}

/// Hears of other tools, and of progress.
#[derive(Debug)]
pub(super) struct Listener {
    tools: watch::Sender<Vec<Tool>>,
    progress: broadcast::Sender<ProgressNotificationParam>,
}

impl ClientHandler for Listener {
    fn get_info(&self) -> ClientConfig {
        let identity = Implementation::new("smart-colab", env!("CARGO_PKG_VERSION"));
        ClientConfig::new(ClientCapabilities::default(), identity)
    }

    async fn on_tool_list_changed(&self, context: NotificationContext<RoleClient>) {
        match context.peer.list_all_tools().await {
            Ok(tools) => drop(self.tools.send_replace(tools)),
            Err(error) => tracing::warn!(%error, "a tab's tools could not be listed"),
        }
    }

    async fn on_progress(
        &self,
        progress: ProgressNotificationParam,
        _context: NotificationContext<RoleClient>,
    ) {
        // Nobody may be waiting.
        let _ = self.progress.send(progress);
    }
}

impl Tab {
    /// Begins the session. A tab has sent `tools/list_changed` before it.
    pub(super) async fn begin(socket: Socket) -> Result<(Self, Session), Refused> {
        let (transport, line) = wire::transport(socket);
        let guard = line.ended.clone().drop_guard();
        let (changed, tools) = watch::channel(Vec::new());
        let progress = broadcast::Sender::new(MAX_PROGRESS);
        let listener = Listener {
            tools: changed,
            progress: progress.clone(),
        };
        let begun = timeout(GREETING_TIMEOUT, async {
            let service = listener.serve(transport).await.map_err(Box::new)?;
            let listed = service.peer().list_all_tools().await?;
            service.service().tools.send_replace(listed);
            Ok::<_, Refused>(service)
        });
        let service = begun.await??;
        guard.disarm();
        let tab = Self {
            peer: service.peer().clone(),
            line,
            tools,
            runs: watch::Sender::default(),
            progress,
            since: Instant::now(),
        };
        Ok((tab, service))
    }

    /// Follows the session to its end; `changed` is called when the tab has other tools.
    pub(super) async fn follow(&self, session: Session, changed: impl Fn()) {
        let mut tools = self.tools.clone();
        let listening = async {
            // The sender lives as long as the session.
            while tools.changed().await.is_ok() {
                changed();
            }
        };
        let (_, ()) = tokio::join!(session.waiting(), listening);
        self.end();
    }

    /// Whether it answers.
    pub(super) async fn answers(&self) -> bool {
        self.line.answers(PING_TIMEOUT).await
    }

    /// Ends the session; calls in flight fail with [`TabError::Gone`].
    pub(super) fn end(&self) {
        self.line.ended.cancel();
    }

    /// The tools that it has now.
    #[must_use]
    pub fn tools(&self) -> Vec<Tool> {
        self.tools.borrow().clone()
    }

    /// Whether a tool has an argument of this name.
    #[must_use]
    pub fn takes(&self, tool: &str, argument: &str) -> bool {
        let tools = self.tools.borrow();
        let properties = (tools.iter())
            .find(|known| known.name == tool)
            .and_then(|known| known.input_schema.get("properties")?.as_object());
        properties.is_some_and(|properties| properties.contains_key(argument))
    }

    /// Calls a tool once. A call that is not answered by `deadline` is not taken back; `stop` cancels it, as far as the tab does.
    ///
    /// # Errors
    /// [`TabError`]; after any but [`TabError::NoTool`] and [`TabError::Refused`] it may have been done.
    pub async fn call(
        &self,
        tool: &str,
        arguments: JsonObject,
        deadline: Instant,
        stop: &CancellationToken,
        hear: &Hear<'_>,
    ) -> Result<Value, TabError> {
        let calling = timeout_at(deadline, self.call_to_the_end(tool, arguments, stop, hear));
        calling.await.unwrap_or_else(|_| {
            let tool = tool.to_owned();
            Err(TabError::Silent { tool })
        })
    }

    /// Calls a tool once, and waits as long as the tab is there.
    pub(super) async fn call_to_the_end(
        &self,
        tool: &str,
        arguments: JsonObject,
        stop: &CancellationToken,
        hear: &Hear<'_>,
    ) -> Result<Value, TabError> {
        let named = || tool.to_owned();
        let tools = self.tools();
        if !tools.iter().any(|known| known.name == tool) {
            let known = tools.iter().map(|tool| tool.name.to_string()).collect();
            return Err(TabError::NoTool {
                tool: named(),
                known,
            });
        }
        let params = CallToolRequestParams::new(named()).with_arguments(arguments);
        let request = ClientRequest::CallToolRequest(CallToolRequest::new(params));
        let mut progress = self.progress.subscribe();
        let sent = self
            .peer
            .send_cancellable_request(request, PeerRequestOptions::no_options());
        let failed = |error| failed(tool, error);
        let mut handle: RequestHandle<RoleClient> = sent.await.map_err(failed)?;
        let answered = loop {
            tokio::select! {
                biased;
                () = self.line.ended.cancelled() => return Err(TabError::Gone { tool: named() }),
                heard = progress.recv() => match heard {
                    Ok(heard) if heard.progress_token == handle.progress_token => hear(heard.into()),
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return Err(TabError::Gone { tool: named() }),
                },
                answered = &mut handle.rx => break answered.unwrap_or(Err(ServiceError::TransportClosed)),
                () = stop.cancelled() => {
                    let reason = "the user stopped it".to_owned();
                    let _ = handle.cancel(Some(reason)).await;
                    return Err(TabError::Cancelled { tool: named() });
                }
            }
        };
        if let ServerResult::CallToolResult(result) = answered.map_err(failed)? {
            outcome(tool, result)
        } else {
            Err(TabError::odd(tool, "no result of a tool"))
        }
    }

    /// Notes that a cell runs now, until `stop` cancels it.
    pub(super) fn begin_run(
        &self,
        cell: &str,
        source: &str,
        stop: CancellationToken,
    ) -> Result<(), TabError> {
        let is_new = self.runs.send_if_modified(|runs| {
            if matches!(runs.get(cell), Some((_, Run::Running { .. }))) {
                return false;
            }
            let run = Run::Running { stop, heard: None };
            runs.insert(cell.to_owned(), (source.to_owned(), run));
            true
        });
        if is_new {
            Ok(())
        } else {
            Err(TabError::Running)
        }
    }

    /// Notes the progress of a cell's run.
    pub(super) fn note_progress(&self, cell: &str, progress: Heard) {
        self.runs.send_modify(|runs| {
            if let Some((_, Run::Running { heard, .. })) = runs.get_mut(cell) {
                *heard = Some(progress);
            }
        });
    }

    /// Notes what a cell's run has come to.
    pub(super) fn end_run(&self, cell: &str, outputs: Result<Vec<Value>, TabError>) {
        self.runs.send_modify(|runs| {
            if let Some((_, run)) = runs.get_mut(cell) {
                *run = Run::Ended(outputs);
            }
        });
    }

    /// The last run of a cell, which has ended unless `deadline` has passed; none if it was not run by us.
    pub async fn ran(&self, cell: &str, deadline: Instant, hear: &Hear<'_>) -> Option<Run> {
        let mut runs = self.runs.subscribe();
        let ended = runs.wait_for(|runs| match runs.get(cell) {
            Some((_, Run::Running { heard, .. })) => {
                heard.iter().cloned().for_each(hear);
                false
            }
            _ => true,
        });
        let _ = timeout_at(deadline, ended).await;
        self.runs.borrow().get(cell).map(|(_, run)| run.clone())
    }

    /// Cancels the runs of cells, as far as the tab does, and returns their ids.
    pub fn cancel_runs(&self) -> Vec<String> {
        let mut cancelled = Vec::new();
        for (cell, (_, run)) in &*self.runs.borrow() {
            if let Run::Running { stop, .. } = run {
                stop.cancel();
                cancelled.push(cell.clone());
            }
        }
        cancelled.sort_unstable();
        cancelled
    }

    /// The last runs of cells, by their ids.
    #[must_use]
    pub fn runs(&self) -> Runs {
        self.runs.borrow().clone()
    }
}

impl From<ProgressNotificationParam> for Heard {
    fn from(progress: ProgressNotificationParam) -> Self {
        Self {
            done: progress.progress,
            total: progress.total,
            message: progress.message,
        }
    }
}

fn failed(tool: &str, error: ServiceError) -> TabError {
    if let ServiceError::McpError(error) = error {
        TabError::refused(tool, &error.message)
    } else if matches!(error, ServiceError::UnexpectedResponse) {
        TabError::odd(tool, &error.to_string())
    } else {
        // However the session has ended.
        let tool = tool.to_owned();
        TabError::Gone { tool }
    }
}

/// What a result holds: JSON as a value, or in a text.
fn outcome(tool: &str, result: CallToolResult) -> Result<Value, TabError> {
    let texts: Vec<&str> = (result.content.iter())
        .filter_map(|block| block.as_text().map(|text| &*text.text))
        .collect();
    let text = texts.concat();
    if result.is_error == Some(true) {
        return Err(TabError::refused(tool, &text));
    }
    let value = result.structured_content;
    Ok(value.unwrap_or_else(|| serde_json::from_str(&text).unwrap_or(Value::String(text))))
}
