//! The official Python client works with the program in both protocol eras.

use std::path::Path;
use std::process::Command;

use crate::support::executor::Executor;
use crate::support::home::Home;
use crate::support::python::{python, succeed};

#[test]
fn the_official_client_uses_every_tool_and_resource() {
    let home = Home::new();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/official_client.py");
    let said = succeed(
        Command::new(python())
            .arg(script)
            .arg(env!("CARGO_BIN_EXE_smart-colab"))
            .arg(home.path())
            .arg(Executor::shared().line()),
    );
    let modes: Vec<&str> = said.lines().collect();
    assert_eq!(modes.len(), 3, "{said}");
    assert!(modes[0].starts_with("legacy: 2025-11-25"), "{said}");
    for modern in &modes[1..] {
        assert!(modern.contains(": 2026-07-28"), "{said}");
    }
}
