//! The client's roots (`roots/list`).

use std::path::PathBuf;
use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::ProtocolVersion;
use rmcp::service::RequestContext;
use tokio::time::timeout;
use url::Url;

/// How long to wait for a client that declares roots but does not answer, without failing the call.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// Requests the roots; called for each upload, so that a change takes effect at once. Empty if the client does not declare roots or does not
/// answer, and since protocol 2026-07-28, which deprecates roots and allows no requests by a server.
#[expect(deprecated, reason = "today's clients have them")]
pub(super) async fn roots(context: &RequestContext<RoleServer>) -> Vec<PathBuf> {
    let declared = context
        .client_capabilities()
        .is_some_and(|client| client.roots.is_some());
    let may_ask = context
        .protocol_version()
        .is_some_and(|version| version < ProtocolVersion::V_2026_07_28);
    if !declared || !may_ask {
        return Vec::new();
    }
    let asked = context.peer.list_roots();
    match timeout(ANSWER_TIMEOUT, asked).await {
        Ok(Ok(answer)) => {
            let paths = answer.roots.iter().filter_map(|root| path(&root.uri));
            paths.collect()
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, "the client did not return its roots");
            Vec::new()
        }
        Err(_) => {
            tracing::debug!("the client did not return its roots in time");
            Vec::new()
        }
    }
}

fn path(uri: &str) -> Option<PathBuf> {
    let url = Url::parse(uri).ok().filter(|url| url.scheme() == "file")?;
    url.to_file_path().ok()
}
