//! `smart-colab try`, the first thing that a newcomer sees.

use std::process::{Command, Output};

use crate::support::home::Home;
use crate::support::python::python;

fn tour(mut command: Command) -> (Output, String) {
    let output = command.arg("try").output().unwrap();
    let said = [output.stdout.clone(), output.stderr.clone()].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (output, said)
}

#[test]
fn the_tour_passes_every_step_and_ends_with_the_configuration() {
    let home = Home::new();
    let python = python();
    let command = home.program(&[("SMART_COLAB_PYTHON", python.to_str().unwrap())]);
    let (output, said) = tour(command);
    assert!(output.status.success(), "{said}");
    assert!(!said.contains('✗'), "{said}");
    for part in [
        "hello from Python, 42",
        "of 12",
        "sha256",
        " install --local",
        env!("CARGO_BIN_EXE_smart-colab"),
    ] {
        assert!(said.contains(part), "{part} is missing: {said}");
    }
    assert!(home.folder("results/try").is_dir(), "{said}");
    // The executor it started has ended: its port refuses connections.
    let url = said
        .split_whitespace()
        .find(|word| word.starts_with("http://127.0.0.1:"));
    let address = url.unwrap().trim_start_matches("http://");
    assert!(std::net::TcpStream::connect(address).is_err(), "{said}");
}

#[test]
fn without_its_python_the_tour_fails_and_says_why() {
    let home = Home::new();
    let nowhere = home.folder("no-python").display().to_string();
    let (output, said) = tour(home.program(&[("SMART_COLAB_PYTHON", &nowhere)]));
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("SMART_COLAB_PYTHON"), "{said}");
    assert!(said.contains(&nowhere), "{said}");
    assert!(said.contains("no such program. "), "{said}");
    assert!(!said.contains("All steps passed"), "{said}");
}
