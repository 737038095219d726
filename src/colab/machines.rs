//! The machines that this computer has had assigned. Each is written down before it is asked for, and until it is given back: a machine that is
//! forgotten costs compute units.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::credentials::disk;
use super::error::ColabError;
use super::plane::{Machine, Plane, Wanted};
use crate::edge::google::Google;
use crate::edge::pairing::Pairing;
use crate::edge::settings::Kind;
use crate::edge::store::{read_if_there, remove_if_there, write_atomic};
use crate::render::rows::{Rows, short_time};

/// Colab ends every machine after 24 hours.
const LONGEST_LIFE: SignedDuration = SignedDuration::from_hours(25);
/// Characters of a key.
const KEY_CHARS: usize = 44;

/// The folder of the records.
#[derive(Debug, Clone)]
pub struct Machines {
    data_dir: PathBuf,
    folder: PathBuf,
}

/// A machine's record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Under which Colab assigns it, once.
    pub key: String,
    pub wanted: Wanted,
    /// Its name at Colab; none if its assignment was not answered yet.
    pub endpoint: Option<String>,
    /// RFC 3339, in UTC.
    pub asked_at: String,
    /// Whose machine it is.
    pub account: Google,
}

impl Kept {
    /// Whether no machine lives as long. One that is not listed before may be another account's.
    fn is_old(&self) -> bool {
        let asked_at: Result<Timestamp, _> = self.asked_at.parse();
        asked_at.is_ok_and(|asked_at| Timestamp::now().duration_since(asked_at) > LONGEST_LIFE)
    }

    /// What can be asked of Colab for the account that has the machine.
    ///
    /// # Errors
    /// As [`super::plane`].
    pub fn plane(&self, machines: &Machines) -> Result<Arc<dyn Plane>, ColabError> {
        super::plane(&self.account, &machines.data_dir)
    }
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
    ) -> Result<Machine, ColabError> {
        let mut kept = Kept {
            key: fresh_key(),
            wanted,
            endpoint: None,
            asked_at: Timestamp::now().to_string(),
            account,
        };
        self.write(&kept)?;
        match plane.assign(&kept.wanted, &kept.key).await {
            Ok(mut machine) => {
                // Some answers leave it out.
                let wanted = kept.wanted.accelerator.clone();
                machine.accelerator = machine.accelerator.or(wanted);
                kept.endpoint = Some(machine.endpoint.clone());
                self.write(&kept)?;
                Ok(machine)
            }
            Err(error) => {
                if !error.may_have_arrived() {
                    self.forget(&kept)?;
                }
                Err(error)
            }
        }
    }

    /// Returns the account's machines, each with its record if it was assigned from here. What is recorded of others is
    /// forgotten when they are too old to live.
    ///
    /// # Errors
    /// [`ColabError`]; then nothing was forgotten.
    pub async fn look(
        &self,
        plane: &dyn Plane,
    ) -> Result<Vec<(Machine, Option<Kept>)>, ColabError> {
        let assigned = plane.list().await?;
        let kept = self.settle(plane, &assigned).await?;
        let record = |machine: &Machine| {
            let is_it = |kept: &&Kept| kept.endpoint.as_ref() == Some(&machine.endpoint);
            kept.iter().find(is_it).cloned()
        };
        let pair = |machine: Machine| {
            let kept = record(&machine);
            (machine, kept)
        };
        Ok(assigned.into_iter().map(pair).collect())
    }

    /// Returns all records, oldest first, with the names that were missing, of the machines that Colab lists.
    async fn settle(
        &self,
        plane: &dyn Plane,
        assigned: &[Machine],
    ) -> Result<Vec<Kept>, ColabError> {
        let mut left = Vec::new();
        for mut kept in self.all()? {
            if kept.endpoint.is_none()
                && let Some(machine) = plane.find(&kept.wanted, &kept.key).await?
            {
                kept.endpoint = Some(machine.endpoint);
                self.write(&kept)?;
            }
            let is_there = |machine: &Machine| kept.endpoint.as_ref() == Some(&machine.endpoint);
            if assigned.iter().any(is_there) {
                left.push(kept);
            } else if kept.is_old() {
                self.forget(&kept)?;
            }
        }
        Ok(left)
    }

    /// Gives a machine back, and forgets it then, also as the saved connection.
    ///
    /// # Errors
    /// [`ColabError`]; then its record stays.
    pub async fn unassign(&self, plane: &dyn Plane, endpoint: &str) -> Result<(), ColabError> {
        plane.unassign(endpoint).await?;
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
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(disk(&self.folder, &error)),
        };
        let mut all = Vec::new();
        for entry in entries {
            let path = entry.map_err(|error| disk(&self.folder, &error))?.path();
            if path.extension().is_none_or(|ending| ending != "json") {
                continue;
            }
            let Some(bytes) = read_if_there(&path).map_err(|error| disk(&path, &error))? else {
                continue;
            };
            match serde_json::from_slice::<Kept>(&bytes) {
                Ok(kept) => all.push(kept),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "a machine's record cannot be read: look under \"Manage sessions\" in Colab")
                }
            }
        }
        all.sort_by(|a, b| a.asked_at.cmp(&b.asked_at));
        Ok(all)
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
pub fn table(machines: &[(Machine, Option<Kept>)]) -> Rows<4> {
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
        ]
    };
    let heading = ["machine", "accelerator", "memory", "assigned here"];
    Rows::new(heading, machines.iter().map(row))
}

/// The form of Colab's notebook hashes.
fn fresh_key() -> String {
    let id = Uuid::new_v4().to_string().replace('-', "_");
    format!("{id:.<KEY_CHARS$}")
}

#[cfg(test)]
mod tests {
    use super::fresh_key;

    #[test]
    fn a_key_has_the_form_of_colabs() {
        let key = fresh_key();
        assert_eq!((key.len(), key.matches('_').count()), (44, 4));
        assert!(key.ends_with("........"), "{key}");
    }
}
