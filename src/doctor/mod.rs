//! Looks for what keeps this program from working, check by check: what was seen, and the remedy. Starts nothing.
//!
//! - here: all checks, side by side; `check`: one of them, and a chain of those that depend on each other;
//! - `settings`: the settings, and the folders that they name; `python`: what code on this machine needs;
//! - `way`: from here to the executor, by its address; `network`: the layers below HTTP; `executor` and `jupyter`: what answers;
//! - `clients`: the configs of MCP clients; `machines`: those of Colab that were assigned from here.
//!
//! May import `base`, `render`, `edge`, `colab`, `install`, `jupyter`, `runtime`, `provision`, `machine`.

mod check;
mod clients;
mod executor;
mod jupyter;
mod machines;
mod network;
mod python;
mod settings;
mod way;

use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::edge::env::Env;
use crate::edge::pairing::Pairing;
use crate::edge::settings::Settings;
pub use check::{Check, State};

/// No check takes longer.
const MAX_DURATION: Duration = Duration::from_secs(25);

/// Runs all checks and returns them in a fixed order, within 30 s. `settings` were read from `env`, with these `faults`.
pub async fn examine(settings: &Settings, faults: &[String], env: &Env) -> Vec<Check> {
    let saved = Pairing::new(&settings.data_dir).load();
    let in_clients = {
        let (settings, env) = (settings.clone(), env.clone());
        spawn_blocking(move || clients::checks(&settings, &env))
    };
    let (way, python, in_clients, machines) = tokio::join!(
        way::checks(settings, faults, &saved, env),
        timeout(MAX_DURATION, python::checks(settings)),
        timeout(MAX_DURATION, in_clients),
        machines::checks(settings, saved.as_ref().ok()),
    );
    let mut checks = settings::checks(settings, faults, env);
    checks.extend(way);
    checks.extend(python.unwrap_or_else(|_| vec![Check::late("python")]));
    match in_clients {
        Ok(Ok(in_clients)) => checks.extend(in_clients),
        Ok(Err(_)) | Err(_) => checks.push(Check::late("clients")),
    }
    checks.extend(machines);
    checks
}
