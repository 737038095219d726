//! Schemas as every client reads them: schemars' optional arguments and number formats trip strict ones.

use std::sync::Arc;

use rmcp::model::JsonObject;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

/// What a tool takes. rmcp's own schemas would stay in memory beside the plain ones, three copies of each.
pub(super) fn input<T: JsonSchema>() -> Arc<JsonObject> {
    plain::<T>(SchemaSettings::draft2020_12(), true)
}

/// What a tool reports.
pub(super) fn output<T: JsonSchema>() -> Arc<JsonObject> {
    plain::<T>(SchemaSettings::draft2020_12().for_serialize(), false)
}

/// In inputs an optional argument is one that may be left out, so `null` needs no type of its own.
fn plain<T: JsonSchema>(settings: SchemaSettings, input: bool) -> Arc<JsonObject> {
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    let object = schema.ensure_object();
    // The name and the comment of a Rust type tell a client nothing.
    for key in ["$schema", "title", "description"] {
        object.remove(key);
    }
    walk_object(object, input);
    Arc::new(std::mem::take(object))
}

fn walk(value: &mut Value, input: bool) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| walk(item, input)),
        Value::Object(object) => walk_object(object, input),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn walk_object(object: &mut JsonObject, input: bool) {
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
