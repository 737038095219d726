//! The bridge's overhead, measured beside the bare alternative in one run. `benches/README.md` has usage and results.
//!
//! A group of measurements is a module with a function `rows`. Each has its own executor, so that none is affected by another's state.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a program that measures: it ends where it cannot, and it talks"
)]

mod chunked;
mod earlier;
mod far;
mod http;
mod jupyter;
mod kernel;
mod link;
mod looks;
mod output;
mod peers;
mod quick;
mod server;
mod start;
#[path = "../../tests/support/mod.rs"]
#[allow(dead_code)]
mod support;
mod tab;
mod table;
mod together;
mod transfers;

use std::process::ExitCode;

use peers::Peer;
use support::executor::Executor;
use table::Row;

/// The group whose peers need a Jupyter Server.
const JUPYTER: &str = "jupyter";
/// The group whose peers connect to a tab of Colab.
const TAB: &str = "tab";

/// Measures a group with an executor, beside peers.
type Group = fn(&Executor, &[Peer]) -> Vec<Row>;

const GROUPS: [(&str, Group); 11] = [
    ("start", start::rows),
    ("earlier", earlier::rows),
    ("quick", quick::rows),
    ("far", far::rows),
    ("output", output::rows),
    ("together", together::rows),
    ("chunked", chunked::rows),
    ("looks", looks::rows),
    ("transfers", transfers::rows),
    (JUPYTER, jupyter::rows),
    (TAB, tab::rows),
];

fn main() -> ExitCode {
    // Cargo adds `--bench`.
    let mut arguments = std::env::args().skip(1).filter(|given| given != "--bench");
    let (mut wanted, mut peers, mut is_check) = (Vec::new(), Vec::new(), false);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--check" => is_check = true,
            "--peer" => peers.push(Peer::read(&arguments.next().expect("--peer FILE"))),
            name if GROUPS.iter().any(|(group, _)| *group == name) => wanted.push(argument),
            _ => {
                let names: Vec<_> = GROUPS.iter().map(|(name, _)| *name).collect();
                println!("usage: [--check] [--peer FILE]… [{}]…", names.join("|"));
                return ExitCode::from(2);
            }
        }
    }
    let mut all = Vec::new();
    for (name, group) in GROUPS {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            println!("{name}");
            let executor = Executor::start();
            let is_meant = |peer: &&Peer| peer.is_of(name);
            let peers: Vec<_> = peers.iter().filter(is_meant).cloned().collect();
            let rows = group(&executor, &peers);
            rows.iter().for_each(Row::show);
            all.push((name, rows));
        }
    }
    table::write(&all);
    let is_missed = all.iter().any(|(_, rows)| rows.iter().any(Row::is_missed));
    ExitCode::from(u8::from(is_check && is_missed))
}
