//! JSON on lines of its own, and the texts in Jupyter's.

use serde::de::IgnoredAny;
use serde_json::Value;

/// A text of Jupyter's: a string or a list of strings (nbformat 4); none when it is neither.
#[must_use]
pub fn joined(value: &Value) -> Option<String> {
    match value.as_array() {
        Some(lines) => lines.iter().map(Value::as_str).collect(),
        None => value.as_str().map(str::to_owned),
    }
}

/// The same JSON, indented by two; none when it is no JSON. Names keep their order and numbers their digits, so it works on the text.
#[must_use]
pub fn pretty(text: &str) -> Option<String> {
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    let mut out = String::with_capacity(text.len() * 2);
    let (mut depth, mut is_string, mut is_escaped) = (0, false, false);
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
                depth -= 1;
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
    Some(out)
}

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use super::pretty;

    #[test]
    fn it_is_indented_and_nothing_else_changes() {
        let text = r#" {"b":[1,2.50,{"x":{}}, [ ]],"a":"q\"{,}\\","n":1e400} "#;
        let expected = "{\n  \"b\": [\n    1,\n    2.50,\n    {\n      \"x\": {}\n    },\n    []\n  ],\n  \"a\": \"q\\\"{,}\\\\\",\n  \"n\": 1e400\n}";
        assert_eq!(pretty(text).unwrap(), expected);
        assert_eq!(pretty("\"a b\"").unwrap(), "\"a b\"");
    }

    #[test]
    fn what_is_no_json_is_none() {
        assert!(pretty("{\"a\":1").is_none());
        assert!(pretty("{\"a\":1}\n{\"a\":2}").is_none());
    }
}
