//! A small MCP client, for the tour that shows a new user the server as a client sees it.

use crate::base::lock::Lock;
use std::process::Stdio;
use std::sync::Arc;

use rmcp::model::{
    CallToolRequestParams, CallToolResult, ClientCapabilities, ClientConfig, ContentBlock,
    Implementation, ProgressNotificationParam,
};
use rmcp::service::{NotificationContext, RunningService, ServiceError};
use rmcp::{ClientHandler, RoleClient, ServiceExt};
use serde_json::Value;
use thiserror::Error;
use tokio::process::{Child, Command};

/// The result of a call.
#[derive(Debug, Default)]
pub struct Answer {
    pub is_error: bool,
    /// The text blocks, without a first line of facts.
    pub text: String,
    /// A report's structured content, or the first line of an execution.
    pub facts: Value,
    pub pictures: usize,
    /// URIs of the kept files.
    pub links: Vec<String>,
}

/// An error of the client.
#[derive(Debug, Error)]
pub enum ClientError {
    #[error("the server's process could not be started")]
    Spawn(#[source] std::io::Error),
    #[error("the server did not answer the handshake")]
    Handshake(#[source] Box<rmcp::service::ClientInitializeError>),
    #[error("the server did not answer {tool}")]
    Call {
        tool: String,
        #[source]
        source: Box<ServiceError>,
    },
}

type Listener = Box<dyn Fn(&str) + Send>;

#[derive(Clone, Default)]
struct ProgressHandler(Arc<Lock<Option<Listener>>>);

impl ClientHandler for ProgressHandler {
    fn get_info(&self) -> ClientConfig {
        let identity = Implementation::new("smart-colab-try", env!("CARGO_PKG_VERSION"));
        ClientConfig::new(ClientCapabilities::default(), identity)
    }

    async fn on_progress(
        &self,
        params: ProgressNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        let listener = self.0.lock();
        if let (Some(listener), Some(message)) = (listener.as_ref(), params.message.as_deref()) {
            listener(message);
        }
    }
}

/// A connection to a child process of this program, over its stdin and stdout.
pub struct Client {
    service: RunningService<RoleClient, ProgressHandler>,
    handler: ProgressHandler,
    child: Child,
}

impl Client {
    /// Starts `command` as an MCP server and performs the handshake.
    ///
    /// # Errors
    /// When it cannot be started or does not speak MCP.
    pub async fn start(mut command: Command) -> Result<Self, ClientError> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(ClientError::Spawn)?;
        let gone = || ClientError::Spawn(std::io::Error::other("it has no stdin or stdout"));
        let (stdout, stdin) = child
            .stdout
            .take()
            .zip(child.stdin.take())
            .ok_or_else(gone)?;
        let handler = ProgressHandler::default();
        let service = handler.clone().serve((stdout, stdin)).await;
        let service = service.map_err(|error| ClientError::Handshake(Box::new(error)))?;
        Ok(Self {
            service,
            handler,
            child,
        })
    }

    /// Reports the progress of every call to `listener` from now on.
    pub fn on_progress(&self, listener: impl Fn(&str) + Send + 'static) {
        *self.handler.0.lock() = Some(Box::new(listener));
    }

    /// Calls a tool.
    ///
    /// # Errors
    /// When no response is received. A tool's own error is an [`Answer`].
    pub async fn call(&self, tool: &'static str, arguments: Value) -> Result<Answer, ClientError> {
        let mut request = CallToolRequestParams::new(tool);
        if let Value::Object(arguments) = arguments {
            request = request.with_arguments(arguments);
        }
        let result = self.service.call_tool(request).await;
        let result = result.map_err(|source| ClientError::Call {
            tool: tool.to_owned(),
            source: Box::new(source),
        })?;
        Ok(Answer::from(result))
    }

    /// Kills the server, as a crash would end it.
    pub async fn kill(mut self) {
        if let Err(error) = self.child.kill().await {
            tracing::debug!(%error, "could not kill the server");
        }
    }

    /// Closes the connection as a client does, and waits for the server's end.
    pub async fn leave(mut self) {
        if let Err(error) = self.service.close().await {
            tracing::debug!(%error, "could not close the connection");
        }
        if let Err(error) = self.child.wait().await {
            tracing::debug!(%error, "could not wait for the server");
        }
    }
}

impl From<CallToolResult> for Answer {
    fn from(result: CallToolResult) -> Self {
        let mut answer = Self {
            is_error: result.is_error == Some(true),
            ..Self::default()
        };
        let mut texts = Vec::new();
        for block in result.content {
            if let ContentBlock::Text(text) = block {
                texts.push(text.text);
            } else if let ContentBlock::ResourceLink(link) = block {
                let is_file = link.uri.starts_with("file:");
                answer.links.extend(is_file.then_some(link.uri));
            } else if matches!(block, ContentBlock::Image(_)) {
                answer.pictures += 1;
            }
        }
        answer.facts = match result.structured_content {
            Some(facts) => facts,
            None => texts
                .first()
                .and_then(|line| serde_json::from_str(line).ok())
                .unwrap_or_default(),
        };
        answer.text = texts.drain(..).skip(1).collect();
        answer
    }
}
