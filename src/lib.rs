//! The bridge between MCP clients, which think, and a Python runtime, which computes.
//!
//! # The house
//!
//! Folders are floors; imports go down only.
//!
//! | floor | rooms | what it does |
//! |---|---|---|
//! | top | `app`, `cli` | composition and the command line |
//! | face | `mcp`, over [`floors`], which it shares with `cli` | tools, results, progress; the rooms below, put together |
//! | work | [`notebook_run`] over [`document`] over [`tasks`] and `notebook` over `chunked` and [`mirror`] over `checkpoints` over `jobs`, [`transfer`], [`reading`] and [`machine`]; [`lease`] and [`doctor`] | running code, following it, keeping its results; sending, fetching, mirroring and reading files; judging a machine; exporting what was run; one thing for each id; editing notebooks and running their cells; running whole notebooks; ending machines at their limits; finding out what does not work |
//! | call | [`caller`] | the call behind a piece of work: its deadline, cancellation, progress reports and turn |
//! | reach | [`connection`] over [`provision`] over [`runtime`] | retrying requests until a deadline; provisioning a runtime; the requests that a runtime answers |
//! | ground | [`jupyter`], [`browser`], [`colab`] and [`install`] over [`wire`], [`edge`], [`render`], [`base`] | the client of Jupyter Servers; the client of tabs of Colab; Google's control of its machines; clients' configs; the API's types; process and disk; pictures and pages made readable; text and ids |
//!
//! # Invariants
//!
//! - Code that was sent runs exactly once: its id is made here, before the first try, and the executor recognises ids that it has seen.
//! - Output is never lost: the executor keeps it on disk, and every view names the cursor to continue from.
//! - Every call returns in time: each has a deadline, and work that is unfinished by then continues in the background.
//! - Every error says what to do next.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::disallowed_methods))]

pub mod app;
pub mod base;
pub mod browser;
pub mod caller;
pub mod checkpoints;
pub mod chunked;
pub mod cli;
pub mod colab;
pub mod connection;
pub mod doctor;
pub mod document;
pub mod edge;
pub mod floors;
pub mod install;
pub mod jobs;
pub mod jupyter;
pub mod lease;
pub mod machine;
pub mod mcp;
pub mod mirror;
pub mod notebook;
pub mod notebook_run;
pub mod provision;
pub mod reading;
pub mod render;
pub mod runtime;
pub mod shutdown;
pub mod tasks;
pub mod transfer;
pub mod wire;
