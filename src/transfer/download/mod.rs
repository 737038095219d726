//! Files that come from the runtime to the folder for downloads, and nowhere else.
//!
//! What comes is checked against the SHA-256 there, keeps its time of change, and never replaces a local file.
//! - `downloads` lets calls wait for a download, and `report` says what came;
//! - `file` and `fetch` bring one file, `pace` and `lanes` find how many requests side by side are best;
//! - `folder` brings a folder: `small` and `bundle` its small files, `growing` keeps what has come, `strays` what is no part of it any more, `manifest` lists what came;
//! - `partial`, `journal` and `ranges` keep what has come of a file.
//!
//! Architecture Invariant: knows neither uploads, nor `jobs`, nor `mcp`. May import `base`, `wire`, `edge`, `runtime`, `connection`.

mod bundle;
mod downloads;
mod fetch;
mod file;
mod folder;
mod growing;
mod journal;
mod lanes;
mod manifest;
mod pace;
mod partial;
mod ranges;
mod report;
mod small;
mod strays;

pub use downloads::{Downloads, Wish};
pub use file::Limits;
pub use pace::PaceLimits;
pub use report::DownloadReport;
