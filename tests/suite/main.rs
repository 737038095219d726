//! Integration tests with real processes and real sockets.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "../support/mod.rs"]
mod support;

mod all_python;
mod arguments;
mod call_order;
mod calls;
mod campaign;
mod cancelling;
mod cells;
mod chunked;
mod colab_machines;
mod colab_tab;
mod commands;
mod connect;
#[cfg(unix)]
mod disconnecting;
mod docs;
mod doctor;
mod download;
mod examples;
mod faults;
mod in_the_client;
mod install;
mod jobs;
#[cfg(unix)]
mod jupyter;
mod lists;
mod local_executor;
mod mcp_stdio;
mod next_steps;
mod notebook;
mod notebook_export;
mod notebook_runs;
mod official_client;
mod other_client;
mod output;
mod packaging;
mod page;
mod provisioners;
mod questions;
mod reading;
mod refusals;
mod replies;
mod reports;
mod requests;
#[cfg(unix)]
mod requirements;
mod resources;
mod saved_sessions;
mod settings;
mod tidy;
mod tool_list;
mod try_tour;
mod ui;
mod upload;
mod waiting;
mod ways_out;
mod words;
