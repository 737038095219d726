//! Events into what a person would have seen: text as on a terminal, and the pictures and files beside it.

use std::ops::ControlFlow;

use super::display::{Attachment, Display};
use super::follow::{PAGE_BYTES, Reader};
use crate::base::text::{Excerpt, Screen};
use crate::wire::event::{Event, EventKind, Finished, Progress, PythonError};

/// Characters of text in one answer: 40,000 with the line that counts what is left out.
pub const TEXT_LIMIT: usize = 40_000 - 64;
/// A reader that pages through output gets about so many characters a page; a whole stream event more (16 Ki) fits still.
const FULL_AT: usize = 23_000;
/// And is fetched not much more than that.
const FULL_PAGE_BYTES: u64 = 64 * 1024;

/// Gathers the events of one answer.
pub struct Collector {
    screen: Screen,
    stops_when_full: bool,
    /// The newest of updates that came one right after the other: events do not tell of which display they are, and mostly there is one.
    updating: Option<Display>,
    pub attachments: Vec<Attachment>,
    pub error: Option<PythonError>,
    pub progress: Option<Progress>,
    pub finished: Option<Finished>,
}

impl Collector {
    /// Keeps at most `limit` characters of text.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            screen: Screen::new(limit),
            stops_when_full: false,
            updating: None,
            attachments: Vec::new(),
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
        if let Some(display) = self.updating.take() {
            self.show(display);
        }
    }

    fn show(&mut self, display: Display) {
        if let Some(text) = display.text {
            self.screen.push_block(&text);
        }
        self.attachments.extend(display.attachments);
    }
}

impl Reader for Collector {
    fn take(&mut self, event: &Event) -> ControlFlow<()> {
        if !matches!(
            &event.kind,
            EventKind::DisplayData { update: true, .. } | EventKind::Progress(_)
        ) {
            self.settle();
        }
        match &event.kind {
            EventKind::Stream { text, .. } => self.screen.push(text),
            EventKind::DisplayData {
                data, update: true, ..
            } => {
                self.updating = Some(Display::of(event.seq, data));
            }
            EventKind::DisplayData { data, .. } | EventKind::ExecuteResult { data, .. } => {
                self.show(Display::of(event.seq, data));
            }
            EventKind::Error(error) => {
                self.screen.push_block(&traceback(error));
                self.error = Some(error.clone());
            }
            EventKind::Progress(progress) => self.progress = Some(progress.clone()),
            EventKind::Finished(finished) => self.finished = Some(finished.clone()),
            EventKind::Started { .. } | EventKind::Unknown => {}
        }
        let full = self.stops_when_full && self.screen.shown() >= FULL_AT;
        if full {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    fn last_line(&self) -> String {
        self.screen.last_line()
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
    fn of_updates_in_a_row_the_last_is_shown() {
        let update = |n: u32| json!({"type": "display_data", "update": true, "data": {"text/plain": format!("{n} %")}});
        let plot = |n: u32| json!({"type": "display_data", "update": true, "data": {"image/png": {"blob": n, "bytes": 9}}});
        let mut events = vec![json!({"type": "display_data", "data": {"text/plain": "0 %"}})];
        events.extend((1..=50).map(update));
        events.push(json!({"type": "stream", "name": "stdout", "text": "half\n"}));
        events.extend((51..=100).map(update));
        events.push(json!({"type": "stream", "name": "stdout", "text": "drawn\n"}));
        events.extend((1..=9).map(plot));
        let mut collector = collect(&events);
        collector.settle();
        assert_eq!(collector.attachments.len(), 1);
        assert!(matches!(collector.attachments[0].body, Body::Blob(blob) if blob.blob == 9));
        assert_eq!(
            collector.into_excerpt().render(),
            "0 %\n50 %\nhalf\n100 %\ndrawn\n"
        );
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
