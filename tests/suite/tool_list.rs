//! The list of tools as a client sees it.

mod strict;

use serde_json::{Value, json};

use crate::support::home::Home;
use crate::support::stdio::Bridge;

/// Name, required and optional arguments, read-only hint, destructive hint.
type ExpectedTool = (&'static str, Names, Names, bool, bool);
type Names = &'static [&'static str];

const EXPECTED_TOOLS: [ExpectedTool; 38] = [
    ("open_notebook", &[], &["create", "notebook"], false, false),
    (
        "open_colab_browser_connection",
        &[],
        &["notebook_url"],
        false,
        false,
    ),
    ("list_colab_tools", &[], &[], true, false),
    (
        "assign_colab_runtime",
        &[],
        &[
            "accelerator",
            "confirm",
            "high_ram",
            "max_hours",
            "max_units",
        ],
        false,
        false,
    ),
    ("list_colab_runtimes", &[], &[], true, false),
    (
        "unassign_colab_runtime",
        &["name"],
        &["confirm"],
        false,
        true,
    ),
    ("call_colab_tool", &["name"], &["arguments"], false, true),
    (
        "get_cells",
        &[],
        &["from", "include_outputs", "notebook", "to"],
        true,
        false,
    ),
    (
        "add_code_cell",
        &["code"],
        &["cell_index", "notebook"],
        false,
        false,
    ),
    (
        "add_text_cell",
        &["content"],
        &["cell_index", "notebook"],
        false,
        false,
    ),
    (
        "update_cell",
        &["content"],
        &["cell_id", "cell_index", "expect", "notebook"],
        false,
        true,
    ),
    (
        "delete_cell",
        &[],
        &["cell_id", "cell_index", "expect", "notebook"],
        false,
        true,
    ),
    (
        "move_cell",
        &["cell_index"],
        &["cell_id", "from", "notebook"],
        false,
        false,
    ),
    (
        "run_code_cell",
        &[],
        &[
            "cell_id",
            "cell_index",
            "expect",
            "notebook",
            "session",
            "timeout_sec",
            "wait_sec",
        ],
        false,
        true,
    ),
    (
        "run_cells",
        &[],
        &[
            "from",
            "notebook",
            "session",
            "timeout_sec",
            "to",
            "wait_sec",
        ],
        false,
        true,
    ),
    (
        "run_notebook",
        &[],
        &[
            "cells",
            "from_cell",
            "max_retries",
            "notebook",
            "on_error",
            "parameters",
            "restart",
            "retry_on",
            "session",
            "timeout_sec",
            "wait_sec",
        ],
        false,
        true,
    ),
    ("check_colab_connection", &[], &[], true, false),
    ("probe_colab_environment", &[], &["packages"], true, false),
    (
        "run_code_quick",
        &["code"],
        &["session", "wait_sec"],
        false,
        true,
    ),
    (
        "run_code_long",
        &["code"],
        &["checkpoint_name", "session", "timeout_sec", "wait_sec"],
        false,
        true,
    ),
    (
        "run_chunked_operation",
        &[],
        &[
            "batch_size",
            "checkpoint_name",
            "keep_done",
            "loop_code",
            "n_iterations",
            "on_error",
            "restart",
            "retry_skipped",
            "session",
            "setup_code",
            "wait_sec",
        ],
        false,
        true,
    ),
    (
        "list_colab_files",
        &[],
        &["cursor", "name", "path", "top"],
        true,
        false,
    ),
    (
        "download_from_colab",
        &["remote_path"],
        &["local_filename", "max_bytes"],
        false,
        false,
    ),
    (
        "read_colab_file",
        &["path"],
        &["line", "lines"],
        true,
        false,
    ),
    (
        "upload_to_colab",
        &["local_path"],
        &["remote_path", "max_bytes"],
        false,
        true,
    ),
    (
        "cleanup_colab",
        &[],
        &["session", "temp_files", "variables"],
        false,
        true,
    ),
    (
        "list_colab_variables",
        &[],
        &["name", "session", "top"],
        true,
        false,
    ),
    ("get_checkpoint", &["operation"], &[], true, false),
    ("list_checkpoints", &[], &["top"], true, false),
    ("delete_checkpoint", &["operation"], &[], false, true),
    (
        "export_notebook",
        &[],
        &["filename", "last", "session"],
        false,
        false,
    ),
    (
        "get_output",
        &["job_id"],
        &[
            "after",
            "context",
            "from_byte",
            "grep",
            "max_chars",
            "tail_lines",
            "until",
            "wait_sec",
        ],
        true,
        false,
    ),
    ("list_jobs", &[], &["session", "state", "top"], true, false),
    (
        "interrupt_execution",
        &[],
        &["job_id", "session"],
        false,
        true,
    ),
    (
        "restart_session",
        &[],
        &["confirm", "remove", "session"],
        false,
        true,
    ),
    (
        "save_session",
        &[],
        &["names", "path", "session"],
        false,
        false,
    ),
    (
        "load_session",
        &["path"],
        &["names", "overwrite", "session"],
        false,
        true,
    ),
    ("connect_colab", &["url"], &["token"], false, false),
];

/// What the tools may take of a model's context before it has called any.
const MAX_LIST_BYTES: usize = 31_313;

/// Lists the tools as a client sees them.
pub(crate) fn listed() -> Vec<Value> {
    let home = Home::new();
    let mut bridge = Bridge::greeted(home.program(&[]));
    let list = bridge.request("tools/list", json!({}));
    assert!(list.get("nextCursor").is_none_or(Value::is_null), "{list}");
    list["tools"].as_array().unwrap().clone()
}

fn names(value: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = match value {
        Value::Object(map) => map.keys().map(String::as_str).collect(),
        Value::Array(list) => list.iter().map(|name| name.as_str().unwrap()).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    names.sort_unstable();
    names
}

#[test]
fn the_tools_and_their_arguments_are_as_specified() {
    let tools = listed();
    let mut found: Vec<&str> = tools
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    found.sort_unstable();
    let mut expected: Vec<&str> = EXPECTED_TOOLS.iter().map(|tool| tool.0).collect();
    expected.sort_unstable();
    assert_eq!(found, expected);
    for (name, required, optional, _, _) in EXPECTED_TOOLS {
        let tool = tools.iter().find(|tool| tool["name"] == name).unwrap();
        let schema = &tool["inputSchema"];
        assert_eq!(names(&schema["required"]), required, "{name}");
        let mut all = [required, optional].concat();
        all.sort_unstable();
        assert_eq!(names(&schema["properties"]), all, "{name}");
    }
}

#[test]
fn every_tool_has_a_title_a_description_and_annotations() {
    for tool in listed() {
        let name = tool["name"].as_str().unwrap();
        assert!(!tool["title"].as_str().unwrap().is_empty(), "{name}");
        let description = tool["description"].as_str().unwrap();
        let length = description.chars().count();
        assert!(
            (40..700).contains(&length),
            "{name}: {length}: {description}"
        );
        assert!(!description.contains("  "), "{name}: {description:?}");
        let notes = &tool["annotations"];
        for hint in [
            "readOnlyHint",
            "destructiveHint",
            "idempotentHint",
            "openWorldHint",
        ] {
            // The other hints have a meaning only for tools that change something.
            let needed = hint == "readOnlyHint" || notes["readOnlyHint"] == false;
            assert!(!needed || notes[hint].is_boolean(), "{name}: {notes}");
        }
        let expected = EXPECTED_TOOLS.iter().find(|tool| tool.0 == name);
        let Some((.., reads, destroys)) = expected else {
            continue;
        };
        assert_eq!(notes["readOnlyHint"], *reads, "{name}");
        if !reads {
            assert_eq!(notes["destructiveHint"], *destroys, "{name}");
        }
    }
}

#[test]
fn the_list_of_tools_is_short_and_has_no_output_schemas() {
    let tools = listed();
    for tool in &tools {
        // No client shows one to its model.
        assert_eq!(tool.get("outputSchema"), None, "{}", tool["name"]);
    }
    let bytes = serde_json::to_string(&tools).unwrap().len();
    assert!(bytes <= MAX_LIST_BYTES, "{bytes}");
}
