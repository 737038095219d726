//! The executor's HTTP API as types, one file for each family of routes. `colab/API.md` specifies them.
//!
//! Only data: no HTTP, no I/O. Readers ignore unknown fields, so an older bridge talks to a newer executor.
//! May import `base`, nothing else.

#[cfg(test)]
mod contract;
pub mod event;
pub mod files;
pub mod job;
pub mod limits;
pub mod machine;
pub mod problem;
pub mod session;
pub mod state;

/// The version of the API that both sides must name in `X-Smart-Colab-Api`.
pub const API_VERSION: u32 = 2;
