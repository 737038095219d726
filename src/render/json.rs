//! Indents JSON, and reads texts in Jupyter's.

use std::borrow::Cow;

use serde::de::IgnoredAny;
use serde_json::Value;

/// Numbers that Python writes and JSON does not have.
const NO_NUMBERS: [&str; 3] = ["NaN", "-Infinity", "Infinity"];
/// Names that are listed of lines of JSON.
const MAX_FIELDS: usize = 50;

/// Joins a text of Jupyter's, a string or a list of strings (nbformat 4); none if it is neither.
#[must_use]
pub fn joined(value: &Value) -> Option<String> {
    match value.as_array() {
        Some(lines) => lines.iter().map(Value::as_str).collect(),
        None => value.as_str().map(str::to_owned),
    }
}

/// Parses JSON, also as Python writes it: `NaN` and the like become null, half of a surrogate pair (`\ud83d`) becomes U+FFFD.
///
/// # Errors
/// If it is not JSON.
pub fn parse(text: &str) -> serde_json::Result<Value> {
    serde_json::from_str(&strict(text))
}

/// Rewrites what only Python writes as standard JSON.
fn strict(text: &str) -> Cow<'_, str> {
    let is_suspicious = NO_NUMBERS.iter().any(|word| text.contains(word))
        || text.contains("\\ud")
        || text.contains("\\uD");
    if !is_suspicious {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let (mut rest, mut is_string) = (text, false);
    while let Some(at) = rest.find(['"', '\\', 'N', 'I', '-']) {
        out += &rest[..at];
        rest = &rest[at..];
        let word = NO_NUMBERS.iter().find(|word| rest.starts_with(**word));
        let (put, length) = match (is_string, word) {
            (false, Some(word)) => ("null", word.len()),
            (true, _) if rest.starts_with('\\') => escaped(rest),
            _ => (&rest[..1], 1),
        };
        is_string ^= rest.starts_with('"');
        out += put;
        rest = &rest[length..];
    }
    Cow::Owned(out + rest)
}

/// The replacement for the escape that `text` begins with, and the escape's length.
fn escaped(text: &str) -> (&str, usize) {
    let unit = |text: &str| {
        let digits = text.strip_prefix("\\u")?.get(..4)?;
        u16::from_str_radix(digits, 16).ok()
    };
    match unit(text) {
        Some(0xd800..0xdc00) if matches!(unit(&text[6..]), Some(0xdc00..0xe000)) => {
            (&text[..12], 12)
        }
        Some(0xd800..0xe000) => ("\u{fffd}", 6),
        _ => {
            let length = text.chars().take(2).map(char::len_utf8).sum();
            (&text[..length], length)
        }
    }
}

/// Indents JSON by two; none if it is not JSON. Names keep their order and numbers their digits, so it works on the text.
#[must_use]
pub fn pretty(text: &str) -> Option<String> {
    serde_json::from_str::<IgnoredAny>(&strict(text)).ok()?;
    Some(indented(text))
}

/// Like [`pretty`], for the beginning of some JSON.
#[must_use]
pub fn indented(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let (mut depth, mut is_string, mut is_escaped) = (0_usize, false, false);
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if is_string {
            out.push(c);
            is_string = is_escaped || c != '"';
            is_escaped = !is_escaped && c == '\\';
            continue;
        }
        match c {
            '"' => {
                is_string = true;
                out.push(c);
            }
            '{' | '[' => {
                out.push(c);
                while rest.peek().is_some_and(char::is_ascii_whitespace) {
                    rest.next();
                }
                if let Some(end) = rest.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(end);
                } else {
                    depth += 1;
                    new_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => out.push(c),
        }
    }
    out
}

/// The names in the objects of which each of these lines is one, each with the types of its values, such as `a: number, b: string or null`; none
/// where no line is an object.
#[must_use]
pub fn fields(lines: &str) -> Option<String> {
    let mut fields: Vec<(String, Vec<&str>)> = Vec::new();
    for line in lines.lines() {
        let Ok(Value::Object(object)) = parse(line) else {
            continue;
        };
        for (name, value) in object {
            let kind = kind(&value);
            match fields.iter_mut().find(|(known, _)| *known == name) {
                Some((_, kinds)) if kinds.contains(&kind) => {}
                Some((_, kinds)) => kinds.push(kind),
                None => fields.push((name, vec![kind])),
            }
        }
    }
    let shown = fields.iter().take(MAX_FIELDS);
    let mut said: Vec<String> = shown
        .map(|(name, kinds)| format!("{name}: {}", kinds.join(" or ")))
        .collect();
    if let Some(more @ 1..) = fields.len().checked_sub(MAX_FIELDS) {
        said.push(format!("{more} more"));
    }
    (!said.is_empty()).then(|| said.join(", "))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{fields, parse, pretty};

    #[test]
    fn json_with_nan_and_infinity_is_accepted() {
        let text = r#"{"a":[NaN,-Infinity,Infinity,-1],"NaN":"-Infinity \" NaN","s":"\ud83d \ud83d\ude00 \\ud83d \udc00\n"}"#;
        let expected = json!({"a": [null, null, null, -1], "NaN": "-Infinity \" NaN",
            "s": "\u{fffd} \u{1f600} \\ud83d \u{fffd}\n"});
        assert_eq!(parse(text).unwrap(), expected);
        assert_eq!(
            pretty("[NaN,\"\\ud83d\"]").unwrap(),
            "[\n  NaN,\n  \"\\ud83d\"\n]"
        );
        for text in ["NaNs", "{\"a\":nan}", "\"\\ud83", "\"\\", "-", "[Infinity"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn json_is_indented_and_otherwise_unchanged() {
        let text = r#" {"b":[1,2.50,{"x":{}}, [ ]],"a":"q\"{,}\\","n":1e400} "#;
        let expected = "{\n  \"b\": [\n    1,\n    2.50,\n    {\n      \"x\": {}\n    },\n    []\n  ],\n  \"a\": \"q\\\"{,}\\\\\",\n  \"n\": 1e400\n}";
        assert_eq!(pretty(text).unwrap(), expected);
        assert_eq!(pretty("\"a b\"").unwrap(), "\"a b\"");
    }

    #[test]
    fn fields_of_lines_have_the_types_of_all_their_values() {
        let lines = "{\"a\":1,\"b\":[]}\n{\"b\":null,\"a\":NaN,\"c\":{}}\n\n[1]\n{\"cut\":";
        assert_eq!(
            fields(lines).unwrap(),
            "a: number or null, b: array or null, c: object"
        );
        assert_eq!(fields("[1]\n2\n"), None);
        let wide: serde_json::Map<_, _> = (0..60).map(|n| (format!("f{n}"), json!(n))).collect();
        assert!(
            fields(&json!(wide).to_string())
                .unwrap()
                .ends_with(", 10 more")
        );
    }

    #[test]
    fn invalid_json_is_not_formatted() {
        assert!(pretty("{\"a\":1").is_none());
        assert!(pretty("{\"a\":1}\n{\"a\":2}").is_none());
    }
}
