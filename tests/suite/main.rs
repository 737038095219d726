//! Everything above one module: real processes, real sockets.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "../support/mod.rs"]
mod support;

mod all_python;
mod arguments;
mod calls;
mod campaign;
mod chunked;
mod connect;
mod docs;
mod download;
mod faults;
mod jobs;
#[cfg(unix)]
mod leaving;
mod local_executor;
mod mcp_stdio;
mod next_steps;
mod notebook;
mod notebook_export;
mod official_client;
mod other_client;
mod output;
mod reading;
mod refusals;
mod reports;
mod requests;
mod resources;
mod settings;
mod tidy;
mod tool_list;
mod try_tour;
mod turns;
mod upload;
mod ways;
mod ways_out;
mod words;
