//! The types of arguments: values of other forms converted to them.

use rmcp::model::JsonObject;
use serde_json::{Value, json};

/// Characters of a wrong argument that its error quotes.
const MAX_SHOWN: usize = 64;
/// From 2^53 on a float does not represent every integer.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// The expected type of an argument.
pub(super) enum Wanted<'a> {
    Integer {
        is_unsigned: bool,
    },
    Number,
    Boolean,
    Choice(Vec<&'a Value>),
    Names,
    Object,
    /// A list of objects of this schema; the second is that of the tool.
    Objects(&'a Value, &'a JsonObject),
    Text,
}

impl<'a> Wanted<'a> {
    pub(super) fn of(property: &'a Value, root: &'a JsonObject) -> Self {
        let property = defined(property, root);
        let consts = property.get("oneOf").and_then(Value::as_array);
        if let Some(choices) = property.get("enum").and_then(Value::as_array) {
            return Self::Choice(choices.iter().collect());
        }
        if let Some(choices) = consts {
            return Self::Choice(choices.iter().filter_map(|one| one.get("const")).collect());
        }
        match property["type"].as_str() {
            Some("integer") => Self::Integer {
                is_unsigned: property["minimum"] == 0,
            },
            Some("number") => Self::Number,
            Some("boolean") => Self::Boolean,
            Some("array") => match property.get("items").map(|items| defined(items, root)) {
                Some(items) if items["type"] == "object" => Self::Objects(items, root),
                _ => Self::Names,
            },
            Some("object") => Self::Object,
            _ => Self::Text,
        }
    }

    /// Converts the value to this type; some clients have no integers, and others send everything as text.
    pub(super) fn fit(&self, given: &Value) -> Option<Value> {
        match self {
            Self::Integer { is_unsigned } => {
                let number = integer(given)?;
                (!is_unsigned || number >= 0).then(|| json!(number))
            }
            Self::Number => read(given).filter(Value::is_number),
            Self::Boolean => match given.as_str() {
                Some(text) => text
                    .trim()
                    .to_lowercase()
                    .parse::<bool>()
                    .ok()
                    .map(Value::Bool),
                None => given.is_boolean().then(|| given.clone()),
            },
            Self::Choice(choices) => choices.contains(&given).then(|| given.clone()),
            Self::Names => names(given),
            Self::Object => read(given).filter(Value::is_object),
            Self::Objects(schema, root) => {
                let given = read(given)?;
                let items = given.as_array()?.iter();
                items.map(|item| member_fit(item, schema, root)).collect()
            }
            Self::Text => given.is_string().then(|| given.clone()),
        }
    }

    pub(super) fn in_words(&self) -> String {
        match self {
            Self::Integer { is_unsigned: true } => "an integer of 0 or more".to_owned(),
            Self::Integer { is_unsigned: false } => "an integer".to_owned(),
            Self::Number => "a number".to_owned(),
            Self::Boolean => "true or false".to_owned(),
            Self::Choice(choices) => {
                let choices: Vec<String> = choices.iter().map(ToString::to_string).collect();
                format!("one of {}", choices.join(", "))
            }
            Self::Names => "a list of strings".to_owned(),
            Self::Object => "an object".to_owned(),
            Self::Objects(schema, _) => {
                let properties = schema["properties"].as_object();
                let members: Vec<&str> = properties
                    .into_iter()
                    .flat_map(JsonObject::keys)
                    .map(String::as_str)
                    .collect();
                let required = &schema["required"];
                format!(
                    "a list of objects with {} (of which {required} must be there)",
                    members.join(", ")
                )
            }
            Self::Text => "a string".to_owned(),
        }
    }

    /// Quotes a wrong value. Text may be secret, so a value given for one is not quoted.
    pub(super) fn quote(&self, given: &Value) -> String {
        match given {
            Value::Array(_) => "a list".to_owned(),
            Value::Object(_) => "an object".to_owned(),
            Value::Number(_) if matches!(self, Self::Text) => "a number".to_owned(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                let text = given.to_string();
                let mut shown: String = text.chars().take(MAX_SHOWN).collect();
                if shown.len() < text.len() {
                    shown.push('…');
                }
                shown
            }
        }
    }
}

/// A value, or the one that a text holds as JSON.
fn read(given: &Value) -> Option<Value> {
    match given.as_str() {
        Some(text) => serde_json::from_str(text).ok(),
        None => Some(given.clone()),
    }
}

/// What a property refers to, or itself.
fn defined<'a>(property: &'a Value, root: &'a JsonObject) -> &'a Value {
    let place = property.get("$ref").and_then(Value::as_str);
    let name = place.and_then(|place| place.strip_prefix("#/$defs/"));
    let definition = name.and_then(|name| root.get("$defs")?.get(name));
    definition.unwrap_or(property)
}

/// Converts an object whose members have types.
fn member_fit(given: &Value, schema: &Value, root: &JsonObject) -> Option<Value> {
    let mut fitting = given.as_object()?.clone();
    for (name, property) in schema["properties"].as_object()? {
        let is_required = schema["required"]
            .as_array()
            .is_some_and(|all| all.contains(&json!(name)));
        match fitting.get_mut(name) {
            None | Some(Value::Null) if is_required => return None,
            None | Some(Value::Null) => {
                fitting.remove(name);
            }
            Some(member) => *member = Wanted::of(property, root).fit(member)?,
        }
    }
    Some(Value::Object(fitting))
}

/// Parses a list of strings given as `["a", "b"]`, as that in a text, or as `"a, b"`.
fn names(given: &Value) -> Option<Value> {
    match given {
        Value::Array(items) => items.iter().all(Value::is_string).then(|| given.clone()),
        Value::String(text) => match serde_json::from_str(text) {
            Ok(list @ Value::Array(_)) => names(&list),
            Ok(_) | Err(_) => {
                let parts = text.split(',').map(str::trim);
                Some(parts.filter(|part| !part.is_empty()).collect())
            }
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

/// Parses an integer given as `600`, `600.0` or `"600"`.
fn integer(given: &Value) -> Option<i64> {
    let whole = |number: f64| {
        let is_exact = number.fract() == 0.0 && number.abs() < MAX_EXACT;
        #[expect(clippy::cast_possible_truncation, reason = "checked above")]
        is_exact.then_some(number as i64)
    };
    match given {
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().and_then(whole)),
        Value::String(text) => {
            let text = text.trim();
            let number = || text.parse().ok().and_then(whole);
            text.parse().ok().or_else(number)
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Wanted, integer, names};

    #[test]
    fn lists_of_names_parse_from_arrays_and_text() {
        for (given, expected) in [
            (json!(["a", "b"]), Some(json!(["a", "b"]))),
            (json!("[\"a\", \"b\"]"), Some(json!(["a", "b"]))),
            (json!(" a, b,"), Some(json!(["a", "b"]))),
            (json!("a"), Some(json!(["a"]))),
            (json!(""), Some(json!([]))),
            (json!(["a", 1]), None),
            (json!("[1]"), None),
            (json!(1), None),
            (json!({"a": 1}), None),
        ] {
            assert_eq!(names(&given), expected, "{given}");
        }
    }

    #[test]
    fn lists_of_objects_parse_from_arrays_and_text() {
        let schema = json!({"$defs": {"Cell": {"type": "object", "required": ["source"], "properties": {
            "source": {"type": "string"}, "tags": {"type": "array", "items": {"type": "string"}}}}}});
        let property = json!({"type": "array", "items": {"$ref": "#/$defs/Cell"}});
        let wanted = Wanted::of(&property, schema.as_object().unwrap());
        for (given, expected) in [
            (
                json!([{"source": "a", "tags": "b, c"}]),
                Some(json!([{"source": "a", "tags": ["b", "c"]}])),
            ),
            (
                json!("[{\"source\": \"a\"}]"),
                Some(json!([{"source": "a"}])),
            ),
            (json!([{"source": 1}]), None),
            (json!([{"tags": []}]), None),
            (json!(["a"]), None),
            (json!({"source": "a"}), None),
        ] {
            assert_eq!(wanted.fit(&given), expected, "{given}");
        }
    }

    #[test]
    fn numbers_parse_from_int_float_and_string() {
        let property = json!({"type": "number"});
        let wanted = Wanted::of(&property, property.as_object().unwrap());
        for (given, expected) in [
            (json!(2), Some(json!(2))),
            (json!(0.5), Some(json!(0.5))),
            (json!(" 1.5 "), Some(json!(1.5))),
            (json!("soon"), None),
            (json!(true), None),
        ] {
            assert_eq!(wanted.fit(&given), expected, "{given}");
        }
    }

    #[test]
    fn integers_parse_from_int_float_and_string() {
        for (given, expected) in [
            (json!(600), Some(600)),
            (json!(600.0), Some(600)),
            (json!(" 600 "), Some(600)),
            (json!("3.0"), Some(3)),
            (json!(-20), Some(-20)),
            (json!("-20"), Some(-20)),
            (
                json!(9_007_199_254_740_993_u64),
                Some(9_007_199_254_740_993),
            ),
            (json!(u64::MAX), None),
            (json!(0.5), None),
            (json!("0.5"), None),
            (json!(1e30), None),
            (json!("soon"), None),
            (json!("nan"), None),
            (json!(""), None),
            (json!(true), None),
            (json!([1]), None),
        ] {
            assert_eq!(integer(&given), expected, "{given}");
        }
    }
}
