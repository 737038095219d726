//! Messages of the Jupyter protocol in the legacy WebSocket framing.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

const PROTOCOL: &str = "5.3";

/// A message from a kernel, or from the server in its name.
#[derive(Debug)]
pub struct Incoming {
    pub channel: String,
    pub kind: String,
    /// The kernel process's id, new at each start.
    pub session: String,
    /// The id of the request that it answers.
    pub parent: Option<String>,
    pub content: Value,
}

#[derive(Deserialize)]
struct Frame {
    #[serde(default)]
    channel: String,
    header: Header,
    #[serde(default)]
    parent_header: Parent,
    #[serde(default)]
    content: Value,
}

#[derive(Deserialize)]
struct Header {
    msg_type: String,
    #[serde(default)]
    session: String,
}

#[derive(Default, Deserialize)]
struct Parent {
    msg_id: Option<String>,
}

/// The text frame of a request.
pub(super) fn encode(
    id: &str,
    session: &str,
    channel: &str,
    kind: &str,
    content: &Value,
) -> String {
    json!({
        "channel": channel,
        "header": {
            "msg_id": id,
            "session": session,
            "username": "",
            "date": Timestamp::now().to_string(),
            "msg_type": kind,
            "version": PROTOCOL,
        },
        "parent_header": {},
        "metadata": {},
        "content": content,
        "buffers": [],
    })
    .to_string()
}

/// Reads a text frame; none if it is no message.
pub(super) fn decode(text: &[u8]) -> Option<Incoming> {
    let frame: Frame = serde_json::from_slice(text).ok()?;
    Some(Incoming {
        channel: frame.channel,
        kind: frame.header.msg_type,
        session: frame.header.session,
        parent: frame.parent_header.msg_id,
        content: frame.content,
    })
}

/// Reads a binary frame, which has buffers behind its JSON: the number of parts, their offsets, the parts, with numbers of four bytes, the highest
/// first.
pub(super) fn decode_binary(frame: &[u8]) -> Option<Incoming> {
    let number = |at: usize| {
        let bytes = frame.get(4 * at..4 * at + 4)?;
        usize::try_from(u32::from_be_bytes(bytes.try_into().ok()?)).ok()
    };
    let parts = number(0)?;
    let start = number(1)?;
    let end = if parts > 1 { number(2)? } else { frame.len() };
    decode(frame.get(start..end)?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{decode, decode_binary, encode};

    #[test]
    fn a_reply_is_read_from_text_and_from_a_binary_frame_with_buffers() {
        let text = encode("7", "me", "control", "an_reply", &json!({"status": "ok"}));
        let (start, end) = (12u32, 12 + u32::try_from(text.len()).unwrap());
        let mut binary = Vec::new();
        for number in [2, start, end] {
            binary.extend_from_slice(&number.to_be_bytes());
        }
        binary.extend_from_slice(text.as_bytes());
        binary.extend_from_slice(b"a buffer");
        for found in [decode(text.as_bytes()), decode_binary(&binary)] {
            let found = found.unwrap();
            assert_eq!((&*found.channel, &*found.kind), ("control", "an_reply"));
            assert_eq!(found.content, json!({"status": "ok"}));
        }
    }

    #[test]
    fn garbage_is_no_message() {
        for garbage in [
            &b""[..],
            b"{",
            b"null",
            b"{\"header\": {}}",
            &[0xff; 40],
            &[0, 0, 0, 9],
        ] {
            assert!(decode(garbage).is_none());
            assert!(decode_binary(garbage).is_none());
        }
    }
}
