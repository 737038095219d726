//! Media types of files, by their names and their bytes.

/// The type of files of unknown type.
pub(super) const BINARY: &str = "application/octet-stream";
const TEXT: &str = "text/plain";

/// The type by the file's extension; none for an unknown one.
pub(super) fn of_name(name: &str) -> Option<&'static str> {
    match name.rsplit_once('.')?.1 {
        "log" | "sha256" => Some(TEXT),
        "ipynb" => Some("application/x-ipynb+json"),
        "jsonl" => Some("application/jsonl"),
        _ => mime_guess::from_path(name).first_raw(),
    }
}

/// A file's content as a resource holds it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    Text(String),
    Blob(Vec<u8>),
}

/// Returns text where the bytes are text, whatever the name says: pictures, sound and archives never are.
pub(super) fn content(name: &str, bytes: Vec<u8>) -> (Content, &'static str) {
    let known = of_name(name);
    if bytes.contains(&0) {
        return (Content::Blob(bytes), known.unwrap_or(BINARY));
    }
    match String::from_utf8(bytes) {
        Ok(text) => (Content::Text(text), known.unwrap_or(TEXT)),
        Err(error) => (Content::Blob(error.into_bytes()), known.unwrap_or(BINARY)),
    }
}

#[cfg(test)]
mod tests {
    use super::{Content, content};

    #[test]
    fn text_is_text_and_the_rest_is_bytes() {
        let text = |text: &str| Content::Text(text.to_owned());
        let blob = |bytes: &[u8]| Content::Blob(bytes.to_vec());
        for (name, bytes, expected) in [
            ("a.csv", &b"x,y"[..], (text("x,y"), "text/csv")),
            ("a.log", b"", (text(""), "text/plain")),
            ("notes", b"a", (text("a"), "text/plain")),
            ("a.svg", b"<svg/>", (text("<svg/>"), "image/svg+xml")),
            ("a.png", b"\x89PNG", (blob(b"\x89PNG"), "image/png")),
            ("a.txt", b"caf\xE9", (blob(b"caf\xE9"), "text/plain")),
            ("a.bin", b"a\0", (blob(b"a\0"), "application/octet-stream")),
            (
                "weights",
                b"\xFF",
                (blob(b"\xFF"), "application/octet-stream"),
            ),
        ] {
            assert_eq!(content(name, bytes.to_vec()), expected, "{name}");
        }
    }
}
