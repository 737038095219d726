//! A kernel driven by `jupyter_client` directly, without executor or bridge.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::json;
use tempfile::TempDir;

use crate::support::python::python;

pub(crate) struct Kernel {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    _folder: TempDir,
}

impl Kernel {
    pub(crate) fn start() -> Self {
        Self::side(None)
    }

    /// Connects to a running kernel by its connection file.
    pub(crate) fn at(file: &Path) -> Self {
        Self::side(Some(file))
    }

    fn side(file: Option<&Path>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let side = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/benches/python/jupyter_side.py"
        );
        let mut child = Command::new(python())
            .arg(side)
            .args(file)
            .current_dir(&folder)
            .env("IPYTHONDIR", folder.path().join("ipython"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            stdin: child.stdin.take().unwrap(),
            stdout: BufReader::new(child.stdout.take().unwrap()),
            child,
            _folder: folder,
        }
    }

    /// Runs code to its end; returns the seconds it took.
    pub(crate) fn run(&mut self, code: &str) -> f64 {
        self.ask(&json!({"code": code}).to_string())
    }

    /// Runs code to its end with its output written to a file; returns the seconds it took.
    pub(crate) fn run_to(&mut self, code: &str, path: &Path) -> f64 {
        self.ask(&json!({"code": code, "to": path}).to_string())
    }

    fn ask(&mut self, line: &str) -> f64 {
        writeln!(self.stdin, "{line}").unwrap();
        let mut answer = String::new();
        self.stdout.read_line(&mut answer).unwrap();
        answer.trim().parse().unwrap()
    }

    pub(crate) fn leave(mut self) {
        drop(self.stdin);
        self.child.wait().unwrap();
    }
}
