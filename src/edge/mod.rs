//! Where the program touches its process and its disk: environment, settings, the saved connection, folders, atomic and growing files, locks, logs, ngrok's
//! monthly allowance.
//!
//! Architecture Invariant: no other room reads the environment or writes state to disk on its own. May import `base`, `wire`.

pub mod allowance;
pub mod env;
pub mod journal;
pub mod lock;
pub mod pairing;
pub mod paths;
mod placeholder;
pub mod settings;
pub mod store;
pub mod trace;
