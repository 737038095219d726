//! Downloads files from the runtime to the folder for downloads, and nowhere else.
//!
//! Each file is checked against the executor's digest, keeps its modification time, and never replaces a local file, except an older one in a
//! folder that is refreshed.
//! - `downloads` lets calls wait for a download, and `report` describes its progress and result;
//! - `file` and `fetch` download one file; `pace` and `lanes` find the best number of concurrent requests;
//! - `folder` downloads a folder: `small` and `bundle` its small files, `growing` holds the received ones, `strays` removes those no longer
//!   part of it, `manifest` lists them; `refresh` downloads what has changed in a folder that is here already;
//! - `present` finds a file that is already here; `partial`, `journal` and `ranges` hold the received bytes of a file.
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
mod present;
mod ranges;
mod refresh;
mod report;
mod small;
mod strays;

pub use downloads::{DownloadRequest, Downloads};
pub use file::Limits;
pub use pace::PaceLimits;
pub use report::DownloadReport;
