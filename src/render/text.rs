//! Bytes as text, and text without what nobody can read in it.

use std::borrow::Cow;

use crate::base::text::Screen;

/// What is embedded is left out from so many characters on.
const LEAST_DATA: usize = 100;

/// The text of a file of which the beginning says how it is written: with a byte order mark in UTF-16, otherwise in UTF-8.
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

/// The text without the bytes of pictures and others that are embedded in it (`data:image/png;base64,…`).
#[must_use]
pub fn without_data(text: &str) -> Cow<'_, str> {
    const MARK: &str = ";base64,";
    let is_data = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '-' | '_');
    let (mut short, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(MARK) {
        let (before, after) = rest.split_at(at + MARK.len());
        let length = after.find(|c| !is_data(c)).unwrap_or(after.len());
        short += before;
        if length < LEAST_DATA {
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

/// Whether a terminal would show the text in another way: lines are overwritten or coloured in it.
#[must_use]
pub fn is_for_a_terminal(text: &str) -> bool {
    let mut returns = text.match_indices('\r');
    let is_alone = |(at, _): (usize, _)| !matches!(text.as_bytes().get(at + 1), None | Some(b'\n'));
    text.contains(['\u{1b}', '\u{8}']) || returns.any(is_alone)
}

/// The text as a terminal shows it: of a progress bar the last state. What a carriage return parts that is no such bar stands on lines of its own,
/// for nothing was meant to be written over.
#[must_use]
pub fn on_a_terminal(text: &str) -> String {
    let mut screen = Screen::new(text.len().max(1));
    for line in text.split_inclusive('\n') {
        if is_overwritten(line) {
            screen.push(line);
        } else {
            let said = line.trim_end_matches(['\r', '\n']);
            screen.push(&said.replace('\r', "\n"));
            screen.push(&line[said.len()..]);
        }
    }
    screen.finish().render()
}

/// Whether the states of a line follow each other as those of a progress bar do: most have the words of the one before.
fn is_overwritten(line: &str) -> bool {
    let states = line.split('\r').filter(|state| !state.trim().is_empty());
    let words: Vec<String> = states
        .map(|state| state.chars().filter(|c| c.is_alphabetic()).collect())
        .collect();
    let pairs = words.windows(2);
    let alike = pairs.clone().filter(|pair| pair[0] == pair[1]).count();
    line.contains(['\u{1b}', '\u{8}']) || 2 * alike >= pairs.len()
}

#[cfg(test)]
mod tests {
    use super::{decode, is_for_a_terminal, on_a_terminal, without_data};

    #[test]
    fn a_mark_says_how_a_text_is_written() {
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

    #[test]
    fn a_progress_bar_is_shown_in_its_last_state() {
        for (text, expected) in [
            ("step 1\rstep 2\rstep 3\n", "step 3\n"),
            ("load |\rload /\rload -\rdone  \n", "done  \n"),
            (
                "the first one\rthe other\r\nb\n",
                "the first one\nthe other\nb\n",
            ),
            ("whole\u{1b}[2K\rnew\n", "new\n"),
        ] {
            assert_eq!(on_a_terminal(text), expected, "{text:?}");
        }
        assert_eq!(on_a_terminal("a\n 1%\r 50%\r100%\nb\r\n"), "a\n100%\nb\n");
        for (text, expected) in [
            ("a\r\nb\r\n", false),
            ("a\r", false),
            ("\ra", true),
            ("\u{1b}[31mred", true),
            ("1/2\u{8}\u{8}\u{8}2/2", true),
        ] {
            assert_eq!(is_for_a_terminal(text), expected, "{text:?}");
        }
    }
}
