//! Notebooks as many programs write them.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::Client;
use crate::support::executor::Executor;
use crate::support::python::python;

const MARKER: &str = "MARKER = 1";

#[test]
fn notebooks_of_many_writers_are_edited_without_another_change_of_a_byte() {
    let folder = Executor::shared().root().join("shapes");
    fs::create_dir(&folder).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/notebook_shapes.py");
    let written = Command::new(python()).arg(script).arg(&folder).status();
    assert!(written.unwrap().success());
    let mut client = Client::of("none");
    let mut files: Vec<_> = fs::read_dir(&folder).unwrap().flatten().collect();
    files.sort_unstable_by_key(fs::DirEntry::file_name);
    assert_eq!(files.len(), 13);
    for file in files {
        let (path, name) = (file.path(), file.file_name().into_string().unwrap());
        let before = fs::read_to_string(&path).unwrap();
        assert_eq!(before.matches(MARKER).count(), 1, "{name}");
        let opened = client.call(
            "open_notebook",
            json!({"notebook": format!("shapes/{name}")}),
        );
        opened.succeeded();
        assert!(name.starts_with(opened.fact("nbformat")), "{opened:?}");

        let shown = client.call("get_cells", json!({"include_outputs": false}));
        shown.succeeded();
        let headings = shown.text.lines().filter(|line| line.starts_with("--- ["));
        let cell = shown.text.find(MARKER).unwrap();
        let index = shown.text[..cell].matches("--- [").count() - 1;
        assert_eq!(headings.count(), opened.facts["cells"], "{name}");

        let edit = json!({"cell_index": index, "content": "MARKER = 'é'"});
        client.call("update_cell", edit).succeeded();
        let after = fs::read_to_string(&path).unwrap();
        let is_escaped = before.is_ascii() && before.contains("\\u");
        let source = ["MARKER = 'é'", "MARKER = '\\u00e9'"][usize::from(is_escaped)];
        assert!(after == before.replace(MARKER, source), "{name}");

        // There and back again.
        let last = opened.facts["cells"].as_u64().unwrap() - 1;
        for (from, to) in [(0, last), (last, 0)] {
            let moving = json!({"from": from, "cell_index": to});
            client.call("move_cell", moving).succeeded();
        }
        assert!(fs::read_to_string(&path).unwrap() == after, "{name}");
        fs::remove_file(path).unwrap();
    }
}
