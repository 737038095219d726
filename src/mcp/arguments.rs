//! Fits a call's arguments to its tool's schema: models and clients send additional arguments, and other types.

use rmcp::model::{CallToolResult, JsonObject, Tool};
use serde_json::{Value, json};

use super::fault::Fault;
use super::reply;

/// Arguments that clients add to every call for their own use: Gemini CLI.
const ADDED_BY_CLIENTS: [&str; 1] = ["wait_for_previous"];
/// Arguments of colab-mcp's tools that have other names here, beside camel case.
const NAMES_ELSEWHERE: [(&str, &str); 2] = [("cellIndexStart", "from"), ("cellIndexEnd", "to")];
/// Characters of a wrong argument that its error quotes.
const MAX_SHOWN: usize = 64;
/// From 2^53 on a float does not represent every integer.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// Converts the arguments to the schema's types, removes those that the tool does not have, and returns their names.
///
/// # Errors
/// One fault that lists everything wrong.
pub(super) fn fit_to_schema(tool: &Tool, arguments: &mut JsonObject) -> Result<Vec<String>, Fault> {
    let schema = &*tool.input_schema;
    let no_properties = JsonObject::new();
    let properties = schema.get("properties").and_then(Value::as_object);
    let properties = properties.unwrap_or(&no_properties);
    let (mut faults, mut ignored) = (Vec::new(), Vec::new());
    let unknown: Vec<String> = arguments
        .keys()
        .filter(|name| !properties.contains_key(*name))
        .cloned()
        .collect();
    for name in unknown {
        let given = arguments.remove(&name);
        if let Some(known) = spelt_here(&name)
            && properties.contains_key(&known)
            && !arguments.contains_key(&known)
        {
            arguments.extend(given.map(|given| (known, given)));
            continue;
        }
        let mut meant = properties
            .keys()
            .filter(|known| !arguments.contains_key(*known));
        if let Some(known) = meant.find(|known| is_misspelt(&name, known)) {
            faults.push(format!(
                "`{name}` is not an argument of {}: `{known}` is",
                tool.name
            ));
        } else if !ADDED_BY_CLIENTS.contains(&&*name) {
            ignored.push(name);
        }
    }
    let required = schema.get("required").and_then(Value::as_array);
    for (name, property) in properties {
        let wanted = Wanted::of(property, schema);
        match arguments.get_mut(name) {
            None | Some(Value::Null) => {
                arguments.remove(name);
                if required.is_some_and(|required| required.contains(&json!(name))) {
                    faults.push(format!(
                        "`{name}` is missing: it must be {}",
                        wanted.in_words()
                    ));
                }
            }
            Some(given) => match wanted.fit(given) {
                Some(fitting) => *given = fitting,
                None => faults.push(format!(
                    "`{name}` must be {}, not {}",
                    wanted.in_words(),
                    wanted.quote(given)
                )),
            },
        }
    }
    if faults.is_empty() {
        Ok(ignored)
    } else {
        Err(Fault::invalid(faults.join(". ")))
    }
}

/// Reports ignored arguments in an answer.
pub(super) fn note_ignored(result: &mut CallToolResult, tool: &Tool, ignored: &[String]) {
    const NAME: &str = "ignored_arguments";
    if ignored.is_empty() {
        return;
    }
    let properties = tool
        .input_schema
        .get("properties")
        .and_then(Value::as_object);
    let known: Vec<&str> = properties
        .into_iter()
        .flat_map(JsonObject::keys)
        .map(String::as_str)
        .collect();
    let known = match known.as_slice() {
        [] => "it has none".to_owned(),
        known => format!("it has {}", known.join(", ")),
    };
    let said = format!(
        "{} is not an argument of {}: {known}",
        ignored.join(", "),
        tool.name
    );
    reply::note(result, NAME, &said);
}

/// The name here of an argument as other servers have it, in camel case; none if it is not.
fn spelt_here(name: &str) -> Option<String> {
    if let Some((_, known)) = NAMES_ELSEWHERE.iter().find(|(other, _)| *other == name) {
        return Some((*known).to_owned());
    }
    if !name.starts_with(|c: char| c.is_ascii_lowercase())
        || !name.contains(|c: char| c.is_ascii_uppercase())
    {
        return None;
    }
    let mut known = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            known.push('_');
        }
        known.push(c.to_ascii_lowercase());
    }
    Some(known)
}

/// Whether `name` is a typo or another spelling of `known`: ignoring it could change what the call does.
fn is_misspelt(name: &str, known: &str) -> bool {
    let plain = |name: &str| name.replace(['_', '-'], "").to_lowercase();
    let (name, known) = (plain(name), plain(known));
    strsim::osa_distance(&name, &known) * 4 <= known.len()
}

/// The expected type of an argument.
enum Wanted<'a> {
    Integer { is_unsigned: bool },
    Boolean,
    Choice(Vec<&'a Value>),
    Names,
    Text,
}

impl<'a> Wanted<'a> {
    fn of(property: &'a Value, root: &'a JsonObject) -> Self {
        let place = property.get("$ref").and_then(Value::as_str);
        let name = place.and_then(|place| place.strip_prefix("#/$defs/"));
        let definition = name.and_then(|name| root.get("$defs")?.get(name));
        let property = definition.unwrap_or(property);
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
            Some("boolean") => Self::Boolean,
            Some("array") => Self::Names,
            _ => Self::Text,
        }
    }

    /// Converts the value to this type; some clients have no integers, and others send everything as text.
    fn fit(&self, given: &Value) -> Option<Value> {
        match self {
            Self::Integer { is_unsigned } => {
                let number = integer(given)?;
                (!is_unsigned || number >= 0).then(|| json!(number))
            }
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
            Self::Text => given.is_string().then(|| given.clone()),
        }
    }

    fn in_words(&self) -> String {
        match self {
            Self::Integer { is_unsigned: true } => "an integer of 0 or more".to_owned(),
            Self::Integer { is_unsigned: false } => "an integer".to_owned(),
            Self::Boolean => "true or false".to_owned(),
            Self::Choice(choices) => {
                let choices: Vec<String> = choices.iter().map(ToString::to_string).collect();
                format!("one of {}", choices.join(", "))
            }
            Self::Names => "a list of strings".to_owned(),
            Self::Text => "a string".to_owned(),
        }
    }

    /// Quotes a wrong value. Text may be secret, so a value given for one is not quoted.
    fn quote(&self, given: &Value) -> String {
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

    use super::{integer, is_misspelt, names, spelt_here};

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

    #[test]
    fn camel_case_of_other_servers_is_understood() {
        for (name, expected) in [
            ("cellId", Some("cell_id")),
            ("includeOutputs", Some("include_outputs")),
            ("cellIndexStart", Some("from")),
            ("session", None),
            ("Session", None),
            ("cell-id", None),
        ] {
            assert_eq!(spelt_here(name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn a_typo_is_distinguished_from_another_argument() {
        for (name, known, expected) in [
            ("sesion", "session", true),
            ("Session", "session", true),
            ("jobId", "job_id", true),
            ("timeout-secs", "timeout_sec", true),
            ("timeout", "timeout_sec", false),
            ("wait_for_previous", "wait_sec", false),
            ("x", "path", false),
        ] {
            assert_eq!(is_misspelt(name, known), expected, "{name}");
        }
    }
}
