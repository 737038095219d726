//! The list of tools as a client sees it.

mod expected;
mod strict;

use serde_json::{Value, json};

use crate::support::home::Home;
use crate::support::stdio::Bridge;
use expected::EXPECTED_TOOLS;

/// What the tools may take of a model's context before it has called any.
const MAX_LIST_BYTES: usize = 32_508;

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
