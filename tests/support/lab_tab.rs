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
    /// What the others show of themselves.
    pub(crate) people: Vec<Value>,
    /// When it was so, in a page; seconds.
    pub(crate) at: Option<f64>,
}

impl Tab {
    /// Opens a notebook.
    pub(crate) fn open(server: &Jupyter, path: &str) -> Self {
        let mut tab = Self::start("lab_tab.py", &[&server.url(), TOKEN, path]);
        tab.until(|cells| !cells.is_empty());
        tab
    }

    /// Starts a script of this folder that reports what it sees and obeys.
    pub(crate) fn start(script: &str, arguments: &[&str]) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support");
        let mut child = Command::new(python())
            .arg(folder.join(script))
            .args(arguments)
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
        Self {
            child,
            input,
            states,
            cells: json!([]),
            people: Vec::new(),
            at: None,
        }
    }

    /// Has the script do something; does not wait.
    pub(crate) fn order(&mut self, order: &Value) {
        writeln!(self.input, "{order}").unwrap();
    }

    /// Types texts one after the other at the end of a cell; does not wait.
    pub(crate) fn type_into(&mut self, cell: &str, texts: &[String]) {
        self.order(&json!({"cell": cell, "type": texts}));
    }

    /// Clears the outputs of a cell; does not wait.
    pub(crate) fn clear(&mut self, cell: &str) {
        self.order(&json!({"cell": cell, "clear": true}));
    }

    /// Deletes a cell; does not wait.
    pub(crate) fn delete(&mut self, cell: &str) {
        self.order(&json!({"cell": cell, "delete": true}));
    }

    /// Waits until the cells, as this client sees them, suit.
    #[track_caller]
    pub(crate) fn until(&mut self, suits: impl Fn(&[Value]) -> bool) {
        self.until_seen(|tab| suits(tab.cells.as_array().unwrap()));
    }

    /// Waits until what this client sees suits.
    #[track_caller]
    pub(crate) fn until_seen(&mut self, suits: impl Fn(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !suits(self) {
            let left = end.saturating_duration_since(Instant::now());
            match self.states.recv_timeout(left) {
                Ok(mut state) => {
                    self.cells = state["cells"].take();
                    self.people = state["people"].as_array().cloned().unwrap();
                    self.at = state["at"].as_f64();
                }
                Err(_) => panic!("the tab shows {} and {:?}", self.cells, self.people),
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
