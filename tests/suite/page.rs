//! The executor's page, in a browser.

use std::path::Path;
use std::process::Command;

use crate::support::chromium::program;
use crate::support::python::{python, succeed};

#[test]
#[ignore = "needs Chromium"]
fn in_chromium_a_person_watches_an_executor() {
    let said = succeed(
        Command::new(python())
            .args(["-m", "pytest", "-q", "-s", "-p", "no:cacheprovider"])
            .arg("tests/page_in_chromium.py")
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("colab"))
            .env_remove("PYTHONPATH")
            .env_remove("SMART_COLAB_TOKEN")
            .env("SMART_COLAB_CHROMIUM", program()),
    );
    eprintln!("{said}");
}
