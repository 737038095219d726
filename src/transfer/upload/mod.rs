//! Files and folders of this computer that go to the runtime.
//!
//! What goes is read only from folders that the user allowed, checked there against the SHA-256 made here, and gets its name at once over
//! what had it before. What has arrived is known by the executor alone; here is noted only what was to go where, so that an upload is
//! resumed across broken connections and restarts of the bridge.
//!
//! - `uploads` lets calls wait for an upload; `allowed` says where files may come from, `local` opens them;
//! - `push` and `target` say how one upload goes; `file` sends a file in pieces, as many at once as `pace` finds good, and counts
//!   them by its `tally`;
//! - `walk` finds what is in a folder, `folder` and `bundle` send it.
//!
//! Architecture Invariant: knows neither downloads, nor `jobs`, nor `mcp`. May import `base`, `wire`,
//! `edge`, `runtime`, `connection`.

mod allowed;
mod bundle;
mod error;
mod file;
mod folder;
mod local;
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
