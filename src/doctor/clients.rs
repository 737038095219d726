//! The configs of MCP clients: whether each can be read, and starts this program with settings that are right.

use std::path::{Path, PathBuf};

use same_file::is_same_file;
use which::which_in_global;

use super::check::{Check, State};
use crate::base::advice::{Advice, Step};
use crate::edge::env::Env;
use crate::edge::paths;
use crate::edge::settings::{Flags, Settings, Target};
use crate::install::{Client, Config, Entry, Folders, Found, InstallError, found};

/// A `client:ID` for each config, or `clients` if there is none that starts this program.
pub(super) fn checks(settings: &Settings, env: &Env) -> Vec<Check> {
    const ALL: &str = "clients";
    let Some(folders) = Folders::of_user(env) else {
        let seen = "there is no home folder, where clients keep their configs";
        return vec![Check::warning(ALL, seen, "Set HOME.")];
    };
    let all = || Step::Install { client: None };
    let places = Client::ALL.into_iter().flat_map(|client| {
        client
            .found(&folders)
            .into_iter()
            .map(move |path| (client, path))
    });
    let mut checks: Vec<Check> = places
        .map(|(client, path)| of_client(client, path, settings, env))
        .collect();
    if checks.is_empty() {
        checks.push(Check::warning(
            ALL,
            "none was found on this computer",
            all(),
        ));
    } else if checks.iter().all(|check| check.state == State::Skipped) {
        checks.push(Check::warning(
            ALL,
            "none of them starts this program",
            all(),
        ));
    }
    checks
}

fn of_client(client: Client, path: PathBuf, settings: &Settings, env: &Env) -> Check {
    let name = format!("client:{}", client.id());
    let shown = path.display().to_string();
    let correct = || {
        Advice::from(format!(
            "Correct {shown} in an editor, then restart the client."
        ))
    };
    let install = || Step::Install {
        client: Some(client.id().to_owned()),
    };
    let read = Config::read(client, path).and_then(|config| {
        found(config.text(), client).map_err(|fault| InstallError::Unclear {
            path: config.path.clone(),
            fault,
        })
    });
    let entry = match read {
        Ok(Found::Program(entry)) => entry,
        Ok(Found::Nothing) => {
            return Check::skipped(&name, format!("{shown} does not have this program"));
        }
        Ok(Found::Other) => {
            let seen = format!("{shown} starts no program under our name");
            return Check::warning(&name, seen, install());
        }
        Err(InstallError::Unclear { fault, .. }) => {
            return Check::failed(&name, format!("{shown}: {fault}"), correct());
        }
        Err(error) => {
            let remedy = "Make the file readable, then run this again.";
            return Check::failed(&name, error.to_string(), remedy);
        }
    };
    let Some(program) = program(&entry, settings) else {
        let seen = format!(
            "{shown} names {}, which is not there or cannot be run",
            entry.command
        );
        return Check::failed(&name, seen, install());
    };
    let flags = Flags {
        local: entry.args.iter().any(|arg| arg == "--local"),
        port: None,
    };
    let (its, faults) = Settings::survey(&env.of_client(entry.env), &flags);
    if !faults.is_empty() {
        let seen = format!("{shown}: {}", faults.join("; "));
        return Check::failed(&name, seen, correct());
    }
    let place = place(&its);
    match is_this_program(&program) {
        true => Check::ok(&name, format!("starts this program, to compute {place}")),
        false => Check::warning(
            &name,
            format!(
                "starts {}, which is another file than this program",
                program.display()
            ),
            Advice::from("It may be an older copy; a launcher of your own may stay. ") + install(),
        ),
    }
}

fn program(entry: &Entry, settings: &Settings) -> Option<PathBuf> {
    which_in_global(&entry.command, Some(&settings.search_path))
        .ok()?
        .next()
}

fn is_this_program(program: &Path) -> bool {
    paths::program().is_ok_and(|ours| is_same_file(program, ours).unwrap_or(false))
}

fn place(settings: &Settings) -> String {
    match &settings.target {
        Target::NotConfigured => "at the saved connection".to_owned(),
        Target::Local => "on this machine".to_owned(),
        Target::Remote(endpoint) => format!("at {}", endpoint.address()),
        Target::RunningJupyter(_) => "on the Jupyter Server of this computer".to_owned(),
    }
}
