//! Replies of the routes for one file.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::TcpStream;

use serde_json::{Value, json};

use super::{Shared, State, etag, header, modified_at, problem, send_bytes, sha256};

pub(super) fn stat(state: &mut State, path: &str, digest: bool) -> Option<Value> {
    let name = path.rsplit('/').next()?;
    let there = state.files.get(path);
    let Some((bytes, version)) = there.filter(|_| !state.faults.vanished.contains(path)) else {
        let is_folder = state
            .files
            .keys()
            .any(|file| file.starts_with(&format!("{path}/")))
            || state
                .others
                .iter()
                .any(|(other, kind)| other == path && *kind == "directory");
        return is_folder.then(|| {
            json!({"path": path, "name": name, "type": "directory", "size": 0,
                   "modified_at": modified_at(0), "etag": null})
        });
    };
    let mut reply = json!({"path": path, "name": name, "type": "file", "size": bytes.len(),
        "modified_at": modified_at(*version), "etag": etag(path, *version)});
    if digest && state.faults.pending > 0 {
        state.faults.pending -= 1;
        reply["digest_pending"] = true.into();
    } else if digest {
        let lie = state.faults.wrong_digests > 0;
        state.faults.wrong_digests = state.faults.wrong_digests.saturating_sub(1);
        reply["sha256"] = if lie { "0".repeat(64) } else { sha256(bytes) }.into();
    }
    Some(reply)
}

pub(super) fn list(state: &State, path: &str, cursor: Option<&str>, limit: usize) -> Value {
    let start = format!("{path}/");
    let mut entries: Vec<(String, Value)> = Vec::new();
    for (file, (bytes, version)) in &state.files {
        if let Some(name) = file.strip_prefix(&start) {
            entries.push((
                name.to_owned(),
                json!({"name": name, "path": file, "type": "file",
                "size": bytes.len(), "modified_at": modified_at(*version)}),
            ));
        }
    }
    for (other, kind) in &state.others {
        if let Some(name) = other.strip_prefix(&start) {
            entries.push((
                name.to_owned(),
                json!({"name": name, "path": other, "type": kind,
                "size": 0, "modified_at": modified_at(0)}),
            ));
        }
    }
    entries.sort_by(|one, other| one.0.cmp(&other.0));
    let from = cursor.map_or(0, |cursor| cursor.parse().unwrap());
    let page = if state.page == 0 { limit } else { state.page };
    let to = (from + page).min(entries.len());
    let next = (to < entries.len()).then(|| to.to_string());
    let page: Vec<&Value> = entries[from..to].iter().map(|(_, entry)| entry).collect();
    json!({"path": path, "entries": page, "next_cursor": next, "total": entries.len()})
}

pub(super) fn download(stream: &TcpStream, shared: &Shared, head: &str, path: &str) -> Option<()> {
    let mut state = shared.state.lock().unwrap();
    let Some((bytes, version)) = state.files.get(path) else {
        drop(state);
        return problem(stream, 404, "not_found", false);
    };
    let (bytes, etag) = (bytes.clone(), etag(path, *version));
    let (first, last) = header(head, "range")?
        .strip_prefix("bytes=")?
        .split_once('-')?;
    let (mut first, mut last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
    let same = header(head, "if-range") == Some(&etag);
    if state.faults.shifted {
        (first, last) = (first + 1, last - 1);
    }
    let mut reply = if same {
        let range = format!("bytes {first}-{last}/{}", bytes.len());
        format!("HTTP/1.1 206 Partial Content\r\nContent-Range: {range}\r\n")
    } else {
        (first, last) = (0, bytes.len().saturating_sub(1));
        "HTTP/1.1 200 OK\r\n".to_owned()
    };
    let cut = (!state.faults.cuts.is_empty()).then(|| state.faults.cuts.remove(0));
    if state.faults.too_much {
        last += 1;
        reply += "Connection: close\r\n";
    } else {
        let _ = write!(reply, "Content-Length: {}\r\n", last + 1 - first);
    }
    let close = cut.is_some() || state.faults.too_much;
    drop(state);
    let _ = write!(reply, "ETag: {etag}\r\nX-Smart-Colab-Api: 2\r\n\r\n");
    (&*stream).write_all(reply.as_bytes()).ok()?;
    let body = &bytes[first..=last];
    let body = &body[..cut.unwrap_or(body.len()).min(body.len())];
    send_bytes(stream, shared, body, &|_| path.to_owned())?;
    if close {
        let _ = stream.shutdown(std::net::Shutdown::Both);
        return None;
    }
    Some(())
}
