//! How a notebook's file is written, so that what is added to it looks the same.

use serde_json::Value;

use super::scan::{Member, Span};

/// A file's own form of JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Style {
    /// The indentation of one level, and the end of a line; none where all is on one line.
    lines: Option<(String, &'static str)>,
    colon: String,
    /// Between two values on one line.
    comma: String,
    /// Characters beyond ASCII are escaped.
    is_ascii: bool,
}

impl Style {
    /// The style of `text`, an object with these members at `root`.
    pub(super) fn of(text: &str, root: &Span, members: &[Member]) -> Self {
        let Some(first) = members.first() else {
            return Self::default();
        };
        let before = &text[root.start + 1..first.key.start];
        let lines = before.rfind('\n').map(|at| {
            let end = if before[..at].ends_with('\r') {
                "\r\n"
            } else {
                "\n"
            };
            (before[at + 1..].to_owned(), end)
        });
        let comma = match members.get(1) {
            Some(next) if lines.is_none() => text[first.value.end..next.key.start].to_owned(),
            _ => ", ".to_owned(),
        };
        Self {
            lines,
            colon: text[first.key.end..first.value.start].to_owned(),
            comma,
            is_ascii: text[root.start..].is_ascii() && has_escapes(text),
        }
    }

    /// What stands before a value at this depth, after a comma or an opening bracket.
    pub(super) fn line(&self, depth: usize) -> String {
        match &self.lines {
            Some((indent, end)) => format!("{end}{}", indent.repeat(depth)),
            None => String::new(),
        }
    }

    /// A comma, and what stands before the next value at this depth.
    pub(super) fn next(&self, depth: usize) -> String {
        match self.lines {
            Some(_) => format!(",{}", self.line(depth)),
            None => self.comma.clone(),
        }
    }

    /// A name and its colon.
    pub(super) fn name(&self, name: &str) -> String {
        self.string(name) + &self.colon
    }

    /// A value of which the lines after the first are indented for this depth.
    pub(super) fn value(&self, value: &Value, depth: usize) -> String {
        match value {
            Value::String(text) => self.string(text),
            Value::Array(items) => {
                let items = items.iter().map(|item| self.value(item, depth + 1));
                self.between('[', items.collect(), ']', depth)
            }
            Value::Object(fields) => {
                let fields = fields.iter();
                let fields =
                    fields.map(|(name, value)| self.name(name) + &self.value(value, depth + 1));
                self.between('{', fields.collect(), '}', depth)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
        }
    }

    /// An object with these members in this order.
    pub(super) fn object(&self, fields: &[(&str, Value)], depth: usize) -> String {
        let fields = fields.iter();
        let fields = fields.map(|(name, value)| self.name(name) + &self.value(value, depth + 1));
        self.between('{', fields.collect(), '}', depth)
    }

    fn between(&self, opening: char, items: Vec<String>, closing: char, depth: usize) -> String {
        if items.is_empty() {
            return format!("{opening}{closing}");
        }
        let (first, last) = (self.line(depth + 1), self.line(depth));
        format!(
            "{opening}{first}{}{last}{closing}",
            items.join(&self.next(depth + 1))
        )
    }

    fn string(&self, text: &str) -> String {
        let plain = Value::from(text).to_string();
        if !self.is_ascii || plain.is_ascii() {
            return plain;
        }
        let mut escaped = String::with_capacity(plain.len());
        for c in plain.chars() {
            if c.is_ascii() {
                escaped.push(c);
            } else {
                let units = c
                    .encode_utf16(&mut [0; 2])
                    .iter()
                    .map(|unit| format!("\\u{unit:04x}"))
                    .collect::<String>();
                escaped += &units;
            }
        }
        escaped
    }
}

impl Default for Style {
    /// As nbformat writes.
    fn default() -> Self {
        Self {
            lines: Some((" ".to_owned(), "\n")),
            colon: ": ".to_owned(),
            comma: ", ".to_owned(),
            is_ascii: false,
        }
    }
}

/// Whether characters beyond ASCII are escaped in a text.
fn has_escapes(text: &str) -> bool {
    text.match_indices("\\u").any(|(at, mark)| {
        let digits = text.get(at + mark.len()..at + mark.len() + 4);
        let unit = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok());
        unit.is_some_and(|unit| unit >= 0x80)
    })
}

/// A text as nbformat keeps it: a list of lines, with their ends.
pub(super) fn lines(text: &str) -> Value {
    text.split_inclusive('\n').map(Value::from).collect()
}

/// An output with its texts as lists of lines, as nbformat writes them.
pub(super) fn in_lines(output: &Value) -> Value {
    let mut output = output.clone();
    if let Some(Value::Object(data)) = output.get_mut("data") {
        let texts = data.iter_mut().filter(|(mime, _)| is_in_lines(mime));
        texts.for_each(|(_, text)| split(text));
    }
    output.get_mut("text").map(split);
    output
}

fn is_in_lines(mime: &str) -> bool {
    mime.starts_with("text/") || ["application/javascript", "image/svg+xml"].contains(&mime)
}

fn split(text: &mut Value) {
    if let Value::String(whole) = text {
        *text = lines(whole);
    }
}
