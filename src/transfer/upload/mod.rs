//! Uploads files and folders of this computer to the runtime.
//!
//! Files are read only from folders that the user allowed, checked on the runtime against the digest computed here, and atomically replace an
//! existing file of their name. Only the executor knows which bytes have arrived; this computer records only source and target, so that an
//! upload is resumed across broken connections and restarts of the bridge.
//!
//! - `uploads` lets calls wait for an upload; `allowed` decides which files may be read, `local` opens them;
//! - `push` and `target` carry out one upload; `file` sends the `missing` pieces of a file, as many at once as `pace` allows, and counts
//!   them by its `tally`;
//! - `walk` lists a folder, `folder` and `bundle` send it.
//!
//! Architecture Invariant: knows neither downloads, nor `jobs`, nor `mcp`. May import `base`, `wire`,
//! `edge`, `runtime`, `connection`.

mod allowed;
mod bundle;
mod error;
mod file;
mod folder;
mod local;
mod missing;
mod pace;
mod push;
mod report;
mod tally;
mod target;
mod uploads;
mod walk;

pub use allowed::Allowed;
pub use error::{UploadError, UploadResult};
pub use push::Limits;
pub use report::UploadReport;
pub use uploads::{Request, Uploads};
