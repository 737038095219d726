//! Whether the server's files are those beside the executor: with `--gateway-url` its kernels run on another machine.

use uuid::Uuid;

use super::Live;
use super::start::execute;
use crate::jupyter::JupyterError;

/// For the helper kernel: how it removes the file `MARK` from its root. Then, how it puts it there, to be removed also if no more is asked.
const REMOVE: &str = "
import pathlib, sys, threading
file = pathlib.Path(sys.modules['_smart_colab_relay'].held.root, 'MARK')
def remove():
    if file.exists(): file.unlink()
";
const PUT: &str = "
file.touch()
timer = threading.Timer(30, remove)
timer.daemon = True
timer.start()
";

/// Has the helper kernel put a file into its root for a moment, and looks for that among the server's.
pub(super) async fn are_shared(live: &Live) -> Result<bool, JupyterError> {
    match live.server.folder("").await {
        Ok(_) => {}
        // A Kernel Gateway has no files of its own.
        Err(JupyterError::NotFound | JupyterError::Unauthorized) => return Ok(true),
        Err(error) => return Err(error),
    }
    let name = format!("smart-colab-{}.tmp", Uuid::now_v7().simple());
    let remove = REMOVE.replace("MARK", &name);
    let marked = execute(&live.channel, &(remove.clone() + PUT)).await?;
    if marked["status"] != "ok" {
        // In a folder where nothing can be written, no notebook can be either.
        return Ok(false);
    }
    let found = live.server.entry(&name).await;
    execute(&live.channel, &(remove + "remove()")).await?;
    Ok(found?.is_some())
}
