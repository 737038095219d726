//! Sessions that are kernels of a Jupyter Server: `notebook:PATH` and `kernel:ID`.

use std::time::Duration;

use rmcp::model::JsonObject;
use serde_json::Value;
use tokio::time::Instant;

use super::fault::Fault;
use crate::connection::Connection;
use crate::wire::session::{kernel_of_adopted, name_of_adopted};

/// For the server's answer, which comes at once; the call itself has its own time.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Replaces a session that names a kernel by its name on the executor.
///
/// # Errors
/// If no such notebook has a kernel, or that is not known in time.
pub(super) async fn resolve(
    arguments: &mut JsonObject,
    connection: &Connection,
) -> Result<(), Fault> {
    let Some(Value::String(session)) = arguments.get_mut("session") else {
        return Ok(());
    };
    if let Some(kernel) = session.strip_prefix("kernel:") {
        let name = name_of_adopted(kernel.trim());
        if kernel_of_adopted(&name).is_none() {
            return Err(Fault::invalid(format!(
                "{:?} is no kernel's id: the Jupyter Server's own are UUIDs",
                kernel.trim()
            )));
        }
        *session = name;
    } else if let Some(notebook) = session.strip_prefix("notebook:") {
        let deadline = Instant::now() + LOOKUP_TIMEOUT;
        let kernel = connection
            .notebook_kernel(notebook.trim(), deadline)
            .await?;
        *session = name_of_adopted(&kernel);
    }
    Ok(())
}
