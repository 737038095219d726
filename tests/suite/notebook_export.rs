//! Exporting a session as a notebook, with the real program and executor, validated by nbformat.

mod faults;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::executor::{Executor, until_there};
use crate::support::home::Home;
use crate::support::python::python;
use crate::support::stdio::{Answer, Bridge};

/// A client with a session of its own.
struct Client {
    bridge: Bridge,
    session: &'static str,
    home: Home,
}

impl Client {
    fn of(session: &'static str) -> Self {
        let home = Home::new();
        let bridge = Executor::shared().bridge(&home, &[]);
        Self {
            bridge,
            session,
            home,
        }
    }

    fn run(&mut self, code: &str) -> Answer {
        let arguments = json!({"code": code, "session": self.session});
        self.bridge.call("run_code_quick", arguments)
    }

    fn export(&mut self, mut arguments: Value) -> Answer {
        arguments["session"] = json!(self.session);
        self.bridge.call("export_notebook", arguments)
    }
}

/// Validates the notebook by nbformat and runs it in `folder` if given; returns the notebook and what it prints.
fn check(path: &Path, folder: Option<&Path>) -> (Value, Value) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/notebook_check.py");
    let mut command = Command::new(python());
    let output = command.arg(script).arg(path).args(folder).output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaints}");
    let notebook = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    (notebook, serde_json::from_slice(&output.stdout).unwrap())
}

fn path(report: &Answer) -> PathBuf {
    assert!(!report.is_error, "{}", report.facts);
    PathBuf::from(report.fact("path"))
}

fn code_cells(notebook: &Value) -> Vec<&Value> {
    let cells = notebook["cells"].as_array().unwrap().iter();
    cells.filter(|cell| cell["cell_type"] == "code").collect()
}

#[test]
fn a_session_becomes_a_notebook_that_runs_again_and_prints_the_same() {
    let mut client = Client::of("notebook");
    let codes = [
        "import math\nfor n in range(3): print(n, math.factorial(n))",
        "print('über 日本 🚀\\r\\n', end='')\n%timeit -n1 -r1 -q pass\nmath.tau",
        "import matplotlib.pyplot as plt\nplt.plot([1, 2, 4])\nplt.show()\nprint('after it')",
        "from IPython.display import HTML, display\ndisplay(HTML('<b>bold</b>'), {'a': 1})",
        "print('before')\nraise ValueError('no good')",
        "import sys\nprint('err', file=sys.stderr)\n!echo shell",
        "%%bash\necho from bash",
    ];
    for code in codes {
        client.run(code);
    }
    let chunks = json!({
        "setup_code": "base = 10", "loop_code": "text = '''of\n  {}'''\nif i == 3:\n    continue\nprint(text.format(base + i))\ni",
        "n_iterations": 25, "batch_size": 10, "session": "notebook", "checkpoint_name": "notebook",
    });
    client
        .bridge
        .call("run_chunked_operation", chunks)
        .succeeded();

    let report = client.export(json!({}));
    let path = path(&report);
    assert!(path.starts_with(client.home.folder("results")));
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(
        name.starts_with("session-notebook-20") && name.ends_with(".ipynb"),
        "{name}"
    );
    assert_eq!(report.facts["cells"], 9);
    assert_eq!(
        (&report.facts["pictures"], &report.facts["jobs_left_out"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(
        report.facts["size_bytes"],
        fs::metadata(&path).unwrap().len()
    );

    let (notebook, mut shown) = check(&path, Some(client.home.path()));
    if cfg!(unix) {
        assert_eq!(shown["cells"][5], "shell\n");
    }
    // Plain Jupyter runs `!` in a terminal, whose lines end otherwise.
    for printed in ["cells", "ran"] {
        let text = shown[printed][5].as_str().unwrap().replace("\r\n", "\n");
        shown[printed][5] = json!(text);
    }
    assert_eq!(shown["cells"], shown["ran"]);
    assert_eq!(shown["cells"][0], "0 1\n1 1\n2 2\n");
    assert_eq!(shown["cells"][1], "über 日本 🚀\r\n");
    let title = notebook["cells"][0]["source"].as_str().unwrap();
    assert!(
        title.starts_with("# Session notebook\n") && title.contains("Python 3."),
        "{title}"
    );
    assert_eq!(notebook["metadata"]["kernelspec"]["name"], "python3");
    assert!(notebook["metadata"]["language_info"]["version"].is_string());

    let cells = code_cells(&notebook);
    for (cell, code) in cells.iter().zip(codes) {
        assert_eq!(cell["source"], code);
    }
    let result = &cells[1]["outputs"][1];
    assert_eq!(result["output_type"], "execute_result");
    assert_eq!(
        (&result["execution_count"], &cells[1]["execution_count"]),
        (&json!(2), &json!(2))
    );
    let plot = &cells[2]["outputs"][0];
    assert!(
        plot["data"]["image/png"]
            .as_str()
            .unwrap()
            .starts_with("iVBOR"),
        "{plot}"
    );
    assert_eq!(cells[3]["outputs"][0]["data"]["text/html"], "<b>bold</b>");
    let error = cells[4]["outputs"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&error["output_type"], &error["ename"]),
        (&json!("error"), &json!("ValueError"))
    );
    assert_eq!(cells[4]["metadata"]["tags"], json!(["raises-exception"]));
    let source = cells[7]["source"].as_str().unwrap();
    assert!(source.starts_with("base = 10\n\n# "), "{source}");
    assert!(
        source.contains(
            "for i in range(0, 25):\n    text = '''of\n  {}'''\n    if i == 3:\n        continue\n"
        ),
        "{source}"
    );
    assert_eq!(
        cells[7]["outputs"][0]["text"]
            .as_str()
            .unwrap()
            .lines()
            .count(),
        48
    );
}

#[test]
fn exports_stay_in_the_save_folder_and_replace_nothing() {
    let mut client = Client::of("notebook-names");
    client.run("print(1)");
    let results = client.home.folder("results");
    for (name, expected) in [
        (json!("mine"), "mine.ipynb"),
        (json!("mine.ipynb"), "mine (2).ipynb"),
        (json!("deep/er/MINE.IPYNB"), "deep/er/MINE.IPYNB"),
    ] {
        let report = client.export(json!({"filename": name}));
        assert_eq!(path(&report), results.join(expected));
        check(&results.join(expected), None);
    }
    for (name, code) in [
        ("../out", "outside_save_dir"),
        ("/etc/out", "outside_save_dir"),
        ("C:out", "outside_save_dir"),
        ("~/out", "outside_save_dir"),
        ("", "invalid_argument"),
        ("nul", "invalid_argument"),
        ("a\nb", "invalid_argument"),
    ] {
        let report = client.export(json!({"filename": name}));
        report.refused(code);
        assert!(
            report.fact("hint").contains("as filename"),
            "{}",
            report.facts
        );
    }
    let names = fs::read_dir(&results)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.collect();
    names.sort();
    assert_eq!(names, ["deep", "mine (2).ipynb", "mine.ipynb"]);
}

#[test]
fn last_limits_the_export_to_the_newest_jobs() {
    let mut client = Client::of("notebook-last");
    client.export(json!({})).refused("not_found");
    let results = fs::read_dir(client.home.folder("results")).unwrap();
    assert_eq!(results.count(), 0, "a notebook of nothing was written");
    for n in 0..4 {
        client.run(&format!("print({n})"));
    }
    let report = client.export(json!({"last": "2"}));
    let (_, shown) = check(&path(&report), None);
    assert_eq!(shown["cells"], json!(["2\n", "3\n"]));
    for last in [json!(0), json!(1_001), json!("all")] {
        client
            .export(json!({"last": last}))
            .refused("invalid_argument");
    }
}

#[test]
fn code_that_did_not_finish_is_marked_in_the_notebook() {
    let (executor, home) = (Executor::shared(), Home::new());
    let mut bridge = executor.bridge(&home, &[]);
    let session = "notebook-ends";
    let run = |bridge: &mut Bridge, code: &str, timeout: u64| {
        let arguments = json!({"code": code, "session": session, "timeout_sec": timeout});
        bridge.call("run_code_long", arguments)
    };
    let start = |bridge: &mut Bridge, code: &str| {
        let arguments = json!({"code": code, "session": session, "wait_sec": 0});
        bridge.call("run_code_long", arguments)
    };
    run(
        &mut bridge,
        "print('short', flush=True)\nimport time\ntime.sleep(600)",
        1,
    )
    .refused("timed_out");
    run(&mut bridge, "import os\nos._exit(1)", 60).refused("kernel_died");
    let begun = executor.root().join("notebook-begun");
    let code = "print('so far', flush=True)\nopen('notebook-begun', 'w').close()\nimport time\ntime.sleep(600)";
    let running = start(&mut bridge, code);
    until_there(&begun);
    start(&mut bridge, "print('next')");

    let report = bridge.call("export_notebook", json!({"session": session}));
    let (notebook, shown) = check(&path(&report), None);
    assert_eq!(shown["cells"], json!(["short\n", "", "so far\n", ""]));
    let cells = notebook["cells"].as_array().unwrap();
    let notes: Vec<_> = cells[1..]
        .iter()
        .filter(|cell| cell["cell_type"] == "markdown")
        .collect();
    for (note, word) in notes.iter().zip([
        "exceeded its timeout",
        "Python process",
        "still running",
        "was queued",
    ]) {
        assert!(note["source"].as_str().unwrap().contains(word), "{note}");
    }
    assert_eq!(notes.len(), 4);
    let id = json!({"job_id": running.fact("job_id")});
    bridge.call("interrupt_execution", id);
}

#[test]
fn long_output_is_cut_and_the_notebook_says_so() {
    let mut client = Client::of("notebook-much");
    let code = "import os\nfor n in range(24): print('x' * 2**20)\nprint('the end')";
    client.run(code).succeeded();
    let show = "from IPython.display import Image, display\nfor n in range(3): display(Image(data=b'\\x89PNG\\r\\n\\x1a\\n' + os.urandom(6_000_000), format='png'))";
    client.run(show).succeeded();
    client
        .run("display(Image(data=b'\\x89PNG\\r\\n\\x1a\\n' + os.urandom(100), format='png'))")
        .succeeded();
    let report = client.export(json!({}));
    let (notebook, shown) = check(&path(&report), None);
    let text = shown["cells"][0].as_str().unwrap();
    assert!(text.starts_with("xxx") && text.ends_with("x\nthe end\n"));
    assert!(
        text.contains("is skipped here") && text.len() < 1_100_000,
        "{}",
        text.len()
    );
    let cells = code_cells(&notebook);
    let pictures = cells[1]["outputs"].as_array().unwrap().iter();
    let pictures = pictures.filter(|output| output["data"]["image/png"].is_string());
    assert_eq!(
        (pictures.count(), &report.facts["pictures"]),
        (2, &json!(3))
    );
    assert!(
        shown["cells"][1].as_str().unwrap().contains("image/png of"),
        "{}",
        shown["cells"][1]
    );
}

/// Sends what ipywidgets sends for a bar, and updates a display from a later cell; nbclient runs the same code for comparison.
#[test]
fn updates_and_widgets_match_jupyter() {
    let mut client = Client::of("notebook-updates");
    let codes = [
        r#"kernel = get_ipython().kernel
def send(kind, content): kernel.session.send(kernel.iopub_socket, kind, content, parent=kernel.get_parent("shell"))
state = {"_model_name": "IntProgressModel", "_model_module": "@jupyter-widgets/controls", "_model_module_version": "2.0.0", "value": 0, "max": 4}
send("comm_open", {"comm_id": "b", "target_name": "jupyter.widget", "data": {"state": state}})
display({"text/plain": "bar", "application/vnd.jupyter.widget-view+json": {"model_id": "b", "version_major": 2, "version_minor": 0}}, raw=True)
send("comm_msg", {"comm_id": "b", "data": {"method": "update", "state": {"value": 4}}})"#,
        "shown = display('one', display_id='d')\nprint('between')\ndisplay('other', display_id='e');",
        "shown.update('two')\nprint('later')",
        "from IPython.display import clear_output\ndisplay('gone', display_id='g')\nclear_output(wait=True)\nprint('kept')",
        "display('newest', display_id='e')\ndisplay('nowhere', display_id='g', update=True)",
        r#"def capture(msg_id): send("comm_msg", {"comm_id": "o", "data": {"method": "update", "state": {"msg_id": msg_id}, "buffer_paths": []}})
state = {"_model_name": "OutputModel", "_model_module": "@jupyter-widgets/output", "_model_module_version": "1.0.0", "msg_id": "", "outputs": []}
send("comm_open", {"comm_id": "o", "target_name": "jupyter.widget", "data": {"state": state}})
display({"text/plain": "", "application/vnd.jupyter.widget-view+json": {"model_id": "o", "version_major": 2, "version_minor": 0}}, raw=True)
capture(kernel.get_parent("shell")["header"]["msg_id"])
print("inside", flush=True)
display("shown")
capture("")
print("outside", flush=True)"#,
        r#"capture(kernel.get_parent("shell")["header"]["msg_id"])
print("again", flush=True)
capture("")"#,
        r#"capture(kernel.get_parent("shell")["header"]["msg_id"])
clear_output()
print("last", flush=True)
capture("")
print("outside")"#,
    ];
    for code in codes {
        client.run(code).succeeded();
    }
    let report = client.export(json!({}));
    let (notebook, _) = check(&path(&report), None);
    let script = r"import json, sys, nbclient, nbformat
codes = json.load(sys.stdin)
book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in codes])
nbclient.NotebookClient(book, kernel_name='python3', timeout=60).execute()
print(json.dumps([[cell.outputs for cell in book.cells], book.metadata.widgets]))";
    let mut child = Command::new(python())
        .args(["-c", script])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    serde_json::to_writer(child.stdin.take().unwrap(), &codes).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let mut expected: Value = serde_json::from_slice(&output.stdout).unwrap();
    // A viewer without widgets shows the text, which is the bar's last state.
    expected[0][0][0]["data"]["text/plain"] = json!("|██████████| 4/4");
    let cells = code_cells(&notebook);
    let outputs: Vec<_> = cells.iter().map(|cell| &cell["outputs"]).collect();
    assert_eq!(json!(outputs), expected[0]);
    assert_eq!(notebook["metadata"]["widgets"], expected[1]);
}
