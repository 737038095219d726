//! `smart-colab colab`: the Google account, and machines that Colab assigns to it.
//!
//! - here: the commands, and the sign-in; `desk`: what they do with machines; `selftest`: all of it with a real account, as a report;
//!   `not_passed`: why it did not pass.

mod desk;
mod not_passed;
mod selftest;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::words;
use crate::base::fault::Fault;
use crate::colab::account::OAuthClient;
use crate::colab::login::Login;
use crate::colab::{ColabError, Services, Variant, Wanted};
use crate::edge::limits::{Limits, amount};
use crate::edge::opener;
use crate::edge::settings::Settings;
use desk::Desk;

/// For the person to confirm in the browser.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(300);

#[derive(Debug, Args)]
pub(super) struct ColabArgs {
    #[command(subcommand)]
    command: ColabCommand,
}

#[derive(Debug, Subcommand)]
enum ColabCommand {
    /// Sign in to Google with an OAuth client of your own (type "Desktop app"); without it, Google's own sign-in (gcloud) is used.
    Login {
        /// The client's file, as Google's console offers it.
        #[arg(long)]
        client: PathBuf,
    },
    /// Forget the sign-in that `login` made.
    Logout,
    /// Show the account's compute units, what it may have, and its machines.
    Status(Form),
    /// Show the account's machines.
    List(Form),
    /// Show the account's compute units, and what it may have.
    Quota(Form),
    /// Have a machine assigned. It costs compute units until `down` gives it back, or its limit does.
    Up {
        #[command(flatten)]
        kind: Machine,
        /// Give it back after so many hours, whatever runs there [default: COLAB_MAX_HOURS].
        #[arg(long, value_name = "HOURS", value_parser = amount)]
        max_hours: Option<f64>,
        /// Give it back once it has cost so many compute units [default: COLAB_MAX_UNITS].
        #[arg(long, value_name = "UNITS", value_parser = amount)]
        max_units: Option<f64>,
        /// Start nothing there, and change no connection.
        #[arg(long)]
        no_start: bool,
        #[command(flatten)]
        form: Form,
    },
    /// Give machines back.
    Down {
        /// The machine's name; without it the one that was assigned from this computer, if there is one alone.
        name: Option<String>,
        /// All that were assigned from this computer.
        #[arg(long, conflicts_with = "name")]
        all: bool,
        #[command(flatten)]
        form: Form,
    },
    /// Try all of it with your account: have a machine assigned, use it, give it back, and print a report without secrets.
    Selftest {
        #[command(flatten)]
        kind: Machine,
        /// Do not ask before a machine is assigned, which may cost compute units.
        #[arg(long)]
        yes: bool,
    },
}

/// The machine that is wanted.
#[derive(Debug, Args)]
struct Machine {
    /// A GPU by Colab's name of it (T4, L4, A100 …); T4 without one.
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "T4")]
    gpu: Option<String>,
    /// A TPU by Colab's name of it (V5E1, V6E1 …); V5E1 without one.
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "V5E1", conflicts_with = "gpu")]
    tpu: Option<String>,
    /// More memory.
    #[arg(long)]
    high_ram: bool,
}

impl ColabArgs {
    pub(super) fn is_json(&self) -> bool {
        self.command.is_json()
    }
}

/// The form of what a command says.
#[derive(Debug, Args)]
struct Form {
    /// Print one JSON object; docs/colab.md describes it.
    #[arg(long)]
    json: bool,
}

/// Why a command failed.
struct Failure {
    fault: Box<dyn Fault + Send + Sync>,
    /// What was done nevertheless, for a program.
    facts: Value,
}

impl<E: Fault + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let (fault, facts) = (error.into(), json!({}));
        Self { fault, facts }
    }
}

/// What a command has to say.
struct Said {
    /// For a person.
    text: String,
    /// For a program.
    facts: Value,
}

impl From<String> for Said {
    fn from(text: String) -> Self {
        let facts = Value::Null;
        Self { text, facts }
    }
}

/// Runs the command and prints what it says.
pub(super) async fn run(args: ColabArgs, settings: &Settings) -> ExitCode {
    let is_json = args.command.is_json();
    let said = match Desk::new(settings) {
        Ok(desk) => desk.run(args.command, settings).await,
        Err(error) => Err(error.into()),
    };
    let (said, code) = match said {
        Ok(mut said) if is_json => {
            said.facts["success"] = true.into();
            (said.facts.to_string(), ExitCode::SUCCESS)
        }
        Ok(said) => (said.text, ExitCode::SUCCESS),
        Err(Failure {
            fault: error,
            mut facts,
        }) => {
            let hint = error.remedy().worded(words::word);
            if !is_json {
                eprintln!("smart-colab: {error}\n{hint}");
                return ExitCode::FAILURE;
            }
            facts["success"] = false.into();
            facts["code"] = error.code().into();
            facts["error"] = error.to_string().into();
            facts["hint"] = hint.into();
            (facts.to_string(), ExitCode::FAILURE)
        }
    };
    match writeln!(io::stdout(), "{said}") {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}

impl ColabCommand {
    fn is_json(&self) -> bool {
        match self {
            Self::Login { .. } | Self::Logout | Self::Selftest { .. } => false,
            Self::Status(form)
            | Self::List(form)
            | Self::Quota(form)
            | Self::Up { form, .. }
            | Self::Down { form, .. } => form.json,
        }
    }
}

impl Desk {
    async fn run(&self, command: ColabCommand, settings: &Settings) -> Result<Said, Failure> {
        // What is to be given back by name is not given back before.
        let is_later = matches!(
            command,
            ColabCommand::Login { .. } | ColabCommand::Logout | ColabCommand::Down { .. }
        );
        if !is_later {
            self.look_after(settings).await?;
        }
        match command {
            ColabCommand::Login { client } => self.login(&client, settings).await,
            ColabCommand::Logout => self.logout(),
            ColabCommand::Status(_) => self.status().await,
            ColabCommand::List(_) => self.list().await,
            ColabCommand::Quota(_) => self.quota().await,
            ColabCommand::Up {
                kind,
                max_hours,
                max_units,
                no_start,
                ..
            } => {
                let limits = Limits {
                    hours: max_hours,
                    units: max_units,
                };
                let limits = limits.or(settings.limits);
                self.up(kind.wanted(), limits, no_start, settings).await
            }
            ColabCommand::Down { name, all, .. } => {
                let said = self.down(name, all).await;
                self.look_after(settings).await?;
                said
            }
            ColabCommand::Selftest { kind, yes } => {
                selftest::run(self, kind.wanted(), yes, settings).await
            }
        }
    }

    async fn login(&self, client: &Path, settings: &Settings) -> Result<Said, Failure> {
        let client = OAuthClient::read(client)?;
        let (login, address) =
            Login::begin(client, Services::at(self.google.services.as_ref())).await?;
        eprintln!(
            "Confirm in the browser. If it does not open, open this address in one on this computer:\n{address}"
        );
        if let Err(error) = opener::open(&address, settings.browser.as_deref()) {
            tracing::info!(%error, "no browser could be opened");
        }
        let finished = timeout(LOGIN_TIMEOUT, login.finish(&self.files)).await;
        let late =
            |_| ColabError::NotConfirmed("nobody confirmed it within five minutes".to_owned());
        finished.map_err(late)??;
        let quota = self.plane.quota().await?;
        Ok(format!("Signed in. {quota}").into())
    }

    fn logout(&self) -> Result<Said, Failure> {
        if !self.files.forget()? {
            let none = "There was no sign-in of smart-colab's own. That of Google's tool stays: `gcloud auth application-default revoke`.";
            return Ok(none.to_owned().into());
        }
        for kept in self.machines.all()? {
            let name = kept.endpoint.unwrap_or(kept.key);
            eprintln!(
                "Note: {name} may still be assigned. To give it back, sign in again, or use \"Manage sessions\" in Colab."
            );
        }
        let forgotten = "The sign-in was forgotten here. To withdraw it: https://myaccount.google.com/permissions";
        Ok(forgotten.to_owned().into())
    }
}

impl Machine {
    fn wanted(self) -> Wanted {
        let (variant, name) = match (self.gpu, self.tpu) {
            (Some(name), _) => (Variant::Gpu, Some(name)),
            (None, Some(name)) => (Variant::Tpu, Some(name)),
            (None, None) => (Variant::Cpu, None),
        };
        let wanted = Wanted {
            variant,
            accelerator: name.map(|name| name.to_uppercase()),
            high_ram: self.high_ram,
        };
        if let Some(ignored) = wanted.ignored() {
            eprintln!("Note: {ignored}.");
        }
        wanted
    }
}
