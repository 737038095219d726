//! Notebooks that are open in JupyterLab meanwhile.

use std::fs;
use std::time::Instant;

use serde_json::{Value, json};
use smart_colab::base::secret::Secret;
use smart_colab::edge::settings::{Endpoint, Kind};
use smart_colab::jupyter::Server;
use url::Url;

use super::{check, connect, printed, source_of};
use crate::support::executor::until_there;
use crate::support::home::Home;
use crate::support::jupyter::{Jupyter, TOKEN};
use crate::support::lab_tab::Tab;
use crate::support::stdio::{Answer, Bridge, PATIENCE};

/// Changes of each of two who work on one notebook: calls of tools, and keys.
const CALLS: usize = 40;
const KEYS: usize = 460;

fn ids(cells: &[Value]) -> Vec<&str> {
    cells
        .iter()
        .filter_map(|cell| cell["id"].as_str())
        .collect()
}

#[test]
fn notebooks_that_are_open_in_jupyterlab_are_edited_and_run_in_place() {
    let (server, home) = (Jupyter::lab(&[]), Home::new());
    let mut bridge = connect(&home, &server.url());
    let opened = bridge.call(
        "open_notebook",
        json!({"notebook": "live.ipynb", "create": true}),
    );
    opened.succeeded();
    let mut tab = Tab::open(&server, "live.ipynb");
    let first = tab.cells[0]["id"].as_str().unwrap().to_owned();
    // Another one that is made meanwhile does not cut the tab off.
    for (notebook, create) in [("other.ipynb", true), ("live.ipynb", false)] {
        let open = json!({"notebook": notebook, "create": create});
        bridge.call("open_notebook", open).succeeded();
    }

    for (notebook, words) in [
        ("../out.ipynb", "outside the root"),
        (".hid.ipynb", "with a dot"),
    ] {
        let refused = bridge.call(
            "open_notebook",
            json!({"notebook": notebook, "create": true}),
        );
        assert!(
            refused.is_error && refused.whole.to_string().contains(words),
            "{refused:?}"
        );
    }

    // Each edit is in the tab.
    let added = bridge.call("add_code_cell", json!({"code": "x = 1"}));
    added.succeeded();
    assert_eq!(added.facts["warning"], Value::Null, "{added:?}");
    let id = added.fact("cell_id").to_owned();
    tab.until(|cells| {
        cells
            .last()
            .is_some_and(|cell| cell["id"] == *id && cell["source"] == "x = 1")
    });
    let text = bridge.call(
        "add_text_cell",
        json!({"content": "# Tïtle", "cell_index": 0}),
    );
    text.succeeded();
    let text = text.fact("cell_id").to_owned();
    tab.until(|cells| ids(cells) == [&text, &first, &id]);
    let moved = bridge.call("move_cell", json!({"cell_id": id, "cell_index": 0}));
    moved.succeeded();
    tab.until(|cells| ids(cells) == [&id, &text, &first]);
    bridge
        .call("delete_cell", json!({"cell_id": text}))
        .succeeded();
    tab.until(|cells| ids(cells) == [&id, &first]);

    // What a person has changed meanwhile is not overwritten.
    let version = added.fact("version");
    tab.type_into(&id, &["\nprint('typed')".to_owned()]);
    tab.until(|cells| cells[0]["source"] == "x = 1\nprint('typed')");
    // The tab shows what it sends: it may be on its way.
    let end = Instant::now() + PATIENCE;
    while !bridge.call("get_cells", json!({})).text.contains("typed") {
        assert!(Instant::now() < end);
    }
    let stale = bridge.call(
        "update_cell",
        json!({"cell_id": id, "content": "x = 3", "expect": version}),
    );
    stale.refused("cell_changed");
    assert!(stale.fact("error").contains("print('typed')"), "{stale:?}");

    // A run's output.
    let run = bridge.call("run_code_cell", json!({"cell_id": id}));
    run.succeeded();
    assert_eq!(run.fact("outputs"), "written into the cell", "{run:?}");
    tab.until(|cells| {
        cells[0]["outputs"][0]["text"] == "typed\n" && cells[0]["execution_count"] == 1.0
    });
    let notebook = check(&server.root().join("live.ipynb"));
    let kept = &notebook["cells"][0]["outputs"][0]["text"];
    assert_eq!(*kept, json!(["typed\n"]));

    // Two at once.
    let typed: Vec<String> = (0..KEYS).map(|n| format!("{n} ")).collect();
    tab.type_into(&first, &typed);
    let mut source = String::new();
    for n in 0..CALLS {
        source += &format!("# {n}\n");
        let updated = bridge.call("update_cell", json!({"cell_id": id, "content": source}));
        updated.succeeded();
    }
    let typed = typed.concat();
    tab.until(|cells| cells[0]["source"] == *source && cells[1]["source"] == *typed);
    let added = bridge.call("add_text_cell", json!({"content": "end"}));
    added.succeeded();
    assert_eq!(added.facts["warning"], Value::Null, "{added:?}");
    let notebook = check(&server.root().join("live.ipynb"));
    let sources: Vec<String> = notebook["cells"]
        .as_array()
        .unwrap()
        .iter()
        .map(source_of)
        .collect();
    assert_eq!(sources, [source, typed, "end".to_owned()]);

    // The bridge is killed in the middle of a run.
    let code = "import os, time\nopen('runs', 'w')\nwhile not os.path.exists('go'): time.sleep(0.02)\nprint('late')";
    let added = bridge.call("add_code_cell", json!({"code": code}));
    let run = json!({"cell_id": added.fact("cell_id"), "wait_sec": 0});
    bridge.call("run_code_cell", run);
    until_there(&server.root().join("runs"));
    drop(bridge);
    fs::write(server.root().join("go"), "").unwrap();
    let _bridge = connect(&home, &server.url());
    tab.until(|cells| {
        cells
            .last()
            .is_some_and(|cell| cell["outputs"].is_array() && printed(cell) == "late\n")
    });
}

/// The server notices a changed file when it saves: it then reads the file in place of what it was to save. It saves only when asked here: what is written
/// between its look at the file and its own write is lost.
#[test]
fn what_the_server_dropped_for_a_changed_file_is_not_called_saved() {
    let (server, home) = (
        Jupyter::lab(&[
            "--YDocExtension.file_poll_interval=600",
            "--YDocExtension.document_save_delay=600",
        ]),
        Home::new(),
    );
    let mut bridge = connect(&home, &server.url());
    let open = json!({"notebook": "both.ipynb", "create": true});
    bridge.call("open_notebook", open).succeeded();
    let code = "import os, time\nopen('begun', 'w')\nwhile not os.path.exists('go'): time.sleep(0.02)\nprint('done')";
    let added = bridge.call("add_code_cell", json!({"code": code}));
    added.succeeded();
    let file = server.root().join("both.ipynb");
    let write_theirs = |text: &str| {
        let mut notebook = check(&file);
        let cell = json!({"cell_type": "markdown", "id": text, "metadata": {}, "source": [text]});
        notebook["cells"].as_array_mut().unwrap().push(cell);
        fs::write(&file, notebook.to_string()).unwrap();
    };

    write_theirs("theirs");
    let dropped = bridge.call("add_text_cell", json!({"content": "ours"}));
    dropped.succeeded();
    assert!(
        dropped.fact("warning").contains("no longer has this"),
        "{}",
        dropped.facts
    );
    let shown = bridge.call("get_cells", json!({}));
    assert!(
        shown.text.contains("theirs") && !shown.text.contains("ours"),
        "{}",
        shown.text
    );
    let again = bridge.call("add_text_cell", json!({"content": "ours"}));
    assert_eq!(again.facts["warning"], Value::Null, "{}", again.facts);

    let run = json!({"cell_id": added.fact("cell_id")});
    let running = bridge.begin_call("run_code_cell", run);
    until_there(&server.root().join("begun"));
    write_theirs("more");
    fs::write(server.root().join("go"), "").unwrap();
    let ran = Answer::of(&bridge.answer(running));
    assert!(ran.text.contains("done"), "{}", ran.text);
    let notebook = check(&file);
    let cells = notebook["cells"].as_array().unwrap();
    assert_eq!(source_of(cells.last().unwrap()), "more");
    let cell = cells
        .iter()
        .find(|cell| cell["id"] == added.fact("cell_id"));
    let is_there = printed(cell.unwrap()) == "done\n";
    let is_said = ran.fact("outputs") == "written into the cell";
    assert_eq!(is_said, is_there, "{}", ran.facts);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_collaboration_files_are_edited_and_an_open_tab_is_named() {
    let starting =
        tokio::task::spawn_blocking(|| Jupyter::lab(&["--YDocExtension.disable_rtc=True"]));
    let (server, home) = (starting.await.unwrap(), Home::new());
    let mut bridge = connect(&home, &server.url());
    let add = |bridge: &mut Bridge| {
        let added = bridge.call(
            "add_code_cell",
            json!({"code": "x = 1", "notebook": "a.ipynb"}),
        );
        added.succeeded();
        added
    };
    bridge
        .call(
            "open_notebook",
            json!({"notebook": "a.ipynb", "create": true}),
        )
        .succeeded();
    let alone = add(&mut bridge);
    assert_eq!(alone.facts["warning"], Value::Null, "{alone:?}");

    let session =
        json!({"path": "a.ipynb", "name": "a", "type": "notebook", "kernel": {"name": "python3"}});
    let (status, session) = server
        .send("POST", "api/sessions", &session.to_string())
        .unwrap();
    assert_eq!(status, 201, "{session}");
    let session: Value = serde_json::from_str(&session).unwrap();
    let endpoint = Endpoint {
        kind: Kind::Jupyter,
        url: Url::parse(&server.url()).unwrap(),
        token: Secret::new(TOKEN),
    };
    let kernel = session["kernel"]["id"].as_str().unwrap();
    let client = Server::new(&endpoint).unwrap();
    let _tab = client
        .open(kernel, "tab", "kernel_info_request")
        .await
        .unwrap();
    let watched = add(&mut bridge);
    assert!(
        watched.fact("warning").contains("reload it there"),
        "{watched:?}"
    );
    assert_eq!(
        check(&server.root().join("a.ipynb"))["cells"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}
