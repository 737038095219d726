//! The examples work with the program of this build.

use std::path::Path;
use std::process::Command;

use crate::support::executor::Executor;
use crate::support::home::Home;
use crate::support::python::{python, succeed};

#[test]
fn the_agents_pass_their_own_tests() {
    let home = Home::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/agent");
    let said = succeed(
        Command::new(python())
            .args(["-m", "pytest", "-q", "-p", "no:cacheprovider"])
            .current_dir(folder)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("HOME", home.path())
            .env("BRIDGE", env!("CARGO_BIN_EXE_smart-colab"))
            .env("COLAB_URL", Executor::shared().line()),
    );
    assert!(said.contains(" passed"), "{said}");
}
