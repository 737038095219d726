//! The notebook in a tab of Colab: read, edited and run by the tab's own tools, each of which is called once.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::active::State;
use super::edit::{Edit, Target};
use super::error::{DocumentError, Refusal};
use super::nbformat::Notebook;
use super::page::{self, Wanted};
use super::store::{Applied, Stored};
use crate::browser::tab::Run;
use crate::browser::{Browser, Heard, Kind, Tab, TabError};
use crate::caller::{Caller, Progress};
use crate::jobs::body::Part;

/// The name of this notebook, where others have their path.
pub const TAB: &str = "colab:tab";

/// The notebook of the tab that is connected.
#[derive(Debug)]
pub(super) struct TabStore(pub(super) Arc<Browser>);

/// What a run of a cell in the tab has come to.
#[derive(Debug)]
pub struct TabRun {
    pub index: usize,
    pub id: String,
    pub version: String,
    pub is_running: bool,
    /// The error that its outputs hold: its name and text.
    pub error: Option<String>,
    /// The outputs.
    pub parts: Vec<Part>,
}

impl TabStore {
    fn tab(&self) -> Result<Arc<Tab>, DocumentError> {
        Ok(self.0.tab().ok_or(TabError::NotConnected)?)
    }

    /// Runs a code cell once, and waits for its end as long as the caller does.
    pub(super) async fn run(
        &self,
        target: &Target,
        expect: Option<&str>,
        caller: &Caller<'_>,
    ) -> Result<TabRun, DocumentError> {
        let tab = self.tab()?;
        let notebook = notebook(&tab, caller.deadline).await?;
        let index = notebook.find(target, expect).map_err(refused)?;
        let cell = &notebook.cells()[index];
        if !cell.is_code() {
            return Err(refused(Refusal::NotCode { index }));
        }
        let id = cell_id(&notebook, index)?;
        tab.run(&id, &cell.source, caller.cancelled.clone())?;
        let hear = |heard: Heard| {
            (caller.report)(Progress::Step {
                done: heard.done,
                total: heard.total,
                message: heard.message.as_deref().unwrap_or_default(),
            });
        };
        let ran = tokio::select! {
            ran = tab.ran(&id, caller.patience, &hear) => ran,
            () = caller.left.cancelled() => None,
        };
        let mut run = TabRun {
            index,
            version: cell.version(),
            id,
            is_running: false,
            error: None,
            parts: Vec::new(),
        };
        match ran {
            Some(Run::Ended(Ok(outputs))) => {
                run.error = outputs.iter().find_map(error_in);
                let mut cells: Vec<Value> = (notebook.cells().iter())
                    .map(|cell| notebook.value(cell))
                    .collect();
                cells[index]["outputs"] = outputs.into();
                let shown = Stored {
                    path: TAB.to_owned(),
                    notebook: Arc::new(parsed(cells)?),
                };
                let wanted = Wanted {
                    from: index,
                    to: Some(index),
                    with_outputs: true,
                    room: caller.room,
                };
                let page = page::page(&shown, &State::default(), wanted, caller.deadline).await;
                run.parts = page.parts;
            }
            Some(Run::Ended(Err(error))) => return Err(error.into()),
            Some(Run::Running { .. }) | None => run.is_running = true,
        }
        Ok(run)
    }

    /// The cells that run now.
    pub(super) fn state(&self) -> State {
        let runs = self.0.tab().map(|tab| tab.runs()).unwrap_or_default();
        let running = runs.into_iter().filter_map(|(id, (_, run))| match run {
            Run::Running { .. } => Some((
                Target {
                    id: Some(id),
                    index: None,
                },
                None,
            )),
            Run::Ended(_) => None,
        });
        State {
            running: running.collect(),
            ..State::default()
        }
    }

    pub(super) async fn read(&self, deadline: Instant) -> Result<Stored, DocumentError> {
        let notebook = notebook(&*self.tab()?, deadline).await?;
        Ok(Stored {
            path: TAB.to_owned(),
            notebook: Arc::new(notebook),
        })
    }

    pub(super) async fn apply(
        &self,
        edit: &Edit,
        deadline: Instant,
    ) -> Result<Applied, DocumentError> {
        let tab = self.tab()?;
        let before = notebook(&tab, deadline).await?;
        let id = make(&tab, &before, edit, deadline).await?;
        let after = notebook(&tab, deadline).await?;
        let target = Target {
            id: Some(id),
            index: None,
        };
        Ok(Applied {
            path: TAB.to_owned(),
            index: after.find(&target, None).ok(),
            notebook: Arc::new(after),
            notice: None,
        })
    }
}

/// The error of an output: its name and text.
fn error_in(output: &Value) -> Option<String> {
    let text = |name: &str| output[name].as_str().unwrap_or_default();
    (output["output_type"] == "error").then(|| format!("{}: {}", text("ename"), text("evalue")))
}

/// Makes an edit, and returns the id of its cell.
async fn make(
    tab: &Tab,
    notebook: &Notebook,
    edit: &Edit,
    deadline: Instant,
) -> Result<String, DocumentError> {
    let count = notebook.cells().len();
    let find = |cell: &Target, expect: &Option<String>| {
        let index = notebook.find(cell, expect.as_deref()).map_err(refused)?;
        cell_id(notebook, index)
    };
    let no_index = |index| refused(Refusal::NoIndex { index, count });
    match edit {
        Edit::Insert {
            index,
            kind,
            source,
            ..
        } => {
            let index = index.unwrap_or(count);
            if index > count {
                return Err(no_index(index));
            }
            let kind = match *kind {
                "code" => Kind::Code,
                _ => Kind::Text,
            };
            Ok(tab.add(kind, source, index, deadline).await?)
        }
        Edit::Update {
            cell,
            expect,
            source,
        } => {
            let id = find(cell, expect)?;
            tab.update(&id, source, deadline).await?;
            Ok(id)
        }
        Edit::Delete { cell, expect } => {
            let id = find(cell, expect)?;
            tab.delete(&id, deadline).await?;
            Ok(id)
        }
        Edit::Move { cell, expect, to } => {
            if *cell == Target::default() {
                return Err(refused(Refusal::NoneToMove));
            }
            let id = find(cell, expect)?;
            if *to >= count {
                return Err(no_index(*to));
            }
            tab.move_to(&id, *to, deadline).await?;
            Ok(id)
        }
        Edit::Outputs { .. } => Err(DocumentError::InTab),
    }
}

async fn notebook(tab: &Tab, deadline: Instant) -> Result<Notebook, DocumentError> {
    parsed(tab.cells(deadline).await?)
}

fn parsed(cells: Vec<Value>) -> Result<Notebook, DocumentError> {
    let text = json!({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5});
    let notebook = Notebook::parse(text.to_string().into_bytes());
    notebook.map_err(|why| DocumentError::Unreadable {
        path: TAB.to_owned(),
        why,
    })
}

/// Colab's cells all have ids.
fn cell_id(notebook: &Notebook, index: usize) -> Result<String, DocumentError> {
    let id = notebook.cells()[index].id.clone();
    id.ok_or_else(|| TabError::odd("the list of cells", "this cell has no id").into())
}

fn refused(why: Refusal) -> DocumentError {
    DocumentError::Refused {
        path: TAB.to_owned(),
        why,
    }
}
