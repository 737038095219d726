//! File work on this computer, off the async threads.

use std::fs::File;
use std::io;
use std::time::SystemTime;

use tokio::task::spawn_blocking;

/// Runs file work off the async threads; it starts at once, and runs to its end even if the returned future is dropped.
pub(crate) fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = T> {
    let task = spawn_blocking(work);
    async {
        match task.await {
            Ok(value) => value,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The whole program is ending.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

/// Makes a file executable for everyone who may read it, where the system supports modes.
pub(super) fn make_executable(file: &File) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mut permissions = file.metadata()?.permissions();
        let mode = permissions.mode();
        permissions.set_mode(mode | (mode & 0o444) >> 2);
        file.set_permissions(permissions)?;
    }
    #[cfg(not(unix))]
    let _ = file;
    Ok(())
}

/// Parses a modification time as the executor writes it.
pub(crate) fn changed_at(text: &str) -> Option<SystemTime> {
    text.parse::<jiff::Timestamp>().ok().map(SystemTime::from)
}
