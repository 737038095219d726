//! `smart-colab notebook`: the notebook that starts the executor in Colab, of this version.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};
use url::Url;

use crate::edge::opener;
use crate::edge::settings::Settings;
use crate::provision::NOTEBOOK;

const NAME: &str = "smart_colab_executor.ipynb";
const COLAB: &str = "https://colab.research.google.com/";

#[derive(Debug, Args)]
pub(super) struct NotebookArgs {
    /// Where to write it; - for stdout.
    #[arg(short, long, value_name = "FILE", default_value = NAME)]
    out: PathBuf,
    /// Replace another file of this name.
    #[arg(long)]
    force: bool,
    /// Open Colab in the browser, to upload it there.
    #[arg(long)]
    open: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub(super) json: bool,
}

/// Writes the notebook, and says what to do with it.
pub(super) fn run(args: &NotebookArgs, settings: &Settings) -> ExitCode {
    if args.out == Path::new("-") {
        return match io::stdout().write_all(NOTEBOOK) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    let path = args.out.display();
    let written = write(&args.out, args.force);
    let (facts, text, code) = match written {
        Ok(is_new) => {
            let written = if is_new {
                "Wrote"
            } else {
                "It is there already:"
            };
            let text = format!(
                "{written} {path}.\n\
                 1. Open {COLAB}, choose File > Upload notebook, and give it this file.\n\
                 2. Run both cells. The last one prints one line, https://…#TOKEN.\n\
                 3. Run `smart-colab connect` here, and paste that line."
            );
            let facts = json!({"success": true, "path": args.out, "is_new": is_new, "version": env!("CARGO_PKG_VERSION")});
            (facts, text, ExitCode::SUCCESS)
        }
        Err((error, hint)) => {
            let error = format!("{path} was not written: {error}");
            let facts = json!({"success": false, "error": error, "hint": hint});
            (
                facts,
                format!("smart-colab: {error}\n{hint}"),
                ExitCode::FAILURE,
            )
        }
    };
    let is_written = facts["success"] == Value::Bool(true);
    if is_written
        && args.open
        && let Ok(address) = Url::parse(COLAB)
        && let Err(error) = opener::open(&address, settings.browser.as_deref())
    {
        eprintln!("smart-colab: the browser could not be opened: {error}");
    }
    let said = if args.json { facts.to_string() } else { text };
    let shown = match is_written || args.json {
        true => writeln!(io::stdout(), "{said}"),
        false => writeln!(io::stderr(), "{said}"),
    };
    match shown {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Writes the file, unless it is there already; another one of its name is replaced only if that was asked for.
fn write(path: &Path, force: bool) -> Result<bool, (String, &'static str)> {
    match fs::read(path) {
        Ok(bytes) if bytes == NOTEBOOK => return Ok(false),
        Ok(_) if !force => {
            return Err((
                "there is another file of this name".to_owned(),
                "Give another name with --out, or replace it with --force.",
            ));
        }
        Ok(_) | Err(_) => {}
    }
    let written = crate::edge::store::write_atomic(path, NOTEBOOK);
    let hint = "Give a file in a folder that exists and can be written, with --out.";
    written
        .map(|()| true)
        .map_err(|error| (error.to_string(), hint))
}
