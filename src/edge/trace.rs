//! Logs: to stderr for the person beside the client, and to a file a day in the data folder. stdout belongs to MCP.

use std::path::Path;
use std::str::FromStr;

use tracing::Level;
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::filter::{LevelFilter, Targets, filter_fn};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

const DAYS_KEPT: usize = 7;

/// Starts logging. A folder that cannot be written costs the file, not the program; a malformed filter is said and replaced.
pub fn start(filter: Option<&str>, data_dir: &Path) {
    let default = || {
        Targets::new()
            .with_default(LevelFilter::WARN)
            .with_target("smart_colab", LevelFilter::INFO)
    };
    let (filter, fault) = match filter.map(Targets::from_str) {
        None => (default(), None),
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (default(), Some(error)),
    };
    // At debug it shows whole messages, and with them code and the token that connect_colab is given.
    let discreet = filter_fn(|metadata| {
        *metadata.level() <= Level::INFO || !metadata.target().starts_with("rmcp")
    });
    let folder = data_dir.join("logs");
    // The appender speaks to stderr on its own when the folder is missing.
    let made = std::fs::create_dir_all(&folder);
    let file = RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix("smart-colab")
        .filename_suffix("log")
        .max_log_files(DAYS_KEPT)
        .build(folder);
    let file = made
        .ok()
        .and(file.ok())
        .map(|appender| fmt::layer().with_ansi(false).with_writer(appender));
    let stderr = fmt::layer()
        .with_ansi(false)
        .without_time()
        .with_target(false)
        .with_writer(std::io::stderr);
    let started = tracing_subscriber::registry()
        .with(filter)
        .with(discreet)
        .with(stderr)
        .with(file)
        .try_init();
    if let (Ok(()), Some(error)) = (started, fault) {
        tracing::warn!("SMART_COLAB_LOG is not a filter and is ignored: {error}");
    }
}
