//! Converts lines into messages and back: a message that rmcp cannot read is repaired where that does not change it, and answered with an error
//! otherwise.
//!
//! rmcp supports ids of 64 bits. Any other id passes through it as a string with the original text, and is restored on output.

use std::borrow::Cow;

use rmcp::RoleServer;
use rmcp::model::{
    ClientNotification, ClientRequest, ErrorCode, ErrorData, JsonRpcError, JsonRpcMessage,
    RequestId, ServerNotification,
};
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};

use super::scan::{elements, find};

const UTF8_BOM: &[u8] = b"\xEF\xBB\xBF";
/// The prefix of such a string: no client's own id begins with it.
const FOREIGN: &str = "\u{1}id:";
const AGAIN: &str = "Nothing was done: send it again as one line of JSON-RPC 2.0 in UTF-8, with numbers within 64 bits and fewer than 128 levels \
     of nesting";
/// Paths of ids.
const IDS: [&[&str]; 3] = [
    &["id"],
    &["params", "requestId"],
    &["params", "_meta", "progressToken"],
];

/// Messages in one batch; a longer one is refused.
const MAX_BATCH: usize = 1_000;

/// The answer to a message that is not passed to rmcp.
#[derive(Debug)]
pub(super) struct Refusal {
    /// None if none was found: the answer's id is null.
    pub(super) id: Option<RequestId>,
    pub(super) error: ErrorData,
}

pub(super) type Message = RxJsonRpcMessage<RoleServer>;

/// Reads the messages of a line: one, or a batch as in protocol version 2025-03-26.
pub(super) fn read(line: &[u8]) -> Vec<Result<Message, Refusal>> {
    let line = line.trim_ascii();
    let line = line.strip_prefix(UTF8_BOM).unwrap_or(line);
    if line.is_empty() {
        return Vec::new();
    }
    if !line.starts_with(b"[") {
        return read_one(line).into_iter().collect();
    }
    let (batch, is_whole) = elements(line, MAX_BATCH);
    if is_whole && !batch.is_empty() {
        return batch.into_iter().filter_map(read_one).collect();
    }
    let (code, why) = if is_whole {
        (ErrorCode::INVALID_REQUEST, "it is empty")
    } else if batch.len() == MAX_BATCH {
        (
            ErrorCode::INVALID_REQUEST,
            "it has more than 1,000 messages",
        )
    } else {
        (ErrorCode::PARSE_ERROR, "it is not a JSON array")
    };
    // None of it is run: a client that sends it again must not have it run twice.
    let callers = batch.into_iter().filter_map(request_id).map(Some);
    let refused = callers.chain([None]).map(|id| {
        let message = format!("the batch cannot be read: {why}. {AGAIN}");
        let error = ErrorData::new(code, message, None);
        Err(Refusal { id, error })
    });
    refused.collect()
}

/// Reads a message, or returns the answer to an unreadable one. An unreadable response is ignored, because responses are not answered.
fn read_one(json: &[u8]) -> Option<Result<Message, Refusal>> {
    let read = match serde_json::from_slice(json) {
        Ok(message) if !is_unread(&message) => Ok(message),
        Ok(message) => Ok(repaired(json).unwrap_or(message)),
        Err(error) => repaired(json).ok_or(error),
    };
    match read {
        Ok(JsonRpcMessage::Notification(message))
            if matches!(
                message.notification,
                ClientNotification::CustomNotification(_)
            ) && find(json, &["id"]).is_some() =>
        {
            let text = format!("an id must be a string or a number. {AGAIN}");
            let error = ErrorData::invalid_request(text, None);
            Some(Err(Refusal { id: None, error }))
        }
        Ok(message) => Some(Ok(message)),
        Err(_) if is_response(json) => None,
        Err(error) => Some(Err(refusal(json, &error))),
    }
}

fn is_response(json: &[u8]) -> bool {
    let has = |name: &str| find(json, &[name]).is_some();
    !has("method") && (has("result") || has("error"))
}

/// Whether it may be a known message with an id that rmcp cannot read.
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

/// Reads a message after replacing lone surrogates and ids that rmcp cannot read.
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

/// Replaces each lone surrogate by U+FFFD: JSON.stringify writes them, and a Rust string cannot hold them.
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
            // The escaped character may be a backslash.
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
    let (code, why) = match std::str::from_utf8(json) {
        Err(error) => {
            let why = format!("byte {} is not UTF-8", error.valid_up_to());
            (ErrorCode::PARSE_ERROR, why)
        }
        Ok(_) if error.is_data() => (ErrorCode::INVALID_REQUEST, error.to_string()),
        Ok(_) => (ErrorCode::PARSE_ERROR, error.to_string()),
    };
    let message = format!("the request cannot be read: {why}. {AGAIN}");
    Refusal {
        id: request_id(json),
        error: ErrorData::new(code, message, None),
    }
}

/// The id of a request that cannot be read.
fn request_id(json: &[u8]) -> Option<RequestId> {
    find(json, &["method"])?;
    let id = std::str::from_utf8(&json[find(json, &["id"])?]).ok()?;
    let is_id = id.starts_with(|c: char| c == '"' || c == '-' || c.is_ascii_digit());
    is_id.then(|| read_id(id))
}

/// Reads an id; one that rmcp does not support is kept as its text.
pub(super) fn read_id(text: &str) -> RequestId {
    serde_json::from_str(text).unwrap_or_else(|_| foreign_id(text))
}

/// Serializes a message as a line, with its newline.
pub(super) fn write(message: &TxJsonRpcMessage<RoleServer>) -> serde_json::Result<Vec<u8>> {
    let mut line = serde_json::to_string(message)?;
    if let JsonRpcMessage::Error(JsonRpcError { id: None, .. }) = message {
        // rmcp omits a null id, which JSON-RPC requires.
        line.insert_str(1, "\"id\":null,");
    }
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
        // Within a string the quotes would be escaped.
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
    fn lone_surrogates_are_replaced_and_pairs_are_kept() {
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
