//! Chooses among the MIME types of one output: which is shown, and which are kept as files.

use serde_json::{Map, Value};

use crate::base::text::{Excerpt, Room};
use crate::render::{html, json, page};
use crate::wire::event::BlobRef;

/// MIME types shown as pictures, best first.
const PICTURES: [&str; 6] = [
    "image/png",
    "image/jpeg",
    "image/svg+xml",
    "image/webp",
    "image/gif",
    "image/bmp",
];
const PLAIN: &str = "text/plain";
const HTML: &str = "text/html";
/// Markup that is readable without rendering.
const TEXTS: [&str; 2] = ["text/markdown", "text/latex"];
const JSON: [&str; 2] = ["application/json", "application/geo+json"];
const VIEW: &str = "application/vnd.jupyter.widget-view+json";
/// Characters shown of a page's text where the page is kept as a file.
const MAX_TEXT_CHARS: usize = 4_000;
/// Characters shown of each end of a value that is kept as a file.
const MAX_END_CHARS: usize = 2_000;
/// A longer `repr` of an object's internals is not shown where there is a page.
const MAX_INTERNALS_CHARS: usize = 2_000;

/// An output that is not text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The number of its event.
    pub seq: u64,
    pub mime: String,
    pub body: Body,
    /// Bytes of text shown before it; the collector knows them.
    pub at: usize,
    /// The id of its display, where it has one.
    pub display_id: Option<String>,
}

/// Where an attachment's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    Blob(BlobRef),
    /// In the event itself, as text.
    Text(String),
    /// Dropped from memory: there were too many attachments to hold.
    Dropped,
}

impl Body {
    /// Size in memory, in bytes.
    pub(super) fn held(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Blob(_) | Self::Dropped => 0,
        }
    }
}

/// The text and the attachments of one output.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Display {
    pub(super) text: Option<String>,
    pub(super) attachments: Vec<Attachment>,
}

impl Display {
    /// Prefers a picture to its description, and else the most informative text. Rendering HTML takes CPU time, at most what `html` has left.
    pub(super) fn of(
        seq: u64,
        data: &Map<String, Value>,
        id: Option<&str>,
        html: &mut html::Reader,
    ) -> Self {
        let mut display = Self::default();
        let mut attach = |mime: &str, value: &Value| {
            display.attachments.push(Attachment {
                seq,
                mime: mime.to_owned(),
                body: BlobRef::of(value).map_or_else(|| Body::Text(text(value)), Body::Blob),
                at: 0,
                display_id: id.map(str::to_owned),
            });
        };
        let picture = PICTURES.iter().find(|mime| data.contains_key(**mime));
        if let Some(mime) = picture {
            attach(mime, &data[*mime]);
        }
        let plain = data.get(PLAIN).map(shown);
        let plain = plain.filter(|plain| !says_little(plain));
        let page = data.get(HTML);
        let page = page.filter(|page| needs_browser(page, plain.as_deref(), html));
        if let Some(page) = page {
            attach(HTML, page);
        }
        for (mime, value) in data {
            let is_chart = page::is_chart(mime) && picture.is_none() && page.is_none();
            let is_long = picture.is_none()
                && mime != HTML
                && (is_text(mime) || page.is_none())
                && BlobRef::of(value).is_some();
            if is_media(mime) || is_chart || is_long {
                attach(mime, value);
            }
        }
        if picture.is_none() {
            display.text = plain
                .or_else(|| readable(data, page.is_some(), html))
                .or_else(|| display.describe_unreadable(data));
        }
        display
    }

    /// Names the types of an output that has no readable form.
    fn describe_unreadable(&self, data: &Map<String, Value>) -> Option<String> {
        if let Some(kept) = self.attachments.first() {
            return Some(format!("[output of type {}, kept as a file]", kept.mime));
        }
        let others: Vec<&str> = (data.keys().map(String::as_str))
            .filter(|mime| ![PLAIN, VIEW].contains(mime))
            .collect();
        match data.get(HTML) {
            Some(page) if !html::shows_something(&text(page)) => None,
            None if others.is_empty() => data.get(PLAIN).map(shown),
            _ => Some(format!("[output of type {}]", others.join(", "))),
        }
    }
}

/// The most informative text where the plain one says little.
fn readable(data: &Map<String, Value>, is_kept: bool, html: &mut html::Reader) -> Option<String> {
    let first = |mimes: &[&str]| mimes.iter().find_map(|mime| data.get(*mime));
    // Only the head, where the page itself is in a blob.
    let page = data.get(HTML).and_then(|page| match BlobRef::of(page) {
        Some(_) => Some(page["head"].as_str()?.to_owned()),
        None => Some(text(page)),
    });
    first(&TEXTS)
        .map(shown)
        .or_else(|| {
            let text = html.text(&page?).filter(|text| !text.is_empty())?;
            let mut excerpt = Excerpt::new(if is_kept { MAX_TEXT_CHARS } else { text.len() });
            excerpt.push(&text);
            Some(excerpt.render())
        })
        .or_else(|| {
            let value = first(&JSON)?;
            let inline = BlobRef::of(value).is_none().then(|| text(value));
            let pretty = inline.and_then(|text| json::pretty(&text));
            Some(pretty.unwrap_or_else(|| shown(value)))
        })
}

/// Whether a text is only an object's name, or its internals rather than its meaning.
fn says_little(plain: &str) -> bool {
    let is_call = || {
        let name = plain.split('(').next().unwrap_or_default();
        let is_name = name
            .chars()
            .all(|c| c.is_alphanumeric() || "_.".contains(c));
        !name.is_empty() && is_name && plain.trim_end().ends_with(')')
    };
    is_empty_name(plain)
        || (plain.contains(" object at 0x") && is_call())
        || (plain.len() > MAX_INTERNALS_CHARS && is_call())
        || plain.contains("the renderer has not been properly enabled")
}

/// `<IPython.core.display.HTML object>`, `<pandas.io.formats.style.Styler at 0x7f…>`.
fn is_empty_name(text: &str) -> bool {
    let text = text.trim();
    let is_name = text.starts_with('<') && text.ends_with('>') && !text.contains('\n');
    is_name && (text.ends_with(" object>") || text.contains(" at 0x"))
}

/// Whether a page shows more than the plain text and its own text do.
fn needs_browser(page: &Value, plain: Option<&str>, html: &mut html::Reader) -> bool {
    if BlobRef::of(page).is_some() {
        return true;
    }
    let page = text(page);
    let is_table = page.contains("class=\"dataframe");
    !is_table && html.is_page(&page) && plain.is_none_or(|plain| !html.is_covered_by(&page, plain))
}

/// Whether the executor sends a head and a tail where the value is too long for an event.
fn is_text(mime: &str) -> bool {
    mime.starts_with("text/") || JSON.contains(&mime)
}

fn is_media(mime: &str) -> bool {
    let kind = mime.split('/').next();
    matches!(kind, Some("audio" | "video")) || mime == "application/pdf"
}

/// The plain text of an output, or its head where it is long.
pub(super) fn plain(data: &Map<String, Value>) -> Option<String> {
    data.get(PLAIN).map(shown)
}

/// A text, or its head and tail where it is in a blob: little enough that the size between them is shown as well.
fn shown(value: &Value) -> String {
    let Some(blob) = BlobRef::of(value) else {
        return text(value);
    };
    let end = |name: &str| value[name].as_str().unwrap_or_default();
    let ends = Room {
        chars: MAX_END_CHARS,
        json_bytes: MAX_END_CHARS,
    };
    let (head, tail) = (ends.head(end("head")), ends.tail(end("tail")));
    let left_out = blob.bytes.saturating_sub((head.len() + tail.len()) as u64);
    let all = blob.bytes;
    format!("{head}\n[… {left_out} of {all} bytes skipped; the whole is kept as a file …]\n{tail}")
        .trim_start()
        .to_owned()
}

/// A text unchanged, anything else as JSON.
fn text(value: &Value) -> String {
    json::joined(value).unwrap_or_else(|| value.to_string())
}

#[cfg(test)]
mod tests;
