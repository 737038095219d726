//! The fake executor's upload routes.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde_json::{Value, json};

use super::upload_server::{Partial, ROOT, State, TOKEN, header, sha256};

pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Value,
}

fn reply(body: Value) -> Reply {
    Reply { status: 200, body }
}

fn problem(status: u16, code: &str, retryable: bool) -> Reply {
    let body = json!({"status": status, "code": code, "detail": format!("it is {code}"), "hint": "Do something.", "retryable": retryable});
    Reply { status, body }
}

/// Answers a request; `None` sends no reply.
pub(super) fn answer(shared: &Mutex<State>, head: &str, body: &[u8]) -> Option<Reply> {
    let (method, target) = head.split_once(' ')?;
    let target = target.split(' ').next()?;
    let url = url::Url::parse(&format!("http://host{target}")).ok()?;
    let query: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
    let path = query.get("path").map_or("", String::as_str);
    if header(head, "authorization") != Some(&format!("Bearer {TOKEN}")) {
        return Some(problem(401, "unauthorized", false));
    }
    let Some(path) = absolute(path) else {
        return Some(problem(403, "outside_root", false));
    };
    let mut state = shared.lock().unwrap();
    if method != "GET" && state.faults.busy > 0 {
        state.faults.busy -= 1;
        return Some(problem(503, "busy", true));
    }
    let reply = match (method, url.path()) {
        ("GET", "/files/stat") => stat(&state, &path),
        ("GET", "/files/list") => list(&state, &path),
        ("GET", "/probe") => probe(),
        (_, "/files/upload") => upload(&mut state, method, &path, &query, body),
        ("PUT", "/files/bundle") => unpack(&mut state, &path, body),
        _ => problem(404, "not_found", false),
    };
    if method != "GET" && state.faults.lost_replies > 0 {
        state.faults.lost_replies -= 1;
        return None;
    }
    Some(reply)
}

fn absolute(path: &str) -> Option<String> {
    let whole = match path.trim_end_matches('/') {
        "" => ROOT.to_owned(),
        absolute if absolute.starts_with('/') => absolute.to_owned(),
        relative => format!("{ROOT}/{relative}"),
    };
    (format!("{whole}/").starts_with("/content/") && !whole.contains("/..")).then_some(whole)
}

fn stat(state: &State, path: &str) -> Reply {
    let name = path.rsplit('/').next();
    let (kind, size, at) = match state.files.get(path) {
        Some((bytes, at)) => ("file", bytes.len(), at.as_str()),
        None if state.is_folder(path) => ("directory", 0, "2026-11-21T10:00:00.000Z"),
        None => return problem(404, "not_found", false),
    };
    reply(
        json!({"path": path, "name": name, "type": kind, "size": size, "modified_at": at, "etag": null}),
    )
}

fn list(state: &State, path: &str) -> Reply {
    let start = format!("{path}/");
    let entry = |(file, (bytes, at)): (&String, &(Vec<u8>, String))| {
        let name = file.strip_prefix(&start)?;
        Some(
            json!({"name": name, "path": file, "type": "file", "size": bytes.len(), "modified_at": at}),
        )
    };
    let entries: Vec<Value> = state.files.iter().filter_map(entry).collect();
    let total = entries.len();
    reply(json!({"path": path, "entries": entries, "next_cursor": null, "total": total}))
}

fn probe() -> Reply {
    reply(json!({
        "executor": {"version": "0", "api": 1, "boot_id": "b", "uptime_minutes": 1.0, "root": ROOT},
        "platform": {"system": "Linux", "release": "6", "machine": "x", "colab": true},
        "python": {"version": "3.12.1", "implementation": "CPython", "executable": "python"},
        "compute": {"cpu_model": "c", "cpu_count": 2, "load_1m": 0.0, "memory_total_gb": 1.0, "memory_available_gb": 1.0, "memory_used_pct": 1.0},
        "gpu": [], "gpu_note": "none", "storage": [{"path": ROOT, "total_gb": 100.0, "free_gb": 1.5, "used_pct": 98.5}],
        "packages": {}, "package_count": 0, "limits": {"max_timeout_sec": 1, "max_wait_sec": 25, "max_body_bytes": 1},
        "sessions": []}))
}

fn upload(
    state: &mut State,
    method: &str,
    path: &str,
    query: &BTreeMap<String, String>,
    body: &[u8],
) -> Reply {
    let (size, digest) = (query["size"].parse::<usize>().unwrap(), &query["sha256"]);
    if state.is_folder(path) {
        return problem(409, "is_a_directory", false);
    }
    let is_there = state
        .content(path)
        .is_some_and(|bytes| sha256(bytes) == *digest);
    let key = (path.to_owned(), digest.clone());
    let describe = |received: Vec<(usize, usize)>, kind: &str| {
        reply(
            json!({"path": path, "size": size, "sha256": digest, "state": kind, "received": received}),
        )
    };
    if is_there {
        return describe(vec![(0, size)], "complete");
    }
    if method == "GET" {
        return describe(
            state
                .uploads
                .get(&key)
                .map_or_else(Vec::new, |partial| partial.received.clone()),
            "open",
        );
    }
    if method == "DELETE" {
        state.uploads.remove(&key);
        return describe(Vec::new(), "open");
    }
    if state.faults.full {
        return problem(507, "disk_full", false);
    }
    let partial = state.uploads.entry(key.clone()).or_insert_with(|| Partial {
        bytes: vec![0; size],
        received: Vec::new(),
    });
    if method == "PUT" {
        let offset: usize = query["offset"].parse().unwrap();
        partial.bytes[offset..offset + body.len()].copy_from_slice(body);
        note(&mut partial.received, (offset, offset + body.len()));
        return describe(partial.received.clone(), "open");
    }
    if size > 0 && partial.received != [(0, size)] {
        return problem(409, "incomplete", false);
    }
    if state.faults.checking > 0 {
        state.faults.checking -= 1;
        return describe(vec![(0, size)], "checking");
    }
    let bytes = state.uploads.remove(&key).unwrap().bytes;
    if state.faults.damaged > 0 || sha256(&bytes) != *digest {
        state.faults.damaged = state.faults.damaged.saturating_sub(1);
        return problem(409, "damaged", true);
    }
    let at = query.get("modified_at").cloned().unwrap_or_default();
    state.files.insert(path.to_owned(), (bytes, at));
    describe(vec![(0, size)], "complete")
}

/// Adds a range to the received ones.
fn note(received: &mut Vec<(usize, usize)>, new: (usize, usize)) {
    received.push(new);
    received.sort_unstable();
    let mut merged: Vec<(usize, usize)> = Vec::new();
    for &(from, to) in received.iter() {
        match merged.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => merged.push((from, to)),
        }
    }
    *received = merged;
}

/// Writes a bundle's files, or nothing when it is malformed.
fn unpack(state: &mut State, folder: &str, body: &[u8]) -> Reply {
    if state.faults.full {
        return problem(507, "disk_full", false);
    }
    let (mut rest, mut found) = (body, Vec::new());
    loop {
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            return problem(400, "invalid_argument", false);
        };
        let line: Value = serde_json::from_slice(&rest[..end]).unwrap();
        rest = &rest[end + 1..];
        if line["end"] == true {
            break;
        }
        let (bytes, after) = rest.split_at(line["size"].as_u64().unwrap() as usize);
        assert_eq!(line["sha256"], sha256(bytes), "{line}");
        found.push((line, bytes.to_vec()));
        rest = after;
    }
    assert!(rest.is_empty() && found.len() <= 1000 && body.len() <= 8 << 20);
    let mut files = Vec::new();
    let said = found.len().saturating_sub(state.faults.unreported);
    for (line, bytes) in found.into_iter().take(said) {
        let name = line["name"].as_str().unwrap();
        let code = state.faults.refused.get(name).copied();
        files.push(
            json!({"name": name, "code": code, "detail": code.map(|code| format!("it is {code}"))}),
        );
        if code.is_none() {
            let at = line["modified_at"].as_str().unwrap().to_owned();
            state.files.insert(format!("{folder}/{name}"), (bytes, at));
        }
    }
    reply(json!({"files": files}))
}
