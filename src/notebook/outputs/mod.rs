//! A cell's output in the form of nbformat, bounded: the head and the tail of printed text, and a limited size of everything else.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::shape::{Item, Rich, fields, size};
use crate::base::ids::JobId;
use crate::jobs::shown::{Effect, Interpreter, Shown};
use crate::wire::event::{BlobRef, Event, EventKind, StreamName};

/// Bytes of printed text at a cell's head, and as many at its tail.
const MAX_HEAD_BYTES: usize = 512 * 1024;
const MAX_TAIL_BYTES: usize = MAX_HEAD_BYTES;
/// Pieces of text in a tail, which is trimmed piece by piece.
const PIECES: usize = 8;
/// Bytes of pictures, tables and other outputs in one cell, as encoded in the notebook.
const MAX_RICH_BYTES: usize = 20 * 1024 * 1024;

/// How much one cell holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Bytes of printed text at its head, and at its tail.
    pub(super) head: usize,
    pub(super) tail: usize,
    /// Bytes of everything else.
    pub(super) rich: usize,
    /// The job that has all of it, to be named where some is omitted.
    pub(super) job: Option<JobId>,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            head: MAX_HEAD_BYTES,
            tail: MAX_TAIL_BYTES,
            rich: MAX_RICH_BYTES,
            job: None,
        }
    }
}

/// The outputs of one cell.
#[derive(Debug, Default, Clone)]
pub(super) struct Outputs {
    bounds: Bounds,
    items: Vec<Item>,
    head: usize,
    /// Where the tail begins, once the head is full.
    gap: Option<usize>,
    /// Something between head and tail is omitted.
    is_cut: bool,
    tail: usize,
    /// Text before this item no longer belongs to the tail.
    trimmed: usize,
    rich: usize,
    interpreter: Interpreter,
    /// The outputs began by clearing the cell, so earlier ones are dropped.
    begins_clear: bool,
    /// The kernel's id: display ids are unique only within one kernel.
    kernel: String,
    /// Final states of displays in other cells, by their ids.
    elsewhere: BTreeMap<String, Rich>,
    elsewhere_bytes: usize,
}

/// The contents of Output widgets, by their models' ids.
pub(super) type Captured = BTreeMap<String, Outputs>;

/// A cell's outputs in the form of nbformat.
#[derive(Debug, Default)]
pub(super) struct Finished {
    pub(super) values: Vec<Value>,
    /// Ids and numbers of the displays that can be updated.
    pub(super) displays: Vec<(String, usize)>,
    /// Current states of displays in other cells.
    pub(super) elsewhere: BTreeMap<String, Rich>,
}

impl Outputs {
    pub(super) fn within(bounds: Bounds) -> Self {
        Self {
            bounds,
            ..Self::default()
        }
    }

    pub(super) fn take(&mut self, event: &Event) {
        if let EventKind::Started { kernel_id, .. } = &event.kind {
            self.kernel.clone_from(kernel_id);
        }
        for effect in self.interpreter.effects(event) {
            match effect {
                Effect::Clear => self.clear(),
                Effect::Print { name, text } => self.write(name, text),
                Effect::Show(shown) => self.show(self.rich(&shown)),
                Effect::Raise(error) => self.show(Rich::new("error", &fields(error), &Map::new())),
            }
        }
    }

    fn rich(&self, shown: &Shown<'_>) -> Rich {
        let kind = match shown.result_of {
            Some(_) => "execute_result",
            None => "display_data",
        };
        Rich {
            execution_count: shown.result_of.flatten(),
            display_id: self.unique(shown.display_id),
            is_update: shown.is_update,
            ..Rich::new(kind, shown.data, shown.metadata)
        }
    }

    fn unique(&self, display_id: Option<&str>) -> Option<String> {
        display_id.map(|id| format!("{} {id}", self.kernel))
    }

    fn clear(&mut self) {
        *self = Self {
            bounds: self.bounds,
            begins_clear: true,
            kernel: std::mem::take(&mut self.kernel),
            interpreter: std::mem::take(&mut self.interpreter),
            elsewhere: std::mem::take(&mut self.elsewhere),
            elsewhere_bytes: self.elsewhere_bytes,
            ..Self::default()
        };
    }

    /// Starts the tail, because the events before it were not read.
    pub(super) fn skip(&mut self) {
        self.begin_tail();
        self.is_cut = true;
    }

    fn begin_tail(&mut self) {
        if self.gap.is_none() {
            (self.gap, self.trimmed) = (Some(self.items.len()), self.items.len());
        }
    }

    fn write(&mut self, name: StreamName, text: &str) {
        if self.gap.is_none() && self.head + text.len() <= self.bounds.head {
            self.head += text.len();
            return self.join(name, text, usize::MAX, 0);
        }
        self.begin_tail();
        let (mut rest, most) = (text, self.bounds.tail / PIECES);
        while !rest.is_empty() {
            let fits = |end: &usize| rest.is_char_boundary(*end);
            let end = (0..=most.min(rest.len())).rfind(fits);
            let (piece, after) = rest.split_at(end.unwrap_or(rest.len()));
            self.write_piece(name, piece);
            rest = after;
        }
    }

    /// Adds a piece to the tail, and trims the surplus off the tail's front. Nothing is joined to a trimmed piece: it would be counted and never
    /// trimmed.
    fn write_piece(&mut self, name: StreamName, text: &str) {
        self.tail += text.len();
        self.join(name, text, self.bounds.tail / PIECES, self.trimmed);
        while self.tail > self.bounds.tail
            && let Some(item) = self.items.get_mut(self.trimmed)
        {
            if let Item::Stream { text, .. } = item {
                self.tail = self.tail.saturating_sub(text.len());
                text.clear();
            }
            self.trimmed += 1;
            self.is_cut = true;
        }
    }

    /// Adds text to the last piece if that is of the same stream, not before `from` and not full; else as a new piece.
    fn join(&mut self, name: StreamName, text: &str, full: usize, from: usize) {
        let may_join = self.items.len() > from;
        match self.items.last_mut() {
            Some(Item::Stream {
                name: last,
                text: before,
            }) if may_join && *last == name && before.len() < full => {
                before.push_str(text);
            }
            _ => self.items.push(Item::Stream {
                name,
                text: text.to_owned(),
            }),
        }
    }

    fn show(&mut self, mut rich: Rich) {
        let mut left_out = Vec::new();
        let (room, most) = (&mut self.rich, self.bounds.rich);
        rich.data.retain(|mime, value| {
            let size = size(mime, value);
            let fits = *room + size <= most;
            if fits {
                *room += size;
            } else {
                left_out.push(format!("{mime} of {size} bytes"));
            }
            fits
        });
        if !left_out.is_empty() {
            let note = format!(
                "[… omitted, because this cell has too much output: {} …]\n",
                left_out.join(", ")
            );
            self.write(StreamName::Stdout, &note);
        }
        if rich.data.is_empty() {
            return;
        }
        let Some(id) = rich.display_id.clone() else {
            return self.add(rich);
        };
        let mut is_shown = false;
        for item in &mut self.items {
            if let Item::Rich(shown) = item
                && shown.display_id.as_ref() == Some(&id)
            {
                // Its fetched content may be larger than the size counted before.
                self.rich = self.rich.saturating_sub(shown.size()) + rich.size();
                (shown.data, shown.metadata) = (rich.data.clone(), rich.metadata.clone());
                is_shown = true;
            }
        }
        if !rich.is_update {
            self.items.push(Item::Rich(rich));
        } else if is_shown {
            self.rich = self.rich.saturating_sub(rich.size());
        } else {
            self.rich = self.rich.saturating_sub(rich.size());
            self.update_elsewhere(id, rich);
        }
    }

    /// Adds an output without an id; an update without an id replaces only an update just before it.
    fn add(&mut self, rich: Rich) {
        match self.items.last_mut() {
            Some(Item::Rich(last)) if rich.is_update && last.is_update => {
                self.rich = self.rich.saturating_sub(last.size());
                (last.data, last.metadata) = (rich.data, rich.metadata);
            }
            _ => self.items.push(Item::Rich(rich)),
        }
    }

    fn update_elsewhere(&mut self, id: String, rich: Rich) {
        let before = self.elsewhere.get(&id).map_or(0, Rich::size);
        let bytes = self.elsewhere_bytes.saturating_sub(before) + rich.size();
        if bytes <= self.bounds.rich {
            self.elsewhere_bytes = bytes;
            self.elsewhere.insert(id, rich);
        }
    }

    /// The values kept in blobs, to be replaced by their content.
    pub(super) fn blobs(&mut self) -> impl Iterator<Item = (&str, BlobRef, &mut Value)> {
        let own = self.items.iter_mut().filter_map(|item| match item {
            Item::Rich(rich) => Some(rich),
            Item::Stream { .. } => None,
        });
        let all = own.chain(self.elsewhere.values_mut());
        all.flat_map(|rich| rich.data.iter_mut())
            .filter_map(|(mime, value)| Some((mime.as_str(), BlobRef::of(value)?, value)))
    }

    /// Adds later outputs, within the same bounds.
    pub(super) fn absorb(&mut self, mut later: Self, log_bytes: u64) {
        if later.begins_clear || (self.interpreter.is_waiting_to_clear() && !later.items.is_empty())
        {
            self.clear();
        }
        self.interpreter = std::mem::take(&mut later.interpreter);
        for (_, rich) in std::mem::take(&mut later.elsewhere) {
            self.show(rich);
        }
        for item in later.into_items(log_bytes) {
            match item {
                Item::Stream { name, text } => self.write(name, &text),
                Item::Rich(rich) => self.show(rich),
            }
        }
    }

    pub(super) fn pictures(&self) -> u64 {
        let has_picture = |item: &&Item| match item {
            Item::Rich(rich) => rich.data.keys().any(|mime| mime.starts_with("image/")),
            Item::Stream { .. } => false,
        };
        self.items.iter().filter(has_picture).count() as u64
    }

    /// Converts the outputs to nbformat. `log_bytes` is the length of their log.
    pub(super) fn finish(mut self, log_bytes: u64) -> Finished {
        let elsewhere = std::mem::take(&mut self.elsewhere);
        let mut joined = Self::default();
        for item in self.into_items(log_bytes) {
            match item {
                Item::Stream { name, text } => joined.join(name, &text, usize::MAX, 0),
                Item::Rich(_) => joined.items.push(item),
            }
        }
        let displays = (joined.items.iter().enumerate())
            .filter_map(|(at, item)| match item {
                Item::Rich(rich) => Some((rich.display_id.clone()?, at)),
                Item::Stream { .. } => None,
            })
            .collect();
        Finished {
            values: joined.items.into_iter().map(Item::into_value).collect(),
            displays,
            elsewhere,
        }
    }

    fn into_items(self, log_bytes: u64) -> Vec<Item> {
        let gap = self.gap.filter(|_| self.is_cut);
        let mut items = self.items;
        if let Some(gap) = gap {
            let name = StreamName::Stdout;
            let job = self.bounds.job.map(|job| format!(" (job {job})"));
            let text = format!(
                "\n[… part of the output, {log_bytes} bytes in total, is skipped here{} …]\n",
                job.unwrap_or_default()
            );
            items.insert(gap, Item::Stream { name, text });
        }
        items.retain(|item| !matches!(item, Item::Stream { text, .. } if text.is_empty()));
        items
    }
}

#[cfg(test)]
mod tests;
