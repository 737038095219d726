//! A run's outputs in a shared cell, in steps that an open JupyterLab can follow.
//!
//! Of the changes that others make its page understands these: the end of the last output's text is removed or added to, outputs are removed
//! from one on, or are added at the end. What is added can be taken before what is removed in the same transaction, so there are two: the first
//! removes, the second adds. An array of outputs that is replaced is never seen.

use serde_json::{Value, json};
use yrs::types::ToJson;
use yrs::{
    Array, ArrayRef, GetString, In, Map, MapRef, Out, ReadTxn, Text, TextRef, TransactionMut,
};

use super::cells::{STATE, Shared, any, at, text, value};
use crate::document::edit::{Edit, Target};
use crate::document::error::Refusal;
use crate::document::nbformat::version;
use crate::document::trail::Trail;
use crate::jupyter::Room;

/// The state of a cell's run that is to be shown.
pub(super) struct Frame<'a> {
    cell: &'a Target,
    /// The version that the cell must still have.
    version: Option<&'a str>,
    outputs: Vec<Value>,
    execution_count: Option<u64>,
    is_running: bool,
    trail: &'a Trail,
}

/// A code cell of a shared document.
pub(super) struct Code {
    pub(super) index: usize,
    pub(super) source: TextRef,
    cell: MapRef,
    outputs: ArrayRef,
}

impl<'a> Frame<'a> {
    /// The last state of a run; none of another edit.
    pub(super) fn of(edit: &'a Edit) -> Option<Self> {
        let Edit::Outputs {
            cell,
            expect,
            outputs,
            execution_count,
            trail,
        } = edit
        else {
            return None;
        };
        let cell = (cell, expect.as_deref());
        Some(Self::new(cell, outputs, *execution_count, false, trail))
    }

    pub(super) fn new(
        (cell, version): (&'a Target, Option<&'a str>),
        outputs: &[Value],
        execution_count: Option<u64>,
        is_running: bool,
        trail: &'a Trail,
    ) -> Self {
        // As the document has them.
        let outputs = outputs.iter().map(|output| value(&any(&rendered(output))));
        Self {
            cell,
            version,
            outputs: outputs.collect(),
            execution_count,
            is_running,
            trail,
        }
    }

    /// Shows it in the cell, unless somebody else has changed that; returns the bytes of what was added.
    pub(super) fn show(&self, room: &Room) -> Result<usize, Refusal> {
        let bytes = room.edit(|transaction| self.remove_others(transaction, room.session()))?;
        let code = room.edit(|transaction| self.add_missing(transaction))?;
        room.point_at(&code.source);
        Ok(bytes)
    }

    /// Notes that the server has what was shown.
    pub(super) fn note_received(&self, room: &Room) {
        let state = json!(self.outputs).to_string();
        self.trail.note(room.session(), &[state]);
    }

    /// Removes the outputs that do not stay, but none that somebody else has changed; returns the bytes that are missing then.
    pub(super) fn remove_others(
        &self,
        transaction: &mut TransactionMut<'_>,
        session: &str,
    ) -> Result<usize, Refusal> {
        let Code { index, outputs, .. } = self.code(transaction)?;
        let now = shown(&outputs, transaction);
        if now == self.outputs {
            return Ok(0);
        }
        if !self.trail.may_be(session, &json!(now).to_string()) {
            return Err(Refusal::OutputsChanged { index });
        }
        let mut kept = kept(&now, &self.outputs);
        let text = last_text(&outputs, transaction);
        // Text of a client that writes it as a plain value cannot be added to.
        if printed(now.last()).is_some() && text.is_none() {
            kept.clear();
        }
        let states = [&now, &kept, &self.outputs].map(|outputs| json!(outputs).to_string());
        self.trail.note(session, &states);
        if kept.len() < now.len() {
            outputs.remove_range(transaction, at(kept.len()), at(now.len() - kept.len()));
        } else if let (Some(text), Some(old), Some(new)) =
            (text, printed(now.last()), printed(kept.last()))
            && new.len() < old.len()
        {
            text.remove_range(transaction, at(new.len()), at(old.len() - new.len()));
        }
        Ok(states[2].len().saturating_sub(states[1].len()))
    }

    /// Adds the outputs that are missing.
    pub(super) fn add_missing(
        &self,
        transaction: &mut TransactionMut<'_>,
    ) -> Result<Code, Refusal> {
        let code = self.code(transaction)?;
        let now = shown(&code.outputs, transaction);
        if kept(&now, &self.outputs) != now {
            let index = code.index;
            return Err(Refusal::OutputsChanged { index });
        }
        let unfinished = now.len().checked_sub(1).map(|last| &self.outputs[last]);
        if let (Some(old), Some(new)) = (printed(now.last()), printed(unfinished))
            && let Some(text) = last_text(&code.outputs, transaction)
            && old.len() < new.len()
        {
            text.insert(transaction, at(old.len()), &new[old.len()..]);
        }
        for new in &self.outputs[now.len()..] {
            code.outputs.push_back(transaction, output(new));
        }
        let state = if self.is_running { "running" } else { "idle" };
        let fields = [
            ("execution_count", json!(self.execution_count)),
            (STATE, json!(state)),
        ];
        for (name, new) in fields {
            let old = code.cell.get(transaction, name);
            if old.map(|old| value(&old.to_json(transaction))) != Some(new.clone()) {
                code.cell.insert(transaction, name, any(&new));
            }
        }
        Ok(code)
    }

    fn code(&self, transaction: &mut TransactionMut<'_>) -> Result<Code, Refusal> {
        find(transaction, self.cell, self.version)
    }
}

/// Ends the state of a cell that is shown as running.
pub(super) fn rest(room: &Room, cell: &Target) -> Result<(), Refusal> {
    room.edit(|transaction| {
        let Code { cell, .. } = find(transaction, cell, None)?;
        if cell.get(transaction, STATE) == Some(Out::from("running")) {
            cell.insert(transaction, STATE, "idle");
        }
        Ok(())
    })
}

/// Finds a code cell, and checks its version.
fn find(
    transaction: &mut TransactionMut<'_>,
    target: &Target,
    expect: Option<&str>,
) -> Result<Code, Refusal> {
    let cells = Shared::of(transaction).cells;
    let has_id = |cell: &MapRef| {
        let id = cell.get(transaction, "id").and_then(|id| id.cast().ok());
        target.id.is_none() || id == target.id
    };
    let code = |(index, cell): (usize, Out)| {
        let cell: MapRef = cell.cast().ok()?;
        let is_it = target.index.is_none_or(|given| given == index) && has_id(&cell);
        is_it.then_some((index, cell))
    };
    let mut found = cells.iter(transaction).enumerate().filter_map(code);
    let (Some((index, cell)), None) = (found.next(), found.next()) else {
        let id = target.id.clone().unwrap_or_default();
        let count = usize::try_from(cells.len(transaction)).unwrap_or(usize::MAX);
        return Err(Refusal::NoId { id, count });
    };
    let part = |name| cell.get(transaction, name);
    let (Some(Out::YText(source)), Some(Out::YArray(outputs))) = (part("source"), part("outputs"))
    else {
        return Err(Refusal::NoOutputs { index });
    };
    let found = source.get_string(transaction);
    if let Some(expect) = expect
        && expect != version(&found)
    {
        return Err(Refusal::changed(index, &found));
    }
    Ok(Code {
        index,
        cell,
        source,
        outputs,
    })
}

fn shown<T: ReadTxn>(outputs: &ArrayRef, transaction: &T) -> Vec<Value> {
    let outputs = outputs.iter(transaction);
    outputs
        .map(|output| value(&output.to_json(transaction)))
        .collect()
}

/// What stays of the outputs `now` on the way to others: all that these begin with, also of the text of the last one.
fn kept(now: &[Value], next: &[Value]) -> Vec<Value> {
    let same = now.iter().zip(next).take_while(|(a, b)| a == b).count();
    let Some(first) = now.get(same) else {
        return now.to_vec();
    };
    let is_last = same + 1 == now.len();
    if let (true, Some(old), Some(new)) = (is_last, printed(now.last()), printed(next.get(same)))
        && first["name"] == next[same]["name"]
    {
        let pairs = old.chars().zip(new.chars());
        let same_chars = pairs.take_while(|(a, b)| a == b);
        let length = same_chars.map(|(char, _)| char.len_utf8()).sum();
        let mut kept = now.to_vec();
        kept[same]["text"] = json!(old[..length]);
        return kept;
    }
    // JupyterLab joins text to the text that it has added last, even if another output is before it now.
    let from = if printed(now.last()).is_some() {
        0
    } else {
        same
    };
    now[..from].to_vec()
}

/// The text of a stream.
fn printed(output: Option<&Value>) -> Option<&str> {
    let output = output?;
    let text = output["text"].as_str();
    text.filter(|_| output["output_type"] == "stream")
}

fn last_text<T: ReadTxn>(outputs: &ArrayRef, transaction: &T) -> Option<TextRef> {
    let last = outputs.len(transaction).checked_sub(1)?;
    let output: MapRef = outputs.get(transaction, last)?.cast().ok()?;
    output.get(transaction, "text")?.cast().ok()
}

/// An output; printed text can be added to.
fn output(output: &Value) -> In {
    let is_stream = output["output_type"] == "stream";
    let fields = output.as_object().into_iter().flatten();
    let fields = fields.map(|(name, value)| {
        let printed = value.as_str().filter(|_| is_stream && name == "text");
        let value = printed.map_or_else(|| In::Any(any(value)), text);
        (name.as_str(), value)
    });
    In::Map(fields.collect())
}

/// An output whose text is as a terminal shows it: the page takes `\r` and `\b` for characters where text is added.
fn rendered(output: &Value) -> Value {
    let mut output = output.clone();
    if let Some(text) = printed(Some(&output)).filter(|text| text.contains(['\r', '\u{8}'])) {
        output["text"] = json!(overwritten(text));
    }
    output
}

fn overwritten(text: &str) -> String {
    let mut lines = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (line, end) = line
            .strip_suffix('\n')
            .map_or((line, ""), |line| (line, "\n"));
        let (mut chars, mut place) = (Vec::new(), 0);
        for char in line.chars() {
            match char {
                '\r' => place = 0,
                '\u{8}' if place > 0 => {
                    place -= 1;
                    chars.remove(place);
                }
                '\u{8}' => {}
                char => {
                    if place < chars.len() {
                        chars[place] = char;
                    } else {
                        chars.push(char);
                    }
                    place += 1;
                }
            }
        }
        lines.extend(chars);
        lines += end;
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{kept, overwritten};

    #[test]
    fn text_is_as_a_terminal_shows_it() {
        for (text, expected) in [
            ("a\r\nb", "a\nb"),
            ("10%\r20%\n1\r", "20%\n1"),
            ("long\rab", "abng"),
            ("ab\u{8}\u{8}\u{8}c\nd", "c\nd"),
            ("größe\rG", "Größe"),
        ] {
            assert_eq!(overwritten(text), expected, "{text:?}");
        }
    }

    #[test]
    fn outputs_stay_as_far_as_the_next_ones_begin_with_them() {
        let out = |text: &str| json!({"output_type": "stream", "name": "stdout", "text": text});
        let err = |text: &str| json!({"output_type": "stream", "name": "stderr", "text": text});
        let plot = |name: &str| json!({"output_type": "display_data", "data": {"image/png": name}});
        let check = |now: &[Value], next: &[Value], stays: &[Value]| {
            assert_eq!(kept(now, next), stays, "{now:?} -> {next:?}");
        };
        check(&[], &[out("a")], &[]);
        check(&[out("ab")], &[out("abc"), plot("x")], &[out("ab")]);
        check(&[out("grün")], &[out("größe")], &[out("gr")]);
        check(&[out("a"), plot("x")], &[out("a"), plot("y")], &[out("a")]);
        check(&[out("a"), plot("x")], &[out("b"), plot("x")], &[]);
        // Text after an output that changes is not left as the last one that was added.
        check(
            &[plot("w"), plot("x"), out("a")],
            &[plot("w"), out("a")],
            &[],
        );
        check(&[out("a")], &[err("a")], &[]);
        check(&[out("a"), plot("x")], &[], &[]);
    }
}
