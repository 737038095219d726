//! Splits stdin into lines of bounded length. For one that is too long the ends are kept, which identify the request, so that it can be answered.

use std::io;

use rmcp::model::RequestId;
use tokio_util::bytes::{Buf, BytesMut};
use tokio_util::codec::Decoder;

use super::message::read_id;
use super::scan::find;

/// Bytes kept of each end: the id of a request is near its beginning or at its very end.
const MAX_END_BYTES: usize = 1024;

/// One line, without its newline.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Whole(BytesMut),
    TooLong(Ends),
}

/// The ends of a line that is too long.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ends {
    head: Vec<u8>,
    tail: Vec<u8>,
}

/// Splits bytes into lines of at most about `limit` bytes.
#[derive(Debug)]
pub(super) struct Lines {
    limit: usize,
    /// Bytes of the buffer known to hold no newline.
    searched: usize,
    /// The ends of the line being dropped.
    dropped: Option<Ends>,
}

impl Lines {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            searched: 0,
            dropped: None,
        }
    }
}

impl Decoder for Lines {
    type Item = Line;
    type Error = io::Error;

    fn decode(&mut self, bytes: &mut BytesMut) -> io::Result<Option<Line>> {
        let newline = bytes[self.searched..]
            .iter()
            .position(|byte| *byte == b'\n');
        let newline = newline.map(|at| self.searched + at);
        self.searched = if newline.is_none() { bytes.len() } else { 0 };
        if self.dropped.is_none() && newline.is_none() && bytes.len() > self.limit {
            self.dropped = Some(Ends::default());
        }
        let Some(ends) = &mut self.dropped else {
            return Ok(newline.map(|at| {
                let line = bytes.split_to(at);
                bytes.advance(1);
                Line::Whole(line)
            }));
        };
        self.searched = 0;
        ends.add(&bytes[..newline.unwrap_or(bytes.len())]);
        match newline {
            Some(at) => {
                bytes.advance(at + 1);
                Ok(self.dropped.take().map(Line::TooLong))
            }
            None => {
                bytes.clear();
                Ok(None)
            }
        }
    }

    /// Drops an unfinished last line.
    fn decode_eof(&mut self, bytes: &mut BytesMut) -> io::Result<Option<Line>> {
        let line = self.decode(bytes)?;
        if line.is_none() {
            bytes.clear();
        }
        Ok(line)
    }
}

impl Ends {
    fn add(&mut self, bytes: &[u8]) {
        let room = MAX_END_BYTES
            .saturating_sub(self.head.len())
            .min(bytes.len());
        self.head.extend_from_slice(&bytes[..room]);
        self.tail
            .extend_from_slice(&bytes[bytes.len().saturating_sub(MAX_END_BYTES)..]);
        let surplus = self.tail.len().saturating_sub(MAX_END_BYTES);
        self.tail.drain(..surplus);
    }

    /// The request's id, if it is the last member of the message or before the long one.
    pub(super) fn id(&self) -> Option<RequestId> {
        let tail = String::from_utf8_lossy(&self.tail);
        let last = tail.trim_end().strip_suffix('}').and_then(|members| {
            let at = members.rfind(ID)?;
            serde_json::from_str(&members[at + ID.len()..]).ok()
        });
        last.or_else(|| {
            let id = &self.head[find(&self.head, &["id"])?];
            Some(read_id(std::str::from_utf8(id).ok()?))
        })
    }
}

const ID: &str = "\"id\":";

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};
    use rmcp::model::RequestId;
    use tokio_util::bytes::BytesMut;
    use tokio_util::codec::Decoder;

    use super::{Line, Lines};

    /// The lines of `text` received in pieces of `piece` bytes.
    fn lines(text: &str, limit: usize, piece: usize) -> Vec<Line> {
        let (mut lines, mut bytes, mut found) = (Lines::new(limit), BytesMut::new(), Vec::new());
        for part in text.as_bytes().chunks(piece) {
            bytes.extend_from_slice(part);
            while let Some(line) = lines.decode(&mut bytes).unwrap() {
                found.push(line);
            }
        }
        found.extend(lines.decode_eof(&mut bytes).unwrap());
        found
    }

    fn whole(text: &str) -> Line {
        Line::Whole(BytesMut::from(text))
    }

    #[test]
    fn the_ends_of_a_long_line_hold_its_id_and_the_next_line_is_whole() {
        let long = "x".repeat(10_000);
        for (message, id) in [
            (
                format!(
                    r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"code":"{long}"}}}}"#
                ),
                Some(RequestId::Number(7)),
            ),
            (
                format!(
                    r#"{{"method":"tools/call","params":{{"code":"{long}"}},"jsonrpc":"2.0","id":"a-1"}}"#
                ),
                Some(RequestId::String("a-1".into())),
            ),
            (
                format!(
                    r#"{{"method":"tools/call","params":{{"id":7,"code":"{long}"}},"jsonrpc":"2.0"}}"#
                ),
                None,
            ),
            (format!(r#"{{"params":{{"code":"{long}","id":7}}}}"#), None),
        ] {
            for piece in [1, 100, 100_000] {
                // A line that arrives in one piece is accepted up to that size.
                let limit = if piece == 100_000 { 20_000 } else { 5_000 };
                let found = lines(&format!("{message}\nnext\n"), limit, piece);
                assert_eq!(found.len(), 2);
                if let Line::TooLong(ends) = &found[0] {
                    assert_eq!(ends.id(), id, "{message:.80}");
                } else {
                    assert_eq!(piece, 100_000);
                }
                assert_eq!(found[1], whole("next"));
            }
        }
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_the_size_of_reads(
            texts in proptest::collection::vec("[a-z]{0,30}", 0..20),
            piece in 1usize..40,
            torn in any::<bool>(),
        ) {
            let mut text: String = texts.iter().map(|text| format!("{text}\n")).collect();
            if torn {
                text.push_str("torn");
            }
            let expected: Vec<Line> = texts.iter().map(|text| whole(text)).collect();
            assert_eq!(lines(&text, 100, piece), expected);
        }
    }
}
