//! The program's access to its process and its disk: environment, settings and what users write into them, the saved connection, folders, atomic and
//! growing files, locks, logs, ngrok's monthly allowance, limits of machines that bill.
//!
//! Architecture Invariant: no other room reads the environment or writes state to disk on its own. May import `base`, `wire`.

pub mod allowance;
mod call_budget;
mod confirm;
mod endpoint;
pub mod env;
pub mod folders;
pub mod google;
pub mod journal;
pub mod jupyter;
pub mod limits;
pub mod lock;
mod misspelt;
pub mod opener;
pub mod pairing;
mod pasted;
pub mod paths;
mod placeholder;
mod policy;
pub mod python;
mod requirements;
pub mod settings;
pub mod store;
pub mod toolsets;
pub mod trace;
