//! One output in the forms that Jupyter offers: what of them is shown, and what is kept as a file.

use serde_json::{Map, Value};

use crate::render::{html, json};
use crate::wire::event::BlobRef;

/// What is shown as a picture, best first.
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
/// Texts that are meant to be formatted, and can be read as they are.
const TEXTS: [&str; 2] = ["text/markdown", "text/latex"];
const JSON: [&str; 2] = ["application/json", "application/geo+json"];
/// Figures that only their own viewers draw.
const FIGURES: [&str; 2] = ["application/vnd.plotly.", "application/vnd.vega"];

/// An output that is not text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Of the event that it came in.
    pub seq: u64,
    pub mime: String,
    pub body: Body,
    /// Of the display that it is a part of.
    pub display_id: Option<String>,
}

/// Where an attachment's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    Blob(BlobRef),
    /// In the event itself, as text.
    Text(String),
    /// The same, but let go: there were too many of them to hold.
    LetGo,
}

impl Body {
    /// Bytes of it in memory.
    pub(super) fn held(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Blob(_) | Self::LetGo => 0,
        }
    }
}

/// What is shown of one output.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Display {
    pub(super) text: Option<String>,
    pub(super) attachments: Vec<Attachment>,
}

impl Display {
    /// A picture instead of its description; else the text that says most. Takes CPU time where that is HTML, as much as `html` has left.
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
                display_id: id.map(str::to_owned),
            });
        };
        let picture = PICTURES.iter().find(|mime| data.contains_key(**mime));
        if let Some(mime) = picture {
            attach(mime, &data[*mime]);
        }
        let page = data.get(HTML).filter(|page| needs_browser(page, html));
        if let Some(page) = page {
            attach(HTML, page);
        }
        for (mime, value) in data {
            let is_figure = FIGURES.iter().any(|figure| mime.starts_with(figure));
            if is_media(mime) || (is_figure && picture.is_none() && page.is_none()) {
                attach(mime, value);
            }
        }
        if picture.is_none() {
            display.text = readable(data, page.is_some(), html).or_else(|| display.named(data));
        }
        display
    }

    /// Names what cannot be read here.
    fn named(&self, data: &Map<String, Value>) -> Option<String> {
        if let Some(kept) = self.attachments.first() {
            return Some(format!("[output of type {}, kept as a file]", kept.mime));
        }
        let is_empty_html = data.contains_key(HTML);
        let plain = data.get(PLAIN).filter(|_| !is_empty_html).map(shown);
        let types = || {
            data.keys()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(", ")
        };
        plain.or_else(|| (!is_empty_html).then(|| format!("[output of type {}]", types())))
    }
}

/// The text that says most.
fn readable(data: &Map<String, Value>, is_page: bool, html: &mut html::Reader) -> Option<String> {
    let plain = data.get(PLAIN).map(shown);
    let first = |mimes: &[&str]| mimes.iter().find_map(|mime| data.get(*mime));
    let page = data.get(HTML).filter(|_| !is_page);
    plain
        .filter(|plain| !is_empty_name(plain))
        .or_else(|| first(&TEXTS).map(shown))
        .or_else(|| html.text(&text(page?)).filter(|text| !text.is_empty()))
        .or_else(|| {
            let value = first(&JSON)?;
            Some(json::pretty(&text(value)).unwrap_or_else(|| shown(value)))
        })
}

/// `<IPython.core.display.HTML object>`, `<pandas.io.formats.style.Styler at 0x7f…>`.
fn is_empty_name(text: &str) -> bool {
    let text = text.trim();
    let is_name = text.starts_with('<') && text.ends_with('>') && !text.contains('\n');
    is_name && (text.ends_with(" object>") || text.contains(" at 0x"))
}

/// A page that shows little as text. A table of pandas does, also where its notebook adds buttons to it.
fn needs_browser(page: &Value, html: &html::Reader) -> bool {
    let is_large = BlobRef::of(page).is_some();
    let page = text(page);
    is_large || (!page.contains("class=\"dataframe") && html.is_page(&page))
}

fn is_media(mime: &str) -> bool {
    let kind = mime.split('/').next();
    matches!(kind, Some("audio" | "video")) || mime == "application/pdf"
}

/// A text, or how long it is where it lies elsewhere.
fn shown(value: &Value) -> String {
    match BlobRef::of(value) {
        Some(blob) => format!("[{} bytes of text: see the log]", blob.bytes),
        None => text(value),
    }
}

/// A text as it is, or JSON.
fn text(value: &Value) -> String {
    json::joined(value).unwrap_or_else(|| value.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Body, Display};
    use crate::render::html::Reader;

    fn of(data: Value) -> Display {
        Display::of(7, data.as_object().unwrap(), None, &mut Reader::default())
    }

    /// The text and the types of what is kept.
    fn shown(data: Value) -> (Option<String>, Vec<String>) {
        let display = of(data);
        let kept = display.attachments.into_iter().map(|one| one.mime);
        (display.text, kept.collect())
    }

    fn text_of(data: Value) -> String {
        let (text, kept) = shown(data.clone());
        assert!(kept.is_empty(), "{data}: {kept:?}");
        text.unwrap_or_default()
    }

    #[test]
    fn a_plot_is_a_picture_and_not_its_description() {
        let data =
            json!({"text/plain": "<Figure size 640x480>", "image/png": {"blob": 1, "bytes": 20}});
        let display = of(data);
        assert_eq!(display.text, None);
        let [picture] = display.attachments.as_slice() else {
            panic!("{display:?}");
        };
        assert!(matches!(picture.body, Body::Blob(blob) if blob.blob == 1));
    }

    #[test]
    fn a_table_is_its_plain_text_also_with_buttons() {
        let data = json!({"text/plain": "   a\n0  1", "text/html":
            "<script>x</script><table class=\"dataframe\"></table>"});
        assert_eq!(text_of(data), "   a\n0  1");
    }

    #[test]
    fn html_is_text_where_the_plain_text_says_nothing() {
        for plain in [
            "<IPython.core.display.HTML object>",
            "<pandas.io.formats.style.Styler at 0x7f00>",
        ] {
            let html = "<style>x</style><table><tr><td>a</td><td>1</td></tr></table>";
            let data = json!({"text/plain": plain, "text/html": html});
            assert_eq!(text_of(data), "a 1");
        }
        let data = json!({"text/plain": "<x object>", "text/html": "<style>x</style>"});
        assert_eq!(text_of(data), "");
        assert_eq!(text_of(json!({"text/plain": "<x at 0x1>"})), "<x at 0x1>");
    }

    #[test]
    fn a_page_is_kept_and_its_plain_text_shown() {
        let page = "<div><script src='plotly'></script></div>";
        let data = json!({"text/plain": "Figure: 2 traces", "text/html": page});
        assert_eq!(
            shown(data),
            (
                Some("Figure: 2 traces".to_owned()),
                vec!["text/html".to_owned()]
            )
        );
        let data = json!({"text/plain": "Figure", "text/html": page, "image/png": "aGk="});
        let kept = ["image/png", "text/html"].map(str::to_owned).to_vec();
        assert_eq!(shown(data), (None, kept));
        let data = json!({"text/plain": "<x object>", "text/html": {"blob": 1, "bytes": 9}});
        let (text, kept) = shown(data);
        assert!(text.unwrap().contains("kept as a file"));
        assert_eq!(kept, ["text/html"]);
    }

    #[test]
    fn figures_without_a_viewer_and_media_are_kept() {
        let figure = "application/vnd.plotly.v1+json";
        let (text, kept) = shown(json!({figure: {"data": []}}));
        assert!(text.unwrap().contains("plotly"));
        assert_eq!(kept, [figure]);
        for mime in ["audio/wav", "video/mp4", "application/pdf"] {
            let data = json!({"text/plain": "<x object>", mime: {"blob": 1, "bytes": 9}});
            assert_eq!(shown(data).1, [mime]);
        }
    }

    #[test]
    fn other_texts_come_as_they_are() {
        let object = "<IPython.core.display.X object>";
        for (mime, value, expected) in [
            ("text/markdown", json!("# Title"), "# Title"),
            ("text/latex", json!(["$x", "^2$"]), "$x^2$"),
            (
                "application/json",
                json!({"a": [1]}),
                "{\n  \"a\": [\n    1\n  ]\n}",
            ),
            (
                "application/vnd.jupyter.widget-view+json",
                json!({"model_id": "1"}),
                object,
            ),
        ] {
            assert_eq!(
                text_of(json!({"text/plain": object, mime: value})),
                expected
            );
        }
        assert_eq!(
            text_of(json!({"application/x-new": "1"})),
            "[output of type application/x-new]"
        );
    }
}
