//! `smart-colab connect`: saves a connection for all servers on this computer; running ones switch to it when a call fails.

use std::io::{self, BufRead, IsTerminal, Write};
use std::process::ExitCode;

use clap::Args;
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
}

/// Runs the command and reports its result, without showing the token.
pub(super) async fn run(args: ConnectArgs, settings: &Settings, env: &Env) -> ExitCode {
    if args.forget {
        return match Pairing::new(&settings.data_dir).forget() {
            Ok(true) => said("The saved connection was removed."),
            Ok(false) => said("There was no saved connection."),
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
    let endpoint = match endpoint(&text, beside) {
        Ok(endpoint) => endpoint,
        Err(fault) => {
            eprintln!("smart-colab: the line {fault}");
            return ExitCode::from(2);
        }
    };
    connect(&endpoint, settings).await
}

async fn connect(endpoint: &Endpoint, settings: &Settings) -> ExitCode {
    let deadline = Instant::now() + check_timeout(endpoint);
    match check_endpoint(endpoint, &settings.data_dir, deadline).await {
        Err(error) => failed(&format!(
            "{error}\nNothing was saved. {}",
            error.remedy().worded(words::word)
        )),
        Ok(checked) => match Pairing::new(&settings.data_dir).save(endpoint) {
            Err(error) => failed(&format!(
                "the connection works, but could not be saved: {error}"
            )),
            Ok(()) => said(&format!(
                "Connected to {} ({}).\n\
                 Saved: servers without COLAB_URL use it from now on, and running ones switch to it when their connection fails.",
                endpoint.address(),
                describe(&checked),
            )),
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

fn said(text: &str) -> ExitCode {
    match writeln!(io::stdout(), "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn failed(text: &str) -> ExitCode {
    eprintln!("smart-colab: {text}");
    ExitCode::FAILURE
}
