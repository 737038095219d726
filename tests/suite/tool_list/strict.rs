//! Schemas for the strictest clients.

use serde_json::{Map, Value, json};

use super::listed;

/// Follows the rules of MCP Inspector's `--strict`, which cover the strictest clients.
#[test]
fn every_schema_node_has_exactly_one_type() {
    for tool in listed() {
        let name = tool["name"].as_str().unwrap();
        assert_portable(&tool["inputSchema"], name);
    }
}

#[track_caller]
fn assert_portable(schema: &Value, way: &str) {
    let object = schema.as_object();
    let object = object.unwrap_or_else(|| panic!("{way} is not an object: {schema}"));
    assert!(!object.get("type").is_some_and(Value::is_array), "{way}");
    let demands = ["type", "anyOf", "oneOf", "allOf", "enum", "const", "$ref"];
    let demands_any = demands.iter().any(|keyword| object.contains_key(*keyword));
    assert!(demands_any, "{way} takes anything: {schema}");
    if let Some(Value::String(place)) = object.get("$ref") {
        assert!(place.starts_with('#'), "{way}: {place}");
    }
    for (keyword, value) in object {
        let way = format!("{way}/{keyword}");
        match (keyword.as_str(), value) {
            ("properties" | "$defs", Value::Object(places)) => {
                for (name, place) in places {
                    assert_portable(place, &format!("{way}/{name}"));
                }
            }
            ("anyOf" | "oneOf" | "allOf" | "prefixItems", Value::Array(choices)) => {
                choices
                    .iter()
                    .for_each(|choice| assert_portable(choice, &way));
            }
            ("items", place) | ("additionalProperties", place @ Value::Object(_)) => {
                assert_portable(place, &way);
            }
            _ => {}
        }
    }
}

/// Visits every object in a schema, with its path.
fn walk(value: &Value, way: &str, visit: &mut dyn FnMut(&str, &Map<String, Value>)) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| walk(item, way, visit)),
        Value::Object(object) => {
            visit(way, object);
            for (name, item) in object {
                walk(item, &format!("{way}/{name}"), visit);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn input_schemas_are_described_and_use_no_unions_or_number_formats() {
    for tool in listed() {
        let schema = &tool["inputSchema"];
        assert_eq!(schema["type"], "object", "{schema}");
        for (argument, described) in schema["properties"].as_object().into_iter().flatten() {
            let text = described["description"].as_str().unwrap_or_default();
            assert!(
                !text.is_empty(),
                "{}: {argument} has no description",
                tool["name"]
            );
        }
        let name = tool["name"].as_str().unwrap();
        walk(schema, name, &mut |way, object| {
            let kind = object.get("type");
            let is_null = |kind: &Value| {
                kind == "null" || kind.as_array().is_some_and(|a| a.contains(&json!("null")))
            };
            assert!(!kind.is_some_and(is_null), "{way}: {object:?}");
            assert!(!kind.is_some_and(Value::is_array), "{way}: {object:?}");
            assert_no_number_format(way, object);
        });
    }
}

#[track_caller]
fn assert_no_number_format(way: &str, object: &Map<String, Value>) {
    let format = object.get("format").and_then(Value::as_str);
    let is_number = |format: &str| format.contains("int") || matches!(format, "float" | "double");
    assert!(!format.is_some_and(is_number), "{way}: {object:?}");
}
