//! What users meet in their client: prompts, questions, and the tools that they left.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use smart_colab::edge::toolsets::Toolset;

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
fn a_prompt_without_its_arguments_names_them() {
    let home = Home::new();
    let mut bridge = Bridge::greeted(home.program(&[]));
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
}

#[test]
fn instructions_and_prompts_name_no_tool_that_is_switched_off() {
    let names = |list: &Value, of: &str| -> Vec<String> {
        let list = list[of].as_array().unwrap().iter();
        list.map(|one| one["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let home = Home::new();
    let mut bridge = Bridge::greeted(home.program(&[]));
    let tools = names(&bridge.request("tools/list", json!({})), "tools");
    let prompts = bridge.request("prompts/list", json!({}));
    let texts = names(&prompts, "prompts").into_iter().map(|name| {
        let arguments = json!({"task": "t", "path": "p", "notebook": "n"});
        let prompt = bridge.request("prompts/get", json!({"name": name, "arguments": arguments}));
        let text = prompt["messages"][0]["content"]["text"].as_str().unwrap();
        (name, text.to_owned())
    });
    let texts: Vec<(String, String)> = texts.collect();
    let named = |text: &str| -> Vec<String> {
        let words = text.split(|c: char| c != '_' && !c.is_ascii_alphanumeric());
        let words = words.filter(|word| tools.iter().any(|tool| tool == word));
        words.map(str::to_owned).collect()
    };
    for toolset in Toolset::ALL {
        let off = format!("-{}", toolset.name());
        let mut bridge = Bridge::start(home.program(&[("SMART_COLAB_TOOLSETS", &off)]));
        let hello = bridge.initialize("2025-11-25");
        bridge.notify("notifications/initialized", json!({}));
        let offered = names(&bridge.request("tools/list", json!({})), "tools");
        let told = named(hello["instructions"].as_str().unwrap());
        assert!(
            told.iter().all(|tool| offered.contains(tool)),
            "{off}: {told:?}"
        );
        let listed = names(&bridge.request("prompts/list", json!({})), "prompts");
        for (name, text) in &texts {
            let is_whole = named(text).iter().all(|tool| offered.contains(tool));
            assert_eq!(listed.contains(name), is_whole, "{off}: {name}");
        }
    }
}
