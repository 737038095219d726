//! The executor's own tests, in Python. Named so that they begin first: tests begin in the order of their names, and this one takes longest.

use std::path::Path;
use std::process::Command;
use std::thread::available_parallelism;

use crate::support::python::python;

/// Kernels and executors are mostly waited for.
const PROCESSES_PER_CORE: usize = 2;

#[test]
fn the_python_tests_pass() {
    let processes = PROCESSES_PER_CORE * available_parallelism().map_or(1, usize::from);
    let output = Command::new(python())
        .args(["-m", "pytest", "-q", "-p", "no:cacheprovider"])
        .args(["--dist", "worksteal", "-n", &processes.to_string()])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("colab"))
        .env_remove("PYTHONPATH")
        .env_remove("SMART_COLAB_TOKEN")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    // Which ones failed stands at the end.
    assert!(
        output.status.success(),
        "{}\n{said}",
        String::from_utf8_lossy(&output.stderr)
    );
    let summary = said.lines().last().unwrap_or_default();
    assert!(summary.contains(" passed"), "{said}");
    eprintln!("{summary}");
}
