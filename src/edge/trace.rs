//! Logs: to stderr for the person at the client, and to one file a day in the data folder. stdout belongs to MCP.

use std::path::Path;
use std::str::FromStr;

use tracing::Level;
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::filter::{LevelFilter, Targets, filter_fn};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::env::{self, Env};

const MAX_LOG_FILES: usize = 7;
const CRATE: &str = "smart_colab";

/// Reads the setting.
pub(super) fn setting(env: &Env) -> Result<Option<Targets>, String> {
    let Some(text) = env.get(env::LOG) else {
        return Ok(None);
    };
    filter(text).map(Some).map_err(|fault| {
        format!(
            "{} is {text:?}: {fault}. Set it to a level (error, warn, info, debug, trace, off), or to levels by module, such as \
             warn,smart_colab=debug",
            env::LOG
        )
    })
}

/// Parses a filter.
///
/// # Errors
/// The fault of the filter. A word that is not a level would silence everything but a module of that name, which is hardly ever meant.
fn filter(text: &str) -> Result<Targets, String> {
    let is_module = |word: &str| word.contains("::") || word == CRATE;
    for part in text.split(',').map(str::trim) {
        let (module, level) = part.split_once('=').unwrap_or((part, ""));
        if module.starts_with("smart-colab") {
            return Err(format!("modules are written with an underscore, {CRATE}"));
        }
        if level.is_empty() && !is_module(part) && LevelFilter::from_str(part).is_err() {
            return Err(format!("{part:?} is not a level"));
        }
    }
    Targets::from_str(text).map_err(|error| error.to_string())
}

/// Starts logging; only to stderr if the folder is not writable.
pub fn start(filter: Option<&Targets>, data_dir: &Path) {
    let default = || {
        Targets::new()
            .with_default(LevelFilter::WARN)
            .with_target(CRATE, LevelFilter::INFO)
    };
    let filter = filter.cloned().unwrap_or_else(default);
    // At debug, rmcp logs whole messages, with code and the token that connect_colab is given.
    let discreet = filter_fn(|metadata| {
        *metadata.level() <= Level::INFO || !metadata.target().starts_with("rmcp")
    });
    let folder = data_dir.join("logs");
    // The appender prints to stderr by itself if the folder is missing.
    let made = std::fs::create_dir_all(&folder);
    let file = RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix("smart-colab")
        .filename_suffix("log")
        .max_log_files(MAX_LOG_FILES)
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
    // Fails only if logging was started already.
    let _ = tracing_subscriber::registry()
        .with(filter)
        .with(discreet)
        .with(stderr)
        .with(file)
        .try_init();
}
