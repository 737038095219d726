//! Reading and editing.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use super::Client;
use crate::support::executor::Executor;
use crate::support::home::Home;
use crate::support::proxy::Proxy;
use crate::support::python::python;
use crate::support::stdio::{Answer, Bridge};

#[test]
fn cells_are_added_updated_moved_and_deleted() {
    let mut client = Client::with_new("edits.ipynb");
    let first = client.call(
        "add_code_cell",
        json!({"code": "x = 1\nx", "cellIndex": 0, "language": "python"}),
    );
    first.succeeded();
    let text = client.call(
        "add_text_cell",
        json!({"content": "# Tïtle", "cellIndex": 0}),
    );
    assert_eq!(
        (&text.facts["cell_index"], &text.facts["cells"]),
        (&json!(0), &json!(2))
    );
    let id = first.fact("cell_id").to_owned();

    let version = first.fact("version");
    let updated = client.call(
        "update_cell",
        json!({"cellId": id, "content": "x = 2", "expect": version}),
    );
    updated.succeeded();
    assert_eq!(updated.facts["cell_index"], 1);
    let stale = client.call(
        "update_cell",
        json!({"cell_id": id, "content": "x = 3", "expect": version}),
    );
    stale.refused("cell_changed");
    let error = stale.fact("error");
    assert!(
        error.contains("x = 2") && error.contains(updated.fact("version")),
        "{error}"
    );

    let moved = client.call("move_cell", json!({"cellId": id, "cellIndex": 0}));
    assert_eq!(moved.facts["cell_index"], 0);
    let shown = client.cells();
    assert_eq!(
        (&shown.facts["cells"], &shown.facts["nbformat"]),
        (&json!(2), &json!("4.5"))
    );
    let expected = format!(
        "--- [0] code id={id} version={} ---\nx = 2\n--- [1] markdown id={} version={} ---\n# Tïtle\n",
        updated.fact("version"),
        text.fact("cell_id"),
        text.fact("version")
    );
    assert_eq!(shown.text, expected);
    let one = client.call(
        "get_cells",
        json!({"cellIndexStart": 1, "cellIndexEnd": 1, "includeOutputs": false}),
    );
    assert!(one.text.starts_with("--- [1] markdown"), "{}", one.text);

    let gone = client.call("delete_cell", json!({"cellId": id}));
    gone.succeeded();
    assert_eq!(
        (&gone.facts["cells"], &gone.facts["cell_index"]),
        (&json!(1), &json!(null))
    );
    client
        .call("delete_cell", json!({"cell_id": id}))
        .refused("not_found");
    client
        .call("move_cell", json!({"from": 0, "cell_index": 7}))
        .refused("not_found");
    assert_eq!(client.valid()["cells"].as_array().unwrap().len(), 1);
}

#[test]
fn an_edit_leaves_the_rest_of_a_file_as_its_writer_wrote_it() {
    let text = "{\r\n\t\"cells\": [\r\n\t\t{\"cell_type\": \"code\", \"source\": \"a\", \"metadata\": {\"n\": NaN, \"x\": 1.50}, \"outputs\": [], \"execution_count\": null}\r\n\t],\r\n\t\"metadata\": { },\r\n\t\"nbformat\": 4, \"nbformat_minor\": 4\r\n}";
    let mut client = Client::with_text("kept.ipynb", text);
    let edited = client.call("update_cell", json!({"cell_index": 0, "content": "b\nü"}));
    edited.succeeded();
    assert_eq!(edited.facts["cell_id"], json!(null));
    let found = fs::read_to_string(&client.path).unwrap();
    assert_eq!(
        found,
        text.replace("\"source\": \"a\"", "\"source\": \"b\\nü\"")
    );
}

#[test]
fn what_cannot_be_edited_is_refused_and_kept() {
    let mut client = Client::of("odd.ipynb");
    client
        .call("get_cells", json!({}))
        .refused("invalid_argument");
    client
        .call("open_notebook", json!({"notebook": "odd.txt"}))
        .refused("invalid_argument");
    let missing = client.call("open_notebook", json!({"notebook": "missing.ipynb"}));
    missing.refused("not_found");
    assert!(
        missing.fact("hint").contains("create: true"),
        "{}",
        missing.facts
    );
    let cell = json!({"content": "x", "cell_index": 0, "notebook": "odd.ipynb"});
    for (text, said) in [
        ("", "is empty"),
        ("{\"cells\": [", "not valid JSON"),
        ("{\n<<<<<<< HEAD\n}", "unfinished merge"),
        ("<<<<<<<\n{", "unfinished merge"),
        ("{\"nbformat\": 5, \"cells\": []}", "nbformat 5"),
        ("{\"nbformat\": 2, \"cells\": []}", "nbformat 2"),
        ("[]", "not a notebook"),
    ] {
        fs::write(&client.path, text).unwrap();
        let refused = client.call("update_cell", cell.clone());
        refused.refused("not_a_notebook");
        assert!(refused.fact("error").contains(said), "{}", refused.facts);
        assert_eq!(fs::read_to_string(&client.path).unwrap(), text);
    }
}

#[test]
fn notebooks_are_listed_and_an_opened_one_is_the_default() {
    let mut client = Client::with_new("listed.ipynb");
    let list = client.call("open_notebook", json!({}));
    list.succeeded();
    let path = client.path.display().to_string();
    let is_listed = |row: &Value| {
        row["notebook"]
            .as_str()
            .is_some_and(|name| path.ends_with(name))
    };
    assert!(list.rows().iter().any(is_listed), "{}", list.text);
    assert!(
        client
            .call("add_code_cell", json!({"code": "1"}))
            .fact("notebook")
            .ends_with("listed.ipynb")
    );
    // What is there is opened, not replaced.
    let create = json!({"notebook": "listed.ipynb", "create": true});
    let again = client.call("open_notebook", create.clone());
    assert_eq!(
        (&again.facts["cells"], &again.facts["created"]),
        (&json!(1), &json!(false))
    );
    // What was deleted meanwhile does not come back by itself.
    fs::remove_file(&client.path).unwrap();
    for (tool, more) in [
        ("get_cells", json!({})),
        ("add_code_cell", json!({"code": "2"})),
        ("run_cells", json!({})),
    ] {
        let gone = client.call(tool, more);
        gone.refused("not_found");
        assert!(gone.fact("hint").contains("create: true"), "{gone:?}");
    }
    assert!(!client.path.exists());
    let anew = client.call("open_notebook", create);
    assert_eq!(
        (&anew.facts["cells"], &anew.facts["created"]),
        (&json!(0), &json!(true))
    );
}

#[test]
fn two_bridges_that_create_one_notebook_both_have_it() {
    let mut one = Client::of("once.ipynb");
    let home = Home::new();
    let mut other = Executor::shared().bridge(&home, &[]);
    other.call("open_notebook", json!({})).succeeded();
    let create = json!({"notebook": "once.ipynb", "create": true});
    let begun = one.bridge.begin_call("open_notebook", create.clone());
    let second = other.call("open_notebook", create);
    let both = [Answer::of(&one.bridge.answer(begun)), second];
    // Its bytes are the same: whose they are cannot be told when both arrive at once, and need not be.
    assert!(
        both.iter().any(|answer| answer.facts["created"] == true),
        "{both:?}"
    );
    assert!(
        both.iter().all(|answer| answer.facts["cells"] == 0),
        "{both:?}"
    );
}

#[test]
fn two_bridges_that_edit_one_notebook_lose_nothing() {
    const EACH: usize = 100;
    let mut one = Client::with_new("shared.ipynb");
    let home = Home::new();
    let mut other = Executor::shared().bridge(&home, &[]);
    let mut begun = Vec::new();
    for number in 0..EACH {
        for (name, bridge) in [("one", &mut one.bridge), ("other", &mut other)] {
            let cell = json!({"notebook": "shared.ipynb", "code": format!("{name} {number}"), "cell_index": 0});
            begun.push((name, bridge.begin_call("add_code_cell", cell)));
        }
    }
    for (name, id) in begun {
        let bridge = if name == "one" {
            &mut one.bridge
        } else {
            &mut other
        };
        Answer::of(&bridge.answer(id)).succeeded();
    }
    let notebook = one.valid();
    let cells = notebook["cells"].as_array().unwrap();
    let source = |cell: &Value| cell["source"][0].as_str().unwrap().to_owned();
    let mut found: Vec<String> = cells.iter().map(source).collect();
    found.sort_unstable();
    found.dedup();
    assert_eq!((found.len(), cells.len()), (2 * EACH, 2 * EACH));
}

/// Notebooks of several formats and writers.
fn shapes() -> Vec<Value> {
    let old = json!([{"cells": [
        {"cell_type": "heading", "level": 1, "metadata": {}, "source": ["H"]},
        {"cell_type": "code", "collapsed": false, "input": ["print 1"], "language": "python", "metadata": {}, "outputs": []},
    ], "metadata": {}}]);
    let colab = json!([{"cell_type": "code", "metadata": {"id": "Zk1"}, "execution_count": null, "outputs": [], "source": ["1"]}]);
    let image = json!({"a.png": {"image/png": "QUJD"}});
    let newest = json!([
        {"cell_type": "raw", "id": "r", "metadata": {}, "source": "raw"},
        {"cell_type": "markdown", "id": "m", "metadata": {}, "source": "![a](attachment:a.png)", "attachments": image},
    ]);
    vec![
        json!({"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""}, "worksheets": old}),
        json!({"nbformat": 4, "nbformat_minor": 0, "metadata": {"colab": {}}, "cells": colab}),
        json!({"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": []}),
        json!({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": newest}),
    ]
}

#[test]
fn edited_notebooks_of_every_format_are_valid() {
    let mut client = Client::with_new("shape.ipynb");
    for shape in shapes() {
        fs::write(&client.path, shape.to_string()).unwrap();
        let code = json!({"code": "x = 1\nx", "cell_index": 0});
        client.call("add_code_cell", code).succeeded();
        client
            .call("add_text_cell", json!({"content": "ü"}))
            .succeeded();
        let updated = client.call("update_cell", json!({"cell_index": 0, "content": "1 / 0"}));
        updated.succeeded();
        client
            .call("move_cell", json!({"from": 0, "cell_index": 1}))
            .succeeded();
        let run = client.call("run_code_cell", json!({"cell_index": 1}));
        run.refused(if shape["nbformat"] == 4 {
            "python_error"
        } else {
            "not_runnable"
        });
        let code = "import json, sys, nbformat; nbformat.validate(json.load(open(sys.argv[1], encoding='utf-8')))";
        let mut command = Command::new(python());
        let output = command
            .args(["-c", code])
            .arg(&client.path)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[cfg(unix)]
#[test]
fn a_notebook_behind_a_link_is_edited_in_its_own_place() {
    let mut client = Client::with_new("behind/own.ipynb");
    let link = Executor::shared().root().join("link.ipynb");
    std::os::unix::fs::symlink("behind/own.ipynb", &link).unwrap();
    let added = json!({"notebook": "link.ipynb", "code": "1"});
    client.call("add_code_cell", added).succeeded();
    assert!(link.is_symlink());
    assert_eq!(client.valid()["cells"].as_array().unwrap().len(), 1);
    // It runs in its folder.
    let code = "import os; print(os.path.basename(os.getcwd()))";
    client.add(code);
    let run = client.call("run_cells", json!({}));
    run.succeeded();
    assert!(run.text.contains("behind\n"), "{}", run.text);
}

#[test]
fn arguments_that_do_not_name_one_cell_are_refused() {
    let mut client = Client::with_new("named.ipynb");
    let id = client.add("first");
    client.add("second");
    let both = json!({"cell_id": id, "cell_index": 1});
    for (tool, more) in [
        ("update_cell", json!({"content": "x"})),
        ("delete_cell", json!({})),
        ("run_code_cell", json!({})),
    ] {
        let mut arguments = both.clone();
        let all = arguments.as_object_mut().unwrap();
        all.extend(more.as_object().unwrap().clone());
        let refused = client.call(tool, arguments);
        refused.refused("invalid_argument");
        assert!(
            refused.fact("error").contains("is cell 0"),
            "{}",
            refused.facts
        );
    }
    let refused = client.call("move_cell", json!({"cell_index": 0}));
    refused.refused("invalid_argument");
    assert!(refused.fact("hint").contains("`from`"), "{}", refused.facts);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notebook_is_fetched_again_only_when_another_writer_has_changed_it() {
    let executor = Executor::shared();
    let proxy = Proxy::to(executor.address());
    let [own, through] = [executor.address(), proxy.address()].map(|address| address.to_string());
    let line = executor.line().replace(&own, &through);
    let home = Home::new();
    let mut bridge = Bridge::greeted(home.program(&[("COLAB_URL", &line)]));
    let mut fetched = |tool: &str, arguments: Value| {
        let answer = bridge.call(tool, arguments);
        answer.succeeded();
        (proxy.seen("/files/download").len(), answer.text)
    };
    let path = executor.root().join("fetched.ipynb");
    let name = json!({"notebook": "fetched.ipynb", "create": true});
    assert_eq!(fetched("open_notebook", name).0, 1);
    assert_eq!(fetched("add_code_cell", json!({"code": "x = 1"})).0, 1);
    assert_eq!(fetched("get_cells", json!({})).0, 1);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("x = 1", "x = 2")).unwrap();
    let (times, shown) = fetched("get_cells", json!({}));
    assert!(times == 2 && shown.contains("x = 2"), "{shown}");
    assert_eq!(fetched("add_code_cell", json!({"code": "x"})).0, 2);
    assert!(fs::read_to_string(&path).unwrap().contains("x = 2"));
}
