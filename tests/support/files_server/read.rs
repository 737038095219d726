//! `GET /files/read` as `colab/API.md` specifies it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Returns the reply for a file of these bytes.
pub(super) fn read(path: &str, bytes: &[u8], query: &BTreeMap<String, String>) -> Value {
    let number = |name: &str| query[name].parse::<i64>().unwrap();
    let (line, lines) = (number("line"), number("lines") as usize);
    let max_bytes = number("max_bytes") as usize;
    let mut reply = json!({"path": path, "size": bytes.len(), "modified_at": "2026-11-21T10:00:00.123Z",
        "mime": mime(path, bytes), "is_text": false, "text": "", "first_line": null, "next_line": null,
        "total_lines": null, "is_cut": false});
    if bytes.iter().take(8192).any(|byte| *byte == 0) {
        return reply;
    }
    let text = String::from_utf8_lossy(bytes);
    let all: Vec<&str> = text.split_inclusive('\n').collect();
    let first = match usize::try_from(line) {
        Ok(line) => line - 1,
        Err(_) => all.len().saturating_sub(line.unsigned_abs() as usize),
    };
    let mut shown = String::new();
    let mut next = first;
    for line in all.iter().skip(first).take(lines) {
        if shown.len() + line.len() > max_bytes {
            if shown.is_empty() {
                shown = line.chars().take(max_bytes).collect();
                reply["is_cut"] = true.into();
                next += 1;
            }
            break;
        }
        shown += line;
        next += 1;
    }
    reply["is_text"] = true.into();
    reply["text"] = shown.into();
    reply["first_line"] = (first + 1).into();
    if next < all.len() {
        reply["next_line"] = (next + 1).into();
    } else {
        reply["total_lines"] = all.len().into();
    }
    reply
}

fn mime(path: &str, bytes: &[u8]) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, ending)| ending) {
        _ if bytes.starts_with(b"\x89PNG") => "image/png",
        _ if bytes.starts_with(b"GIF8") => "image/gif",
        "svg" => "image/svg+xml",
        "csv" => "text/csv",
        "json" => "application/json",
        "ipynb" => "application/x-ipynb+json",
        "bin" => "application/octet-stream",
        _ => "text/plain",
    }
}
