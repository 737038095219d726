//! Finds a member in unparsable JSON: too deep, cut off, or with an invalid number or byte. This yields the id under which an unreadable request
//! is answered.

use std::ops::Range;

/// The range of the value at `path` in an object, a path of member names.
pub(super) fn find(json: &[u8], path: &[&str]) -> Option<Range<usize>> {
    let (name, below) = path.split_first()?;
    let mut scan = Scan { json, at: 0 };
    scan.skip_byte(b'{')?;
    let value = loop {
        let key = scan.value()?;
        scan.skip_byte(b':')?;
        let value = scan.value()?;
        if serde_json::from_slice::<String>(&json[key]).is_ok_and(|key| key == *name) {
            break value;
        }
        scan.skip_byte(b',')?;
    };
    if below.is_empty() {
        return Some(value);
    }
    let inner = find(&json[value.clone()], below)?;
    Some(value.start + inner.start..value.start + inner.end)
}

/// The first elements of an array, at most `most`, and whether these are all and its brackets and commas are correct.
pub(super) fn elements(json: &[u8], most: usize) -> (Vec<&[u8]>, bool) {
    let mut scan = Scan { json, at: 0 };
    let mut found = Vec::new();
    let mut next = scan.skip_byte(b'[');
    if next.is_some() && scan.ends() {
        return (found, true);
    }
    while next.is_some() && found.len() < most {
        let Some(value) = scan.value() else {
            return (found, false);
        };
        found.push(&json[value]);
        next = scan.skip_byte(b',');
    }
    let is_whole = next.is_none() && scan.ends();
    (found, is_whole)
}

struct Scan<'a> {
    json: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    /// Skips `byte` if it is next.
    fn skip_byte(&mut self, byte: u8) -> Option<()> {
        self.skip(|next| next.is_ascii_whitespace());
        (self.json.get(self.at) == Some(&byte)).then(|| self.at += 1)
    }

    /// Whether the array is closed here, and nothing follows.
    fn ends(&mut self) -> bool {
        let is_closed = self.skip_byte(b']').is_some();
        is_closed && self.json[self.at..].trim_ascii().is_empty()
    }

    /// Skips one value, however deep, and returns its range.
    fn value(&mut self) -> Option<Range<usize>> {
        self.skip(|next| next.is_ascii_whitespace());
        let (start, mut depth) = (self.at, 0_usize);
        loop {
            match self.json.get(self.at)? {
                b'"' => self.text(),
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' | b',' | b':' if depth == 0 => break,
                b'}' | b']' => {
                    depth -= 1;
                    self.at += 1;
                }
                b',' | b':' => self.at += 1,
                next if next.is_ascii_whitespace() => {
                    self.skip(|next| next.is_ascii_whitespace());
                    if depth == 0 {
                        break;
                    }
                    continue;
                }
                _ => self.skip(|next| !next.is_ascii_whitespace() && !b"\"{}[],:".contains(&next)),
            }
            if depth == 0 {
                break;
            }
        }
        let value = self.json[start..self.at].trim_ascii_end();
        (!value.is_empty()).then(|| start..start + value.len())
    }

    fn text(&mut self) {
        self.at += 1;
        while let Some(byte) = self.json.get(self.at) {
            self.at += if *byte == b'\\' { 2 } else { 1 };
            if *byte == b'"' {
                return;
            }
        }
        self.at = self.json.len();
    }

    fn skip(&mut self, is_skipped: impl Fn(u8) -> bool) {
        while self.json.get(self.at).is_some_and(|byte| is_skipped(*byte)) {
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{elements, find};

    #[test]
    fn a_member_is_found_in_invalid_json() {
        let deep = format!(r#"{{"params":{}1,"id":7}}"#, "[".repeat(50_000));
        let closed = format!(
            r#"{{"params":{}{},"id":7}}"#,
            "[".repeat(50_000),
            "]".repeat(50_000)
        );
        for (json, path, found) in [
            (r#"{"id":7}"#, &["id"][..], Some("7")),
            (
                r#" { "a" : [1, {"id": 3}] , "id" : "x\"]" }"#,
                &["id"],
                Some(r#""x\"]""#),
            ),
            (r#"{"n":1e999,"id":-12.5e3}"#, &["id"], Some("-12.5e3")),
            (r#"{"\u0069d":1}"#, &["id"], Some("1")),
            (r#"{"a":"\ud83d","id":1}"#, &["id"], Some("1")),
            (r#"{"id":1,"params":{"code":"cut"#, &["id"], Some("1")),
            (r#"{"params":{"code":"cut"#, &["id"], None),
            (&deep, &["id"], None),
            (&closed, &["id"], Some("7")),
            (r#"{"params":{"id":2}}"#, &["id"], None),
            (
                r#"{"params":{"_meta":{"t":2}}}"#,
                &["params", "_meta", "t"],
                Some("2"),
            ),
            (r#"{"params":[1]}"#, &["params", "id"], None),
            ("[1]", &["id"], None),
            ("", &["id"], None),
            (r#"{"id""#, &["id"], None),
            (r#"{"a" b "id":1}"#, &["id"], None),
        ] {
            let range = find(json.as_bytes(), path);
            let text = range.map(|range| &json[range]);
            assert_eq!(text, found, "{:.60}", json);
        }
        let bytes = b"{\"a\":\"\xFF\\\\\",\"id\":1}";
        assert_eq!(
            find(bytes, &["id"]).map(|range| &bytes[range]),
            Some(&b"1"[..])
        );
    }

    #[test]
    fn a_batch_is_split_into_its_messages() {
        for (json, expected, is_whole) in [
            ("[]", &[][..], true),
            (" [ {\"a\":[1,2]} , 3 ] ", &["{\"a\":[1,2]}", "3"], true),
            ("[1,2,3]", &["1", "2", "3"], true),
            ("[1,2,3,4]", &["1", "2", "3"], false),
            ("[{\"a\":1},{\"b\"", &["{\"a\":1}"], false),
            ("[1,]", &["1"], false),
            ("[,1]", &[], false),
            ("[1 2]", &["1"], false),
            ("[1]]", &["1"], false),
            ("[1", &["1"], false),
            ("[", &[], false),
            ("{}", &[], false),
        ] {
            let (found, whole) = elements(json.as_bytes(), 3);
            let expected: Vec<&[u8]> = expected.iter().map(|text| text.as_bytes()).collect();
            assert_eq!((found, whole), (expected, is_whole), "{json}");
        }
    }
}
