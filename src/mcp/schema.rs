//! Generates schemas that every client accepts: strict ones reject schemars' optional arguments and number formats.

use std::sync::Arc;

use rmcp::model::JsonObject;
use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema};
use serde_json::{Value, json};

/// Keywords that describe a value without constraining it.
const ANNOTATIONS: [&str; 4] = ["$defs", "default", "description", "title"];

/// The schema of a tool's arguments. rmcp's own schemas would stay in memory beside the plain ones, three copies of each.
pub(super) fn input<T: JsonSchema>() -> Arc<JsonObject> {
    plain::<T>(SchemaSettings::draft2020_12(), Plain { is_input: true })
}

/// The schema of a tool's report.
pub(super) fn output<T: JsonSchema>() -> Arc<JsonObject> {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    plain::<T>(settings, Plain { is_input: false })
}

fn plain<T: JsonSchema>(settings: SchemaSettings, mut plain: Plain) -> Arc<JsonObject> {
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    plain.transform(&mut schema);
    let object = schema.ensure_object();
    // The name and the comment of a Rust type are of no use to a client.
    for key in ["$schema", "title", "description"] {
        object.remove(key);
    }
    Arc::new(std::mem::take(object))
}

struct Plain {
    is_input: bool,
}

impl Transform for Plain {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        if schema.as_bool() == Some(true) {
            *schema = Schema::default();
        }
        let Some(object) = schema.as_object_mut() else {
            return;
        };
        let format = object.get("format").and_then(Value::as_str);
        if format.is_some_and(is_number_format) {
            object.remove("format");
        }
        // An optional argument may be omitted, so `null` needs no type of its own.
        if self.is_input {
            drop_null(object);
        } else {
            split_types(object);
        }
        if is_free(object) {
            let types = ["null", "boolean", "number", "string", "array", "object"];
            let any: Vec<Value> = types.iter().map(|name| json!({"type": name})).collect();
            object.insert("anyOf".to_owned(), any.into());
        }
    }
}

fn is_annotation(keyword: &str) -> bool {
    ANNOTATIONS.contains(&keyword)
}

/// Whether any value is valid; some clients reject such a schema without a type.
fn is_free(object: &JsonObject) -> bool {
    object.keys().all(|keyword| is_annotation(keyword))
}

/// Converts several types in one keyword to alternative schemas of one type each.
fn split_types(object: &mut JsonObject) {
    let Some(Value::Array(types)) = object.get("type") else {
        return;
    };
    let types = types.clone();
    let (kept, mut demands): (JsonObject, JsonObject) = std::mem::take(object)
        .into_iter()
        .partition(|(keyword, _)| is_annotation(keyword));
    let choices = types.into_iter().map(|name| {
        if name == "null" {
            return json!({"type": name});
        }
        demands.insert("type".to_owned(), name);
        Value::Object(demands.clone())
    });
    let choices: Vec<Value> = choices.collect();
    *object = kept;
    object.insert("anyOf".to_owned(), choices.into());
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
