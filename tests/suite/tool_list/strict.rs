//! Schemas for the strictest clients.

use serde_json::Value;

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
