//! The commands that work on the runtime, as a terminal's user expects them: output on stdout, everything else on stderr, an exit code that tells.
//!
//! - here: the commands, and how each ends; `attend`: waiting for work, with Ctrl-C; `terminal`: output as it comes, `inline`: pictures in it,
//!   `gather`: the same for `--json`, `grep`: lines of it;
//! - `run`: code; `script`: its arguments; `questions`: answers to its `input()`; `notebook_run`: whole notebooks; `jobs`: the list; `logs`: output of earlier code; `stop`: its end; `copy`: files.

mod attend;
mod copy;
mod gather;
mod grep;
mod inline;
mod jobs;
mod logs;
mod notebook_run;
mod questions;
mod run;
mod script;
mod stop;
mod terminal;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::words;
use crate::app;
use crate::base::advice::in_words_of;
use crate::base::causes::sentence;
use crate::base::fault::Fault;
use crate::edge::env::Env;
use crate::edge::settings::{Settings, Target};
use crate::floors::Floors;
use crate::jobs::live::Ran;
use crate::wire::state::JobState;

/// The code raised an exception, or the command could not do its work.
const FAILED: u8 = 1;
/// The command was called wrongly; nothing was done. As clap has it.
const USAGE: u8 = 2;
/// As `timeout` has it.
const TIMED_OUT: u8 = 124;
/// The runtime cannot be reached, or lost the code. As `docker run` has it for its daemon.
const UNREACHABLE: u8 = 125;
/// As shells have it for Ctrl-C.
const INTERRUPTED: u8 = 130;

#[derive(Debug, Subcommand)]
pub(super) enum Work {
    /// Run Python code, a script or a notebook, with its output as it comes.
    Run(run::RunArgs),
    /// List what runs and what has run.
    Jobs(jobs::JobsArgs),
    /// Show what a job printed, and follow it while it runs.
    Logs(logs::LogsArgs),
    /// Interrupt a job, as Ctrl-C does; variables are kept.
    Stop(stop::StopArgs),
    /// Copy a file or folder from the runtime to this computer.
    Get(copy::GetArgs),
    /// Copy a file or folder from this computer to the runtime.
    Put(copy::PutArgs),
}

#[derive(Debug, Args)]
struct Common {
    /// Compute on this machine, whatever COLAB_URL says.
    #[arg(long)]
    local: bool,
    /// Print one JSON object, at the end; docs/commands.md describes it.
    #[arg(long)]
    json: bool,
}

/// How a command ended.
#[derive(Debug)]
struct End {
    code: u8,
    /// For a program.
    facts: Value,
    /// For a person, on stdout; nothing where the output was shown as it came.
    text: String,
    /// For a person, on stderr.
    said: String,
}

impl End {
    fn text(text: String, facts: Value) -> Self {
        let (code, said) = (0, String::new());
        Self {
            code,
            facts,
            text,
            said,
        }
    }
}

impl<E: Fault> From<E> for End {
    fn from(error: E) -> Self {
        let code = match error.code() {
            "not_configured"
            | "connection_failed"
            | "tunnel_offline"
            | "unauthorized"
            | "incompatible_executor"
            | "timed_out"
            | "busy" => UNREACHABLE,
            "invalid_argument" => USAGE,
            "cancelled" => INTERRUPTED,
            _ => FAILED,
        };
        Self::fault(code, error.code(), sentence(&error), &hint(&error))
    }
}

impl End {
    fn fault(code: u8, name: &str, sentence: String, hint: &str) -> Self {
        let facts = json!({"success": false, "code": name, "error": sentence, "hint": hint});
        Self {
            code,
            facts,
            text: String::new(),
            said: format!("smart-colab: {sentence}\n{hint}")
                .trim_end()
                .to_owned(),
        }
    }

    /// A fault of this program, which is in its panic's message.
    fn broken() -> Self {
        let (sentence, hint) = ("the command stopped unexpectedly", "Please report it.");
        Self::fault(FAILED, "internal", sentence.to_owned(), hint)
    }

    /// The command cannot be carried out as it was given.
    fn usage(sentence: impl Into<String>, hint: &str) -> Self {
        Self::fault(USAGE, "invalid_argument", sentence.into(), hint)
    }
}

fn hint(error: &impl Fault) -> String {
    error.remedy().worded(words::word)
}

impl Work {
    fn common(&self) -> &Common {
        match self {
            Self::Run(args) => &args.common,
            Self::Jobs(args) => &args.common,
            Self::Logs(args) => &args.common,
            Self::Stop(args) => &args.common,
            Self::Get(args) => &args.common,
            Self::Put(args) => &args.common,
        }
    }

    pub(super) fn is_local(&self) -> bool {
        self.common().local
    }

    pub(super) fn is_json(&self) -> bool {
        self.common().json
    }

    /// Runs the command, says how it ended, and stops what it started.
    pub(super) async fn run(self, settings: &Settings, env: &Env) -> ExitCode {
        for warning in &settings.warnings {
            eprintln!("smart-colab: {warning}");
        }
        let is_json = self.common().json;
        let floors = app::compose(settings);
        let connection = floors.connection.clone();
        let desk = Desk {
            floors,
            is_json,
            is_local: settings.target == Target::Local,
            settings,
            env,
        };
        let end = match self {
            Self::Run(args) => run::run(args, &desk).await,
            Self::Jobs(args) => jobs::run(args, &desk).await,
            Self::Logs(args) => logs::run(args, &desk).await,
            Self::Stop(args) => stop::run(args, &desk).await,
            Self::Get(args) => copy::get(args, &desk).await,
            Self::Put(args) => copy::put(args, &desk).await,
        };
        let mut end = end.unwrap_or_else(|end| end);
        app::stop(&connection).await;
        let text = if is_json {
            if end.facts.get("success").is_none() {
                end.facts["success"] = (end.code == 0).into();
            }
            end.facts.to_string()
        } else {
            if !end.said.is_empty() {
                eprintln!("{}", end.said);
            }
            end.text
        };
        if !text.is_empty() && !print(&text) {
            if let Some(id) = end.facts["job_id"].as_str() {
                eprintln!("{}", kept(id));
            }
            return ExitCode::from(if end.code == 0 { FAILED } else { end.code });
        }
        ExitCode::from(end.code)
    }
}

/// Prints `text`; false, and said, if it cannot be written. A reader that has left has read enough.
fn print(text: &str) -> bool {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("smart-colab: {}", unwritable("stdout", &error));
            false
        }
        Ok(()) | Err(_) => true,
    }
}

/// Where output is that could not be written here.
fn kept(job: impl std::fmt::Display) -> String {
    format!("The output is kept: `smart-colab logs {job}` shows it.")
}

fn unwritable(stream: &str, error: &io::Error) -> String {
    format!("{stream} cannot be written: {error}")
}

/// What a command works with.
struct Desk<'a> {
    floors: Floors,
    is_json: bool,
    is_local: bool,
    settings: &'a Settings,
    env: &'a Env,
}

impl Desk<'_> {
    /// How to find what a job printed, and to end it.
    fn ways_back(&self, id: impl std::fmt::Display) -> String {
        match self.is_local {
            true => format!(
                "With `local`, code ends with its command. `smart-colab logs {id} --local` shows what it printed."
            ),
            false => {
                format!("`smart-colab logs -f {id}` follows it, `smart-colab stop {id}` ends it.")
            }
        }
    }
}

/// A value for a program, with its advice in commands.
fn facts(value: &impl serde::Serialize) -> Value {
    in_words_of(words::word, || serde_json::to_value(value)).unwrap_or_default()
}

/// The exit code of code that has ended.
fn exit_code(ran: &Ran) -> u8 {
    match (ran.state(), exit_of(ran)) {
        (Some(JobState::Failed), Some(code)) => code,
        (Some(JobState::Failed), None) => FAILED,
        (Some(JobState::Interrupted), _) => INTERRUPTED,
        (Some(JobState::TimedOut), _) => TIMED_OUT,
        (Some(JobState::Lost) | None, _) => UNREACHABLE,
        (Some(JobState::Succeeded | JobState::Queued | JobState::Running), _) => 0,
    }
}

/// The code that `sys.exit` was given, as Python's own exit code would be; none if the code did not end so.
fn exit_of(ran: &Ran) -> Option<u8> {
    let error = ran
        .error
        .as_ref()
        .filter(|error| error.ename == "SystemExit")?;
    Some(exit_with(&error.evalue))
}

/// The exit code of `sys.exit` with this argument.
fn exit_with(argument: &str) -> u8 {
    match argument.trim() {
        "" | "None" | "False" => 0,
        "True" => 1,
        text => match text.parse::<i64>() {
            // As the system has it: the lowest byte.
            Ok(number) => number.rem_euclid(256) as u8,
            Err(_) => FAILED,
        },
    }
}
