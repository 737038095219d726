//! An address as people paste it: quoted, as code, as a Markdown link, at the end of a sentence.

/// Characters that end an address: no address and no token contains them.
const ENDS: &str =
    "\"'`<>()[]{}|*\\“”‘’«»„「」『』（）【】《》，。、；：！？\u{200B}\u{200C}\u{200D}\u{FEFF}";
/// Characters that may end a sentence.
const PUNCTUATION: [char; 6] = ['.', ',', ';', ':', '!', '?'];
const QUOTES: [(char, char); 6] = [
    ('"', '"'),
    ('\'', '\''),
    ('`', '`'),
    ('<', '>'),
    ('“', '”'),
    ('‘', '’'),
];

/// The one address in `text`; the text itself where there is none.
///
/// # Errors
/// The ambiguity, worded to follow the text's name.
pub(super) fn address(text: &str) -> Result<&str, String> {
    let (found, after) = addresses(text);
    let Some(whole) = found.iter().copied().max_by_key(|found| found.len()) else {
        return Ok(unquoted(text));
    };
    // The label of a link may be its address without the token.
    let is_of_it = |other: &&str| {
        let is_bare = !other.contains('#');
        *other == whole || (is_bare && whole.starts_with(other.trim_end_matches('/')))
    };
    if !found.iter().all(is_of_it) {
        return Err("contains several addresses: give only the one to use".to_owned());
    }
    if after.contains(char::is_alphanumeric) {
        return Err(
            "continues after a space or a quote: give only the address and its token. A token has no such characters; if you chose \
             the token yourself, choose one without them"
                .to_owned(),
        );
    }
    Ok(whole)
}

/// The addresses in a text, and the text after the last.
fn addresses(text: &str) -> (Vec<&str>, &str) {
    // ASCII only, so that byte offsets stay the same.
    let lower = text.to_ascii_lowercase();
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(start) = next(&lower, at) {
        let rest = &text[start..];
        let host = rest.find("://").map_or(0, |at| at + 3);
        // The brackets of an IPv6 address belong to it.
        let is_bracketed = rest[host..].starts_with('[');
        let from = rest.find(']').filter(|_| is_bracketed);
        let from = from.map_or(host, |end| end + 1);
        let ends = |c: char| c.is_whitespace() || c.is_control() || ENDS.contains(c);
        let end = rest[from..].find(ends).map_or(rest.len(), |at| from + at);
        found.push(without_punctuation(&rest[..end]));
        at = start + end;
    }
    (found, &text[at..])
}

fn next(lower: &str, at: usize) -> Option<usize> {
    let starts = ["https://", "http://"];
    let found = starts.iter().filter_map(|start| lower[at..].find(start));
    found.min().map(|found| at + found)
}

/// Strips the end of a sentence unless it may belong to the token: tokens that executors make consist of letters, digits, `-` and `_`.
fn without_punctuation(address: &str) -> &str {
    let trimmed = address.trim_end_matches(PUNCTUATION);
    let token = trimmed.split_once('#').map_or("", |(_, token)| token);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if token.chars().all(is_plain) {
        trimmed
    } else {
        address
    }
}

/// A value without white space and quotes around it.
pub(super) fn unquoted(text: &str) -> &str {
    let text = text.trim();
    for (open, close) in QUOTES {
        let inner = text.strip_prefix(open);
        if let Some(inner) = inner.and_then(|inner| inner.strip_suffix(close))
            && !inner.contains([open, close])
        {
            return inner.trim();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{address, unquoted};

    #[test]
    fn an_address_is_found_in_pasted_text() {
        const LINE: &str = "https://a-b.ngrok-free.dev#Abc-_9";
        for text in [
            "LINE",
            "  LINE\n",
            "`LINE`",
            "```\nLINE\n```",
            "\"LINE\"",
            "'LINE'",
            "“LINE”",
            "<LINE>",
            "(LINE).",
            "**LINE**",
            "[LINE](LINE)",
            "[the notebook](LINE)",
            "[the notebook](<LINE>)",
            "[https://a-b.ngrok-free.dev/](LINE)",
            "> LINE",
            "LINE.",
            "LINE,",
            "LINE!",
            "「LINE」。",
            "\u{200B}LINE\u{FEFF}",
            "Connect smart-colab to LINE",
            "{\"url\": \"LINE\"}",
        ] {
            let text = text.replace("LINE", LINE);
            assert_eq!(address(&text), Ok(LINE), "{text}");
        }
        for (text, found) in [
            ("http://[::1]:5001#t", "http://[::1]:5001#t"),
            ("`http://[::1]#t`.", "http://[::1]#t"),
            ("HTTPS://A.B#t", "HTTPS://A.B#t"),
            ("https://a.b#of.my.own!", "https://a.b#of.my.own!"),
            ("https://a.b#tok\u{e9}n", "https://a.b#tok\u{e9}n"),
            (" \"a.b#t\" ", "a.b#t"),
            ("http://[open", "http://"),
        ] {
            let address = address(text).unwrap_or("http://");
            assert_eq!(address, found, "{text}");
        }
    }

    #[test]
    fn a_line_that_may_be_truncated_is_refused() {
        for text in [
            "https://a.b#to ken",
            "https://a.b#to\"ken",
            "https://a.b#to\nken",
            "https://a.b#one https://c.d#two",
            "https://a.b#one https://a.b#two",
            "https://a.b#one https://a.b#one1",
        ] {
            let fault = address(text).unwrap_err();
            assert!(!fault.contains("ken") || fault.contains("token"), "{fault}");
        }
    }

    #[test]
    fn quotes_around_a_value_are_stripped() {
        for (text, expected) in [
            (" \"local\" ", "local"),
            ("'~/a b'", "~/a b"),
            ("\"/a\":\"/b\"", "\"/a\":\"/b\""),
            ("\"open", "\"open"),
            ("\"", "\""),
            ("\"\"", ""),
        ] {
            assert_eq!(unquoted(text), expected, "{text}");
        }
    }
}
