//! What users meet in their client: prompts, questions, and the tools that they left.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::support::home::Home;
use crate::support::python::{python, succeed};
use crate::support::stdio::Bridge;

#[test]
fn the_official_client_has_prompts_and_asks_where_to_compute_and_what_to_end() {
    let home = Home::new();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/official_user.py");
    let said = succeed(
        Command::new(python())
            .arg(script)
            .arg(env!("CARGO_BIN_EXE_smart-colab"))
            .arg(home.path())
            .arg(python()),
    );
    let expected = "analyse_a_dataset path question\nfree_memory what\nreproduce_a_notebook notebook parameters\nresume_work name\n\
        train_a_model task name\ndeclined\nsucceeded\ndeclined\nsucceeded\ncancelled\nforbidden_by_policy\nidle\ndeclined\ndeclined\n";
    assert_eq!(
        said,
        format!("2025-11-25\n{expected}2026-07-28\n{expected}")
    );
}

#[test]
fn a_tool_that_is_switched_off_is_not_listed_and_says_how_to_have_it() {
    let home = Home::new();
    let program = home.program(&[("SMART_COLAB_TOOLSETS", "code,jobs")]);
    let mut bridge = Bridge::greeted(program);
    let tools = bridge.request("tools/list", json!({}));
    let tools = tools["tools"].as_array().unwrap();
    assert_eq!(tools.len(), 5, "{tools:?}");
    let refused = bridge.call("connect_colab", json!({"url": "https://example.org#x"}));
    refused.refused("switched_off");
    assert!(
        refused.fact("error").contains("toolset pairing"),
        "{}",
        refused.facts
    );
    assert!(
        refused.fact("hint").contains("SMART_COLAB_TOOLSETS"),
        "{}",
        refused.facts
    );
    let missing = bridge.request(
        "prompts/get",
        json!({"name": "train_a_model", "arguments": {"task": " "}}),
    );
    let message = missing["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("task (required), name (optional)"),
        "{message}"
    );
}
