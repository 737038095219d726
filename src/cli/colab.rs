//! `smart-colab colab`: the Google account, and machines that Colab assigns to it.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use tokio::time::{Instant, sleep, timeout};

use super::words;
use crate::base::fault::Fault;
use crate::colab::account::OAuthClient;
use crate::colab::login::Login;
use crate::colab::machines::table;
use crate::colab::{self, ColabError, Machines, Plane, Services, SignInFiles, Variant, Wanted};
use crate::connection::{check_endpoint, check_timeout};
use crate::edge::google::Google;
use crate::edge::opener;
use crate::edge::pairing::Pairing;
use crate::edge::settings::{Endpoint, Settings};

/// Between two tries to reach a machine that boots.
const RETRY_DELAY: Duration = Duration::from_secs(3);
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
    Status,
    /// Have a machine assigned. It costs compute units until `down` gives it back.
    Up {
        /// A GPU by Colab's name of it (T4, L4, A100 …); T4 without one.
        #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "T4")]
        gpu: Option<String>,
        /// A TPU by Colab's name of it (V5E1, V6E1 …); V5E1 without one.
        #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "V5E1", conflicts_with = "gpu")]
        tpu: Option<String>,
        /// More memory.
        #[arg(long)]
        high_ram: bool,
        /// Start nothing there, and change no connection.
        #[arg(long)]
        no_start: bool,
    },
    /// Give machines back.
    Down {
        /// The machine's name; without it the one that was assigned from this computer, if there is one alone.
        name: Option<String>,
        /// All that were assigned from this computer.
        #[arg(long, conflicts_with = "name")]
        all: bool,
    },
}

/// Why a command failed.
type Failure = Box<dyn Fault + Send + Sync>;
/// What a command has to say, for a person.
type Said = Result<String, Failure>;

/// The account as the commands use it.
struct Desk {
    google: Google,
    plane: Arc<dyn Plane>,
    machines: Machines,
    files: SignInFiles,
}

/// Runs the command and prints what it says.
pub(super) async fn run(args: ColabArgs, settings: &Settings) -> ExitCode {
    let said = match Desk::new(settings) {
        Ok(desk) => desk.run(args.command, settings).await,
        Err(error) => Err(error.into()),
    };
    match said {
        Ok(text) => match writeln!(io::stdout(), "{text}") {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(error) => {
            eprintln!(
                "smart-colab: {error}\n{}",
                error.remedy().worded(words::word)
            );
            ExitCode::FAILURE
        }
    }
}

impl Desk {
    fn new(settings: &Settings) -> Result<Self, ColabError> {
        let (data_dir, google) = (&settings.data_dir, settings.google.clone());
        Ok(Self {
            plane: colab::plane(&google, data_dir)?,
            machines: Machines::new(data_dir),
            files: SignInFiles::new(data_dir, google.sign_in.clone()),
            google,
        })
    }

    async fn run(&self, command: ColabCommand, settings: &Settings) -> Said {
        match command {
            ColabCommand::Login { client } => self.login(&client, settings).await,
            ColabCommand::Logout => {
                if !self.files.forget()? {
                    return Ok("There was no sign-in of smart-colab's own. That of Google's tool stays: `gcloud auth application-default revoke`.".to_owned());
                }
                for kept in self.machines.all()? {
                    let name = kept.endpoint.unwrap_or(kept.key);
                    eprintln!(
                        "Note: {name} may still be assigned. To give it back, sign in again, or use \"Manage sessions\" in Colab."
                    );
                }
                Ok("The sign-in was forgotten here. To withdraw it: https://myaccount.google.com/permissions".to_owned())
            }
            ColabCommand::Status => self.status().await,
            ColabCommand::Up {
                gpu,
                tpu,
                high_ram,
                no_start,
            } => {
                let name = self.assign(wanted(gpu, tpu, high_ram)).await?;
                if no_start {
                    return Ok(name);
                }
                self.connect(&name, settings).await
            }
            ColabCommand::Down { name, all } => self.down(name, all).await,
        }
    }

    async fn login(&self, client: &std::path::Path, settings: &Settings) -> Said {
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
        Ok(format!("Signed in. {quota}"))
    }

    async fn status(&self) -> Said {
        let machines = self.machines.look(&*self.plane).await?;
        let quota = self.plane.quota().await?;
        let table = match machines.is_empty() {
            true => "No machine is assigned.".to_owned(),
            false => table(&machines).render(),
        };
        Ok(format!("{quota}\n{table}"))
    }

    /// Has a machine assigned, and returns its name.
    async fn assign(&self, wanted: Wanted) -> Result<String, ColabError> {
        for (machine, _) in
            (self.machines.look(&*self.plane).await?.iter()).filter(|(_, kept)| kept.is_some())
        {
            eprintln!(
                "Note: {} was assigned from here before, and still is.",
                machine.endpoint
            );
        }
        eprintln!(
            "Asking Colab for a machine. If this is interrupted, `smart-colab colab status` shows whether one was assigned …"
        );
        let account = self.google.clone();
        let assigned = self.machines.assign(&*self.plane, wanted, account);
        let machine = assigned.await?;
        let accelerator = machine.accelerator.as_deref().unwrap_or("no accelerator");
        eprintln!(
            "Assigned: {} with {accelerator}. It costs compute units until `smart-colab colab down` gives it back, or Colab ends it.",
            machine.endpoint
        );
        Ok(machine.endpoint)
    }

    /// Starts an executor on a machine, and makes it the saved connection.
    async fn connect(&self, name: &str, settings: &Settings) -> Said {
        eprintln!("Starting an executor there; a new machine may take some minutes to boot …");
        let endpoint = Endpoint::machine(name).map_err(|fault| ColabError::odd(&fault))?;
        let deadline = Instant::now() + check_timeout(&endpoint);
        let checked = loop {
            match check_endpoint(&endpoint, &settings.data_dir, deadline).await {
                Ok(checked) => break checked,
                Err(error) if error.is_transient() && Instant::now() + RETRY_DELAY < deadline => {
                    sleep(RETRY_DELAY).await;
                }
                Err(error) => {
                    eprintln!(
                        "{name} is still assigned. `smart-colab connect colab:{name}` goes on with it; `smart-colab colab down {name}` gives it back."
                    );
                    return Err(error.into());
                }
            }
        };
        let saved = Pairing::new(&settings.data_dir).save(&endpoint);
        saved.map_err(|error| ColabError::Disk {
            path: settings.data_dir.display().to_string(),
            why: error.to_string(),
        })?;
        Ok(format!(
            "Ready: {name} (executor {}).\n\
             Saved: servers without COLAB_URL use it from now on, and running ones switch to it when their connection fails.",
            checked.health.version
        ))
    }

    async fn down(&self, name: Option<String>, all: bool) -> Said {
        let machines = self.machines.look(&*self.plane).await?;
        let is_there = |name: &str| machines.iter().any(|(machine, _)| machine.endpoint == name);
        let ours = machines.iter().filter(|(_, kept)| kept.is_some());
        let ours: Vec<String> = ours.map(|(machine, _)| machine.endpoint.clone()).collect();
        let ending = match (name, ours.as_slice()) {
            (Some(name), _) if is_there(&name) => vec![name],
            (Some(name), _) => return Err(ColabError::Unknown(name).into()),
            (None, [only]) => vec![only.clone()],
            (None, []) => return Ok("No machine is assigned from this computer.".to_owned()),
            (None, _) if all => ours,
            (None, _) => return Err(ColabError::Which(ours).into()),
        };
        for endpoint in &ending {
            self.machines.unassign(&*self.plane, endpoint).await?;
        }
        Ok(format!("Given back: {}.", ending.join(", ")))
    }
}

fn wanted(gpu: Option<String>, tpu: Option<String>, high_ram: bool) -> Wanted {
    let (variant, name) = match (gpu, tpu) {
        (Some(name), _) => (Variant::Gpu, Some(name)),
        (None, Some(name)) => (Variant::Tpu, Some(name)),
        (None, None) => (Variant::Cpu, None),
    };
    Wanted {
        variant,
        accelerator: name.map(|name| name.to_uppercase()),
        high_ram,
    }
}
