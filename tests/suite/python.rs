//! The executor's own tests, in Python.

use std::path::Path;
use std::process::Command;

use crate::support::python::python;

#[test]
fn the_python_tests_pass() {
    let output = Command::new(python())
        .args(["-m", "pytest", "-q", "-p", "no:cacheprovider"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("colab"))
        .env_remove("PYTHONPATH")
        .env_remove("SMART_COLAB_TOKEN")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let summary = said.lines().last().unwrap_or_default();
    assert!(summary.contains(" passed"), "{said}");
    eprintln!("{summary}");
}
