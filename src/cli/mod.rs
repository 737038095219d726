//! The command line. Without a command it serves MCP on stdio, which is what clients start.

mod claude;
mod colab;
mod connect;
mod doctor;
mod install;
mod notebook;
mod shell;
mod tour;
mod ui;
pub mod words;
mod work;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use serde_json::json;
use tokio::runtime::Builder;

use crate::app;
use crate::edge::env::{Env, SETTINGS};
use crate::edge::settings::{Faults, Flags, Settings};
use crate::edge::trace;

/// Lets Claude and other MCP clients compute on Google Colab or any machine with Python.
#[derive(Debug, Parser)]
#[command(name = "smart-colab", version, about, after_long_help = settings_help())]
struct Cli {
    #[command(flatten)]
    flags: Place,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Flags of the commands that compute.
#[derive(Debug, Args)]
struct Place {
    /// Compute on this machine, whatever COLAB_URL says.
    #[arg(long)]
    local: bool,
    /// Let tabs of Colab connect on this port from the start, for a browser on another computer.
    #[arg(long)]
    port: Option<u16>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve MCP on stdio (the default).
    Serve(Place),
    #[command(flatten)]
    Work(work::Work),
    /// Put this server into the configs of the MCP clients that are installed here.
    Install(install::InstallArgs),
    /// Connect the servers of this computer to a notebook.
    Connect(connect::ConnectArgs),
    /// Find out what does not work, and what to do about it.
    Doctor(doctor::DoctorArgs),
    /// Machines that Google Colab assigns to your account, without a tunnel.
    Colab(colab::ColabArgs),
    /// Write the notebook that starts the executor in Colab.
    Notebook(notebook::NotebookArgs),
    /// Open the page of the executor in the browser: live output, charts, files, a stop button.
    Ui(ui::UiArgs),
    /// Demonstrate everything on this machine, step by step.
    Try(Place),
    /// Print the completions of a shell.
    Completions(shell::CompletionsArgs),
    /// Print the man page.
    Man(shell::ManArgs),
}

impl Command {
    /// Whether a program reads what it prints.
    fn is_json(&self) -> bool {
        match self {
            Self::Work(work) => work.is_json(),
            Self::Install(args) => args.json,
            Self::Connect(args) => args.json,
            Self::Doctor(args) => args.json,
            Self::Colab(args) => args.is_json(),
            Self::Notebook(args) => args.json,
            Self::Serve(_) | Self::Ui(_) | Self::Try(_) | Self::Completions(_) | Self::Man(_) => {
                false
            }
        }
    }
}

/// Describes the settings for `--help`.
fn settings_help() -> String {
    let lines = SETTINGS.iter().map(|setting| {
        let default = match setting.default {
            "" => String::new(),
            default => format!(" [default: {default}]"),
        };
        let text = format!("{}{default}", setting.meaning).replace('`', "");
        format!("  {}\n          {text}\n", setting.name)
    });
    format!(
        "Settings (environment variables):\n{}",
        lines.collect::<String>()
    )
}

/// Parses the command line and runs the command.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let env = Env::of_process();
    // Before the command and after it.
    let (before, command) = (cli.flags, cli.command);
    let after = match &command {
        Some(Command::Serve(flags) | Command::Try(flags)) => (flags.local, flags.port),
        Some(Command::Install(args)) => (args.local, None),
        Some(Command::Doctor(args)) => (args.local, None),
        Some(Command::Work(work)) => (work.is_local(), None),
        Some(Command::Completions(args)) => return shell::completions(args, Cli::command()),
        Some(Command::Man(args)) => return shell::man(args, Cli::command()),
        Some(Command::Ui(args)) => (args.local, None),
        Some(Command::Connect(_) | Command::Colab(_) | Command::Notebook(_)) | None => {
            (false, None)
        }
    };
    let flags = Flags {
        local: before.local || after.0,
        port: after.1.or(before.port),
    };
    let (settings, faults) = Settings::survey(&env, &flags);
    if !faults.is_empty() && !matches!(command, Some(Command::Doctor(_))) {
        let said = Faults(faults).to_string();
        if command.as_ref().is_some_and(Command::is_json) {
            let hint =
                "Nothing was done. Correct the setting; `smart-colab doctor` checks all of them.";
            let facts =
                json!({"success": false, "code": "invalid_argument", "error": said, "hint": hint});
            // The exit code tells, too, where nothing can be written.
            let _ = writeln!(io::stdout(), "{facts}");
        } else {
            eprintln!("smart-colab: {said}");
        }
        return ExitCode::from(2);
    }
    let runtime = match Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("smart-colab: could not start the async runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = match command {
        None | Some(Command::Serve(_)) => {
            trace::start(settings.log_filter.as_ref(), &settings.data_dir);
            for warning in &settings.warnings {
                tracing::warn!("{warning}");
            }
            finish(runtime.block_on(app::run(&settings)))
        }
        Some(Command::Work(work)) => runtime.block_on(work.run(&settings, &env)),
        Some(Command::Notebook(args)) => notebook::run(&args, &settings),
        Some(Command::Completions(_) | Command::Man(_)) => ExitCode::SUCCESS,
        Some(Command::Install(args)) => install::run(&args, &settings, &env),
        Some(Command::Connect(args)) => runtime.block_on(connect::run(args, &settings, &env)),
        Some(Command::Doctor(args)) => {
            runtime.block_on(doctor::run(&args, &settings, &faults, &env))
        }
        Some(Command::Colab(args)) => runtime.block_on(colab::run(args, &settings)),
        Some(Command::Ui(args)) => runtime.block_on(ui::run(args, &settings)),
        Some(Command::Try(_)) => {
            if runtime.block_on(tour::run(&settings)) {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
    };
    // tokio's stdin thread may never return.
    runtime.shutdown_background();
    code
}

fn finish<E: std::error::Error>(result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(
                cause = error.source().map(tracing::field::display),
                "{error}"
            );
            ExitCode::FAILURE
        }
    }
}
