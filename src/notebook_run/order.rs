//! The request of one call, and the rows that it makes of a notebook.

use serde_json::{Map, Value, json};

use super::depends::{DEPENDS_ON, needs};
use super::error::RunError;
use super::record::{CellState, Options, Row};
use crate::document::{Cell, DocumentError, Documents, Edit, Notebook, Target, fresh_id};
use tokio::time::Instant;

/// Python's, which are no names.
const KEYWORDS: &str = "False None True and as assert async await break class continue def del elif else except finally for from global if \
    import in is lambda nonlocal not or pass raise return try while with yield";
/// Tags, as papermill has them.
const PARAMETERS: &str = "parameters";
const INJECTED: &str = "injected-parameters";
/// Ids and tags that an error names.
const MAX_NAMED: usize = 20;

/// What is to be run.
#[derive(Debug, Clone)]
pub struct Order {
    pub source: Source,
    /// Replace those that the notebook's parameters cell sets.
    pub parameters: Option<Map<String, Value>>,
    /// The id or the index of the first cell; earlier ones count as run.
    pub from_cell: Option<String>,
    /// Restart the session first.
    pub restart: bool,
    /// By default one of the notebook's own.
    pub session: Option<String>,
    /// The session was named for this run alone, and ends with it.
    pub ends_session: bool,
    /// The name of the user's file, where the notebook is a copy of it for this run alone.
    pub copy_of: Option<String>,
    pub options: Options,
}

/// Where the cells are.
#[derive(Debug, Clone)]
pub enum Source {
    Notebook(String),
    New(Vec<NewCell>),
}

/// A cell of a new notebook.
#[derive(Debug, Clone)]
pub struct NewCell {
    pub is_code: bool,
    pub source: String,
    pub tags: Vec<String>,
}

/// Makes a notebook of these cells, named by the day.
pub(super) async fn create(
    cells: &[NewCell],
    documents: &Documents,
    deadline: Instant,
) -> Result<String, RunError> {
    if !cells.iter().any(|cell| cell.is_code) {
        return Err(RunError::Invalid("cells has no code cell".to_owned()));
    }
    let named = (1..).zip(cells);
    check_needs(named.map(|(number, cell)| (Some(id_of(number)), cell.tags.clone())))?;
    let day = jiff::Timestamp::now().strftime("%Y-%m-%d");
    let path = format!("run-{day}-{}.ipynb", fresh_id());
    let cells = (1..).zip(cells).map(|(number, cell)| {
        let metadata = match cell.tags.is_empty() {
            true => json!({}),
            false => json!({"tags": cell.tags}),
        };
        let id = id_of(number);
        match cell.is_code {
            true => json!({"cell_type": "code", "execution_count": null, "id": id, "metadata": metadata, "outputs": [], "source": cell.source}),
            false => json!({"cell_type": "markdown", "id": id, "metadata": metadata, "source": cell.source}),
        }
    });
    let notebook = json!({
        "cells": cells.collect::<Vec<_>>(),
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    });
    let text = format!("{notebook:#}\n");
    documents.create(&path, text, deadline).await?;
    Ok(path)
}

fn id_of(number: usize) -> String {
    format!("cell-{number}")
}

/// Checks that the file `path` of this computer is a notebook that can be run, before it is sent anywhere.
///
/// # Errors
/// As [`NotebookRuns::run`](super::NotebookRuns::run) for a notebook on the runtime.
pub fn check_file(path: &str, bytes: Vec<u8>) -> Result<(), RunError> {
    let notebook = Notebook::parse(bytes).map_err(|why| DocumentError::Unreadable {
        path: path.to_owned(),
        why,
    })?;
    notebook.check_runnable(path)?;
    check(&notebook)?;
    rows(&notebook, None)?;
    Ok(())
}

/// Checks that each cell on which another depends by a tag comes before it.
pub(super) fn check(notebook: &Notebook) -> Result<(), RunError> {
    let cells = notebook.cells().iter();
    check_needs(cells.map(|cell| (cell.id.clone(), notebook.tags(cell))))
}

/// The cells by their ids and tags.
fn check_needs(cells: impl Iterator<Item = (Option<String>, Vec<String>)>) -> Result<(), RunError> {
    let mut known: Vec<String> = Vec::new();
    for (index, (id, tags)) in cells.enumerate() {
        if let Some(name) = needs(&tags).find(|name| !known.iter().any(|one| one == name)) {
            let newest = known.iter().rev().take(MAX_NAMED).map(String::as_str);
            let newest: Vec<_> = newest.collect();
            let there_are = match newest.is_empty() {
                true => "none".to_owned(),
                false => newest.join(", "),
            };
            return Err(RunError::Invalid(format!(
                "cell {index} is tagged {DEPENDS_ON}{name}, and no cell before it has that id or tag (those before it: {there_are})"
            )));
        }
        let tags = tags.into_iter().filter(|tag| !tag.starts_with(DEPENDS_ON));
        known.extend(id.into_iter().chain(tags));
    }
    Ok(())
}

/// Said where nothing shows what parameters a notebook takes: a cell of its own may set them again.
pub(super) const NO_PARAMETERS: &str = "no cell is tagged parameters: they are set in a new first cell, and a cell that sets the same names later wins. \
    Tag the cell with their defaults `parameters` to have them set after it";

/// Whether a notebook has a cell for its parameters.
pub(super) fn takes_parameters(notebook: &Notebook) -> bool {
    tagged(notebook, PARAMETERS).is_some()
}

/// The edit that gives a notebook these parameters: a cell after the tagged one, or in place of an earlier one.
pub(super) fn injection(
    notebook: &Notebook,
    parameters: &Map<String, Value>,
) -> Result<Edit, RunError> {
    let mut source = "# Parameters".to_owned();
    for (name, value) in parameters {
        let mut letters = name.chars();
        let begins = |c: char| c.is_alphabetic() || c == '_';
        let is_word =
            letters.next().is_some_and(begins) && letters.all(|c| begins(c) || c.is_numeric());
        if !is_word || KEYWORDS.split(' ').any(|word| word == name) {
            return Err(RunError::Invalid(format!(
                "{name:?} in parameters is no name of a Python variable"
            )));
        }
        source += &format!("\n{name} = {}", literal(value));
    }
    Ok(match tagged(notebook, INJECTED) {
        Some(index) => Edit::Update {
            cell: notebook.pinned(index).0,
            expect: None,
            source,
        },
        None => Edit::Insert {
            index: Some(tagged(notebook, PARAMETERS).map_or(0, |index| index + 1)),
            kind: "code",
            source,
            id: fresh_id(),
            tags: &[INJECTED],
        },
    })
}

/// The first code cell with this tag.
fn tagged(notebook: &Notebook, tag: &str) -> Option<usize> {
    let has_tag = |cell: &Cell| cell.is_code() && notebook.tags(cell).iter().any(|own| own == tag);
    notebook.cells().iter().position(has_tag)
}

/// A value as Python writes it.
fn literal(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        // JSON's escapes are Python's too.
        Value::Number(_) | Value::String(_) => value.to_string(),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(literal).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(members) => {
            let members = members.iter();
            let members =
                members.map(|(name, value)| format!("{}: {}", json!(name), literal(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
    }
}

fn first(notebook: &Notebook, text: &str) -> Result<usize, RunError> {
    let by_id = Target {
        id: Some(text.to_owned()),
        index: None,
    };
    let by_index = Target {
        id: None,
        index: text.parse().ok(),
    };
    let found = notebook.find(&by_id, None);
    found
        .or_else(|why| notebook.find(&by_index, None).map_err(|_| why))
        .map_err(|why| RunError::Invalid(format!("from_cell: {why}")))
}

/// The code cells, none of them run.
pub(super) fn rows(notebook: &Notebook, from: Option<&str>) -> Result<Vec<Row>, RunError> {
    let first = match from {
        Some(text) => first(notebook, text)?,
        None => 0,
    };
    let cells = notebook.cells().iter().enumerate().skip(first);
    let cells = cells.filter(|(_, cell)| cell.is_code() && !cell.source.trim().is_empty());
    let rows = cells.map(|(index, cell)| {
        let (target, version) = notebook.pinned(index);
        Row {
            index,
            cell_id: target.id,
            cell_index: target.index,
            version,
            tags: notebook.tags(cell),
            state: CellState::NotRun,
            code: None,
            because: None,
            attempts: 0,
            job_id: None,
            seconds: None,
            line: String::new(),
            is_by_policy: false,
            is_written: false,
        }
    });
    let rows: Vec<Row> = rows.collect();
    if rows.is_empty() {
        return Err(RunError::Invalid("there is no code to run".to_owned()));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::literal;

    #[test]
    fn values_are_written_as_python_literals() {
        let value = json!({"a": [1, -2.5, true, null, "it's \"q\"\n\u{1}é"], "b": {}, "c": false});
        assert_eq!(
            literal(&value),
            r#"{"a": [1, -2.5, True, None, "it's \"q\"\n\u0001é"], "b": {}, "c": False}"#
        );
    }
}
