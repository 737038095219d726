//! Converts one output of a cell to nbformat.

use serde_json::{Map, Value, json};

use crate::base::text::Excerpt;
use crate::wire::event::{BlobRef, PythonError, StreamName};

/// Bytes of JSON around a value in the notebook.
const FRAME_BYTES: usize = 128;
/// Characters of an exception's message, and of each part of its traceback.
const MAX_ERROR_CHARS: usize = 64 * 1024;

#[derive(Debug, Clone)]
pub(super) enum Item {
    Stream { name: StreamName, text: String },
    Rich(Rich),
}

/// An output that is not a stream.
#[derive(Debug, Clone)]
pub(super) struct Rich {
    pub(super) kind: &'static str,
    /// A mime bundle, or an error's fields.
    pub(super) data: Map<String, Value>,
    pub(super) metadata: Map<String, Value>,
    pub(super) execution_count: Option<u64>,
    pub(super) display_id: Option<String>,
    pub(super) is_update: bool,
}

impl Rich {
    pub(super) fn new(
        kind: &'static str,
        data: &Map<String, Value>,
        metadata: &Map<String, Value>,
    ) -> Self {
        Self {
            kind,
            data: data.clone(),
            metadata: metadata.clone(),
            execution_count: None,
            display_id: None,
            is_update: false,
        }
    }

    pub(super) fn data_in_shape(&self) -> Map<String, Value> {
        let data = self.data.iter();
        data.map(|(mime, value)| (mime.clone(), in_shape(mime, value.clone())))
            .collect()
    }

    pub(super) fn size(&self) -> usize {
        self.data
            .iter()
            .map(|(mime, value)| size(mime, value))
            .sum()
    }
}

impl Item {
    pub(super) fn into_value(self) -> Value {
        let rich = match self {
            Self::Stream { name, text } => {
                return json!({"output_type": "stream", "name": name, "text": text});
            }
            Self::Rich(rich) => rich,
        };
        if rich.kind == "error" {
            let mut fields = rich.data;
            fields.insert("output_type".to_owned(), json!("error"));
            return Value::Object(fields);
        }
        let data = rich.data_in_shape();
        let mut value = json!({"output_type": rich.kind, "data": data, "metadata": rich.metadata});
        if rich.kind == "execute_result" {
            value["execution_count"] = json!(rich.execution_count);
        }
        value
    }
}

pub(super) fn is_json(mime: &str) -> bool {
    mime == "application/json" || mime.ends_with("+json")
}

/// Converts a value to text, which nbformat requires for every MIME type but JSON's.
fn in_shape(mime: &str, value: Value) -> Value {
    let is_text = match &value {
        Value::String(_) => true,
        Value::Array(lines) => lines.iter().all(Value::is_string),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
    };
    if is_json(mime) || is_text {
        value
    } else {
        Value::String(value.to_string())
    }
}

/// Bytes of a value in the notebook; also for a blob that is not fetched yet.
pub(super) fn size(mime: &str, value: &Value) -> usize {
    FRAME_BYTES + length(mime, value)
}

fn length(mime: &str, value: &Value) -> usize {
    if let Some(blob) = BlobRef::of(value) {
        let bytes = usize::try_from(blob.bytes).unwrap_or(usize::MAX);
        return if is_text(mime) {
            bytes
        } else {
            bytes.div_ceil(3).saturating_mul(4)
        };
    }
    match value {
        Value::String(text) => text.len(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string().len()
        }
    }
}

/// Whether the executor keeps this type as text, rather than as decoded base64.
pub(super) fn is_text(mime: &str) -> bool {
    let is_media = ["image/", "audio/", "video/"]
        .iter()
        .any(|kind| mime.starts_with(kind));
    !(is_media && !mime.ends_with("+xml") || mime == "application/pdf")
}

pub(super) fn fields(error: &PythonError) -> Map<String, Value> {
    let bounded = |text: &str| {
        let mut excerpt = Excerpt::new(MAX_ERROR_CHARS);
        excerpt.push(text);
        excerpt.render()
    };
    let traceback: Vec<String> = error.traceback.iter().map(|text| bounded(text)).collect();
    let fields =
        json!({"ename": error.ename, "evalue": bounded(&error.evalue), "traceback": traceback});
    fields.as_object().cloned().unwrap_or_default()
}
