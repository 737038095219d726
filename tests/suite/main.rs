//! Everything above one module: real processes, real sockets.

#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod download;
mod local_executor;
