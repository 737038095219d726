//! Errors of reading and editing notebooks.

use thiserror::Error;

use super::nbformat::version;
use crate::base::advice::{Advice, Step};
use crate::base::causes::sentence;
use crate::base::fault::Fault;
use crate::base::ids::JobId;
use crate::base::text::Excerpt;
use crate::browser::TabError;
use crate::jupyter::JupyterError;
use crate::provision::jupyter::server_error;
use crate::runtime::RuntimeError;

/// Characters of a cell that an error shows.
const MAX_SHOWN_CHARS: usize = 3_000;

/// Why a file is no notebook that can be edited.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unreadable {
    #[error("it is empty")]
    Empty,
    #[error("it is not UTF-8")]
    NotUtf8,
    #[error("it has the marks of an unfinished merge (<<<<<<<)")]
    MergeConflict,
    #[error("it is not valid JSON: {what}, in line {line}")]
    NotJson { line: usize, what: &'static str },
    #[error("it is JSON, but not a notebook: nbformat or its cells are missing")]
    NoNotebook,
    #[error("its format is nbformat {major}, and only 3 and 4 can be edited")]
    OtherFormat { major: u64 },
    #[error("it has {bytes} bytes, and at most {most} can be edited")]
    TooLarge { bytes: u64, most: u64 },
}

/// Why an edit was not made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    #[error("no cell is named")]
    NoTarget,
    #[error("it is not said which cell is to be moved: cell_index is where it goes")]
    NoneToMove,
    #[error("the cell with the id {id:?} is cell {found}, and the index given is {index}")]
    Contradiction {
        id: String,
        found: usize,
        index: usize,
    },
    #[error("there is no cell {index}: the notebook has {count} cells, counted from 0")]
    NoIndex { index: usize, count: usize },
    #[error("the range ends at cell {last}, before its first, cell {from}")]
    Reversed { from: usize, last: usize },
    #[error("no cell has the id {id:?}: it may have been deleted (the notebook has {count} cells)")]
    NoId { id: String, count: usize },
    #[error("the id {id:?} is shared by the cells {indices:?}")]
    SharedId { id: String, indices: Vec<usize> },
    #[error(
        "cell {index} has changed since that version; it is now version {version}:\n{source_text}"
    )]
    Changed {
        index: usize,
        version: String,
        source_text: String,
    },
    #[error("the outputs of cell {index} were cleared or changed by another while it ran")]
    OutputsChanged { index: usize },
    #[error("cell {index} has no source")]
    NoSource { index: usize },
    #[error("cell {index} is not a code cell")]
    NotCode { index: usize },
    #[error("cell {index} cannot have outputs: it is not a code cell of nbformat 4")]
    NoOutputs { index: usize },
}

impl Refusal {
    /// A cell whose source is now this.
    pub(super) fn changed(index: usize, source: &str) -> Self {
        let mut shown = Excerpt::new(MAX_SHOWN_CHARS);
        shown.push(source);
        Self::Changed {
            index,
            version: version(source),
            source_text: shown.render(),
        }
    }
}

/// A failed work on a notebook. The file is as it was.
#[derive(Debug, Error)]
pub enum DocumentError {
    #[error("no notebook is named, and none was opened")]
    NoneOpen,
    /// What only notebooks have that are files.
    #[error("the notebook is open in a tab of Colab, where cells run one at a time")]
    InTab,
    #[error(transparent)]
    Tab(#[from] TabError),
    #[error("there is no notebook {path}")]
    Missing { path: String },
    #[error("{path} is not the name of a notebook: it must end in .ipynb")]
    Name { path: String },
    #[error("{path} cannot be used as a notebook: {why}")]
    Unreadable { path: String, why: Unreadable },
    #[error("{path}: {why}")]
    Refused { path: String, why: Refusal },
    #[error("{path} is a notebook in {language}, and the kernels here are Python")]
    NotPython { path: String, language: String },
    #[error("{path} is in nbformat 3, whose cells cannot be run")]
    OldFormat { path: String },
    /// The server that has a notebook does not do what it was asked.
    #[error("{path}: the Jupyter Server {why}")]
    Server { path: String, why: JupyterError },
    #[error("{path} is being changed by others all the time, and nothing was done")]
    Contended { path: String },
    /// Nothing was run.
    #[error("cells of {path} run already{}", job.map(|job| format!(" (job {job})")).unwrap_or_default())]
    Busy { path: String, job: Option<JobId> },
    /// Nothing was run.
    #[error("another client on this computer runs cells of {path}")]
    BusyElsewhere { path: String },
    /// The cells after one that ran were not run.
    #[error(
        "the session {session} has a new Python process, without the variables of the cells before"
    )]
    Replaced { session: String },
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

impl DocumentError {
    /// Why the outputs of a run are not in its cell, as the end of a sentence.
    #[must_use]
    pub fn why_unwritten(&self) -> String {
        let is_edited = matches!(
            self,
            Self::Refused {
                why: Refusal::Changed { .. },
                ..
            }
        );
        if is_edited {
            "the cell was edited after its run began".to_owned()
        } else {
            sentence(self)
        }
    }

    /// The failure of the Jupyter Server at `address` to do something with a notebook.
    pub(super) fn of_server(address: &str, path: &str, why: JupyterError) -> Self {
        match why {
            JupyterError::Unreachable(_)
            | JupyterError::TimedOut
            | JupyterError::Broken(_)
            | JupyterError::Untrusted(_)
            | JupyterError::Unauthorized
            | JupyterError::Stopped(_) => server_error(why, address).into(),
            JupyterError::NotFound
            | JupyterError::Stranger(_)
            | JupyterError::NoKernels(_)
            | JupyterError::Refused(_) => {
                let path = path.to_owned();
                Self::Server { path, why }
            }
        }
    }
}

impl Fault for DocumentError {
    fn code(&self) -> &str {
        match self {
            Self::NoneOpen | Self::InTab | Self::Name { .. } => "invalid_argument",
            Self::Tab(error) => error.code(),
            Self::Missing { .. } => "not_found",
            Self::Unreadable { .. } => "not_a_notebook",
            Self::NotPython { .. } | Self::OldFormat { .. } => "not_runnable",
            Self::Server { .. } => "server_failed",
            Self::Contended { .. } | Self::Busy { .. } | Self::BusyElsewhere { .. } => "busy",
            Self::Replaced { .. } => "kernel_died",
            Self::Refused { why, .. } => match why {
                Refusal::NoTarget
                | Refusal::NoneToMove
                | Refusal::Contradiction { .. }
                | Refusal::Reversed { .. }
                | Refusal::SharedId { .. }
                | Refusal::NotCode { .. } => "invalid_argument",
                Refusal::NoIndex { .. } | Refusal::NoId { .. } => "not_found",
                Refusal::Changed { .. } | Refusal::OutputsChanged { .. } => "cell_changed",
                Refusal::NoSource { .. } | Refusal::NoOutputs { .. } => "not_a_notebook",
            },
            Self::Runtime(error) => error.code(),
        }
    }

    fn remedy(&self) -> Advice {
        match self {
            Self::NoneOpen => Advice::from(Step::OpenNotebook) + " lists the notebooks, opens one and creates one.",
            Self::Missing { .. } => Advice::from("To create it, call ") + Step::OpenNotebook + " with create: true; without a name it lists the notebooks.",
            Self::Name { .. } => "Correct the name and call again.".into(),
            Self::Unreadable { why, .. } => match why {
                Unreadable::Empty => Advice::from("Delete it, then ") + Step::OpenNotebook + " with create: true makes a new one.",
                Unreadable::MergeConflict => "Resolve the merge first. Nothing was changed.".into(),
                Unreadable::OtherFormat { major } if *major > 4 => "It is of a newer program: save it there as nbformat 4, then call again. Nothing was changed.".into(),
                Unreadable::OtherFormat { .. } => "Convert it with `jupyter nbconvert --to notebook`, then call again. Nothing was changed.".into(),
                Unreadable::TooLarge { .. } => "Clear large outputs by code that uses nbformat, then call again. Nothing was changed.".into(),
                Unreadable::NotUtf8 | Unreadable::NotJson { .. } | Unreadable::NoNotebook => {
                    "Look at it as plain lines, and repair it by code. Nothing was changed.".into()
                }
            },
            Self::Refused { why, .. } => match why {
                Refusal::NoTarget => Advice::from("Give cell_id, or cell_index. ") + Step::GetCells + " shows both.",
                Refusal::Reversed { .. } => "Give the range in the order of the notebook. Nothing was run.".into(),
                Refusal::NoneToMove => Advice::from("Give cell_id, or its index now as `from`. ") + Step::GetCells + " shows both.",
                Refusal::Contradiction { .. } => {
                    Advice::from("Give one of them. ") + Step::GetCells + " shows the cells as they are now. Nothing was changed."
                }
                Refusal::SharedId { .. } => "Give cell_index too. Nothing was changed.".into(),
                Refusal::NoIndex { .. } | Refusal::NoId { .. } | Refusal::NotCode { .. } => {
                    Advice::from(Step::GetCells) + " shows the cells as they are now. Nothing was changed."
                }
                Refusal::Changed { .. } => "Nothing was changed or run. Work from this source, and call again with this version.".into(),
                Refusal::OutputsChanged { .. } => "They are as they were left; the job still has its own.".into(),
                Refusal::NoSource { .. } | Refusal::NoOutputs { .. } => {
                    "Replace the cell: delete it and add a new one. Nothing was changed.".into()
                }
            },
            Self::InTab => "Run each cell by itself, in its order; or name a notebook file on the runtime as `notebook`. Nothing was run.".into(),
            Self::Tab(error) => error.remedy(),
            Self::NotPython { .. } => {
                "Its cells can be read and edited here; run them where its kernel is. Nothing was run.".into()
            }
            Self::OldFormat { .. } => {
                "Convert it with `jupyter nbconvert --to notebook`, then call again. Nothing was run.".into()
            }
            Self::Server { path, .. } if path.split('/').any(|step| step.starts_with('.')) => {
                "The server hides names that begin with a dot: give another one, or set ContentsManager.allow_hidden there.".into()
            }
            Self::Server { .. } => "Look at the server's log for the reason, then call again.".into(),
            Self::Contended { .. } => "Call again.".into(),
            Self::Busy { job, .. } => {
                let job = job.map(|job| job.to_string());
                Advice::from("Follow it with ") + Step::Output { job: job.clone() } + ", or end it with " + Step::Interrupt { job } + "; "
                    + Step::GetCells + " shows which cells run and wait. Then call again if these are still to run."
            }
            Self::BusyElsewhere { .. } => Advice::from(Step::ListJobs) + " shows what it runs. Call again once that has ended; the user may end it in that client.",
            Self::Replaced { .. } => "All variables are gone. Run the cells that set them again, then the rest.".into(),
            Self::Runtime(error) => error.remedy(),
        }
    }

    fn is_retryable(&self) -> bool {
        match self {
            Self::Contended { .. } | Self::Busy { .. } | Self::BusyElsewhere { .. } => true,
            Self::Runtime(error) => error.is_transient(),
            Self::Tab(error) => error.is_retryable(),
            Self::NoneOpen
            | Self::InTab
            | Self::Missing { .. }
            | Self::Name { .. }
            | Self::Unreadable { .. }
            | Self::Refused { .. }
            | Self::NotPython { .. }
            | Self::Replaced { .. }
            | Self::OldFormat { .. }
            | Self::Server { .. } => false,
        }
    }
}
