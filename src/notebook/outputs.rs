//! A cell's output in nbformat's shapes, bounded: the head and the tail of what was printed, and so many bytes of everything else.

use serde_json::{Map, Value};

use super::shape::{Item, Rich, fields, size};
use crate::wire::event::{BlobRef, Event, EventKind, StreamName};

/// Bytes of printed text at a cell's head, and as many at its tail.
const HEAD: usize = 512 * 1024;
const TAIL: usize = HEAD;
/// Pieces of text are joined up to this size, so that a tail is taken off piece by piece.
const PIECE: usize = 64 * 1024;
/// Bytes of pictures, tables and other outputs in one cell, as the notebook holds them.
const RICH: usize = 20 * 1024 * 1024;

/// The outputs of one cell.
#[derive(Debug, Default)]
pub(super) struct Outputs {
    items: Vec<Item>,
    head: usize,
    /// Where the tail begins, once the head is full.
    gap: Option<usize>,
    /// Something between the two is left out.
    is_cut: bool,
    tail: usize,
    /// Text before this item is none of the tail's any more.
    trimmed: usize,
    rich: usize,
    /// All this goes when something else comes.
    clears_next: bool,
}

impl Outputs {
    pub(super) fn take(&mut self, event: &Event) {
        let shows = matches!(
            event.kind,
            EventKind::Stream { .. }
                | EventKind::DisplayData { .. }
                | EventKind::ExecuteResult { .. }
                | EventKind::Error(_)
        );
        if shows && self.clears_next {
            *self = Self::default();
        }
        match &event.kind {
            EventKind::Stream { name, text } => self.write(*name, text),
            EventKind::DisplayData {
                data,
                metadata,
                update,
                display_id,
            } => self.show(Rich {
                display_id: display_id.clone(),
                is_update: *update,
                ..Rich::new("display_data", data, metadata)
            }),
            EventKind::ExecuteResult {
                data,
                metadata,
                execution_count,
            } => self.show(Rich {
                execution_count: *execution_count,
                ..Rich::new("execute_result", data, metadata)
            }),
            EventKind::ClearOutput { wait: true } => self.clears_next = true,
            EventKind::ClearOutput { wait: false } => *self = Self::default(),
            EventKind::Error(error) => self.show(Rich::new("error", &fields(error), &Map::new())),
            EventKind::Started { .. }
            | EventKind::Progress(_)
            | EventKind::Finished(_)
            | EventKind::Unknown => {}
        }
    }

    /// What comes from now on is the tail: something before it was not even read.
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
        if self.gap.is_none() && self.head + text.len() <= HEAD {
            self.head += text.len();
            return self.join(name, text, usize::MAX, 0);
        }
        self.begin_tail();
        let mut rest = text;
        while !rest.is_empty() {
            let fits = |end: &usize| rest.is_char_boundary(*end);
            let end = (0..=PIECE.min(rest.len())).rfind(fits);
            let (piece, after) = rest.split_at(end.unwrap_or(rest.len()));
            self.write_piece(name, piece);
            rest = after;
        }
    }

    /// Adds a piece to the tail, and takes as much off the tail's front as it has too much. What is trimmed is never joined to: it would be
    /// counted and never be taken off.
    fn write_piece(&mut self, name: StreamName, text: &str) {
        self.tail += text.len();
        self.join(name, text, PIECE, self.trimmed);
        while self.tail > TAIL
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

    /// Adds text to the last piece, if that is of the same stream, not before `from` and not full.
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
        let room = &mut self.rich;
        rich.data.retain(|mime, value| {
            let size = size(mime, value);
            let fits = *room + size <= RICH;
            if fits {
                *room += size;
            } else {
                left_out.push(format!("{mime} of {size} bytes"));
            }
            fits
        });
        if !left_out.is_empty() {
            let note = format!(
                "[left out, because this cell shows so much: {}]\n",
                left_out.join(", ")
            );
            self.write(StreamName::Stdout, &note);
        }
        if rich.data.is_empty() {
            return;
        }
        let shown = rich.is_update.then(|| self.shown_before(&rich)).flatten();
        if let Some(Item::Rich(shown)) = shown.and_then(|at| self.items.get_mut(at)) {
            // What was fetched into it since may be longer than was counted.
            self.rich = self.rich.saturating_sub(shown.size());
            (shown.data, shown.metadata) = (rich.data, rich.metadata);
        } else {
            self.items.push(Item::Rich(rich));
        }
    }

    /// Where that stands which an update takes the place of. Without an id it is known only of an update just before it.
    fn shown_before(&self, update: &Rich) -> Option<usize> {
        let suits = |item: &Item| match item {
            Item::Rich(rich) if update.display_id.is_some() => rich.display_id == update.display_id,
            Item::Rich(rich) => rich.is_update,
            Item::Stream { .. } => false,
        };
        match update.display_id {
            Some(_) => self.items.iter().rposition(suits),
            None => self
                .items
                .last()
                .filter(|last| suits(last))
                .map(|_| self.items.len() - 1),
        }
    }

    /// The values that lie elsewhere, to be put in their place.
    pub(super) fn blobs(&mut self) -> impl Iterator<Item = (&str, BlobRef, &mut Value)> {
        let rich = self.items.iter_mut().filter_map(|item| match item {
            Item::Rich(rich) => Some(rich),
            Item::Stream { .. } => None,
        });
        rich.flat_map(|rich| rich.data.iter_mut())
            .filter_map(|(mime, value)| Some((mime.as_str(), BlobRef::of(value)?, value)))
    }

    /// Adds what came after it, within the same bounds.
    pub(super) fn absorb(&mut self, later: Self, log_bytes: u64) {
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

    /// In nbformat's shapes. The log that it comes from has `log_bytes`.
    pub(super) fn into_values(self, log_bytes: u64) -> Vec<Value> {
        let mut joined = Self::default();
        for item in self.into_items(log_bytes) {
            match item {
                Item::Stream { name, text } => joined.join(name, &text, usize::MAX, 0),
                Item::Rich(_) => joined.items.push(item),
            }
        }
        joined.items.into_iter().map(Item::into_value).collect()
    }

    fn into_items(self, log_bytes: u64) -> Vec<Item> {
        let gap = self.gap.filter(|_| self.is_cut);
        let mut items = self.items;
        if let Some(gap) = gap {
            let name = StreamName::Stdout;
            let text = format!(
                "\n… [a part of what was printed, {log_bytes} bytes in all, is left out here] …\n"
            );
            items.insert(gap, Item::Stream { name, text });
        }
        items.retain(|item| !matches!(item, Item::Stream { text, .. } if text.is_empty()));
        items
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::{HEAD, Outputs, RICH, TAIL};
    use crate::wire::event::Event;

    fn outputs(events: &[Value]) -> Outputs {
        let mut outputs = Outputs::default();
        for event in events {
            let mut event = event.clone();
            event["seq"] = json!(1);
            outputs.take(&serde_json::from_value::<Event>(event).unwrap());
        }
        outputs
    }

    fn stream(name: &str, text: &str) -> Value {
        json!({"type": "stream", "name": name, "text": text})
    }

    fn show(text: &str) -> Value {
        json!({"type": "display_data", "data": {"text/plain": text}, "metadata": {}})
    }

    fn update(text: &str, id: Option<&str>) -> Value {
        let mut event = show(text);
        event["update"] = json!(true);
        event["display_id"] = json!(id);
        event
    }

    /// The text of each output.
    fn texts(outputs: Outputs) -> Vec<String> {
        let values = outputs.into_values(7).into_iter();
        let text = |value: Value| {
            let shown = value["text"]
                .as_str()
                .or(value["data"]["text/plain"].as_str());
            shown.unwrap().to_owned()
        };
        values.map(text).collect()
    }

    #[test]
    fn events_come_in_the_shapes_of_nbformat() {
        let error = json!({"type": "error", "ename": "E", "evalue": "v", "traceback": ["t"]});
        let result = json!({"type": "execute_result", "data": {"text/plain": "1", "application/json": {"a": 1}, "application/x": [1]},
            "metadata": {"m": 1}, "execution_count": 3});
        let events = [
            json!({"type": "started", "kernel_id": "k", "execution_count": 3}),
            stream("stdout", "a\r"),
            stream("stdout", "b\n"),
            stream("stderr", "c"),
            result,
            error,
        ];
        let values = outputs(&events).into_values(0);
        assert_eq!(
            json!(values),
            json!([
                {"output_type": "stream", "name": "stdout", "text": "a\rb\n"},
                {"output_type": "stream", "name": "stderr", "text": "c"},
                {"output_type": "execute_result", "data": {"text/plain": "1", "application/json": {"a": 1}, "application/x": "[1]"},
                    "metadata": {"m": 1}, "execution_count": 3},
                {"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["t"]},
            ])
        );
    }

    #[test]
    fn an_update_takes_the_place_of_what_it_updates() {
        let mut first = show("one");
        first["display_id"] = json!("a");
        let mut other = show("two");
        other["display_id"] = json!("b");
        let events = [
            first,
            other,
            stream("stdout", "x"),
            update("three", Some("a")),
            update("four", Some("c")),
        ];
        assert_eq!(texts(outputs(&events)), ["three", "two", "x", "four"]);
        // Where the executor does not say what is updated, nothing but an update is replaced.
        let events = [
            show("one"),
            update("two", None),
            update("three", None),
            stream("stdout", "x"),
            update("four", None),
        ];
        assert_eq!(texts(outputs(&events)), ["one", "three", "x", "four"]);
    }

    #[test]
    fn head_and_tail_of_what_was_printed_stay_and_everything_shown_between() {
        let line = "x".repeat(1023) + "\n";
        let mut events: Vec<Value> = (0..2_000)
            .map(|n| stream("stdout", &format!("{n} {line}")))
            .collect();
        events.insert(1_000, show("in the middle"));
        let texts = texts(outputs(&events));
        assert_eq!(texts.len(), 3);
        assert!(
            texts[0].starts_with("0 x") && texts[0].contains("7 bytes in all, is left out here")
        );
        assert_eq!(texts[1], "in the middle");
        assert!(texts[2].ends_with(&format!("1999 {line}")));
        let length: usize = texts.iter().map(String::len).sum();
        assert!(
            (HEAD + TAIL * 7 / 8..=HEAD + TAIL + 200).contains(&length),
            "{length}"
        );
    }

    #[test]
    fn pictures_beyond_the_bound_are_told_of() {
        let picture = json!({"type": "display_data", "metadata": {},
            "data": {"image/png": {"blob": 1, "bytes": RICH / 2}, "text/plain": "a plot"}});
        let outputs = outputs(&[picture.clone(), picture]);
        assert_eq!(outputs.pictures(), 1);
        let values = outputs.into_values(0);
        let note = values[1]["text"].as_str().unwrap();
        assert!(note.contains("image/png of"), "{note}");
        assert_eq!(values[2]["data"], json!({"text/plain": "a plot"}));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn however_much_is_printed_and_shown_the_end_of_it_stays_within_the_bound(
            batches in prop::collection::vec(prop::collection::vec((0_u8..5, prop::sample::select(vec![0_usize, 1, 30, 300, 510])), 0..8), 0..4),
        ) {
            let mut all = Outputs::default();
            let last = [500, 300, 500, 30, 510, 30, 510].map(|kib| vec![(0, kib)]);
            for batch in batches.into_iter().chain(last) {
                let event = |(kind, kib): (u8, usize)| match kind {
                    0 => stream("stdout", &"ö".repeat(kib * 512)),
                    1 | 2 => stream("stderr", &"e".repeat(kib * 1024)),
                    kind => json!({"type": "display_data", "metadata": {}, "update": kind == 3, "display_id": "a",
                        "data": {"image/png": {"blob": 1, "bytes": kib * 32 * 1024}}}),
                };
                all.absorb(outputs(&batch.into_iter().map(event).collect::<Vec<_>>()), 7);
            }
            let values = all.into_values(7);
            let texts = || values.iter().filter_map(|value| value["text"].as_str());
            prop_assert!(texts().next_back().unwrap().ends_with(&"ö".repeat(30 * 512)));
            prop_assert!(texts().any(|text| text.contains("left out here")));
            prop_assert!(texts().map(str::len).sum::<usize>() <= HEAD + TAIL + 200);
        }
    }
}
