//! A small MCP client, for the tour that shows a newcomer the server as their own client will see it.

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

/// What a call brought.
#[derive(Debug, Default)]
pub struct Answer {
    pub is_error: bool,
    /// The text blocks but the last one, when that is a line of facts.
    pub text: String,
    /// A report's structured content, or an execution's last line.
    pub facts: Value,
    pub pictures: usize,
    /// Addresses of the files that were kept.
    pub links: Vec<String>,
}

/// Why the client cannot go on.
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
struct Ears(Arc<Lock<Option<Listener>>>);

impl ClientHandler for Ears {
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

/// A server of our own making, over its real stdin and stdout.
pub struct Client {
    service: RunningService<RoleClient, Ears>,
    ears: Ears,
    child: Child,
}

impl Client {
    /// Starts `command` as an MCP server and shakes hands with it.
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
        let ears = Ears::default();
        let service = ears.clone().serve((stdout, stdin)).await;
        let service = service.map_err(|error| ClientError::Handshake(Box::new(error)))?;
        Ok(Self {
            service,
            ears,
            child,
        })
    }

    /// Tells `listener` of the progress of every call from now on.
    pub fn on_progress(&self, listener: impl Fn(&str) + Send + 'static) {
        *self.ears.0.lock() = Some(Box::new(listener));
    }

    /// Calls a tool.
    ///
    /// # Errors
    /// When no answer comes. A tool's own error is an [`Answer`].
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

    /// Ends the server as a crash would, without a word to it.
    pub async fn kill(mut self) {
        if let Err(error) = self.child.kill().await {
            tracing::debug!(%error, "the server was gone already");
        }
    }

    /// Leaves as a client does, and waits for the server's end.
    pub async fn leave(mut self) {
        if let Err(error) = self.service.close().await {
            tracing::debug!(%error, "the connection was gone already");
        }
        if let Err(error) = self.child.wait().await {
            tracing::debug!(%error, "the server could not be waited for");
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
                .pop()
                .and_then(|line| serde_json::from_str(&line).ok())
                .unwrap_or_default(),
        };
        answer.text = texts.concat();
        answer
    }
}
