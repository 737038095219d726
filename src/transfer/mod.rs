//! Copies files between this computer and the runtime, by [`download`] and [`upload`].
//!
//! A transfer runs in the background and is resumed across broken connections and restarts of the bridge.
//! - `running` holds the transfers of this process and lets calls wait for them, `notes` records those of earlier processes, `transfers` joins
//!   the two for either direction, and `look` describes one by its id; `report` has the parts of their reports, and `trouble` explains stalls;
//! - `name` and `destination` decide where a file may be written here, a notebook's too; `digest` hashes files, `disk` keeps file work off the
//!   async threads;
//! - `error` lists the errors of downloads.
//!
//! Architecture Invariant: knows neither `jobs` nor `mcp`. May import `base`, `wire`, `edge`, `runtime`, `connection`, `caller`.

pub(crate) mod destination;
mod digest;
pub(crate) mod disk;
pub mod download;
mod error;
mod look;
pub(crate) mod name;
mod notes;
mod report;
mod running;
mod transfers;
mod trouble;
pub mod upload;

pub use error::{TransferError, TransferResult};
pub use look::Look;
pub(crate) use report::bytes as size_text;
pub use report::{Digests, Skipped, Status};
pub use trouble::Trouble;

/// Default limit of a transfer, in bytes; more needs an explicit `max_bytes`.
pub const MAX_BYTES: u64 = 2 << 30;
