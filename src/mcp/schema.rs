//! Generates schemas that every client accepts: strict ones reject schemars' optional arguments and number formats.

use std::sync::Arc;

use rmcp::model::JsonObject;
use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema};
use serde_json::Value;

/// The schema of a tool's arguments. rmcp's own schemas would stay in memory beside the plain ones, three copies of each. Reports have no schema:
/// no client shows one to its model, and they would take more room in the list of tools than all the rest.
pub(super) fn input<T: JsonSchema>() -> Arc<JsonObject> {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<T>();
    Plain.transform(&mut schema);
    let object = schema.ensure_object();
    // The name and the comment of a Rust type are of no use to a client.
    for key in ["$schema", "title", "description"] {
        object.remove(key);
    }
    Arc::new(std::mem::take(object))
}

struct Plain;

impl Transform for Plain {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        let Some(object) = schema.as_object_mut() else {
            return;
        };
        let format = object.get("format").and_then(Value::as_str);
        if format.is_some_and(is_number_format) {
            object.remove("format");
        }
        drop_null(object);
    }
}

fn is_number_format(format: &str) -> bool {
    format.starts_with("uint") || format.starts_with("int") || matches!(format, "float" | "double")
}

/// An optional argument may be omitted, so `null` needs no type of its own.
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
