//! Changes of a config in JSON, with or without comments, at the places of our own entry alone.

use jsonc_parser::ast::{Object, ObjectProp, Value as Node};
use jsonc_parser::common::Ranged;
use jsonc_parser::errors::ParseError;
use jsonc_parser::tokens::{Token, TokenAndRange};
use jsonc_parser::{CollectOptions, CommentCollectionStrategy, ParseOptions, parse_to_ast};
use serde_json::{Map, Value, json};

use super::error::Fault;
use super::{ADDRESSES, NAME, kept_limit};

const BOM: char = '\u{feff}';

/// Returns the config with the entry's fields, or without our entry for none. Blank text counts as no servers.
pub(super) fn edited(
    text: &str,
    key: &str,
    fields: Option<&Map<String, Value>>,
    comments: bool,
) -> Result<String, Fault> {
    let (mark, text) = match text.strip_prefix(BOM) {
        Some(rest) => ("\u{feff}", rest),
        None => ("", text),
    };
    if text.trim().is_empty() {
        let Some(fields) = fields else {
            return Ok(format!("{mark}{text}"));
        };
        let whole = json!({ key: { NAME: fields } });
        return Ok(format!("{mark}{whole:#}\n"));
    }
    let parsed = parse_to_ast(text, &collected(), &options(comments))
        .map_err(|error| syntax_fault(&error))?;
    let tokens = parsed.tokens.unwrap_or_default();
    let Some(Node::Object(root)) = &parsed.value else {
        return Err(Fault::NotATable("the whole file".to_owned()));
    };
    let layout = Layout::of(text, root);
    let mut edits = Vec::new();
    match (object(root, key)?, fields) {
        (None, None) => {}
        (None, Some(fields)) => {
            edits.push(layout.insertion(root, key, &json!({ NAME: fields })));
        }
        (Some(servers), fields) => match (property(servers, NAME)?, fields) {
            (None, None) => {}
            (None, Some(fields)) => {
                edits.push(layout.insertion(servers, NAME, &json!(fields)));
            }
            (Some(ours), None) => edits.extend(removal(text, &tokens, ours)),
            (Some(ours), Some(fields)) => {
                let Node::Object(entry) = &ours.value else {
                    return Err(Fault::NotATable(NAME.to_owned()));
                };
                for name in ADDRESSES {
                    if property(entry, name)?.is_some() {
                        return Err(Fault::AtAnAddress(NAME.to_owned()));
                    }
                }
                layout.update(entry, fields, &mut edits)?;
            }
        },
    }
    // From the end, so that the places before stay right.
    edits.sort_by_key(|edit| edit.start);
    let mut after = text.to_owned();
    for edit in edits.iter().rev() {
        after.replace_range(edit.start..edit.end, &edit.text);
    }
    Ok(format!("{mark}{after}"))
}

/// Returns our entry as it is written, with its indentation; none without one, or in a text that cannot be parsed.
pub(super) fn ours<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    let text = text.trim_start_matches(BOM);
    let parsed = parse_to_ast(text, &collected(), &options(true)).ok()?;
    let Some(Node::Object(root)) = &parsed.value else {
        return None;
    };
    let range = property(object(root, key).ok()??, NAME).ok()??.range();
    let before = indent(text, range.start).len();
    // With its indentation, if it begins a line.
    let is_first = text[..range.start - before].ends_with('\n');
    text.get(range.start - if is_first { before } else { 0 }..range.end)
}

/// Returns our entry, if there is one; numbers in it are tables.
pub(super) fn entry(text: &str, key: &str, comments: bool) -> Result<Option<Value>, Fault> {
    let text = text.trim_start_matches(BOM);
    if text.trim().is_empty() {
        return Ok(None);
    }
    let parsed = parse_to_ast(text, &collected(), &options(comments))
        .map_err(|error| syntax_fault(&error))?;
    let Some(Node::Object(root)) = &parsed.value else {
        return Err(Fault::NotATable("the whole file".to_owned()));
    };
    let Some(servers) = object(root, key)? else {
        return Ok(None);
    };
    Ok(property(servers, NAME)?.map(|ours| node_value(&ours.value)))
}

/// What the config says beside our entry; none if it cannot be parsed.
pub(super) fn rest(text: &str, key: &str) -> Option<Value> {
    let text = text.trim_start_matches(BOM);
    if text.trim().is_empty() {
        return Some(json!({}));
    }
    let parsed = parse_to_ast(text, &collected(), &options(true)).ok()?;
    let mut rest = node_value(&parsed.value?);
    let fields = rest.as_object_mut()?;
    if let Some(Value::Object(servers)) = fields.get_mut(key) {
        servers.remove(NAME);
        if servers.is_empty() {
            fields.remove(key);
        }
    }
    Some(rest)
}

fn node_value(node: &Node<'_>) -> Value {
    match node {
        Node::Object(object) => Value::Object(
            object
                .properties
                .iter()
                .map(|one| (one.name.as_str().to_owned(), node_value(&one.value)))
                .collect(),
        ),
        Node::Array(array) => array.elements.iter().map(node_value).collect(),
        Node::StringLit(text) => json!(text.value),
        // As it is written: a number may be longer than any type.
        Node::NumberLit(number) => json!({ "number": number.value }),
        Node::BooleanLit(yes) => json!(yes.value),
        Node::NullKeyword(_) => Value::Null,
    }
}

fn collected() -> CollectOptions {
    CollectOptions {
        comments: CommentCollectionStrategy::Off,
        tokens: true,
    }
}

/// What the clients' own parsers read.
fn options(comments: bool) -> ParseOptions {
    ParseOptions {
        allow_comments: comments,
        allow_loose_object_property_names: false,
        allow_trailing_commas: comments,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    }
}

fn syntax_fault(error: &ParseError) -> Fault {
    Fault::Syntax {
        line: error.line_display(),
        column: error.column_display(),
        what: error.kind().to_string(),
    }
}

/// The only property of a name, if there is one.
fn property<'n, 't>(
    object: &'n Object<'t>,
    name: &str,
) -> Result<Option<&'n ObjectProp<'t>>, Fault> {
    let mut found = object
        .properties
        .iter()
        .filter(|property| property.name.as_str() == name);
    let first = found.next();
    match found.next() {
        Some(_) => Err(Fault::Doubled(name.to_owned())),
        None => Ok(first),
    }
}

fn object<'n, 't>(parent: &'n Object<'t>, name: &str) -> Result<Option<&'n Object<'t>>, Fault> {
    match property(parent, name)? {
        None => Ok(None),
        Some(ObjectProp {
            value: Node::Object(found),
            ..
        }) => Ok(Some(found)),
        Some(_) => Err(Fault::NotATable(name.to_owned())),
    }
}

/// A text in place of a part, in bytes.
struct Edit {
    start: usize,
    end: usize,
    text: String,
}

/// How the file is laid out.
struct Layout<'t> {
    text: &'t str,
    newline: &'static str,
    /// What a line has more in front than the one of its object; none for a file of one line.
    unit: Option<String>,
}

impl<'t> Layout<'t> {
    fn of(text: &'t str, root: &Object<'_>) -> Self {
        let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
        let unit = match root.properties.first() {
            Some(first) if text[root.range.start..first.range.start].contains('\n') => {
                Some(indent(text, first.range.start).to_owned())
            }
            Some(_) => None,
            None => Some("  ".to_owned()),
        };
        Self {
            text,
            newline,
            unit: unit.map(|unit| {
                if unit.is_empty() {
                    "  ".to_owned()
                } else {
                    unit
                }
            }),
        }
    }

    /// A property more, at the start of an object: what follows needs no change there.
    fn insertion(&self, object: &Object<'_>, name: &str, value: &Value) -> Edit {
        let start = object.range.start + 1;
        let blank = blanks(&self.text[start..]);
        let is_empty = self.text[start + blank..].starts_with('}');
        let comma = if object.properties.is_empty() {
            ""
        } else {
            ","
        };
        let is_wide = object
            .properties
            .first()
            .is_some_and(|first| !self.text[start..first.range.start].contains('\n'));
        let text = match &self.unit {
            None => format!("{}:{value}{comma}", json!(name)),
            // Where the others are in one line, so is ours.
            Some(_) if is_wide => format!("{}: {value}{comma} ", json!(name)),
            Some(unit) => {
                let outer = indent(self.text, object.range.start);
                let inner = format!("{outer}{unit}");
                let value = self.pretty(value, &inner, unit);
                let end = match is_empty {
                    true => format!("{}{outer}", self.newline),
                    false => String::new(),
                };
                let name = json!(name);
                format!("{}{inner}{name}: {value}{comma}{end}", self.newline)
            }
        };
        // In place of the blanks of `{ }`.
        let end = if is_empty { start + blank } else { start };
        Edit { start, end, text }
    }

    /// A value over several lines, all but the first of which begin with `inner`.
    fn pretty(&self, value: &Value, inner: &str, unit: &str) -> String {
        let mut lines = Vec::new();
        for line in format!("{value:#}").lines() {
            let deep = line.len() - line.trim_start().len();
            // serde_json indents by two blanks.
            lines.push(format!("{}{}", unit.repeat(deep / 2), line.trim_start()));
        }
        lines.join(&format!("{}{inner}", self.newline))
    }

    /// Sets these fields in our entry, and the variables in its environment; others stay.
    fn update(
        &self,
        entry: &Object<'_>,
        fields: &Map<String, Value>,
        edits: &mut Vec<Edit>,
    ) -> Result<(), Fault> {
        // Each insertion is at the object's start: the last one made is the first to be read.
        for (name, value) in fields.iter().rev() {
            let Some(theirs) = property(entry, name)? else {
                edits.push(self.insertion(entry, name, value));
                continue;
            };
            match (&theirs.value, value) {
                (Node::Object(env), Value::Object(variables)) => {
                    self.update(env, variables, edits)?;
                }
                (theirs, ours) => {
                    let current = plain(self.text, theirs);
                    if current != *ours && !kept_limit(name, &current, ours) {
                        let range = theirs.range();
                        edits.push(Edit {
                            start: range.start,
                            end: range.end,
                            text: ours.to_string(),
                        });
                    }
                }
            }
        }
        Ok(())
    }
}

/// The value of a node; null if it is no JSON without comments.
fn plain(text: &str, node: &Node<'_>) -> Value {
    let range = node.range();
    serde_json::from_str(&text[range.start..range.end]).unwrap_or_default()
}

/// How many bytes of blanks a text starts with.
fn blanks(text: &str) -> usize {
    text.len() - text.trim_start().len()
}

/// The blanks at the start of the line that a place is in.
fn indent(text: &str, place: usize) -> &str {
    let line = &text[text[..place].rfind('\n').map_or(0, |at| at + 1)..place];
    &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
}

/// Takes a property out, with the blanks before it and one comma. Comments stay.
fn removal(text: &str, tokens: &[TokenAndRange<'_>], property: &ObjectProp<'_>) -> Vec<Edit> {
    let range = property.range();
    let before = tokens
        .iter()
        .rev()
        .find(|token| token.range.end <= range.start);
    let behind = tokens.iter().find(|token| token.range.start >= range.end);
    let gap = &text[before.map_or(0, |token| token.range.end)..range.start];
    let start = match gap.trim().is_empty() {
        true => range.start - gap.len(),
        // The comment's line ends before ours.
        false => range.start - indent(text, range.start).len(),
    };
    let comma = |token: Option<&TokenAndRange<'_>>| {
        token
            .filter(|token| matches!(token.token, Token::Comma))
            .map(|token| token.range)
    };
    let cut = |start, end| Edit {
        start,
        end,
        text: String::new(),
    };
    match (comma(behind), comma(before)) {
        (Some(comma), _) => vec![cut(start, range.end), cut(comma.start, comma.end)],
        (None, Some(comma)) => vec![cut(comma.start, comma.end), cut(start, range.end)],
        (None, None) => {
            let end = range.end + blanks(&text[range.end..]);
            let is_last = text[end..].starts_with('}') && gap.trim().is_empty();
            vec![cut(start, if is_last { end } else { range.end })]
        }
    }
}
