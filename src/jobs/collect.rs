//! Events into what a person would have seen: text as on a terminal, and the pictures and files beside it.

use std::collections::HashSet;
use std::ops::ControlFlow;

use serde_json::{Map, Value};

use super::display::{Attachment, Body, Display};
use super::follow::{PAGE_BYTES, Reader};
use crate::base::text::{Excerpt, Newest, Screen};
use crate::render::html;
use crate::wire::event::{Event, EventKind, Finished, Progress, PythonError};

/// Characters of text in one answer: 40,000 with the line that counts what is left out.
pub const TEXT_LIMIT: usize = 40_000 - 64;
/// A reader that pages through output gets about so many characters a page; a whole stream event more (16 Ki) fits still.
const FULL_AT: usize = 23_000;
/// And so many bytes of attachments; what one event more may bring fits still.
const FULL_HELD: usize = MOST_HELD / 2;
/// And is fetched not much more than that.
const FULL_PAGE_BYTES: u64 = 64 * 1024;

/// Bytes of attachments that came as text, and are held until they are files.
const MOST_HELD: usize = 16 * 1024 * 1024;

/// Gathers the events of one answer.
pub struct Collector {
    limit: usize,
    screen: Screen,
    stops_when_full: bool,
    /// The newest display, which an update may take the place of; what none of it is seen of takes no time.
    updating: Option<Updating>,
    html: html::Reader,
    /// What is shown goes when something else comes.
    clears_next: bool,
    /// The code had something cleared that it had shown.
    pub has_cleared: bool,
    pub attachments: Vec<Attachment>,
    /// Bytes of `attachments` in memory.
    held: usize,
    /// Displays that have some of `attachments`.
    attached: HashSet<String>,
    pub error: Option<PythonError>,
    pub progress: Option<Progress>,
    pub finished: Option<Finished>,
}

struct Updating {
    seq: u64,
    data: Map<String, Value>,
    id: Option<String>,
}

impl Collector {
    /// Keeps at most `limit` characters of text.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            screen: Screen::new(limit),
            stops_when_full: false,
            updating: None,
            html: html::Reader::default(),
            clears_next: false,
            has_cleared: false,
            attachments: Vec::new(),
            held: 0,
            attached: HashSet::new(),
            error: None,
            progress: None,
            finished: None,
        }
    }

    /// Asks for no more events once an answer is well filled, so that a reader can page without gaps.
    #[must_use]
    pub fn stopping_when_full(mut self) -> Self {
        self.stops_when_full = true;
        self
    }

    /// Characters that the text will leave out.
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.screen.left_out()
    }

    /// Adds what was printed after the job's end.
    pub fn append_late(&mut self, text: &str) {
        self.screen
            .push_block("[the last that was printed after the end of the code, by a thread or a process of its:]");
        self.screen.push(text);
    }

    /// The text.
    #[must_use]
    pub fn into_excerpt(mut self) -> Excerpt {
        self.settle();
        self.screen.finish()
    }

    /// Counts the newest state of a display that is updated as its last one.
    pub fn settle(&mut self) {
        if let Some(Updating { seq, data, id }) = self.updating.take() {
            self.show(seq, &data, id.as_deref());
        }
    }

    fn show(&mut self, seq: u64, data: &Map<String, Value>, id: Option<&str>) {
        let mut display = Display::of(seq, data, id, &mut self.html);
        if let Some(text) = display.text {
            self.screen.push_block(&text);
        }
        if let Some(id) = id
            && self.attached.remove(id)
        {
            self.attachments
                .retain(|one| one.display_id.as_deref() != Some(id));
            self.held = self.attachments.iter().map(|one| one.body.held()).sum();
        }
        for one in &mut display.attachments {
            if self.held + one.body.held() > MOST_HELD {
                one.body = Body::LetGo;
            }
            self.held += one.body.held();
        }
        if let Some(id) = id.filter(|_| !display.attachments.is_empty()) {
            self.attached.insert(id.to_owned());
        }
        self.attachments.extend(display.attachments);
    }

    /// Something new is about to be shown.
    fn make_way(&mut self) {
        self.settle();
        if std::mem::take(&mut self.clears_next) {
            self.clear();
        }
    }

    /// Hands over what is attached, the newest state of displays with it: what comes later is new.
    pub fn take_attachments(&mut self) -> Vec<Attachment> {
        self.settle();
        self.held = 0;
        self.attached.clear();
        std::mem::take(&mut self.attachments)
    }

    fn clear(&mut self) {
        self.has_cleared |= self.screen.shown() > 0 || !self.attachments.is_empty();
        self.screen = Screen::new(self.limit);
        self.attachments.clear();
        self.attached.clear();
        self.held = 0;
    }
}

impl Reader for Collector {
    fn take(&mut self, event: &Event) -> ControlFlow<()> {
        match &event.kind {
            EventKind::Stream { text, .. } => {
                self.make_way();
                self.screen.push(text);
            }
            EventKind::DisplayData {
                data,
                update,
                display_id,
                ..
            } => {
                let before = self.updating.as_ref();
                if *update && before.is_some_and(|before| before.id == *display_id) {
                    self.updating = None;
                }
                self.make_way();
                self.updating = Some(Updating {
                    seq: event.seq,
                    data: data.clone(),
                    id: display_id.clone(),
                });
            }
            EventKind::ExecuteResult { data, .. } => {
                self.make_way();
                self.show(event.seq, data, None);
            }
            EventKind::ClearOutput { wait: true } => self.clears_next = true,
            EventKind::ClearOutput { wait: false } => {
                self.settle();
                self.clear();
            }
            EventKind::Error(error) => {
                self.make_way();
                self.screen.push_block(&traceback(error));
                self.error = Some(error.clone());
            }
            EventKind::Progress(progress) => self.progress = Some(progress.clone()),
            EventKind::Finished(finished) => self.finished = Some(finished.clone()),
            EventKind::Started { .. } | EventKind::Unknown => {}
        }
        let is_full = self.screen.shown() >= FULL_AT || self.held >= FULL_HELD;
        if self.stops_when_full && is_full {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    fn newest(&self) -> Newest {
        self.screen.newest()
    }

    fn page_bytes(&self) -> u64 {
        if self.stops_when_full {
            FULL_PAGE_BYTES
        } else {
            PAGE_BYTES
        }
    }
}

fn traceback(error: &PythonError) -> String {
    if error.traceback.is_empty() {
        return format!("{}: {}", error.ename, error.evalue);
    }
    error.traceback.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Collector, Reader, TEXT_LIMIT};
    use crate::jobs::display::Body;
    use crate::wire::event::Event;

    fn collect(events: &[serde_json::Value]) -> Collector {
        let mut collector = Collector::new(TEXT_LIMIT);
        for (at, event) in events.iter().enumerate() {
            let mut event = event.clone();
            event["seq"] = json!(at + 1);
            let event: Event = serde_json::from_value(event).unwrap();
            let _ = collector.take(&event);
        }
        collector.settle();
        collector
    }

    #[test]
    fn what_is_displayed_stands_on_lines_of_its_own() {
        let collector = collect(&[
            json!({"type": "stream", "name": "stdout", "text": "before"}),
            json!({"type": "execute_result", "data": {"text/plain": "   a\n0  1"}, "execution_count": 1}),
        ]);
        assert_eq!(collector.into_excerpt().render(), "before\n   a\n0  1\n");
    }

    #[test]
    fn a_display_is_shown_in_its_last_state_whatever_comes_between() {
        let display = |id: &str, update: bool, blob: u64| {
            json!({"type": "display_data", "update": update, "display_id": id,
                "data": {"image/png": {"blob": blob, "bytes": 9}}})
        };
        let collector = collect(&[
            display("loss", false, 1),
            json!({"type": "stream", "name": "stdout", "text": "epoch 1\n"}),
            display("other", false, 2),
            display("loss", true, 3),
            json!({"type": "stream", "name": "stdout", "text": "epoch 2\n"}),
            display("loss", true, 4),
            json!({"type": "finished", "state": "succeeded", "execution_time_sec": 1.0}),
        ]);
        let blobs = collector.attachments.iter().map(|one| match &one.body {
            Body::Blob(blob) => blob.blob,
            body @ (Body::Text(_) | Body::LetGo) => panic!("{body:?}"),
        });
        assert_eq!(blobs.collect::<Vec<_>>(), [2, 4]);
        assert_eq!(collector.into_excerpt().render(), "epoch 1\nepoch 2\n");
    }

    #[test]
    fn what_the_code_clears_is_gone_when_the_next_output_comes() {
        let plot = json!({"type": "display_data", "data": {"image/png": {"blob": 1, "bytes": 9}}});
        let line = |text: &str| json!({"type": "stream", "name": "stdout", "text": text});
        let clear = |wait: bool| json!({"type": "clear_output", "wait": wait});
        let rounds = [plot.clone(), line("one\n"), clear(true)];
        let waiting = collect(&rounds);
        assert_eq!(waiting.attachments.len(), 1);
        assert!(!waiting.has_cleared);
        let cleared = collect(&[&rounds[..], &[line("two\n"), plot]].concat());
        assert!(cleared.has_cleared);
        assert_eq!(cleared.attachments.len(), 1);
        assert_eq!(cleared.into_excerpt().render(), "two\n");
        let mut handed = collect(&rounds[..2]);
        assert_eq!(handed.take_attachments().len(), 1);
        assert!(handed.take_attachments().is_empty());
        let emptied = collect(&[line("one\n"), clear(false)]);
        assert_eq!(emptied.into_excerpt().render(), "");
    }

    #[test]
    fn of_updates_in_a_row_the_last_is_shown() {
        let update = |n: u32| json!({"type": "display_data", "update": true, "display_id": "d", "data": {"text/plain": format!("{n} %")}});
        let plot = |n: u32| json!({"type": "display_data", "update": true, "display_id": "p", "data": {"image/png": {"blob": n, "bytes": 9}}});
        let mut events =
            vec![json!({"type": "display_data", "display_id": "d", "data": {"text/plain": "0 %"}})];
        events.extend((1..=50).map(update));
        events.push(json!({"type": "stream", "name": "stdout", "text": "half\n"}));
        events.extend((51..=100).map(update));
        events.push(json!({"type": "stream", "name": "stdout", "text": "drawn\n"}));
        events.extend((1..=9).map(plot));
        let collector = collect(&events);
        assert_eq!(collector.attachments.len(), 1);
        assert!(matches!(collector.attachments[0].body, Body::Blob(blob) if blob.blob == 9));
        assert_eq!(
            collector.into_excerpt().render(),
            "50 %\nhalf\n100 %\ndrawn\n"
        );
    }

    #[test]
    fn pages_are_read_only_where_they_are_seen_and_kept_when_they_are_many() {
        let table = format!("<table>{}</table>", "<tr><td>x</td></tr>".repeat(9_000));
        let page = |id: &str, update: bool| {
            json!({"type": "display_data", "update": update, "display_id": id,
                "data": {"text/plain": "<x object>", "text/html": table}})
        };
        let updates: Vec<_> = (0..50).map(|at| page("a", at > 0)).collect();
        let collector = collect(&updates);
        assert!(collector.attachments.is_empty());
        assert!(collector.into_excerpt().render().starts_with("x\nx\n"));
        let many: Vec<_> = (0..50).map(|at| page(&at.to_string(), false)).collect();
        let collector = collect(&many);
        assert!((40..50).contains(&collector.attachments.len()));
        assert!(collector.into_excerpt().render().contains("kept as a file"));
    }

    fn pages(count: usize) -> Vec<serde_json::Value> {
        let page = format!("<script></script>{}", "x".repeat(200_000));
        let page = json!({"type": "display_data", "data": {"text/html": page}});
        vec![page; count]
    }

    #[test]
    fn of_many_pages_those_beyond_what_is_held_are_only_counted() {
        let collector = collect(&pages(200));
        assert_eq!(collector.attachments.len(), 200);
        let held = collector.attachments.iter().map(|one| one.body.held());
        assert!((15 << 20..=16 << 20).contains(&held.sum::<usize>()));
        let last = collector.attachments.last().unwrap();
        assert_eq!((last.seq, &last.body), (200, &Body::LetGo));
    }

    #[test]
    fn a_paging_reader_stops_before_it_lets_any_go() {
        let mut collector = Collector::new(TEXT_LIMIT).stopping_when_full();
        let mut page = pages(1).remove(0);
        page["seq"] = json!(1);
        let event: Event = serde_json::from_value(page).unwrap();
        let taken = (0..200).take_while(|_| collector.take(&event).is_continue());
        assert!((30..60).contains(&taken.count()));
        collector.settle();
        let mut attachments = collector.attachments.iter();
        assert!(attachments.all(|one| one.body.held() > 0));
    }

    #[test]
    fn a_traceback_comes_without_its_colours() {
        let collector = collect(&[json!({
            "type": "error", "ename": "ValueError", "evalue": "no", "traceback": ["\u{1b}[31mValueError\u{1b}[0m: no"]
        })]);
        assert_eq!(collector.error.as_ref().unwrap().ename, "ValueError");
        assert_eq!(collector.into_excerpt().render(), "ValueError: no\n");
    }

    #[test]
    fn an_event_of_a_newer_executor_is_passed_over() {
        let collector = collect(&[
            json!({"type": "hologram", "at": "now"}),
            json!({"type": "stream", "name": "stderr", "text": "x"}),
        ]);
        assert_eq!(collector.into_excerpt().render(), "x");
    }

    #[test]
    fn a_paging_reader_stops_when_its_page_is_full() {
        let mut collector = Collector::new(TEXT_LIMIT).stopping_when_full();
        let line = json!({"seq": 1, "type": "stream", "name": "stdout", "text": format!("{}\n", "x".repeat(9_999))});
        let event: Event = serde_json::from_value(line).unwrap();
        let taken = (0..10)
            .take_while(|_| collector.take(&event).is_continue())
            .count();
        assert_eq!(taken, 2);
        assert_eq!(collector.into_excerpt().left_out(), 0);
    }
}
