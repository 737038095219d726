//! What the commands do with machines.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{Failure, Said};
use crate::base::advice::Advice;
use crate::base::fault::Fault;
use crate::colab::machines::table;
use crate::colab::{self, ColabError, Kept, Machine, Machines, Plane, SignInFiles, Wanted};
use crate::connection::{check_endpoint, check_timeout};
use crate::edge::google::Google;
use crate::edge::limits::Limits;
use crate::edge::pairing::Pairing;
use crate::edge::settings::{Endpoint, Settings};
use crate::lease::Lease;

/// Between two tries to reach a machine that boots.
const RETRY_DELAY: Duration = Duration::from_secs(3);

/// The account as the commands use it.
pub(super) struct Desk {
    pub(super) google: Google,
    pub(super) plane: Arc<dyn Plane>,
    pub(super) machines: Machines,
    pub(super) files: SignInFiles,
}

impl Desk {
    pub(super) fn new(settings: &Settings) -> Result<Self, ColabError> {
        let (data_dir, google) = (&settings.data_dir, settings.google.clone());
        Ok(Self {
            plane: colab::plane(&google, data_dir)?,
            machines: Machines::new(data_dir),
            files: SignInFiles::new(data_dir, google.sign_in.clone()),
            google,
        })
    }

    /// Ends machines that are past their limits, and names records that cannot be read.
    pub(super) async fn look_after(&self, settings: &Settings) -> Result<(), ColabError> {
        for path in self.machines.unreadable()? {
            eprintln!(
                "Note: {} cannot be read, and its machine may be assigned: look under \"Manage sessions\" in Colab, then delete the file.",
                path.display()
            );
        }
        let lease = Lease::new(&settings.data_dir, &settings.save_dir);
        lease.turn().await;
        for news in lease.news() {
            eprintln!("Note: {news}");
        }
        Ok(())
    }

    pub(super) async fn status(&self) -> Result<Said, Failure> {
        let (quota, list) = (self.quota().await?, self.list().await?);
        let (mut facts, machines) = (quota.facts, &list.facts["machines"]);
        facts["machines"] = machines.clone();
        Ok(Said {
            text: format!("{}\n{}", quota.text, list.text),
            facts,
        })
    }

    pub(super) async fn quota(&self) -> Result<Said, Failure> {
        let quota = self.plane.quota().await?;
        Ok(Said {
            text: quota.to_string(),
            facts: json!({"quota": quota}),
        })
    }

    pub(super) async fn list(&self) -> Result<Said, Failure> {
        let machines = self.machines.look(&*self.plane).await?;
        let text = match machines.is_empty() {
            true => "No machine is assigned.".to_owned(),
            false => table(&machines).render(),
        };
        let facts: Vec<Value> = (machines.iter())
            .map(|(machine, kept)| facts(machine, kept.as_ref()))
            .collect();
        let facts = json!({"machines": facts});
        Ok(Said { text, facts })
    }

    /// Has a machine assigned and, unless `is_bare`, starts an executor there.
    pub(super) async fn up(
        &self,
        wanted: Wanted,
        limits: Limits,
        is_bare: bool,
        settings: &Settings,
    ) -> Result<Said, Failure> {
        let machine = self.assign(wanted, limits).await?;
        let name = &machine.endpoint;
        let mut facts = facts(&machine, self.machines.named(name).ok().as_ref());
        if is_bare {
            let text = name.clone();
            return Ok(Said { text, facts });
        }
        let version = self.connect(name, settings).await?;
        let text = format!(
            "Ready: {name} (executor {version}).\n\
             Saved: servers without COLAB_URL use it from now on, and running ones switch to it when their connection fails."
        );
        facts["executor"] = version.into();
        Ok(Said { text, facts })
    }

    /// Has a machine assigned.
    async fn assign(&self, wanted: Wanted, limits: Limits) -> Result<Machine, ColabError> {
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
        let assigned = self.machines.assign(&*self.plane, wanted, account, limits);
        let machine = assigned.await?;
        let accelerator = machine.accelerator.as_deref().unwrap_or("no accelerator");
        let by_limit = match limits.is_none() {
            true => String::new(),
            false => format!(
                "its limit of {limits} does, which whoever of smart-colab runs then keeps, "
            ),
        };
        eprintln!(
            "Assigned: {} with {accelerator}. It costs compute units until `smart-colab colab down` gives it back, {by_limit}or Colab ends it.",
            machine.endpoint
        );
        Ok(machine)
    }

    /// Starts an executor on a machine, makes it the saved connection, and returns its version.
    async fn connect(&self, name: &str, settings: &Settings) -> Result<String, Failure> {
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
        Ok(checked.health.version)
    }

    pub(super) async fn down(&self, name: Option<String>, all: bool) -> Result<Said, Failure> {
        let machines = self.machines.look(&*self.plane).await?;
        let is_there = |name: &str| machines.iter().any(|(machine, _)| machine.endpoint == name);
        let ours = machines.iter().filter(|(_, kept)| kept.is_some());
        let ours: Vec<String> = ours.map(|(machine, _)| machine.endpoint.clone()).collect();
        let ending = match (name, ours.as_slice()) {
            (Some(name), _) if is_there(&name) => vec![name],
            (Some(name), _) => return Err(ColabError::Unknown(name).into()),
            (None, [only]) => vec![only.clone()],
            (None, []) => {
                return Ok(Said {
                    text: "No machine is assigned from this computer.".to_owned(),
                    facts: json!({"given_back": []}),
                });
            }
            (None, _) if all => ours,
            (None, _) => return Err(ColabError::Which(ours).into()),
        };
        let (mut given_back, mut failed) = (Vec::new(), Vec::new());
        for name in ending {
            match self.machines.unassign(&*self.plane, &name).await {
                Ok(()) => given_back.push(name),
                Err(error) => failed.push((name, error)),
            }
        }
        if let Some(error) = NotGivenBack::of(&given_back, failed) {
            return Err(Failure {
                facts: json!({"given_back": given_back, "failed": error.names()}),
                fault: error.into(),
            });
        }
        Ok(Said {
            text: format!("Given back: {}.", given_back.join(", ")),
            facts: json!({"given_back": given_back}),
        })
    }
}

/// Machines that are still assigned, each with its reason.
#[derive(Debug, thiserror::Error)]
#[error("not given back: {}{}", reasons(.failed), also(.given_back))]
struct NotGivenBack {
    failed: Vec<(String, ColabError)>,
    /// The first reason.
    first: ColabError,
    given_back: Vec<String>,
}

impl NotGivenBack {
    /// None if nothing failed.
    fn of(given_back: &[String], failed: Vec<(String, ColabError)>) -> Option<Self> {
        Some(Self {
            first: failed.first()?.1.clone(),
            failed,
            given_back: given_back.to_owned(),
        })
    }

    fn names(&self) -> Vec<&str> {
        self.failed.iter().map(|(name, _)| &**name).collect()
    }
}

fn reasons(failed: &[(String, ColabError)]) -> String {
    let reasons: Vec<String> = (failed.iter())
        .map(|(name, error)| format!("{name} ({error})"))
        .collect();
    reasons.join(", ")
}

fn also(given_back: &[String]) -> String {
    match given_back.is_empty() {
        true => String::new(),
        false => format!("; given back: {}", given_back.join(", ")),
    }
}

impl Fault for NotGivenBack {
    fn code(&self) -> &str {
        self.first.code()
    }

    fn is_retryable(&self) -> bool {
        self.first.is_retryable()
    }

    fn remedy(&self) -> Advice {
        Advice::from("It costs compute units until it is given back. ") + self.first.remedy()
    }
}

/// A machine for a program.
fn facts(machine: &Machine, kept: Option<&Kept>) -> Value {
    json!({
        "name": machine.endpoint,
        "accelerator": machine.accelerator,
        "high_ram": machine.high_ram,
        "assigned_here_at": kept.map(|kept| &kept.asked_at),
        "max_hours": kept.and_then(|kept| kept.limits.hours),
        "max_units": kept.and_then(|kept| kept.limits.units),
        "ends_at": kept.and_then(Kept::ends_at).map(|end| end.to_string()),
    })
}
