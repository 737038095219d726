//! The server's life on stdio: from the first line to the client's leaving.

use rmcp::ServiceExt;
use rmcp::service::ServerInitializeError;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use super::server::Server;
use super::transport::Stdio;

/// Why serving failed.
#[derive(Debug, Error)]
pub enum ServeError {
    #[error("the client and this server could not agree to talk")]
    Handshake(#[source] Box<ServerInitializeError>),
    #[error("the server's task broke down")]
    Broken(#[from] tokio::task::JoinError),
}

/// Serves MCP on stdin and stdout until the client leaves or `shutdown` is cancelled.
///
/// # Errors
/// When the handshake fails. A client that leaves before it is no error.
pub async fn serve(server: Server, shutdown: CancellationToken) -> Result<(), ServeError> {
    let leaving = shutdown.child_token();
    let transport = Stdio::new(tokio::io::stdin(), tokio::io::stdout(), leaving.clone());
    let server = server.ending_with(leaving);
    match server.serve_with_ct(transport, shutdown).await {
        Ok(running) => running.waiting().await.map(drop).map_err(ServeError::from),
        Err(ServerInitializeError::ConnectionClosed(_) | ServerInitializeError::Cancelled) => {
            Ok(())
        }
        Err(error) => Err(ServeError::Handshake(Box::new(error))),
    }
}
