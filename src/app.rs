//! Composition: the floors put together from settings.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::browser::Browser;
use crate::checkpoints::Checkpoints;
use crate::chunked::Chunked;
use crate::connection::Connection;
use crate::document::Documents;
use crate::edge::settings::Settings;
use crate::floors::Floors;
use crate::jobs::Jobs;
use crate::lease::Lease;
use crate::machine::lifetime::Lifetime;
use crate::mcp::serve::{ServeError, serve};
use crate::mcp::server::Server;
use crate::mirror::Mirrors;
use crate::notebook::Notebooks;
use crate::notebook_run::NotebookRuns;
use crate::shutdown;
use crate::tasks::Tasks;
use crate::transfer::download::Downloads;
use crate::transfer::upload::{Allowed, Uploads};

/// Limit for stopping what this process started.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves MCP on stdio until the client disconnects or a signal arrives, then stops what was started.
///
/// # Errors
/// When the handshake with the client fails.
pub async fn run(settings: &Settings) -> Result<(), ServeError> {
    let floors = compose(settings);
    let connection = floors.connection.clone();
    connection.warm_up();
    floors.lease.watch();
    floors.chunked.catch_up();
    floors.documents.catch_up();
    floors.notebook_runs.catch_up();
    floors.mirrors.catch_up();
    if settings.tab_port.is_some()
        && let Err(error) = floors.browser.listen().await
    {
        tracing::warn!(%error, "no tab of Colab can connect: the port that was asked for cannot be had");
    }
    let served = serve(Server::new(floors), shutdown::on_signal()).await;
    stop(&connection).await;
    served
}

/// Stops what this process started.
pub async fn stop(connection: &Connection) {
    if timeout(STOP_TIMEOUT, connection.stop()).await.is_err() {
        tracing::warn!("what this process started did not stop in time");
    }
}

/// The floors put together. Nothing is started and nothing is waited for.
#[must_use]
pub fn compose(settings: &Settings) -> Floors {
    let connection = Arc::new(Connection::new(settings));
    let jobs = Jobs::new(
        connection.clone(),
        settings.save_dir.clone(),
        settings.data_dir.join("jobs"),
    );
    let jobs = Arc::new(jobs.requiring(
        settings.requirements.clone(),
        settings.data_dir.join("requirements"),
    ));
    let checkpoints = Checkpoints::new(jobs.clone(), settings.checkpoint_dir.clone());
    let cells_dir = settings.data_dir.join("cells");
    let browser = Arc::new(Browser::new(settings.tab_port));
    let documents = Arc::new(Documents::new(
        connection.clone(),
        jobs.clone(),
        browser.clone(),
        cells_dir,
    ));
    let notebook_runs = NotebookRuns::new(
        connection.clone(),
        jobs.clone(),
        documents.clone(),
        settings.data_dir.join("notebooks"),
        settings.save_dir.clone(),
    );
    let transfers_dir = settings.data_dir.join("transfers");
    let downloads = Arc::new(Downloads::new(
        connection.clone(),
        settings.save_dir.clone(),
        transfers_dir.clone(),
    ));
    let uploads = Arc::new(Uploads::new(
        connection.clone(),
        allowed_uploads(settings),
        transfers_dir,
    ));
    Floors {
        connection: connection.clone(),
        tasks: Tasks::new(
            jobs.clone(),
            checkpoints.clone(),
            downloads.clone(),
            uploads.clone(),
        ),
        chunked: Chunked::new(jobs.clone(), checkpoints.clone()),
        mirrors: Mirrors::new(
            connection.clone(),
            downloads.clone(),
            checkpoints.clone(),
            settings.save_dir.clone(),
            settings.data_dir.join("mirrors"),
        ),
        checkpoints,
        jobs,
        downloads,
        notebooks: Notebooks::new(connection, settings.save_dir.clone()),
        browser,
        google: settings.google.clone(),
        limits: settings.limits,
        lease: Arc::new(Lease::new(&settings.data_dir, &settings.save_dir)),
        lifetime: Lifetime::default(),
        opener: settings.browser.clone(),
        documents,
        notebook_runs,
        uploads,
        call_budget: settings.call_budget,
        confirm: settings.confirm,
        toolsets: settings.toolsets.clone(),
        save_dir: settings.save_dir.clone(),
        data_dir: settings.data_dir.clone(),
    }
}

/// The folders that files may be uploaded from, and those that they may not.
fn allowed_uploads(settings: &Settings) -> Allowed {
    let mut folders = vec![settings.save_dir.clone()];
    folders.extend(settings.upload_dirs.iter().cloned());
    Allowed::new(folders, settings.data_dir.clone())
}
