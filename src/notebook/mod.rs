//! Exports the code run in a session as a Jupyter notebook (nbformat 4.5) that can be run again.
//!
//! - [`export`]: from the session's jobs to a file in the user's folder, within one call's time;
//! - `fetch`: one job with its code and output; `gather`: that output from its events; `outputs`: bounded; `shape`: its form in nbformat;
//! - `cell`: jobs into cells, the batches of a loop into one; `source`: a loop's body as a loop; `displays`: updates of earlier cells;
//! - `file`: the notebook on disk, written cell by cell.
//!
//! Memory does not grow with the session: a few jobs are held at a time, each bounded.
//!
//! Architecture Invariant: knows nothing of MCP. May import every floor below.

mod cell;
mod displays;
mod error;
pub mod export;
mod fetch;
mod file;
pub(crate) mod gather;
mod outputs;
mod shape;
mod source;

pub use error::NotebookError;
pub use export::{Notebooks, Report, Wanted};
