//! The executor's page, in a browser.

use std::path::Path;
use std::process::Command;

use crate::support::chromium::program;
use crate::support::python::python;

#[test]
#[ignore = "needs Chromium"]
fn in_chromium_a_person_watches_an_executor() {
    let output = Command::new(python())
        .args(["-m", "pytest", "-q", "-s", "-p", "no:cacheprovider"])
        .arg("tests/page_in_chromium.py")
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("colab"))
        .env_remove("PYTHONPATH")
        .env_remove("SMART_COLAB_TOKEN")
        .env("SMART_COLAB_CHROMIUM", program())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{}\n{said}",
        String::from_utf8_lossy(&output.stderr)
    );
    eprintln!("{said}");
}
