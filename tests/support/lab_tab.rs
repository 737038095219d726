//! Another client of a shared notebook, made of JupyterLab's own parts in Python: it stands for a tab in which it is open.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use serde_json::{Value, json};

use super::jupyter::{Jupyter, TOKEN};
use super::python::python;
use super::stdio::PATIENCE;

/// Ended on drop.
pub(crate) struct Tab {
    child: Child,
    input: ChildStdin,
    states: Receiver<Value>,
    /// The cells as they were last.
    pub(crate) cells: Value,
}

impl Tab {
    /// Opens a notebook.
    pub(crate) fn open(server: &Jupyter, path: &str) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/lab_tab.py");
        let mut child = Command::new(python())
            .arg(script)
            .args([&server.url(), TOKEN, path])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, states) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).unwrap());
            }
        });
        let input = child.stdin.take().unwrap();
        let mut tab = Self {
            child,
            input,
            states,
            cells: json!([]),
        };
        tab.until(|cells| !cells.is_empty());
        tab
    }

    /// Types texts one after the other at the end of a cell; does not wait.
    pub(crate) fn type_into(&mut self, cell: &str, texts: &[String]) {
        let order = json!({"cell": cell, "type": texts});
        writeln!(self.input, "{order}").unwrap();
    }

    /// Waits until the cells, as this client sees them, suit.
    #[track_caller]
    pub(crate) fn until(&mut self, suits: impl Fn(&[Value]) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !suits(self.cells.as_array().unwrap()) {
            let left = end.saturating_duration_since(Instant::now());
            match self.states.recv_timeout(left) {
                Ok(cells) => self.cells = cells,
                Err(_) => panic!("the tab shows {}", self.cells),
            }
        }
    }
}

impl Drop for Tab {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
