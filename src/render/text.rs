//! Bytes as text, and text without the bytes that are embedded in it.

use std::borrow::Cow;

/// Embedded data of fewer characters is kept.
const MIN_DATA_CHARS: usize = 100;

/// Decodes a file by its byte order mark: UTF-16 with one, otherwise UTF-8.
#[must_use]
pub fn decode(bytes: &[u8]) -> Cow<'_, str> {
    let wide = |from: fn([u8; 2]) -> u16| {
        let units = bytes[2..]
            .chunks_exact(2)
            .map(|pair| from([pair[0], pair[1]]));
        char::decode_utf16(units)
            .map(|char| char.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect()
    };
    match bytes {
        [0xff, 0xfe, ..] => Cow::Owned(wide(u16::from_le_bytes)),
        [0xfe, 0xff, ..] => Cow::Owned(wide(u16::from_be_bytes)),
        _ => String::from_utf8_lossy(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)),
    }
}

/// Removes the data of pictures and the like that are embedded in a text (`data:image/png;base64,…`).
#[must_use]
pub fn without_data(text: &str) -> Cow<'_, str> {
    const MARK: &str = ";base64,";
    let is_data = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '-' | '_');
    let (mut short, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(MARK) {
        let (before, after) = rest.split_at(at + MARK.len());
        let length = after.find(|c| !is_data(c)).unwrap_or(after.len());
        short += before;
        if length < MIN_DATA_CHARS {
            short += &after[..length];
        } else {
            short += &format!("…[{length} characters]");
        }
        rest = &after[length..];
    }
    if short.is_empty() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(short + rest)
}

#[cfg(test)]
mod tests {
    use super::{decode, without_data};

    #[test]
    fn a_byte_order_mark_decides_the_encoding() {
        for (bytes, expected) in [
            (&b"\xef\xbb\xbfa"[..], "a"),
            (b"\xff\xfea\0=\xd8\0\xde", "a\u{1f600}"),
            (b"\xfe\xff\0a\xd8\x3d", "a\u{fffd}"),
            (b"\xff\xfe", ""),
            ("é".as_bytes(), "é"),
            (b"\xff", "\u{fffd}"),
        ] {
            assert_eq!(decode(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn embedded_bytes_are_counted() {
        let data = "QUJD".repeat(100);
        let text =
            format!("![p](data:image/png;base64,{data}) and <img src='data:font/x;base64,{data}'>");
        assert_eq!(
            without_data(&text),
            "![p](data:image/png;base64,…[400 characters]) and <img src='data:font/x;base64,…[400 characters]'>"
        );
        for text in ["data:image/png;base64,QUJD", "no ;base64, here", ""] {
            assert_eq!(without_data(text), text);
        }
    }
}
