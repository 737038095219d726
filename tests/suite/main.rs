//! Everything above one module: real processes, real sockets.

#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod calls;
mod download;
mod faults;
mod local_executor;
mod mcp_stdio;
mod output;
mod reports;
mod tidy;
mod tool_list;
