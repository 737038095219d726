//! The executor's own Python tests. The module's name sorts first because tests start in name order and this one takes longest.

use std::path::Path;
use std::process::Command;
use std::thread::available_parallelism;

use crate::support::python::{python, succeed};

/// Python tests keep a core busy: their kernels and executors start by the hundred.
const PROCESSES_PER_CORE: usize = 1;

#[test]
fn the_python_tests_pass() {
    let processes = PROCESSES_PER_CORE * available_parallelism().map_or(1, usize::from);
    // pytest prints the failed tests at the end.
    let said = succeed(
        Command::new(python())
            .args(["-m", "pytest", "-q", "-p", "no:cacheprovider"])
            .args(["--dist", "loadfile", "-n", &processes.to_string()])
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("colab"))
            .env_remove("PYTHONPATH")
            .env_remove("SMART_COLAB_TOKEN"),
    );
    let summary = said.lines().last().unwrap_or_default();
    assert!(summary.contains(" passed"), "{said}");
    eprintln!("{summary}");
}
