//! The server's life on stdio: from the first line to the client's leaving.

use std::time::Duration;

use rmcp::ServiceExt;
use rmcp::service::ServerInitializeError;
use thiserror::Error;
use tokio::io::{Stdin, Stdout};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::server::Server;
use super::transport::Stdio;

/// For the answers to calls that end at once, after the client has left or this process is to end.
const LAST_ANSWERS_TIMEOUT: Duration = Duration::from_secs(1);

/// Why serving failed.
#[derive(Debug, Error)]
pub enum ServeError {
    #[error("the client and this server could not agree to talk")]
    Handshake(#[source] Box<ServerInitializeError>),
    #[error("the MCP server task failed")]
    Broken(#[from] tokio::task::JoinError),
}

/// Serves MCP on stdin and stdout until the client leaves or `shutdown` is cancelled.
///
/// # Errors
/// When the handshake fails. A client that leaves before it is no error.
pub async fn serve(server: Server, shutdown: CancellationToken) -> Result<(), ServeError> {
    let leaving = shutdown.child_token();
    let transport = Stdio::new(tokio::io::stdin(), tokio::io::stdout(), leaving.clone());
    let server = server.ending_with(leaving.clone());
    tokio::select! {
        biased;
        served = serve_on(server, transport, shutdown) => served,
        () = given_up(leaving) => Ok(()),
    }
}

/// What is not answered by then is not waited for; nor is a client that does not read its answers.
async fn given_up(leaving: CancellationToken) {
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
