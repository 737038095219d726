//! Events into what a person would have seen: text as on a terminal, and the pictures and files beside it.

use std::ops::ControlFlow;

use serde_json::{Map, Value};

use super::follow::{PAGE_BYTES, Reader};
use crate::base::text::{Excerpt, Screen};
use crate::wire::event::{BlobRef, Event, EventKind, Finished, Progress, PythonError};

/// Characters of text in one answer: 40,000 with the line that counts what is left out.
pub const TEXT_LIMIT: usize = 40_000 - 64;
/// A reader that pages through output gets about so many characters a page; a whole stream event more (16 Ki) fits still.
const FULL_AT: usize = 23_000;
/// And is fetched not much more than that.
const FULL_PAGE_BYTES: u64 = 64 * 1024;

/// What is shown as a picture, best first.
const PICTURES: [&str; 2] = ["image/png", "image/jpeg"];
/// What is kept as a file.
const FILES: [&str; 3] = ["image/svg+xml", "application/pdf", "image/gif"];

/// An output that is not text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Of the event that it came in.
    pub seq: u64,
    pub mime: String,
    pub body: Body,
}

/// Where an attachment's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    Blob(BlobRef),
    /// In the event itself, as text.
    Text(String),
}

/// Gathers the events of one answer.
pub struct Collector {
    screen: Screen,
    stops_when_full: bool,
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
    pub fn into_excerpt(self) -> Excerpt {
        self.screen.finish()
    }

    /// Jupyter offers one output in several forms: the best picture, else a file, else text.
    fn show(&mut self, seq: u64, data: &Map<String, Value>) {
        let best = PICTURES
            .iter()
            .chain(&FILES)
            .find_map(|mime| Some((*mime, data.get(*mime)?)));
        if let Some((mime, value)) = best {
            let body = match BlobRef::of(value) {
                Some(blob) => Body::Blob(blob),
                None => Body::Text(text(value)),
            };
            self.attachments.push(Attachment {
                seq,
                mime: mime.to_owned(),
                body,
            });
            return;
        }
        for mime in ["text/plain", "text/markdown", "text/latex"] {
            let Some(value) = data.get(mime) else {
                continue;
            };
            match BlobRef::of(value) {
                None => self.screen.push_block(&text(value)),
                Some(blob) => self
                    .screen
                    .push_block(&format!("[{} bytes of {mime}: see the log]", blob.bytes)),
            }
            return;
        }
        for (mime, value) in data {
            match BlobRef::of(value) {
                Some(blob) => self.attachments.push(Attachment {
                    seq,
                    mime: mime.clone(),
                    body: Body::Blob(blob),
                }),
                None => self.screen.push_block(&format!("[output of type {mime}]")),
            }
        }
    }
}

impl Reader for Collector {
    fn take(&mut self, event: &Event) -> ControlFlow<()> {
        match &event.kind {
            EventKind::Stream { text, .. } => self.screen.push(text),
            EventKind::DisplayData { data } | EventKind::ExecuteResult { data } => {
                self.show(event.seq, data)
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

/// Jupyter's multi-line values are a string or a list of strings (nbformat 4).
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
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

    use super::{Body, Collector, Reader, TEXT_LIMIT};
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
    fn a_plot_is_a_picture_and_not_its_description() {
        let data =
            json!({"text/plain": "<Figure size 640x480>", "image/png": {"blob": 1, "bytes": 20}});
        let collector = collect(&[json!({"type": "display_data", "data": data})]);
        assert_eq!(collector.attachments.len(), 1);
        assert!(matches!(collector.attachments[0].body, Body::Blob(blob) if blob.blob == 1));
        assert_eq!(collector.into_excerpt().render(), "");
    }

    #[test]
    fn a_table_is_its_plain_text() {
        let data = json!({"text/plain": "   a\n0  1", "text/html": "<table>…</table>"});
        let collector = collect(&[
            json!({"type": "stream", "name": "stdout", "text": "before"}),
            json!({"type": "execute_result", "data": data, "execution_count": 1}),
        ]);
        assert_eq!(collector.into_excerpt().render(), "before\n   a\n0  1\n");
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
