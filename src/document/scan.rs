//! Finds the places of values in JSON text, so that one can be replaced without a change of any other byte.
//!
//! Takes what Python's `json` writes: standard JSON, and `NaN`, `Infinity` and `-Infinity`.

use std::ops::Range;

use serde_json::Value;

use crate::render::json;

/// A place in the text, in bytes.
pub(super) type Span = Range<usize>;

/// Why a text is not JSON, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Malformed {
    pub(super) at: usize,
    pub(super) what: &'static str,
}

type Scanned<T> = Result<T, Malformed>;

/// A member of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: String,
    /// With its quotes.
    pub(super) key: Span,
    pub(super) value: Span,
}

/// The whole text's one value.
pub(super) fn whole(text: &str) -> Scanned<Span> {
    let mut scanner = Scanner { text, at: 0 };
    let value = scanner.value()?;
    scanner.skip_space();
    match scanner.peek() {
        None => Ok(value),
        Some(_) => Err(scanner.malformed("text after the end of the JSON")),
    }
}

/// The members of the object at `span`, which was scanned before; none if it is no object.
pub(super) fn members(text: &str, span: &Span) -> Scanned<Option<Vec<Member>>> {
    let mut members = Vec::new();
    let is_object = each(text, span, b'{', |scanner| {
        let key = scanner.value()?;
        scanner.expect(b':', "a colon is missing")?;
        let value = scanner.value()?;
        let name = parsed(&text[key.clone()]);
        let name = name.as_str().unwrap_or_default().to_owned();
        members.push(Member { name, key, value });
        Ok(())
    })?;
    Ok(is_object.then_some(members))
}

/// The elements of the array at `span`, which was scanned before; none if it is no array.
pub(super) fn elements(text: &str, span: &Span) -> Scanned<Option<Vec<Span>>> {
    let mut elements = Vec::new();
    let is_array = each(text, span, b'[', |scanner| {
        elements.push(scanner.value()?);
        Ok(())
    })?;
    Ok(is_array.then_some(elements))
}

/// The value of some JSON that was scanned before; null if it is nested too deeply.
pub(super) fn parsed(text: &str) -> Value {
    json::parse(text).unwrap_or_default()
}

fn each(
    text: &str,
    span: &Span,
    opening: u8,
    mut take: impl FnMut(&mut Scanner<'_>) -> Scanned<()>,
) -> Scanned<bool> {
    let mut scanner = Scanner {
        text: &text[..span.end],
        at: span.start,
    };
    if scanner.peek() != Some(opening) {
        return Ok(false);
    }
    scanner.at += 1;
    loop {
        scanner.skip_space();
        match scanner.peek() {
            Some(b'}' | b']') | None => return Ok(true),
            Some(b',') => scanner.at += 1,
            Some(_) => take(&mut scanner)?,
        }
    }
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn malformed(&self, what: &'static str) -> Malformed {
        Malformed { at: self.at, what }
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Scanned<()> {
        self.skip_space();
        if self.peek() != Some(byte) {
            return Err(self.malformed(what));
        }
        self.at += 1;
        Ok(())
    }

    /// Passes one value, however deeply nested, and returns its place.
    fn value(&mut self) -> Scanned<Span> {
        let mut open: Vec<u8> = Vec::new();
        self.skip_space();
        let start = self.at;
        loop {
            self.skip_space();
            match self.peek() {
                Some(opening @ (b'{' | b'[')) => {
                    self.at += 1;
                    let closing = if opening == b'{' { b'}' } else { b']' };
                    self.skip_space();
                    if self.peek() == Some(closing) {
                        self.at += 1;
                    } else {
                        open.push(closing);
                        if closing == b'}' {
                            self.key()?;
                        }
                        continue;
                    }
                }
                Some(b'"') => self.string()?,
                Some(_) => self.word()?,
                None => return Err(self.malformed("the text ends too early")),
            }
            // A value has ended: so may what it is in.
            loop {
                let Some(closing) = open.last().copied() else {
                    return Ok(start..self.at);
                };
                self.skip_space();
                match self.peek() {
                    Some(b',') => {
                        self.at += 1;
                        if closing == b'}' {
                            self.key()?;
                        }
                        break;
                    }
                    Some(byte) if byte == closing => {
                        self.at += 1;
                        open.pop();
                    }
                    Some(_) => {
                        return Err(self.malformed("a comma or a closing bracket is missing"));
                    }
                    None => return Err(self.malformed("the text ends too early")),
                }
            }
        }
    }

    fn key(&mut self) -> Scanned<()> {
        self.skip_space();
        if self.peek() != Some(b'"') {
            return Err(self.malformed("a name in quotes is missing"));
        }
        self.string()?;
        self.expect(b':', "a colon is missing")
    }

    fn string(&mut self) -> Scanned<()> {
        let opening = self.at;
        let is_open = Malformed {
            at: opening,
            what: "a string has no end",
        };
        self.at += 1;
        let mut quote = self.at;
        loop {
            if quote <= self.at {
                let found = self.text[self.at..].find('"').ok_or(is_open.clone())?;
                quote = self.at + found;
            }
            let Some(escape) = self.text[self.at..quote].find('\\') else {
                self.at = quote + 1;
                return Ok(());
            };
            self.at += escape;
            let escaped = self.text.as_bytes().get(self.at + 1).copied();
            let length = match escaped {
                Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
                Some(b'u') if self.has_four_digits(self.at + 2) => 6,
                _ => return Err(self.malformed("an escape in a string is wrong")),
            };
            self.at += length;
            if quote < self.at {
                quote = 0;
            }
        }
    }

    fn has_four_digits(&self, at: usize) -> bool {
        let digits = self.text.as_bytes().get(at..at + 4);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    }

    fn word(&mut self) -> Scanned<()> {
        let rest = &self.text[self.at..];
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        let word = &rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())];
        let known = ["true", "false", "null", "NaN", "Infinity", "-Infinity"];
        if !known.contains(&word) && !is_number(word) {
            return Err(self.malformed("this is not a JSON value"));
        }
        self.at += word.len();
        Ok(())
    }
}

fn is_number(word: &str) -> bool {
    let (digits, exponent) = match word.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, Some(exponent)),
        None => (word, None),
    };
    let (whole, fraction) = match digits.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (digits, None),
    };
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let whole = whole.strip_prefix('-').unwrap_or(whole);
    are_digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(are_digits)
        && exponent.is_none_or(|text| are_digits(text.strip_prefix(['+', '-']).unwrap_or(text)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::{elements, members, whole};

    fn is_json(text: &str) -> bool {
        whole(text).is_ok()
    }

    #[test]
    fn what_python_writes_is_taken_and_nothing_else() {
        for good in [
            "{}",
            " [ ] \n",
            "[NaN, -Infinity, Infinity]",
            "{\"a\": {\"b\": [1, -0.5e+9, true, null]}}",
            "\"\\\"\\\\\\u00e9\"",
            "1e999",
        ] {
            assert!(is_json(good), "{good}");
        }
        for bad in [
            "",
            " ",
            "{",
            "[1,]",
            "{\"a\"}",
            "{a: 1}",
            "[1 2]",
            "01",
            "nan",
            "+1",
            ".5",
            "\"",
            "\"\\x\"",
            "\"\\u12\"",
            "{} {}",
            "[}",
            "1.",
            "1e",
            "{\"a\": 1,}",
        ] {
            assert!(!is_json(bad), "{bad}");
        }
        assert_eq!(whole("{\"a\": x}").unwrap_err().at, 6);
        assert!(is_json(&("[".repeat(9_000) + &"]".repeat(9_000))));
    }

    #[test]
    fn members_and_elements_are_found_where_they_are() {
        let text = "{ \"a\" : [1, {\"x\": \"]\\\"}\"}] , \"b\":2}";
        let found = members(text, &whole(text).unwrap()).unwrap().unwrap();
        let values: Vec<_> = found
            .iter()
            .map(|one| (&*one.name, &text[one.value.clone()]))
            .collect();
        assert_eq!(values, [("a", "[1, {\"x\": \"]\\\"}\"}]"), ("b", "2")]);
        let found = elements(text, &found[0].value).unwrap().unwrap();
        assert_eq!(&text[found[1].clone()], "{\"x\": \"]\\\"}\"}");
        assert_eq!(members(text, &found[0]).unwrap(), None);
    }

    proptest! {
        #[test]
        fn it_agrees_with_another_parser(text in "[\\[\\]{}\",:\\\\ntrue01.e-]{0,12}") {
            // A number out of range is refused there alone.
            let expected = serde_json::from_str::<Value>(&text);
            if !expected.as_ref().is_err_and(|error| error.to_string().contains("out of range")) {
                prop_assert_eq!(is_json(&text), expected.is_ok(), "{:?}", text);
            }
        }
    }
}
