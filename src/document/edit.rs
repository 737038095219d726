//! Edits of a notebook that leave every byte outside the edited cell as it is, but the commas around it.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::error::Refusal;
use super::nbformat::{Cell, Ids, Notebook};
use super::scan::Span;
use super::style::{in_lines, lines};
use super::trail::Trail;
use crate::render::json::joined;

/// Characters of an id, as nbformat makes them.
const ID_CHARS: usize = 8;

/// Names a cell, by its id or by its index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    pub id: Option<String>,
    /// The first cell is 0.
    pub index: Option<usize>,
}

/// One change of a notebook.
#[derive(Debug, Clone)]
pub enum Edit {
    /// Adds a cell before the one at `index`, by default at the end.
    Insert {
        index: Option<usize>,
        /// `code` or `markdown`.
        kind: &'static str,
        source: String,
        /// Used where the notebook's cells have ids: the same for every try.
        id: String,
        tags: &'static [&'static str],
    },
    Update {
        cell: Target,
        /// The version that the cell must still have.
        expect: Option<String>,
        source: String,
    },
    Delete {
        cell: Target,
        expect: Option<String>,
    },
    /// Moves a cell, so that it is then the one at `to`.
    Move {
        cell: Target,
        expect: Option<String>,
        to: usize,
    },
    /// Replaces a code cell's outputs by those of a run.
    Outputs {
        cell: Target,
        expect: Option<String>,
        outputs: Vec<Value>,
        execution_count: Option<u64>,
        /// What the run has shown in the cell before, where it is shown live.
        trail: Trail,
    },
}

/// A notebook's new text, and the index of the cell that was edited; none if it was deleted.
#[derive(Debug)]
pub(super) struct Edited {
    pub(super) text: String,
    pub(super) index: Option<usize>,
}

/// A new id for a cell.
#[must_use]
pub fn fresh_id() -> String {
    let id = Uuid::now_v7().simple().to_string();
    id[id.len() - ID_CHARS..].to_owned()
}

impl Notebook {
    /// Finds a cell, and checks its version.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn find(&self, target: &Target, expect: Option<&str>) -> Result<usize, Refusal> {
        let index = self.locate(target)?;
        let cell = &self.cells[index];
        match expect {
            Some(expect) if expect != cell.version() => Err(Refusal::changed(index, &cell.source)),
            _ => Ok(index),
        }
    }

    fn locate(&self, target: &Target) -> Result<usize, Refusal> {
        let count = self.cells.len();
        let Some(id) = &target.id else {
            let index = target.index.ok_or(Refusal::NoTarget)?;
            return if index < count {
                Ok(index)
            } else {
                Err(Refusal::NoIndex { index, count })
            };
        };
        let has_id = |(_, cell): &(usize, &Cell)| cell.id.as_ref() == Some(id);
        let found: Vec<usize> = (self.cells.iter().enumerate())
            .filter(has_id)
            .map(|(at, _)| at)
            .collect();
        match (found.as_slice(), target.index) {
            ([], _) => Err(Refusal::NoId {
                id: id.clone(),
                count,
            }),
            ([index], None) => Ok(*index),
            (_, Some(index)) if found.contains(&index) => Ok(index),
            ([found], Some(index)) => Err(Refusal::Contradiction {
                id: id.clone(),
                found: *found,
                index,
            }),
            _ => Err(Refusal::SharedId {
                id: id.clone(),
                indices: found,
            }),
        }
    }

    /// Makes an edit.
    ///
    /// # Errors
    /// [`Refusal`].
    pub(super) fn edited(&self, edit: &Edit) -> Result<Edited, Refusal> {
        match edit {
            Edit::Insert {
                index,
                kind,
                source,
                id,
                tags,
            } => {
                let cell = self.new_cell(kind, source, id, tags);
                self.insert(*index, cell)
            }
            Edit::Update {
                cell,
                expect,
                source,
            } => {
                let index = self.find(cell, expect.as_deref())?;
                self.update(index, source)
            }
            Edit::Delete { cell, expect } => {
                let index = self.find(cell, expect.as_deref())?;
                Ok(self.delete(index))
            }
            Edit::Move { cell, expect, to } => {
                if *cell == Target::default() {
                    return Err(Refusal::NoneToMove);
                }
                let index = self.find(cell, expect.as_deref())?;
                self.reorder(index, *to)
            }
            Edit::Outputs {
                cell,
                expect,
                outputs,
                execution_count,
                trail: _,
            } => {
                let index = self.find(cell, expect.as_deref())?;
                self.show(index, outputs, *execution_count)
            }
        }
    }

    /// Whether an edit is there already, because an earlier try has made it although its answer was lost.
    pub(super) fn has(&self, edit: &Edit) -> Option<Option<usize>> {
        match edit {
            Edit::Insert {
                index, source, id, ..
            } => {
                let by_id = self
                    .cells
                    .iter()
                    .position(|cell| cell.id.as_ref() == Some(id));
                let there = index.unwrap_or(self.cells.len().saturating_sub(1));
                let is_there = self.ids == Ids::None
                    && self
                        .cells
                        .get(there)
                        .is_some_and(|cell| cell.source == *source);
                by_id.or(is_there.then_some(there)).map(Some)
            }
            Edit::Update { cell, source, .. } => {
                let index = self.locate(cell).ok()?;
                (self.cells[index].source == *source).then_some(Some(index))
            }
            Edit::Delete { cell, .. } => {
                (cell.id.is_some() && self.locate(cell).is_err()).then_some(None)
            }
            // Made again, these change nothing.
            Edit::Move { .. } | Edit::Outputs { .. } => None,
        }
    }

    fn insert(&self, index: Option<usize>, cell: String) -> Result<Edited, Refusal> {
        let count = self.cells.len();
        let index = index.unwrap_or(count);
        if index > count {
            return Err(Refusal::NoIndex { index, count });
        }
        let depth = self.depth();
        let (at, added) = match (self.cells.get(index), self.cells.last()) {
            (Some(next), _) => (next.span.start, cell + &self.separator(next)),
            (None, Some(last)) => (last.span.end, self.separator(last) + &cell),
            (None, None) => {
                let sheet = self.sheets.first().ok_or(Refusal::NoTarget)?;
                let inner = self.style.line(depth) + &cell + &self.style.line(depth - 1);
                let text = self.spliced(&[(sheet.start + 1..sheet.end - 1, inner)]);
                return Ok(Edited {
                    text,
                    index: Some(0),
                });
            }
        };
        let text = self.spliced(&[(at..at, added)]);
        Ok(Edited {
            text,
            index: Some(index),
        })
    }

    /// What stands between two cells of the sheet of `cell`.
    fn separator(&self, cell: &Cell) -> String {
        let mut own = self.cells.iter().filter(|other| other.sheet == cell.sheet);
        match (own.next(), own.next()) {
            (Some(first), Some(second)) => self.text[first.span.end..second.span.start].to_owned(),
            _ => self.style.next(self.depth()),
        }
    }

    fn new_cell(&self, kind: &str, source: &str, id: &str, tags: &[&str]) -> String {
        let source = self.in_form(None, source);
        let is_code = kind == "code";
        let mut metadata = match self.ids {
            Ids::InMetadata => json!({"id": id}),
            Ids::Own | Ids::None => Value::Object(Map::new()),
        };
        if !tags.is_empty() {
            metadata["tags"] = json!(tags);
        }
        let kind = ("cell_type", json!(kind));
        let mut fields = vec![kind];
        if self.major == 3 {
            match is_code {
                true => fields.extend([
                    ("collapsed", json!(false)),
                    ("input", source),
                    ("language", json!("python")),
                    ("metadata", metadata),
                    ("outputs", json!([])),
                ]),
                false => fields.extend([("metadata", metadata), ("source", source)]),
            }
            return self.style.object(&fields, self.depth());
        }
        if is_code {
            fields.push(("execution_count", Value::Null));
        }
        if self.ids == Ids::Own {
            fields.push(("id", json!(id)));
        }
        fields.push(("metadata", metadata));
        if is_code {
            fields.push(("outputs", json!([])));
        }
        fields.push(("source", source));
        self.style.object(&fields, self.depth())
    }

    /// The source as one text or as lines, like that of `cell`, or else like those of the other cells.
    fn in_form(&self, cell: Option<&Cell>, source: &str) -> Value {
        let is_text = |cell: &Cell| {
            let place = &source_of(cell)?.value;
            Some(self.text[place.clone()].starts_with('"'))
        };
        let others = self.cells.iter().filter(|cell| !cell.source.is_empty());
        if cell.into_iter().chain(others).find_map(is_text) == Some(true) {
            return source.into();
        }
        lines(source)
    }

    fn update(&self, index: usize, source: &str) -> Result<Edited, Refusal> {
        let cell = &self.cells[index];
        let place = source_of(cell).ok_or(Refusal::NoSource { index })?;
        let form = self.in_form(Some(cell), source);
        // What is the same keeps its own form.
        let text = if cell.source == source && joined(&form).is_some() {
            self.text.clone()
        } else {
            self.spliced(&[(
                place.value.clone(),
                self.style.value(&form, self.depth() + 1),
            )])
        };
        Ok(Edited {
            text,
            index: Some(index),
        })
    }

    fn delete(&self, index: usize) -> Edited {
        let cell = &self.cells[index];
        let beside = |at: Option<usize>| {
            self.cells
                .get(at?)
                .filter(|other| other.sheet == cell.sheet)
        };
        let sheet = &self.sheets[cell.sheet];
        let gone = match (beside(index.checked_sub(1)), beside(Some(index + 1))) {
            (Some(before), _) => before.span.end..cell.span.end,
            (None, Some(after)) => cell.span.start..after.span.start,
            (None, None) => sheet.start + 1..sheet.end - 1,
        };
        let text = self.spliced(&[(gone, String::new())]);
        Edited { text, index: None }
    }

    fn reorder(&self, from: usize, to: usize) -> Result<Edited, Refusal> {
        let count = self.cells.len();
        if to >= count {
            return Err(Refusal::NoIndex { index: to, count });
        }
        let mut order: Vec<usize> = (0..count).collect();
        let moved = order.remove(from);
        order.insert(to, moved);
        let changes = self.cells.iter().zip(order);
        let changes = changes.map(|(place, cell)| {
            let cell = &self.cells[cell];
            (place.span.clone(), self.text[cell.span.clone()].to_owned())
        });
        let text = self.spliced(&changes.collect::<Vec<_>>());
        Ok(Edited {
            text,
            index: Some(to),
        })
    }

    fn show(&self, index: usize, outputs: &[Value], count: Option<u64>) -> Result<Edited, Refusal> {
        let cell = &self.cells[index];
        if !cell.is_code() || self.major != 4 {
            return Err(Refusal::NoOutputs { index });
        }
        let depth = self.depth() + 1;
        let mut changes = Vec::new();
        let mut added = String::new();
        for (name, value) in [
            ("execution_count", json!(count)),
            ("outputs", outputs.iter().map(in_lines).collect()),
        ] {
            let text = self.style.value(&value, depth);
            match cell.member(name) {
                Some(member) => changes.push((member.value.clone(), text)),
                None => added += &(self.style.next(depth) + &self.style.name(name) + &text),
            }
        }
        let end = cell
            .members
            .last()
            .map_or(cell.span.end - 1, |last| last.value.end);
        changes.push((end..end, added));
        changes.sort_by_key(|(place, _)| place.start);
        Ok(Edited {
            text: self.spliced(&changes),
            index: Some(index),
        })
    }

    /// The text with these places, in order, replaced.
    fn spliced(&self, changes: &[(Span, String)]) -> String {
        let added: usize = changes.iter().map(|(_, text)| text.len()).sum();
        let mut text = String::with_capacity(self.text.len() + added);
        let mut end = 0;
        for (place, new) in changes {
            text += &self.text[end..place.start];
            text += new;
            end = place.end;
        }
        text + &self.text[end..]
    }
}

fn source_of(cell: &Cell) -> Option<&super::scan::Member> {
    cell.member("source").or_else(|| cell.member("input"))
}
