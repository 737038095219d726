//! A notebook as a shared document: its text in nbformat, and edits of it. The names and types of its parts are those of `jupyter_ydoc`.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map as JsonMap, Value, json};
use yrs::types::text::DeltaPrelim;
use yrs::types::{AsPrelim, ToJson};
use yrs::{
    Any, Array, ArrayPrelim, ArrayRef, GetString, In, Map, MapPrelim, MapRef, Out, ReadTxn, Text,
    TextPrelim, TextRef, TransactionMut, WriteTxn,
};

use super::outputs::Frame;
use crate::document::edit::Edit;
use crate::document::error::Refusal;
use crate::document::nbformat::Notebook;

/// The state of a cell's run, which is not written into files.
pub(super) const STATE: &str = "execution_state";

/// The parts of a document.
pub(super) struct Shared {
    pub(super) cells: ArrayRef,
    meta: MapRef,
    state: MapRef,
}

impl Shared {
    pub(super) fn of(transaction: &mut TransactionMut<'_>) -> Self {
        Self {
            cells: transaction.get_or_insert_array("cells"),
            meta: transaction.get_or_insert_map("meta"),
            state: transaction.get_or_insert_map("state"),
        }
    }

    /// The digest of the file that the server wrote last.
    pub(super) fn digest<T: ReadTxn>(&self, transaction: &T) -> Option<String> {
        self.state.get(transaction, "hash")?.cast().ok()
    }

    /// The notebook's text in nbformat.
    pub(super) fn text<T: ReadTxn>(&self, transaction: &T) -> String {
        let cells = self.cells.iter(transaction).map(|cell| {
            let mut cell = value(&cell.to_json(transaction));
            if let Some(cell) = cell.as_object_mut() {
                cell.remove(STATE);
            }
            cell
        });
        let cells: Vec<_> = cells.collect();
        let mut notebook = value(&self.meta.to_json(transaction));
        if let Some(notebook) = notebook.as_object_mut() {
            notebook.insert("cells".to_owned(), cells.into());
        }
        notebook.to_string()
    }

    /// Makes an edit; returns the index of the cell, none if it was deleted. `notebook` is the document as it is.
    pub(super) fn apply(
        &self,
        transaction: &mut TransactionMut<'_>,
        notebook: &Notebook,
        edit: &Edit,
    ) -> Result<Option<usize>, Refusal> {
        let count = notebook.cells().len();
        let within = |index: usize, most: usize| match index <= most && most <= count {
            true => Ok(index),
            false => Err(Refusal::NoIndex { index, count }),
        };
        match edit {
            Edit::Insert {
                index,
                kind,
                source,
                id,
                tags,
            } => {
                let index = within(index.unwrap_or(count), count)?;
                self.cells
                    .insert(transaction, at(index), new_cell(kind, source, id, tags));
                Ok(Some(index))
            }
            Edit::Update {
                cell,
                expect,
                source,
            } => {
                let index = notebook.find(cell, expect.as_deref())?;
                let text = self.source(transaction, index);
                let text = text.ok_or(Refusal::NoSource { index })?;
                replace(transaction, &text, source);
                Ok(Some(index))
            }
            Edit::Delete { cell, expect } => {
                let index = notebook.find(cell, expect.as_deref())?;
                self.cells.remove(transaction, at(index));
                Ok(None)
            }
            Edit::Move { cell, expect, to } => {
                let index = notebook.find(cell, expect.as_deref())?;
                let to = within(*to, count - 1)?;
                if to != index {
                    let moved = self.cell(transaction, index)?.as_prelim(transaction);
                    self.cells.remove(transaction, at(index));
                    self.cells.insert(transaction, at(to), moved);
                }
                Ok(Some(to))
            }
            Edit::Outputs { .. } => Frame::of(edit).map_or(Ok(None), |frame| {
                let code = frame.add_missing(transaction)?;
                Ok(Some(code.index))
            }),
        }
    }

    /// The source of a cell.
    pub(super) fn source<T: ReadTxn>(&self, transaction: &T, index: usize) -> Option<TextRef> {
        let cell = self.cell(transaction, index).ok()?;
        cell.get(transaction, "source")?.cast().ok()
    }

    fn cell<T: ReadTxn>(&self, transaction: &T, index: usize) -> Result<MapRef, Refusal> {
        match self.cells.get(transaction, at(index)) {
            Some(Out::YMap(cell)) => Ok(cell),
            _ => Err(Refusal::NoSource { index }),
        }
    }
}

/// A cell with all the parts that it must have: without one of them the server no longer saves the notebook, and does not say so.
fn new_cell(kind: &str, source: &str, id: &str, tags: &[&str]) -> MapPrelim {
    let tags = (!tags.is_empty()).then(|| ("tags", In::Any(any(&json!(tags)))));
    let metadata: MapPrelim = tags.into_iter().collect();
    let parts = [
        ("cell_type", In::from(kind)),
        ("id", In::from(id)),
        ("source", text(source)),
        ("metadata", metadata.into()),
    ];
    let own = [
        ("outputs", ArrayPrelim::default().into()),
        ("execution_count", In::Any(Any::Null)),
        (STATE, In::from("idle")),
    ];
    let own = own.into_iter().filter(|_| kind == "code");
    parts.into_iter().chain(own).collect()
}

pub(super) fn text(text: &str) -> In {
    In::Text(match text {
        "" => DeltaPrelim::default(),
        text => TextPrelim::new(text).into(),
    })
}

/// Changes no more of a text than differs.
fn replace(transaction: &mut TransactionMut<'_>, text: &TextRef, new: &str) {
    let old = text.get_string(transaction);
    let same = |(a, b): &(char, char)| a == b;
    let length = |pairs: &mut dyn Iterator<Item = (char, char)>| -> usize {
        pairs
            .take_while(same)
            .map(|(char, _)| char.len_utf8())
            .sum()
    };
    let start = length(&mut old.chars().zip(new.chars()));
    let (old, new) = (&old[start..], &new[start..]);
    let end = length(&mut old.chars().rev().zip(new.chars().rev()));
    let (gone, added) = (old.len() - end, &new[..new.len() - end]);
    if gone > 0 {
        text.remove_range(transaction, at(start), at(gone));
    }
    if !added.is_empty() {
        text.insert(transaction, at(start), added);
    }
}

pub(super) fn at(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

pub(super) fn value(any: &Any) -> Value {
    match any {
        Any::Null | Any::Undefined | Any::Buffer(_) => Value::Null,
        Any::Bool(is) => Value::Bool(*is),
        // From JavaScript all numbers come as floating ones.
        Any::Number(number) => number
            .as_i64()
            .map_or_else(|| json!(number.as_f64()), Value::from),
        Any::String(text) => Value::String(text.to_string()),
        Any::Array(items) => items.iter().map(value).collect(),
        Any::Map(fields) => {
            let fields = fields.iter().map(|(name, any)| (name.clone(), value(any)));
            Value::Object(fields.collect::<JsonMap<_, _>>())
        }
    }
}

pub(super) fn any(value: &Value) -> Any {
    match value {
        Value::Null => Any::Null,
        Value::Bool(is) => Any::Bool(*is),
        Value::Number(number) => match number.as_i64() {
            Some(number) => Any::from(number),
            None => Any::from(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => Any::from(text.as_str()),
        Value::Array(items) => Any::Array(items.iter().map(any).collect()),
        Value::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(name, value)| (name.clone(), any(value)));
            Any::Map(Arc::new(fields.collect::<HashMap<_, _>>()))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use yrs::{Array, Doc, GetString, Map, Out, Transact};

    use super::Shared;
    use crate::document::edit::{Edit, Target};
    use crate::document::nbformat::Notebook;
    use crate::document::trail::Trail;

    fn cell(id: &str) -> Target {
        Target {
            id: Some(id.to_owned()),
            index: None,
        }
    }

    fn insert(id: &str, kind: &'static str, source: &str) -> Edit {
        Edit::Insert {
            index: None,
            kind,
            source: source.to_owned(),
            id: id.to_owned(),
            tags: &[],
        }
    }

    /// The document after edits.
    fn after(edits: &[Edit]) -> (Doc, Value) {
        let doc = Doc::new();
        let mut transaction = doc.transact_mut();
        let shared = Shared::of(&mut transaction);
        shared.meta.insert(&mut transaction, "nbformat", 4.0);
        shared.meta.insert(&mut transaction, "nbformat_minor", 5);
        for edit in edits {
            let text = shared.text(&transaction);
            let notebook = Notebook::parse(text.into_bytes()).unwrap();
            shared.apply(&mut transaction, &notebook, edit).unwrap();
        }
        let text = shared.text(&transaction);
        drop(transaction);
        (doc, serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn edits_make_the_notebook_that_was_asked_for() {
        let edits = [
            insert("a", "code", "x = 1"),
            insert("b", "markdown", ""),
            insert("c", "code", "größe = '🚀'\nlast"),
            Edit::Update {
                cell: cell("c"),
                expect: None,
                source: "grüße = '🚁'\nlast".to_owned(),
            },
            Edit::Move {
                cell: cell("c"),
                expect: None,
                to: 0,
            },
            Edit::Outputs {
                cell: cell("c"),
                expect: None,
                outputs: vec![
                    json!({"output_type": "stream", "name": "stdout", "text": "é\n"}),
                    json!({"output_type": "display_data", "data": {"a/b": {"n": [1, 2.5, null]}}, "metadata": {}}),
                ],
                execution_count: Some(3),
                trail: Trail::default(),
            },
            Edit::Delete {
                cell: cell("a"),
                expect: None,
            },
        ];
        let (_, notebook) = after(&edits);
        let expected = json!({"nbformat": 4, "nbformat_minor": 5, "cells": [
            {"cell_type": "code", "id": "c", "metadata": {}, "execution_count": 3, "source": "grüße = '🚁'\nlast", "outputs": [
                {"output_type": "stream", "name": "stdout", "text": "é\n"},
                {"output_type": "display_data", "data": {"a/b": {"n": [1, 2.5, null]}}, "metadata": {}},
            ]},
            {"cell_type": "markdown", "id": "b", "metadata": {}, "source": ""},
        ]});
        assert_eq!(notebook, expected);
    }

    #[test]
    fn what_a_person_typed_meanwhile_stays_in_a_source_that_is_changed_elsewhere() {
        let (ours, _) = after(&[insert("a", "code", "first\nsecond\nthird")]);
        let theirs = Doc::new();
        let state = {
            use yrs::ReadTxn;
            ours.transact()
                .encode_state_as_update_v1(&yrs::StateVector::default())
        };
        let update = |bytes: &[u8]| {
            use yrs::updates::decoder::Decode;
            yrs::Update::decode_v1(bytes).unwrap()
        };
        theirs.transact_mut().apply_update(update(&state)).unwrap();
        let source = |transaction: &mut yrs::TransactionMut<'_>| {
            let shared = Shared::of(transaction);
            let Some(Out::YMap(cell)) = shared.cells.get(transaction, 0) else {
                panic!()
            };
            let Some(Out::YText(text)) = cell.get(transaction, "source") else {
                panic!()
            };
            text
        };
        let typed = {
            let mut transaction = theirs.transact_mut();
            let text = source(&mut transaction);
            super::replace(&mut transaction, &text, "first, typed\nsecond\nthird");
            transaction.encode_update_v1()
        };
        let mut transaction = ours.transact_mut();
        let text = source(&mut transaction);
        super::replace(&mut transaction, &text, "first\nsecond\n3rd");
        transaction.apply_update(update(&typed)).unwrap();
        assert_eq!(text.get_string(&transaction), "first, typed\nsecond\n3rd");
    }
}
