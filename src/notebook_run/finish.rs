//! The end of a run: its notebook in the user's folder, and the end of a session that was its own.

use std::io;
use std::path::{Path, PathBuf};

use tokio::time::Instant;

use super::error::RunError;
use super::record::{CellState, State};
use super::work::{MAX_TRIES, Work};
use crate::base::causes::sentence;
use crate::document::Notebook;
use crate::runtime::RuntimeError;
use crate::transfer::destination::place;
use crate::transfer::disk::blocking;
use crate::transfer::name::Name;
use crate::transfer::{TransferError, TransferResult};

impl Work {
    /// Ends the run, with a copy of the notebook in the user's folder.
    pub(super) async fn finish(
        &mut self,
        state: State,
        deadline: Instant,
    ) -> Result<bool, RunError> {
        let record = self.running.record();
        let home = match self.documents.runnable(&record.path, deadline).await {
            Ok(stored) => {
                let (name, save_dir) = (record.home_name(), self.save_dir.clone());
                let copied = blocking(move || copy_home(&stored.notebook, &name, &save_dir)).await;
                copied.map_err(|error| sentence(&error))
            }
            Err(error) => {
                self.tries += 1;
                let error = RunError::from(error);
                if error.is_passing() && self.tries < MAX_TRIES {
                    return Err(error);
                }
                Err(sentence(&error))
            }
        };
        let note = self.end_session(deadline).await;
        self.running.change(|record| {
            match home {
                Ok(path) => record.home = Some(path),
                Err(why) => record
                    .notes
                    .push(format!("the notebook is not copied here: {why}")),
            }
            record.notes.extend(note);
            // Its next attempt was never sent.
            let waits = record
                .rows
                .iter_mut()
                .filter(|row| row.state == CellState::Running);
            waits.for_each(|row| row.state = CellState::Interrupted);
            record.state = state;
        })?;
        Ok(false)
    }

    /// Ends a session that is of this run alone; returns a note if it is still there.
    pub(super) async fn end_session(&self, deadline: Instant) -> Option<String> {
        let record = self.running.record();
        if !record.ends_session {
            return None;
        }
        match self.jobs.remove_session(&record.session, deadline).await {
            // No cell was sent.
            Ok(_) | Err(RuntimeError::UnknownSession { .. }) => None,
            Err(error) if error.is_not_found() => None,
            Err(error) => Some(format!(
                "the session {} was not ended: {}",
                record.session,
                sentence(&error)
            )),
        }
    }
}

/// Writes the notebook into the user's folder, under the first free name.
fn copy_home(notebook: &Notebook, name: &str, save_dir: &Path) -> TransferResult<PathBuf> {
    let target = Name::parse(name)?.prepare(save_dir)?;
    let failed = |error: io::Error| TransferError::disk(&target, error);
    let folder = target.parent().unwrap_or(&target);
    let mut file = tempfile::NamedTempFile::with_prefix_in(".new-", folder).map_err(failed)?;
    io::Write::write_all(&mut file, notebook.text().as_bytes()).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    place(&file.into_temp_path(), &target).map_err(failed)
}
