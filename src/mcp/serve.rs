//! Runs the server on stdio until the client disconnects.

use std::time::Duration;

use rmcp::ServiceExt;
use rmcp::service::ServerInitializeError;
use thiserror::Error;
use tokio::io::{Stdin, Stdout};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::server::Server;
use super::transport::Stdio;

/// Time for the answers to calls that end at once, after the client has disconnected or a shutdown was requested.
const LAST_ANSWERS_TIMEOUT: Duration = Duration::from_secs(1);

/// Why serving failed.
#[derive(Debug, Error)]
pub enum ServeError {
    #[error("the MCP handshake with the client failed")]
    Handshake(#[source] Box<ServerInitializeError>),
    #[error("the MCP server task failed")]
    Broken(#[from] tokio::task::JoinError),
}

/// Serves MCP on stdin and stdout until the client disconnects or `shutdown` is cancelled.
///
/// # Errors
/// When the handshake fails. A client that disconnects before it is not an error.
pub async fn serve(server: Server, shutdown: CancellationToken) -> Result<(), ServeError> {
    let leaving = shutdown.child_token();
    let transport = Stdio::new(tokio::io::stdin(), tokio::io::stdout(), leaving.clone());
    let server = server.ending_with(leaving.clone());
    tokio::select! {
        biased;
        served = serve_on(server, transport, shutdown) => served,
        () = last_answers(leaving) => Ok(()),
    }
}

/// Waits for the end of the time for last answers; later ones, and a client that does not read them, are given up.
async fn last_answers(leaving: CancellationToken) {
    leaving.cancelled().await;
    sleep(LAST_ANSWERS_TIMEOUT).await;
}

async fn serve_on(
    server: Server,
    transport: Stdio<Stdin, Stdout>,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    match server.serve_with_ct(transport, shutdown).await {
        Ok(running) => running.waiting().await.map(drop).map_err(ServeError::from),
        Err(ServerInitializeError::ConnectionClosed(_) | ServerInitializeError::Cancelled) => {
            Ok(())
        }
        Err(error) => Err(ServeError::Handshake(Box::new(error))),
    }
}
