//! A notebook as it was read or edited, wherever it is kept.

use std::future::pending;
use std::panic::resume_unwind;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::edit::{Edit, Target};
use super::nbformat::Notebook;

/// The ending of a notebook's name.
pub(super) const ENDING: &str = ".ipynb";

/// A new notebook, as nbformat writes it.
pub(super) const NEW: &str = r#"{
 "cells": [],
 "metadata": {
  "kernelspec": {
   "display_name": "Python 3",
   "language": "python",
   "name": "python3"
  },
  "language_info": {
   "name": "python"
  }
 },
 "nbformat": 4,
 "nbformat_minor": 5
}
"#;

/// A notebook that was read.
#[derive(Debug)]
pub struct Stored {
    /// Its absolute path; on a Jupyter Server, if it is shared or its files are not the runtime's, that below the server's root.
    pub path: String,
    pub notebook: Arc<Notebook>,
}

/// A notebook that was to be created.
#[derive(Debug)]
pub(super) struct Created {
    pub(super) stored: Stored,
    /// It was not there before.
    pub(super) is_new: bool,
}

/// A notebook after an edit, and the index of the edited cell; none if that was deleted.
#[derive(Debug)]
pub struct Applied {
    pub path: String,
    pub notebook: Arc<Notebook>,
    pub index: Option<usize>,
    pub notice: Option<Notice>,
}

/// What a caller should know of an edit that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// All who have the notebook open have the edit, but the file has it not yet.
    NotSaved,
    /// All who have the notebook open have the edit, and its file was deleted.
    Deleted,
    /// It was saved, and the notebook does not have it as it was made: another program wrote the file, or another person the cell.
    Overtaken,
    /// A tab of a server that does not share its notebooks has it open, and may overwrite the edit.
    OpenElsewhere,
}

/// Fixes which cell an edit means before it is tried again: by its id, or else by what is in it.
pub(super) fn pin(edit: &mut Edit, notebook: &Notebook) {
    let (cell, expect) = match edit {
        Edit::Insert { .. } => return,
        Edit::Update { cell, expect, .. }
        | Edit::Delete { cell, expect }
        | Edit::Move { cell, expect, .. }
        | Edit::Outputs { cell, expect, .. } => (cell, expect),
    };
    if let Ok(index) = notebook.find(cell, None) {
        let (target, version) = notebook.pinned(index);
        *cell = target;
        if cell.id.is_none() {
            expect.get_or_insert(version);
        }
    }
}

impl Notebook {
    /// The surest name of a cell, and its version.
    #[must_use]
    pub fn pinned(&self, index: usize) -> (Target, String) {
        let cell = &self.cells[index];
        let is_shared = self
            .cells
            .iter()
            .filter(|other| other.id == cell.id)
            .count()
            > 1;
        let has_own = cell.id.is_some() && !is_shared;
        let target = Target {
            id: cell.id.clone(),
            index: (!has_own).then_some(index),
        };
        (target, cell.version())
    }
}

/// Does work that takes CPU time.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The process is ending.
            Err(_) => pending().await,
        },
    }
}
