//! `smart-colab install`: puts this server into the configs of MCP clients, or takes it out.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use serde_json::json;
use similar::{ChangeTag, TextDiff};

use super::claude;
use crate::edge::env::{self, Env, SETTINGS};
use crate::edge::paths;
use crate::edge::settings::{Settings, Target};
use crate::install::{Client, Config, Entry, Folders, InstallError, ours};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  smart-colab install                   for all clients that are installed here
  smart-colab install --local codex     for Codex, to compute on this machine
  smart-colab install --dry-run         show what would change
  smart-colab install --uninstall       take it out again")]
pub(super) struct InstallArgs {
    /// The clients; without any, all that are installed here.
    clients: Vec<Client>,
    /// Have them compute on this machine, whatever COLAB_URL says.
    #[arg(long)]
    pub(super) local: bool,
    /// Take the server out of the configs.
    #[arg(long)]
    uninstall: bool,
    /// Show what would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Print what belongs into each client's config, and change nothing.
    #[arg(long, conflicts_with_all = ["uninstall", "dry_run"])]
    print: bool,
    /// Do not ask before writing.
    #[arg(long, short)]
    yes: bool,
    /// Print the result as one JSON object.
    #[arg(long)]
    pub(super) json: bool,
}

impl ValueEnum for Client {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.id()).help(self.title()))
    }
}

/// A config, and what it is to be.
struct Change {
    config: Config,
    after: String,
}

/// What became of a client's config.
struct Outcome {
    config: Config,
    state: &'static str,
    backup: Option<PathBuf>,
}

/// Runs the command.
pub(super) fn run(args: &InstallArgs, settings: &Settings, env: &Env) -> ExitCode {
    let entry = match entry(settings, env) {
        Ok(entry) => entry,
        Err(error) => {
            eprintln!("smart-colab: the path of this program could not be determined: {error}");
            return ExitCode::FAILURE;
        }
    };
    if args.print {
        return print(args, &entry);
    }
    let Some(folders) = Folders::of_user(env) else {
        eprintln!(
            "smart-colab: there is no home folder, where clients keep their configs. Set HOME, or put the entry in by hand: --print shows it."
        );
        return ExitCode::FAILURE;
    };
    let places = places(args, &folders, settings);
    if places.is_empty() {
        eprintln!(
            "smart-colab: no client was found here. Name one: {}.",
            Client::ALL.map(Client::id).join(", ")
        );
        return ExitCode::FAILURE;
    }
    let wanted = (!args.uninstall).then_some(&entry);
    let mut faults = Vec::new();
    let mut changes = Vec::new();
    for (client, path) in places {
        match change(client, path, wanted) {
            Ok(change) => changes.push(change),
            Err(error) => faults.push(error),
        }
    }
    if !args.json {
        changes.iter().for_each(show);
    }
    let due = changes.iter().filter(|change| change.is_due()).count();
    if due > 0 && !args.dry_run && !args.yes && !agreed(due) {
        eprintln!("Nothing was changed.");
        return ExitCode::FAILURE;
    }
    let mut outcomes = Vec::new();
    for change in changes {
        match apply(change, wanted, args.dry_run, settings) {
            Ok(outcome) => outcomes.push(outcome),
            Err(error) => faults.push(error),
        }
    }
    report(args, settings, &outcomes, &faults)
}

/// How clients are to start this server: with the settings that it was called with, but never a token.
fn entry(settings: &Settings, env: &Env) -> io::Result<Entry> {
    const CONNECTION: [&str; 4] = [
        env::COLAB_URL,
        env::COLAB_TOKEN,
        env::JUPYTER_URL,
        env::JUPYTER_TOKEN,
    ];
    let mut variables: BTreeMap<String, String> = SETTINGS
        .iter()
        .map(|setting| setting.name)
        .filter(|name| !CONNECTION.contains(name))
        .filter_map(|name| Some((name.to_owned(), env.get(name)?.to_owned())))
        .collect();
    if settings.target == Target::Local {
        variables.insert(env::COLAB_URL.to_owned(), "local".to_owned());
    }
    Ok(Entry {
        command: paths::program()?.display().to_string(),
        args: Vec::new(),
        env: variables,
        call_budget_sec: settings.call_budget.map(|budget| budget.as_secs()),
    })
}

fn print(args: &InstallArgs, entry: &Entry) -> ExitCode {
    let clients = match args.clients.as_slice() {
        [] => &Client::ALL[..],
        named => named,
    };
    if args.json {
        let all: serde_json::Map<_, _> = clients
            .iter()
            .map(|client| (client.id().to_owned(), json!(entry.fields(*client))))
            .collect();
        return said(&format!("{:#}\n", json!(all)));
    }
    let parts = clients
        .iter()
        .map(|client| format!("# {}\n{}\n", client.title(), entry.shown(*client)));
    said(&parts.collect::<String>())
}

/// The configs of the clients that were named, or of those that are installed.
fn places(args: &InstallArgs, folders: &Folders, settings: &Settings) -> Vec<(Client, PathBuf)> {
    let clients = match args.clients.as_slice() {
        [] => &Client::ALL[..],
        named => named,
    };
    let mut places = Vec::new();
    for client in clients {
        let mut found = client.found(folders);
        let is_there = *client == Client::ClaudeCode && claude::command(settings).is_some();
        if found.is_empty() && (is_there || !args.clients.is_empty()) {
            found.extend(client.usual(folders));
        }
        places.extend(found.into_iter().map(|path| (*client, path)));
    }
    places
}

fn change(client: Client, path: PathBuf, entry: Option<&Entry>) -> Result<Change, InstallError> {
    let config = Config::read(client, path)?;
    let after = config.edited(entry)?;
    Ok(Change { config, after })
}

impl Change {
    fn is_due(&self) -> bool {
        self.after != self.config.text()
    }
}

/// Shows the lines of our entry that change, and none beside it: they may hold another server's secrets.
fn show(change: &Change) {
    let Change { config, after } = change;
    eprintln!("{}  {}", config.client.title(), config.path.display());
    if !change.is_due() {
        eprintln!("    nothing to change\n");
        return;
    }
    let before = ours(config.text(), config.client);
    let after = ours(after, config.client);
    let lines = TextDiff::from_lines(before.as_str(), after.as_str());
    for line in lines.iter_all_changes() {
        let sign = match line.tag() {
            ChangeTag::Delete => '-',
            ChangeTag::Insert => '+',
            ChangeTag::Equal => ' ',
        };
        eprintln!("  {sign} {}", line.value().trim_end_matches(['\r', '\n']));
    }
    eprintln!();
}

/// Asks a person; where nobody can be asked, the command itself is the answer.
fn agreed(due: usize) -> bool {
    if !io::stdin().is_terminal() {
        return true;
    }
    let files = if due == 1 { "this file" } else { "these files" };
    eprint!("Write {files}? A copy of each is kept beside it. [Y/n] ");
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer);
    let answer = answer.trim().to_ascii_lowercase();
    // An empty line is yes, the end of the input is not.
    read.is_ok_and(|bytes| bytes > 0) && ["", "y", "yes"].contains(&answer.as_str())
}

fn apply(
    change: Change,
    entry: Option<&Entry>,
    dry_run: bool,
    settings: &Settings,
) -> Result<Outcome, InstallError> {
    let is_due = change.is_due();
    let Change { config, after } = change;
    let mut outcome = Outcome {
        config,
        state: "unchanged",
        backup: None,
    };
    if !is_due {
        return Ok(outcome);
    }
    outcome.state = match (dry_run, entry) {
        (true, _) => "would change",
        (false, Some(_)) => "written",
        (false, None) => "removed",
    };
    if !dry_run && !claude::apply(&outcome.config, entry, settings) {
        outcome.backup = outcome.config.replace(&after)?;
    }
    Ok(outcome)
}

fn report(
    args: &InstallArgs,
    settings: &Settings,
    outcomes: &[Outcome],
    faults: &[InstallError],
) -> ExitCode {
    for fault in faults {
        eprintln!("smart-colab: {fault}. {}", fault.remedy());
    }
    let code = match faults {
        [] => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    };
    if args.json {
        let rows: Vec<_> = outcomes
            .iter()
            .map(|outcome| {
                json!({
                    "client": outcome.config.client.id(),
                    "path": outcome.config.path,
                    "state": outcome.state,
                    "backup": outcome.backup,
                })
            })
            .collect();
        let faults: Vec<_> = faults
            .iter()
            .map(|fault| json!({"message": fault.to_string(), "hint": fault.remedy()}))
            .collect();
        said(&format!(
            "{:#}\n",
            json!({"clients": rows, "faults": faults})
        ));
        return code;
    }
    let mut text = String::new();
    for outcome in outcomes {
        let backup = outcome.backup.as_ref().map_or(String::new(), |backup| {
            format!(", the file before is {}", backup.display())
        });
        text += &format!(
            "{}: {}{backup}\n",
            outcome.config.client.title(),
            outcome.state
        );
    }
    if outcomes.iter().any(|outcome| outcome.state == "written") {
        text += &format!("\n{}\n", next(settings));
    }
    said(&text);
    code
}

/// What the user does next.
fn next(settings: &Settings) -> &'static str {
    match settings.target {
        Target::NotConfigured => {
            "Restart the client. No place to compute is set yet: run `smart-colab connect` with the line that the Colab notebook prints, \
             `smart-colab colab up` for a machine of your Google account, or `smart-colab install --local` for this machine."
        }
        Target::Local => {
            "Restart the client, and ask it to plot something. Code runs on this machine, as you."
        }
        Target::Remote(_) | Target::RunningJupyter(_) => {
            "Restart the client, and ask it to plot something. Code runs where `smart-colab connect` has connected to; an address in COLAB_URL is not written \
             into configs: run `smart-colab connect` with it."
        }
    }
}

fn said(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
