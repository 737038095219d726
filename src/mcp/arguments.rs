//! Fits a call's arguments to its tool's schema: models and clients send additional arguments, and other types.

use rmcp::model::{CallToolResult, JsonObject, Tool};
use serde_json::{Value, json};

use super::fault::Fault;
use super::reply;
use super::wanted::Wanted;

/// Arguments that clients add to every call for their own use: Gemini CLI.
const ADDED_BY_CLIENTS: [&str; 1] = ["wait_for_previous"];
/// Arguments of colab-mcp's tools that have other names here, beside camel case.
const NAMES_ELSEWHERE: [(&str, &str); 2] = [("cellIndexStart", "from"), ("cellIndexEnd", "to")];

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
                None => faults.push(wanted.misfit(name, given)),
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
    reply::note(result, NAME, said);
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

#[cfg(test)]
mod tests {
    use super::{is_misspelt, spelt_here};

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
