//! Whole notebooks run in the background, with the real program and executor.

mod by_itself;
mod cells;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::executor::Executor;
use crate::support::python::python;
use crate::support::stdio::Answer;

fn root(name: &str) -> PathBuf {
    Executor::shared().root().join(name)
}

/// The notebook in this file, which nbformat finds valid.
fn valid(path: impl AsRef<Path>) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/notebook_check.py");
    let checked = Command::new(python())
        .arg(script)
        .arg(path.as_ref())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{errors}");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// What the cell at `at` printed.
fn printed(notebook: &Value, at: usize) -> String {
    let outputs = notebook["cells"][at]["outputs"]
        .as_array()
        .into_iter()
        .flatten();
    let lines = outputs.filter_map(|output| output["text"].as_array());
    lines.flatten().filter_map(Value::as_str).collect()
}

/// The states of an answer's cells, by their places.
fn states(answer: &Answer) -> Vec<String> {
    let rows = answer.rows();
    let state = |row: &Value| format!("{} {}", row["cell"], row["state"].as_str().unwrap());
    rows.iter().map(state).collect()
}

/// Code that appends a letter to a file, so that its runs are counted.
fn counting(name: &str) -> String {
    format!("with open('{name}', 'a') as file: file.write('x')")
}

fn runs_of(name: &str) -> usize {
    fs::read_to_string(root(name)).map_or(0, |text| text.len())
}
