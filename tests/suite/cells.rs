//! Notebooks on the runtime, edited and run cell by cell, with the real program and executor.

mod chromium;
mod edits;
mod live;
mod live_outputs;
mod mixing;
mod runs;
mod shapes;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::executor::Executor;
use crate::support::home::Home;
use crate::support::jupyter::TOKEN;
use crate::support::python::python;
use crate::support::stdio::{Answer, Bridge, PATIENCE};

/// A client with an opened notebook of its own.
struct Client {
    bridge: Bridge,
    home: Home,
    path: PathBuf,
}

impl Client {
    fn of(name: &str) -> Self {
        let home = Home::new();
        let bridge = Executor::shared().bridge(&home, &[]);
        let path = Executor::shared().root().join(name);
        Self { bridge, home, path }
    }

    /// Opens a new notebook.
    fn with_new(name: &str) -> Self {
        let mut client = Self::of(name);
        client
            .call("open_notebook", json!({"notebook": name, "create": true}))
            .succeeded();
        client
    }

    /// Opens a notebook of this text.
    fn with_text(name: &str, text: &str) -> Self {
        let mut client = Self::of(name);
        fs::write(&client.path, text).unwrap();
        client
            .call("open_notebook", json!({"notebook": name}))
            .succeeded();
        client
    }

    fn call(&mut self, tool: &str, arguments: Value) -> Answer {
        self.bridge.call(tool, arguments)
    }

    fn add(&mut self, code: &str) -> String {
        let added = self.call("add_code_cell", json!({"code": code}));
        added.succeeded();
        added.fact("cell_id").to_owned()
    }

    fn cells(&mut self) -> Answer {
        let cells = self.call("get_cells", json!({}));
        cells.succeeded();
        cells
    }

    /// Waits until the cells suit.
    fn until_cells(&mut self, suits: impl Fn(&Answer) -> bool) -> Answer {
        let end = Instant::now() + PATIENCE;
        loop {
            let shown = self.cells();
            if suits(&shown) {
                return shown;
            }
            assert!(Instant::now() < end, "{}", shown.whole);
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The notebook on disk, which nbformat finds valid.
    fn valid(&self) -> Value {
        check(&self.path)
    }
}

/// A bridge to a Jupyter Server.
fn connect(home: &Home, address: &str) -> Bridge {
    let setting = format!("jupyter+{address}/?token={TOKEN}");
    Bridge::greeted(home.program(&[("COLAB_URL", &setting)]))
}

fn source_of(cell: &Value) -> String {
    let lines = cell["source"].as_array();
    let lines = lines.map(|lines| lines.iter().filter_map(Value::as_str).collect());
    lines.unwrap_or_else(|| cell["source"].as_str().unwrap().to_owned())
}

fn check(path: &Path) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/notebook_check.py");
    let output = Command::new(python())
        .arg(script)
        .arg(path)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// What a cell printed, as nbformat keeps it: in lines.
fn printed(cell: &Value) -> String {
    let outputs = cell["outputs"].as_array().unwrap().iter();
    let texts = outputs.map(|output| &output["text"]);
    // One text in a room, lines in a file.
    let lines = texts.flat_map(|text| {
        text.as_array()
            .map_or(vec![text], |lines| lines.iter().collect())
    });
    lines.filter_map(Value::as_str).collect()
}
