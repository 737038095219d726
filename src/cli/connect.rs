//! `smart-colab connect`: saves a connection for all servers on this computer; running ones switch to it when a call fails.

use std::io::{self, BufRead, IsTerminal, Write};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::words;
use crate::base::fault::Fault;
use crate::connection::{Checked, check_endpoint, check_timeout};
use crate::edge::env::{self, Env};
use crate::edge::jupyter::is_jupyter;
use crate::edge::pairing::Pairing;
use crate::edge::settings::{Endpoint, Settings, endpoint};

/// Bytes read of the pasted line; those that notebooks print are shorter.
const MAX_LINE_BYTES: u64 = 8 * 1024;

#[derive(Debug, Args)]
pub(super) struct ConnectArgs {
    /// The line that the notebook prints, https://…#TOKEN, or `jupyter+` and the address of a Jupyter Server, with its token. Safer to omit it and paste it when
    /// asked: command lines are visible to others and saved.
    url: Option<String>,
    /// Forget the saved connection.
    #[arg(long, conflicts_with = "url")]
    forget: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub(super) json: bool,
}

/// What the command came to.
struct Outcome {
    code: u8,
    /// For a person.
    text: String,
    /// For a program.
    facts: Value,
}

/// Runs the command and reports its result, without showing the token.
pub(super) async fn run(args: ConnectArgs, settings: &Settings, env: &Env) -> ExitCode {
    let is_json = args.json;
    let mut outcome = work(args, settings, env).await;
    let is_done = outcome.code == 0;
    outcome.facts["success"] = is_done.into();
    let said = match (is_json, is_done) {
        (true, _) => writeln!(io::stdout(), "{}", outcome.facts),
        (false, true) => writeln!(io::stdout(), "{}", outcome.text),
        (false, false) => writeln!(io::stderr(), "smart-colab: {}", outcome.text),
    };
    match said {
        Ok(()) => ExitCode::from(outcome.code),
        Err(_) => ExitCode::FAILURE,
    }
}

async fn work(args: ConnectArgs, settings: &Settings, env: &Env) -> Outcome {
    if args.forget {
        return match Pairing::new(&settings.data_dir).forget() {
            Ok(true) => said(
                "The saved connection was removed.",
                json!({"removed": true}),
            ),
            Ok(false) => said("There was no saved connection.", json!({"removed": false})),
            Err(error) => failed(&format!(
                "the saved connection could not be removed: {error}"
            )),
        };
    }
    let text = match args.url.map_or_else(ask, Ok) {
        Ok(text) => text,
        Err(error) => return failed(&format!("the line could not be read: {error}")),
    };
    // A token in the pasted line is newer than the configured one.
    let has_token = text.contains('#') || text.contains("token=");
    let beside = match is_jupyter(&text) {
        true => env.get(env::JUPYTER_TOKEN),
        false => None,
    };
    let beside = beside.or_else(|| env.get(env::COLAB_TOKEN));
    let beside = beside.filter(|_| !has_token);
    match endpoint(&text, beside) {
        Ok(endpoint) => connect(&endpoint, settings).await,
        Err(fault) => {
            let text = format!("the line {fault}");
            Outcome {
                code: 2,
                facts: json!({"code": "invalid_argument", "error": text}),
                ..failed(&text)
            }
        }
    }
}

async fn connect(endpoint: &Endpoint, settings: &Settings) -> Outcome {
    let deadline = Instant::now() + check_timeout(endpoint);
    match check_endpoint(endpoint, &settings.data_dir, deadline).await {
        Err(error) => {
            let hint = error.remedy().worded(words::word);
            let facts = json!({"code": error.code(), "error": error.to_string(), "hint": hint});
            Outcome {
                facts,
                ..failed(&format!("{error}\nNothing was saved. {hint}"))
            }
        }
        Ok(checked) => match Pairing::new(&settings.data_dir).save(endpoint) {
            Err(error) => failed(&format!(
                "the connection works, but could not be saved: {error}"
            )),
            Ok(()) => said(
                &format!(
                    "Connected to {} ({}).\n\
                     Saved: servers without COLAB_URL use it from now on, and running ones switch to it when their connection fails.",
                    endpoint.address(),
                    describe(&checked),
                ),
                json!({
                    "url": endpoint.address(),
                    "executor": checked.health.version,
                    "memory_available_gb": checked.health.memory_available_gb,
                    "lacks_executor": checked.lacks_executor,
                }),
            ),
        },
    }
}

fn describe(checked: &Checked) -> String {
    if let Some(reason) = &checked.lacks_executor {
        return format!(
            "it runs code and has files, and no more, as no executor can run there: {reason}"
        );
    }
    let version = &checked.health.version;
    let memory = checked.health.memory_available_gb.unwrap_or_default();
    format!("executor {version}, {memory:.1} GB of memory free")
}

/// Reads the line from stdin, so that the token is on no command line.
fn ask() -> io::Result<String> {
    if io::stdin().is_terminal() {
        eprint!(
            "Paste the line that the notebook prints (https://…#TOKEN), or the address of a Jupyter Server (jupyter+http…?token=TOKEN): "
        );
    }
    let mut line = String::new();
    io::Read::take(io::stdin().lock(), MAX_LINE_BYTES).read_line(&mut line)?;
    Ok(line)
}

fn said(text: &str, facts: Value) -> Outcome {
    Outcome {
        code: 0,
        text: text.to_owned(),
        facts,
    }
}

fn failed(text: &str) -> Outcome {
    Outcome {
        code: 1,
        text: text.to_owned(),
        facts: json!({"code": "disk_failed", "error": text}),
    }
}
