//! Schemas as every client reads them: schemars' optional arguments and number formats trip strict ones.

use std::sync::Arc;

use rmcp::model::{JsonObject, Tool};
use serde_json::Value;

/// Makes one tool's schemas plain.
pub(super) fn tidy(mut tool: Tool) -> Tool {
    tool.input_schema = plain(&tool.input_schema, true);
    tool.output_schema = tool.output_schema.map(|schema| plain(&schema, false));
    tool
}

/// In inputs an optional argument is one that may be left out, so `null` needs no type of its own.
fn plain(schema: &Arc<JsonObject>, input: bool) -> Arc<JsonObject> {
    let mut value = Value::Object(schema.as_ref().clone());
    walk(&mut value, input);
    let Value::Object(mut object) = value else {
        return schema.clone();
    };
    object.remove("$schema");
    Arc::new(object)
}

fn walk(value: &mut Value, input: bool) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| walk(item, input)),
        Value::Object(object) => {
            let is_number_format = object
                .get("format")
                .and_then(Value::as_str)
                .is_some_and(is_number_format);
            if is_number_format {
                object.remove("format");
            }
            if input {
                drop_null(object);
            }
            object.values_mut().for_each(|item| walk(item, input));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn is_number_format(format: &str) -> bool {
    format.starts_with("uint") || format.starts_with("int") || matches!(format, "float" | "double")
}

fn drop_null(object: &mut JsonObject) {
    if object.get("default") == Some(&Value::Null) {
        object.remove("default");
    }
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
        choices.retain(|choice| choice.get("type").and_then(Value::as_str) != Some("null"));
        if let [Value::Object(only)] = choices.as_slice() {
            let only = only.clone();
            object.remove("anyOf");
            object.extend(only);
        }
    }
}
