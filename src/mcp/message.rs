//! Lines into messages and back: what rmcp cannot read is repaired where that changes nothing, and is answered where it cannot be.
//!
//! rmcp holds ids of 64 bits. Any other one goes through it as a text that holds it as it was written, and comes out again as it was.

use std::borrow::Cow;

use rmcp::RoleServer;
use rmcp::model::{
    ClientNotification, ClientRequest, ErrorCode, ErrorData, JsonRpcMessage, RequestId,
    ServerNotification,
};
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};

use super::scan::{elements, find};

const UTF8_BOM: &[u8] = b"\xEF\xBB\xBF";
/// Before the text of an id in the text that stands for it: no client's own id begins so.
const FOREIGN: &str = "\u{1}id:";
/// Where ids stand.
const IDS: [&[&str]; 3] = [
    &["id"],
    &["params", "requestId"],
    &["params", "_meta", "progressToken"],
];

/// A request that is answered here.
#[derive(Debug)]
pub(super) struct Refusal {
    /// None where none was found: then there is nobody to answer.
    pub(super) id: Option<RequestId>,
    pub(super) error: ErrorData,
}

pub(super) type Message = RxJsonRpcMessage<RoleServer>;

/// The messages of a line: one, or those of a batch, which the version of 2025-03-26 knows.
pub(super) fn read(line: &[u8]) -> Vec<Result<Message, Refusal>> {
    let line = line.trim_ascii();
    let line = line.strip_prefix(UTF8_BOM).unwrap_or(line);
    if line.is_empty() {
        return Vec::new();
    }
    if line.starts_with(b"[") {
        return elements(line).into_iter().map(read_one).collect();
    }
    vec![read_one(line)]
}

fn read_one(json: &[u8]) -> Result<Message, Refusal> {
    match serde_json::from_slice(json) {
        Ok(message) if !is_unread(&message) => Ok(message),
        Ok(message) => Ok(repaired(json).unwrap_or(message)),
        Err(error) => repaired(json).ok_or_else(|| refusal(json, &error)),
    }
}

/// True for what may be a known message with an id that rmcp cannot read.
fn is_unread(message: &Message) -> bool {
    match message {
        JsonRpcMessage::Request(message) => {
            matches!(message.request, ClientRequest::CustomRequest(_))
        }
        JsonRpcMessage::Notification(message) => {
            matches!(
                message.notification,
                ClientNotification::CustomNotification(_)
            )
        }
        JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_) => false,
    }
}

/// The message, where only halves of emoji and ids kept rmcp from reading it.
fn repaired(json: &[u8]) -> Option<Message> {
    let text = std::str::from_utf8(json).ok()?;
    let mut text = without_lone_surrogates(text);
    for path in IDS {
        if let Some(at) = find(text.as_bytes(), path)
            && text[at.clone()].starts_with(|c: char| c == '-' || c.is_ascii_digit())
            && serde_json::from_str::<RequestId>(&text[at.clone()]).is_err()
        {
            let foreign = foreign_id(&text[at.clone()]).into_json_value().to_string();
            text.to_mut().replace_range(at, &foreign);
        }
    }
    match text {
        Cow::Borrowed(_) => None,
        Cow::Owned(text) => serde_json::from_str(&text).ok(),
    }
}

fn foreign_id(text: &str) -> RequestId {
    RequestId::String(format!("{FOREIGN}{text}").into())
}

/// With U+FFFD in place of each half of a pair: JSON.stringify writes them, and no Rust text can hold them.
fn without_lone_surrogates(json: &str) -> Cow<'_, str> {
    let unit = |at: usize| {
        let digits = json.get(at..)?.strip_prefix("\\u")?.get(..4)?;
        u16::from_str_radix(digits, 16).ok()
    };
    let (mut fixed, mut done, mut at) = (String::new(), 0, 0);
    while let Some(found) = json[at..].find('\\') {
        at += found;
        match (unit(at), unit(at + 6)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => at += 12,
            (Some(0xD800..=0xDFFF), _) => {
                fixed.push_str(&json[done..at]);
                fixed.push_str("\\ufffd");
                at += 6;
                done = at;
            }
            // What is escaped may be a backslash.
            _ => at += 1 + json[at + 1..].chars().next().map_or(0, char::len_utf8),
        }
    }
    if done == 0 {
        return Cow::Borrowed(json);
    }
    fixed.push_str(&json[done..]);
    Cow::Owned(fixed)
}

fn refusal(json: &[u8], error: &serde_json::Error) -> Refusal {
    let is_request = find(json, &["method"]).is_some();
    let id = find(json, &["id"]).filter(|_| is_request);
    let id = id.and_then(|at| std::str::from_utf8(&json[at]).ok());
    let id = id.filter(|text| *text != "null").map(read_id);
    let (code, why) = match std::str::from_utf8(json) {
        Err(error) => {
            let why = format!("byte {} is not UTF-8", error.valid_up_to());
            (ErrorCode::PARSE_ERROR, why)
        }
        Ok(_) if error.is_data() => (ErrorCode::INVALID_REQUEST, error.to_string()),
        Ok(_) => (ErrorCode::PARSE_ERROR, error.to_string()),
    };
    let message = format!(
        "the request cannot be read: {why}. Nothing was done: send it again as one line of JSON-RPC 2.0 in UTF-8, its numbers within \
         64 bits and less than 128 levels deep"
    );
    Refusal {
        id,
        error: ErrorData::new(code, message, None),
    }
}

/// An id as it was written.
pub(super) fn read_id(text: &str) -> RequestId {
    serde_json::from_str(text).unwrap_or_else(|_| foreign_id(text))
}

/// The line of a message, with its newline.
pub(super) fn write(message: &TxJsonRpcMessage<RoleServer>) -> serde_json::Result<Vec<u8>> {
    let mut line = serde_json::to_string(message)?;
    let (key, id) = match message {
        JsonRpcMessage::Response(message) => ("id", Some(&message.id)),
        JsonRpcMessage::Error(message) => ("id", message.id.as_ref()),
        JsonRpcMessage::Notification(message) => {
            ("progressToken", progress_token(&message.notification))
        }
        JsonRpcMessage::Request(_) => ("id", None),
    };
    if let Some(id @ RequestId::String(text)) = id
        && let Some(foreign) = text.strip_prefix(FOREIGN)
    {
        // Within a text the quotes would be escaped.
        let internal = format!("\"{key}\":{}", id.clone().into_json_value());
        line = line.replacen(&internal, &format!("\"{key}\":{foreign}"), 1);
    }
    line.push('\n');
    Ok(line.into_bytes())
}

fn progress_token(notification: &ServerNotification) -> Option<&RequestId> {
    if let ServerNotification::ProgressNotification(progress) = notification {
        Some(&progress.params.progress_token.0)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::without_lone_surrogates;

    #[test]
    fn halves_of_pairs_are_replaced_and_whole_ones_stay() {
        for (json, expected) in [
            (r#""\ud83d""#, r#""\ufffd""#),
            (r#""a\uDE00b\ud83d""#, r#""a\ufffdb\ufffd""#),
            (r#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
            (r#""\ud83d\ude00""#, r#""\ud83d\ude00""#),
            (r#""\\ud83d""#, r#""\\ud83d""#),
            (r#""\\\ud83d""#, r#""\\\ufffd""#),
            (r#""\ud83dé\""#, r#""\ufffdé\""#),
            (r#""\u12"#, r#""\u12"#),
            ("\"\\", "\"\\"),
        ] {
            assert_eq!(without_lone_surrogates(json), expected, "{json}");
            let is_json = serde_json::from_str::<String>(expected).is_ok();
            assert!(
                is_json || !json.ends_with('"') || json.ends_with("\\\""),
                "{expected}"
            );
        }
    }
}
