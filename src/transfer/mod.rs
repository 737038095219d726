//! Files that come from the runtime to the folder for downloads, and nowhere else.
//!
//! What comes is checked against the SHA-256 there, keeps its time of change, and never replaces a local file.
//! A download runs in the background and is resumed across broken connections and restarts of the bridge: `download` lets calls wait for
//! it, `file` and `folder` fetch, `partial`, `journal` and `plan` keep what has come, `destination` decides where it may go.
//!
//! Architecture Invariant: knows neither `jobs` nor `mcp`. May import `base`, `wire`, `edge`, `runtime`.

mod destination;
mod download;
mod error;
mod file;
mod folder;
mod journal;
mod partial;
mod plan;
mod report;

pub use download::{Downloads, Watch};
pub use error::{TransferError, TransferResult};
pub use file::Limits;
pub use report::{DownloadReport, Progress, Skipped, Status};
