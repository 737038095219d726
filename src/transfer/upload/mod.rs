//! Files and folders of this computer that go to the runtime.
//!
//! What goes is read only from folders that the user allowed, checked there against the SHA-256 made here, and gets its name at once over
//! what had it before. What has arrived is known by the executor alone, so that an upload is resumed across broken connections and
//! restarts of the bridge with nothing written down here.
//!
//! - `background` lets calls wait for an upload; `allowed` says where files may come from, `local` opens them;
//! - `push` and `target` say how one upload goes; `file` sends a file in pieces, as many at once as `pace` finds good;
//! - `walk` finds what is in a folder, `folder` and `bundle` send it.
//!
//! Architecture Invariant: knows neither downloads (but for a few words of their reports), nor `jobs`, nor `mcp`. May import `base`, `wire`,
//! `edge`, `runtime`.

mod allowed;
mod background;
mod bundle;
mod error;
mod file;
mod folder;
mod local;
mod pace;
mod push;
mod report;
mod target;
mod walk;

pub use allowed::Allowed;
pub use background::{Request, Uploads, Watch};
pub use error::{UploadError, UploadResult};
pub use push::Limits;
pub use report::{Progress, UploadReport};
