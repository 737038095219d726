//! Files between this computer and the runtime: what comes is in [`download`], what goes in [`upload`].
//!
//! A transfer runs in the background and is resumed across broken connections and restarts of the bridge.
//! - `running` knows the transfers of this process and lets calls wait for them, `notes` those of earlier ones, `transfers` joins the two for
//!   either direction, and `look` tells of one by its id; `report` is what their reports are made of,
//!   and `trouble` what they say while nothing moves;
//! - `name` and `destination` decide where a file may go here, a notebook's too; `digest` hashes files, `disk` keeps their work off the
//!   async threads;
//! - `error` is what can go wrong while a file comes here.
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
pub use report::{Skipped, Status};
pub use trouble::Trouble;

/// More than this is carried only when the call says so. Bytes.
pub const MAX_BYTES: u64 = 2 << 30;
