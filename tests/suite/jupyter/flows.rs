//! What people do with jupyter-mcp-server, done with these tools: the flows of `docs/jupyter.md`, on a JupyterLab with collaboration.

use serde_json::{Value, json};

use super::{bridge, finish};
use crate::support::home::Home;
use crate::support::jupyter::Jupyter;
use crate::support::stdio::{Answer, Bridge};

const PICTURE: &str = "import base64
from IPython.display import Image
Image(base64.b64decode('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='))";

/// Calls a tool, follows what it started to its end, and finds that it succeeded.
#[track_caller]
fn did(bridge: &mut Bridge, tool: &str, arguments: Value) -> Answer {
    let answer = bridge.call(tool, arguments);
    let answer = finish(bridge, answer);
    assert!(!answer.is_error, "{tool}: {}", answer.whole);
    answer
}

/// The sources of a notebook's cells, and what their outputs show.
fn read(bridge: &mut Bridge, notebook: &str) -> String {
    did(bridge, "get_cells", json!({"notebook": notebook})).text
}

#[test]
fn the_flows_of_a_notebook_server_work_with_these_tools() {
    let (server, home) = (Jupyter::lab(&[]), Home::new());
    let mut bridge = bridge(&home, &server.setting());
    let b = &mut bridge;
    b.call("get_cells", json!({})).refused("invalid_argument");

    // Opening, creating, listing, and what is not there.
    let missing = b.call("open_notebook", json!({"notebook": "missing.ipynb"}));
    missing.refused("not_found");
    std::fs::create_dir(server.root().join("sub")).unwrap();
    for notebook in ["sub/b.ipynb", "a.ipynb"] {
        did(
            b,
            "open_notebook",
            json!({"notebook": notebook, "create": true}),
        );
    }
    // Creating what exists keeps it.
    let kept = did(b, "add_text_cell", json!({"content": "kept"}));
    let again = json!({"notebook": "a.ipynb", "create": true});
    did(b, "open_notebook", again);
    assert!(read(b, "a.ipynb").contains("kept"));
    did(b, "delete_cell", json!({"cell_id": kept.facts["cell_id"]}));
    let listed = did(b, "open_notebook", json!({})).whole.to_string();
    assert!(
        listed.contains("a.ipynb") && listed.contains("sub/b.ipynb"),
        "{listed}"
    );
    let files = did(b, "list_colab_files", json!({})).whole.to_string();
    assert!(
        files.contains("a.ipynb") && files.contains("sub"),
        "{files}"
    );

    // A shared notebook begins with an empty cell. Inserting at a place and at the end, overwriting, executing, reading, deleting.
    let code = did(
        b,
        "add_code_cell",
        json!({"code": "n = 2\nprint('n is', n)"}),
    );
    let text = did(
        b,
        "add_text_cell",
        json!({"content": "# Ünï (a|b)*", "cell_index": 0}),
    );
    assert_eq!(
        (&text.facts["cell_index"], &text.facts["cells"]),
        (&json!(0), &json!(3))
    );
    let cell = json!({"cell_id": code.facts["cell_id"]});
    let ran = did(b, "run_code_cell", cell.clone());
    assert!(ran.text.contains("n is 2"), "{}", ran.whole);
    let edit = json!({
        "cell_id": code.facts["cell_id"], "content": "n += 1\nprint('n is', n)", "expect": code.facts["version"],
    });
    did(b, "update_cell", edit.clone());
    b.call("update_cell", edit).refused("cell_changed");
    let ran = did(b, "run_code_cell", cell.clone());
    assert!(ran.text.contains("n is 3"), "{}", ran.whole);
    let session = ran.fact("session").to_owned();
    let shown = read(b, "a.ipynb");
    assert!(
        shown.contains("# Ünï (a|b)*") && shown.contains("n is 3"),
        "{shown}"
    );
    assert!(!shown.contains("n is 2"), "{shown}");
    b.call("run_code_cell", json!({"cell_index": 7}))
        .refused("not_found");
    did(
        b,
        "move_cell",
        json!({"cell_id": code.facts["cell_id"], "cell_index": 0}),
    );
    did(b, "delete_cell", json!({"cell_id": text.facts["cell_id"]}));

    // A picture comes as a picture, and stays in the cell.
    let plot = did(b, "add_code_cell", json!({"code": PICTURE}));
    let ran = did(
        b,
        "run_code_cell",
        json!({"cell_id": plot.facts["cell_id"]}),
    );
    assert_eq!(ran.pictures.len(), 1, "{}", ran.whole);
    let kept = did(b, "get_cells", json!({"from": 2, "to": 2}));
    assert_eq!(kept.pictures.len(), 1, "{}", kept.whole);

    // Another notebook, and other variables.
    let other = json!({"notebook": "sub/b.ipynb", "code": "print('n' in dir())"});
    did(b, "add_code_cell", other);
    let ran = did(b, "run_cells", json!({"notebook": "sub/b.ipynb"}));
    assert!(ran.text.contains("False"), "{}", ran.whole);
    assert!(!read(b, "a.ipynb").contains("in dir()"));
    assert!(!read(b, "sub/b.ipynb").contains("n += 1"));

    // Code beside the cells: magics, the shell, a timeout that keeps variables.
    let mut code = |code: &str, timeout: u64| {
        let code = json!({"code": code, "session": session, "timeout_sec": timeout});
        let answer = b.call("run_code_long", code);
        finish(b, answer)
    };
    assert!(code("%who", 60).text.contains('n'));
    assert!(
        code("!echo from the shell", 60)
            .text
            .contains("from the shell")
    );
    let late = code(
        "import time\nprint('early', flush=True)\ntime.sleep(600)",
        1,
    );
    assert_eq!(late.facts["state"], "timed_out", "{}", late.whole);
    assert!(late.text.contains("early"), "{}", late.whole);
    assert_eq!(code("print(n)", 60).text, "3\n");

    // A restart forgets them, and cells run again.
    let again = json!({"session": session});
    did(b, "restart_session", again);
    let failed = b.call("run_code_cell", cell);
    let failed = finish(b, failed);
    failed.refused("python_error");
    assert!(failed.text.contains("NameError"), "{}", failed.whole);
    assert!(read(b, "a.ipynb").contains("NameError"));
}
