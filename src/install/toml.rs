//! Changes of a config in TOML, at the places of our own entry alone.

use std::ops::Range;

use serde_json::{Map, Value};
use toml_edit::{Document, DocumentMut, InlineTable, Item, Table, TableLike, TomlError};

use super::error::Fault;
use super::{ADDRESSES, NAME, kept_limit};

const BOM: &str = "\u{feff}";

/// Returns the config with the entry's fields, or without our entry for none.
pub(super) fn edited(
    text: &str,
    key: &str,
    fields: Option<&Map<String, Value>>,
) -> Result<String, Fault> {
    let mut document: DocumentMut = text
        .parse()
        .map_err(|error: TomlError| syntax_fault(text, &error))?;
    let Some(servers) = document.get_mut(key) else {
        return Ok(fields.map_or_else(|| text.to_owned(), |fields| appended(text, key, fields)));
    };
    let is_inline = servers.is_inline_table();
    let servers = servers
        .as_table_like_mut()
        .ok_or_else(|| Fault::NotATable(key.to_owned()))?;
    match (servers.get_mut(NAME), fields) {
        (None, None) => return Ok(text.to_owned()),
        (None, Some(fields)) if !is_inline => return Ok(appended(text, key, fields)),
        (None, Some(fields)) => {
            let mut entry = InlineTable::new();
            update(&mut entry, fields)?;
            servers.insert(NAME, Item::Value(entry.into()));
        }
        (Some(_), None) => {
            if let Some(without) = without_tables(text, key) {
                return Ok(without);
            }
            servers.remove(NAME);
        }
        (Some(ours), Some(fields)) => {
            let entry = ours
                .as_table_like_mut()
                .ok_or_else(|| Fault::NotATable(NAME.to_owned()))?;
            if ADDRESSES.iter().any(|name| entry.contains_key(name)) {
                return Err(Fault::AtAnAddress(NAME.to_owned()));
            }
            update(entry, fields)?;
        }
    }
    as_before(text, &document.to_string())
}

/// Returns our entry, if there is one.
pub(super) fn entry(text: &str, key: &str) -> Result<Option<Value>, Fault> {
    let document: DocumentMut = text
        .parse()
        .map_err(|error: TomlError| syntax_fault(text, &error))?;
    let Some(servers) = document.get(key) else {
        return Ok(None);
    };
    let servers = servers
        .as_table_like()
        .ok_or_else(|| Fault::NotATable(key.to_owned()))?;
    Ok(table_as_json(servers).remove(NAME))
}

/// What the config says beside our entry; none if it cannot be parsed.
pub(super) fn rest(text: &str, key: &str) -> Option<Value> {
    let document: DocumentMut = text.parse().ok()?;
    let mut rest = table_as_json(document.as_table());
    if let Some(Value::Object(servers)) = rest.get_mut(key) {
        servers.remove(NAME);
        if servers.is_empty() {
            rest.remove(key);
        }
    }
    Some(Value::Object(rest))
}

fn syntax_fault(text: &str, error: &TomlError) -> Fault {
    let place = error.span().map_or(0, |span| span.start.min(text.len()));
    let before = &text[..place];
    Fault::Syntax {
        line: before.matches('\n').count() + 1,
        column: before.chars().rev().take_while(|&c| c != '\n').count() + 1,
        what: error.message().to_owned(),
    }
}

/// Puts the entry behind all else, where it changes nothing that is there.
fn appended(text: &str, key: &str, fields: &Map<String, Value>) -> String {
    let mut entry = Table::new();
    // Fields that cannot be TOML: there are none.
    let _ = update(&mut entry, fields);
    let mut servers = Table::new();
    servers.set_implicit(true);
    servers.insert(NAME, Item::Table(entry));
    let mut ours = DocumentMut::new();
    ours.insert(key, Item::Table(servers));
    let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let gap = match text {
        "" | BOM => String::new(),
        _ if text.ends_with('\n') => newline.to_owned(),
        _ => newline.repeat(2),
    };
    format!("{text}{gap}{}", ours.to_string().replace('\n', newline))
}

/// Returns our entry as it is written; none without one, or in a text that cannot be parsed.
pub(super) fn ours(text: &str, key: &str) -> Option<String> {
    if let Some(parts) = tables(text, key) {
        return Some(parts.into_iter().map(|part| &text[part]).collect());
    }
    let document = Document::parse(text).ok()?;
    let entry = document.get(key)?.get(NAME)?;
    Some(format!("{NAME} = {}\n", entry.to_string().trim()))
}

/// Cuts out the lines of our entry where it has headers of its own.
fn without_tables(text: &str, key: &str) -> Option<String> {
    let mut without = text.to_owned();
    for part in tables(text, key)?.into_iter().rev() {
        without.replace_range(part, "");
    }
    Some(without)
}

/// The lines of our entry, in order, where it has headers of its own; what stands between them and the next header is not ours.
fn tables(text: &str, key: &str) -> Option<Vec<Range<usize>>> {
    let document = Document::parse(text).ok()?;
    let entry = document.get(key)?.get(NAME)?.as_table()?;
    let mut parts = Vec::new();
    lines_of(text, entry, &mut parts)?;
    parts.sort_by_key(|part| part.start);
    Some(parts)
}

/// Adds the lines of a table, and of those in it; none if it has no header.
fn lines_of(text: &str, table: &Table, parts: &mut Vec<Range<usize>>) -> Option<()> {
    if table.is_dotted() {
        return None;
    }
    for (_, item) in table {
        match item {
            Item::Table(inner) => lines_of(text, inner, parts)?,
            Item::ArrayOfTables(several) => {
                for inner in several {
                    lines_of(text, inner, parts)?;
                }
            }
            Item::Value(_) | Item::None => {}
        }
    }
    if table.is_implicit() {
        return Some(());
    }
    let header = table.span()?;
    let values = table.iter().filter_map(|(_, item)| item.as_value()?.span());
    let end = values.map(|span| span.end).fold(header.end, usize::max);
    let end = text[end..].find('\n').map_or(text.len(), |at| end + at + 1);
    // With the empty line before it.
    let before = &text[..header.start];
    let start = before.trim_end_matches(['\r', '\n']).len();
    let lines = before[start..].matches('\n').count();
    let kept = before[start..].find('\n').map_or(0, |at| at + 1);
    let start = if lines > 1 {
        start + kept
    } else {
        header.start
    };
    parts.push(start..end);
    Some(())
}

/// Sets these fields in a table, and the variables in its environment; others stay.
fn update(table: &mut dyn TableLike, fields: &Map<String, Value>) -> Result<(), Fault> {
    for (name, value) in fields {
        if let Value::Object(variables) = value {
            if !table.contains_key(name) {
                table.insert(name, Item::Value(InlineTable::new().into()));
            }
            let inner = table.get_mut(name).and_then(Item::as_table_like_mut);
            update(
                inner.ok_or_else(|| Fault::NotATable(name.clone()))?,
                variables,
            )?;
            continue;
        }
        let ours = as_toml(value);
        match table.get_mut(name).and_then(Item::as_value_mut) {
            Some(theirs) if as_json(theirs) == *value => {}
            Some(theirs) if kept_limit(name, &as_json(theirs), value) => {}
            Some(theirs) => {
                let decor = theirs.decor().clone();
                *theirs = ours;
                *theirs.decor_mut() = decor;
            }
            None => {
                table.insert(name, Item::Value(ours));
            }
        }
    }
    Ok(())
}

/// Our fields are texts, numbers and lists of texts.
fn as_toml(value: &Value) -> toml_edit::Value {
    match value {
        Value::Array(items) => items.iter().map(as_toml).collect(),
        Value::Number(number) => number.as_i64().unwrap_or_default().into(),
        Value::String(text) => text.as_str().into(),
        Value::Null | Value::Bool(_) | Value::Object(_) => value.to_string().into(),
    }
}

fn as_json(value: &toml_edit::Value) -> Value {
    match value {
        toml_edit::Value::String(text) => text.value().as_str().into(),
        toml_edit::Value::Integer(number) => (*number.value()).into(),
        toml_edit::Value::Float(number) => number.value().to_string().into(),
        toml_edit::Value::Boolean(yes) => (*yes.value()).into(),
        toml_edit::Value::Datetime(time) => time.value().to_string().into(),
        toml_edit::Value::Array(items) => items.iter().map(as_json).collect(),
        toml_edit::Value::InlineTable(table) => Value::Object(table_as_json(table)),
    }
}

fn table_as_json(table: &dyn TableLike) -> Map<String, Value> {
    let as_json = |item: &Item| match item {
        Item::None => Value::Null,
        Item::Value(value) => as_json(value),
        Item::Table(table) => Value::Object(table_as_json(table)),
        Item::ArrayOfTables(several) => several
            .iter()
            .map(|table| Value::Object(table_as_json(table)))
            .collect(),
    };
    let fields = table.iter();
    fields
        .map(|(name, item)| (name.to_owned(), as_json(item)))
        .collect()
}

/// Restores what `toml_edit` does not keep: the mark at the start, the ends of lines, and a last line without one.
fn as_before(text: &str, after: &str) -> Result<String, Fault> {
    let crlf = text.matches("\r\n").count();
    if crlf > 0 && crlf < text.matches('\n').count() {
        return Err(Fault::MixedLines);
    }
    let mut after = after.trim_start_matches(BOM).to_owned();
    if !text.ends_with('\n') && after.ends_with('\n') {
        after.pop();
    }
    if crlf > 0 {
        after = after.replace('\n', "\r\n");
    }
    let mark = if text.starts_with(BOM) { BOM } else { "" };
    Ok(format!("{mark}{after}"))
}
