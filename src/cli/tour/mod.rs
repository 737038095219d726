//! `smart-colab try`: a tour of everything on the user's own machine, through the real server, step by step.

mod screen;
mod steps;

use std::io;
use std::path::PathBuf;

use thiserror::Error;
use tokio::process::Command;

use super::words::quoted;
use crate::edge::settings::Settings;
use crate::edge::{env, paths};
use crate::mcp::client::{Client, ClientError};
use screen::Screen;

/// Why a step failed.
#[derive(Debug, Error)]
pub(super) enum StepError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Unexpected(String),
    #[error("a file could not be read")]
    Disk(#[from] io::Error),
}

/// The tour's program and folders.
struct Tour {
    program: PathBuf,
    save_dir: PathBuf,
    checkpoint_dir: PathBuf,
}

impl Tour {
    async fn server(&self) -> Result<Client, ClientError> {
        let mut command = Command::new(&self.program);
        command
            .env(env::COLAB_URL, "local")
            .env(env::LOCAL_SAVE_DIR, &self.save_dir)
            .env(env::CHECKPOINT_DIR, &self.checkpoint_dir);
        Client::start(command).await
    }
}

/// Runs every step and shows the client's config at the end. Returns true if all steps passed.
pub(super) async fn run(settings: &Settings) -> bool {
    let screen = Screen::new();
    let program = match paths::program() {
        Ok(program) => program,
        Err(error) => {
            screen.say(&format!(
                "The path of this program could not be determined: {error}"
            ));
            return false;
        }
    };
    let tour = Tour {
        program: program.clone(),
        save_dir: settings.save_dir.join("try"),
        checkpoint_dir: settings.data_dir.join("try"),
    };
    screen.say("smart-colab: a tour on this machine, through the real MCP server\n");
    let passed = steps::walk(&tour, &screen).await;
    if passed {
        screen.say(&format!(
            "\nAll steps passed; their files are in {}.\n\nTo use it from the clients that are installed here, run:\n\n  {} install --local\n\n\
             To compute on Google Colab instead, leave out --local and run `connect` with the line that the notebook prints.",
            tour.save_dir.display(),
            quoted(&program.display().to_string()),
        ));
    } else {
        let logs = settings.data_dir.join("logs");
        screen.say(&format!(
            "\nNot all steps passed. `smart-colab doctor --local` shows what this machine lacks; the log is in {}.",
            logs.display()
        ));
    }
    passed
}
