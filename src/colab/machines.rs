//! The machines that this computer has had assigned. Each is written down before it is asked for, and until it is given back: a machine that is
//! forgotten costs compute units.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::credentials::disk;
use super::error::ColabError;
use super::kept::Kept;
use super::plane::{Machine, Plane, Wanted};
use crate::edge::google::Google;
use crate::edge::limits::Limits;
use crate::edge::pairing::Pairing;
use crate::edge::settings::Kind;
use crate::edge::store::{read_if_there, remove_if_there, write_atomic};
use crate::render::rows::{Rows, short_time};

/// The folder of the records.
#[derive(Debug, Clone)]
pub struct Machines {
    data_dir: PathBuf,
    folder: PathBuf,
}

impl Machines {
    #[must_use]
    pub fn new(data_dir: &Path) -> Self {
        Self {
            folder: data_dir.join("colab").join("machines"),
            data_dir: data_dir.to_owned(),
        }
    }

    /// Has a machine assigned: written down before it is asked for, and its name before anything else is done with it.
    ///
    /// # Errors
    /// [`ColabError`]; where a machine may be there nevertheless, its record stays.
    pub async fn assign(
        &self,
        plane: &dyn Plane,
        wanted: Wanted,
        account: Google,
        limits: Limits,
    ) -> Result<Machine, ColabError> {
        let mut kept = Kept::new(wanted, account, limits);
        if limits.units.is_some() {
            let rate = plane.quota().await?.hourly_rate;
            kept.others_rate = rate.ok_or(ColabError::CostUnknown)?;
        }
        self.write(&kept)?;
        match plane.assign(&kept.wanted, &kept.key).await {
            Ok(mut machine) => {
                // Some answers leave it out.
                let wanted = kept.wanted.accelerator.clone();
                machine.accelerator = machine.accelerator.or(wanted);
                kept.endpoint = Some(machine.endpoint.clone());
                self.write(&kept)?;
                self.learn_rate(plane, &mut kept).await;
                Ok(machine)
            }
            Err(error) => {
                if error.may_have_arrived() {
                    return Err(ColabError::Unanswered(Box::new(error)));
                }
                self.forget(&kept)?;
                Err(error)
            }
        }
    }

    /// Notes what the machine costs, if that has a limit and Colab says so by now.
    async fn learn_rate(&self, plane: &dyn Plane, kept: &mut Kept) {
        if !kept.lacks_rate() {
            return;
        }
        match plane.quota().await {
            Ok(quota) => {
                if kept.learn_rate(quota.hourly_rate.unwrap_or_default())
                    && let Err(error) = self.write(kept)
                {
                    tracing::warn!(%error, "what a machine costs could not be written down");
                }
            }
            Err(error) => tracing::warn!(%error, "Colab does not say what a machine costs"),
        }
    }

    /// Returns the records of machines with a limit; with `ask`, Colab is asked for rates that are not known.
    ///
    /// # Errors
    /// [`ColabError::Disk`].
    pub async fn limited(&self, ask: bool) -> Result<Vec<Kept>, ColabError> {
        let mut limited = Vec::new();
        for mut kept in self.all()? {
            if kept.limits.is_none() {
                continue;
            }
            if ask
                && kept.lacks_rate()
                && let Ok(plane) = kept.plane(&self.data_dir)
            {
                self.learn_rate(&*plane, &mut kept).await;
            }
            limited.push(kept);
        }
        Ok(limited)
    }

    /// Gives the machine of a record back, also one whose assignment was not answered; returns its name. None if the account has no such machine:
    /// it may be another account's.
    ///
    /// # Errors
    /// [`ColabError`]; then its record stays.
    pub async fn end(&self, kept: &Kept) -> Result<Option<String>, ColabError> {
        let plane = kept.plane(&self.data_dir)?;
        let found = match &kept.endpoint {
            Some(name) => plane.reach(name).await?,
            None => plane.find(&kept.wanted, &kept.key).await?,
        };
        let Some(machine) = found else {
            if kept.is_old() {
                self.forget(kept)?;
            }
            return Ok(None);
        };
        self.unassign(&*plane, &machine.endpoint).await?;
        self.forget(kept)?;
        Ok(Some(machine.endpoint))
    }

    /// Returns the account's machines, each with its record if it was assigned from here; those that were asked for by the other API too, also
    /// while that does not answer. What is recorded of others is forgotten when they are too old to live.
    ///
    /// # Errors
    /// [`ColabError`]; then nothing was forgotten.
    pub async fn look(
        &self,
        plane: &dyn Plane,
    ) -> Result<Vec<(Machine, Option<Kept>)>, ColabError> {
        let assigned = plane.list().await?.into_iter();
        let mut machines: Vec<_> = assigned.map(|machine| (machine, None)).collect();
        for mut kept in self.all()? {
            let found = self.found(plane, &kept).await?;
            if kept.endpoint.is_none()
                && let Some(machine) = &found
            {
                kept.endpoint = Some(machine.endpoint.clone());
                self.write(&kept)?;
            }
            let is_it = |machine: &Machine| kept.endpoint.as_ref() == Some(&machine.endpoint);
            let listed = machines.iter_mut().find(|(machine, _)| is_it(machine));
            match (listed, found) {
                (Some((_, record)), _) => *record = Some(kept),
                (None, Some(machine)) => machines.push((machine, Some(kept))),
                (None, None) if kept.is_old() => self.forget(&kept)?,
                (None, None) => {}
            }
        }
        Ok(machines)
    }

    /// Returns the machine of a record that the list of `plane` does not show for sure.
    async fn found(&self, plane: &dyn Plane, kept: &Kept) -> Result<Option<Machine>, ColabError> {
        let is_other = kept.account.api != plane.api();
        match &kept.endpoint {
            Some(_) if !is_other => Ok(None),
            None if !is_other => plane.find(&kept.wanted, &kept.key).await,
            name => {
                let plane = kept.plane(&self.data_dir)?;
                let found = match name {
                    Some(name) => plane.reach(name).await,
                    None => plane.find(&kept.wanted, &kept.key).await,
                };
                match (found, name) {
                    (Ok(found), _) => Ok(found),
                    (Err(_), _) if kept.is_old() => Ok(None),
                    // It is there as far as is known.
                    (Err(error), Some(name)) => {
                        tracing::warn!(machine = name, %error, "the API that a machine was asked for by does not answer");
                        Ok(Some(Machine {
                            endpoint: name.clone(),
                            accelerator: kept.wanted.accelerator.clone(),
                            high_ram: kept.wanted.high_ram,
                            proxy: None,
                        }))
                    }
                    (Err(error), None) => Err(error),
                }
            }
        }
    }

    /// Gives a machine back, and forgets it then, also as the saved connection.
    ///
    /// # Errors
    /// [`ColabError`]; then its record stays.
    pub async fn unassign(&self, plane: &dyn Plane, endpoint: &str) -> Result<(), ColabError> {
        let record = self.named(endpoint).ok();
        match record.filter(|kept| kept.account.api != plane.api()) {
            Some(kept) => {
                let plane = kept.plane(&self.data_dir)?;
                plane.unassign(endpoint).await?;
            }
            None => plane.unassign(endpoint).await?,
        }
        for kept in self.all()? {
            if kept.endpoint.as_deref() == Some(endpoint) {
                self.forget(&kept)?;
            }
        }
        let pairing = Pairing::new(&self.data_dir);
        if let Ok(Some(saved)) = pairing.load()
            && saved.endpoint.kind == Kind::Machine
            && saved.endpoint.machine_name() == endpoint
        {
            pairing
                .forget()
                .map_err(|error| disk(&self.data_dir, &error))?;
        }
        Ok(())
    }

    /// Returns the record of a machine.
    ///
    /// # Errors
    /// [`ColabError::Unknown`], [`ColabError::Disk`].
    pub fn named(&self, name: &str) -> Result<Kept, ColabError> {
        let mut all = self.all()?.into_iter();
        let found = all.find(|kept| kept.endpoint.as_deref() == Some(name));
        found.ok_or_else(|| ColabError::Unknown(name.to_owned()))
    }

    /// Returns all records, oldest first.
    ///
    /// # Errors
    /// [`ColabError::Disk`].
    pub fn all(&self) -> Result<Vec<Kept>, ColabError> {
        let mut all: Vec<Kept> = self
            .files()?
            .into_iter()
            .flat_map(|(_, kept)| kept)
            .collect();
        all.sort_by(|a, b| a.asked_at.cmp(&b.asked_at));
        Ok(all)
    }

    /// Returns the files of records that cannot be read: their machines may be assigned.
    ///
    /// # Errors
    /// [`ColabError::Disk`].
    pub fn unreadable(&self) -> Result<Vec<PathBuf>, ColabError> {
        let files = self.files()?.into_iter();
        let unreadable = files.filter(|(_, kept)| kept.is_none());
        Ok(unreadable.map(|(path, _)| path).collect())
    }

    fn files(&self) -> Result<Vec<(PathBuf, Option<Kept>)>, ColabError> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(disk(&self.folder, &error)),
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry.map_err(|error| disk(&self.folder, &error))?.path();
            if path.extension().is_none_or(|ending| ending != "json") {
                continue;
            }
            if let Some(bytes) = read_if_there(&path).map_err(|error| disk(&path, &error))? {
                let kept = serde_json::from_slice(&bytes).ok();
                files.push((path, kept));
            }
        }
        Ok(files)
    }

    fn write(&self, kept: &Kept) -> Result<(), ColabError> {
        let path = self.path(kept);
        let bytes = serde_json::to_vec_pretty(kept).unwrap_or_default();
        write_atomic(&path, &bytes).map_err(|error| disk(&path, &error))
    }

    fn forget(&self, kept: &Kept) -> Result<(), ColabError> {
        let path = self.path(kept);
        remove_if_there(&path).map_err(|error| disk(&path, &error))
    }

    fn path(&self, kept: &Kept) -> PathBuf {
        self.folder
            .join(format!("{}.json", kept.key.trim_end_matches('.')))
    }
}

/// Machines as rows, for people.
#[must_use]
pub fn table(machines: &[(Machine, Option<Kept>)]) -> Rows<5> {
    let now = Timestamp::now();
    let row = |(machine, kept): &(Machine, Option<Kept>)| {
        let accelerator = machine.accelerator.as_deref().unwrap_or("none");
        let memory = if machine.high_ram { "high" } else { "standard" };
        let since = kept.as_ref().map(|kept| short_time(&kept.asked_at, now));
        [
            machine.endpoint.clone(),
            accelerator.to_owned(),
            memory.to_owned(),
            since.unwrap_or_else(|| "elsewhere".to_owned()),
            end(kept.as_ref(), now),
        ]
    };
    let heading = ["machine", "accelerator", "memory", "assigned here", "ends"];
    Rows::new(heading, machines.iter().map(row))
}

fn end(kept: Option<&Kept>, now: Timestamp) -> String {
    let Some(kept) = kept.filter(|kept| !kept.limits.is_none()) else {
        return "no limit".to_owned();
    };
    let ends_at = kept.ends_at().map(|end| short_time(&end.to_string(), now));
    let at = ends_at.map_or_else(String::new, |end| format!("{end}, "));
    format!("{at}after {}", kept.limits)
}
