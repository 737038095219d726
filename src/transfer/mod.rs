//! Files that come from the runtime to the folder for downloads, and nowhere else.
//!
//! What comes is checked against the SHA-256 there, keeps its time of change, and never replaces a local file.
//! A download runs in the background and is resumed across broken connections and restarts of the bridge: `download` lets calls wait for
//! it, `running` and `notes` know of all transfers, of this process and of earlier ones, `transfers` joins the two, and `look` tells of them.
//! - `file` and `fetch` bring one file, `pace` and `lanes` find how many requests side by side are best, `digest` hashes what comes;
//! - `folder` brings a folder: `small` and `bundle` its small files, `growing` keeps what has come, `manifest` says what came;
//! - `partial`, `journal` and `ranges` keep what has come of a file; `name` and `destination` decide where it may go, and
//!   where a notebook may.
//!
//! What goes the other way is in [`upload`].
//!
//! Architecture Invariant: knows neither `jobs` nor `mcp`. May import `base`, `wire`, `edge`, `runtime`.

mod bundle;
pub(crate) mod destination;
mod digest;
mod download;
mod error;
mod fetch;
mod file;
mod folder;
mod growing;
mod journal;
mod lanes;
mod look;
mod manifest;
pub(crate) mod name;
mod notes;
mod pace;
mod partial;
mod ranges;
mod report;
mod running;
mod small;
mod transfers;
pub mod upload;

pub use download::{Downloads, MAX_BYTES, Wish};
pub use error::{TransferError, TransferResult};
pub use file::Limits;
pub use look::Look;
pub use pace::PaceLimits;
pub use report::{DownloadReport, Skipped, Status};
pub use running::{Progress, Watch};
