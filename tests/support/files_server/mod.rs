//! The executor's file routes on loopback, with faults on demand. Each connection has a thread, so that it outlives the tests' runtimes.
//! Faults count bytes and requests, never time, so they behave the same on any machine.

mod bundle;
mod read;
mod replies;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub(crate) const TOKEN: &str = "t0ken";
const CHUNK: usize = 16 * 1024;

/// The faults to inject.
#[derive(Default)]
pub(crate) struct Faults {
    /// Each reply with bytes takes one entry and is cut after so many bytes.
    pub(crate) cuts: Vec<usize>,
    /// Number of requests for bytes to answer `503 busy`.
    pub(crate) busy: u32,
    /// Number of wrong digests to send.
    pub(crate) wrong_digests: u32,
    /// Number of digest requests to answer with "ask again".
    pub(crate) pending: u32,
    /// A file changes after each request about it.
    pub(crate) keeps_changing: bool,
    /// Replies name and carry another range than the requested one.
    pub(crate) shifted: bool,
    /// Replies carry more than requested, in a body without a length.
    pub(crate) too_much: bool,
    /// No byte of this file is sent.
    pub(crate) stuck: Option<String>,
    /// After so many bytes in all, none are sent until this is `None`.
    pub(crate) hold_after: Option<u64>,
    /// Files without read permission.
    pub(crate) unreadable: BTreeSet<String>,
    /// Files that are listed but have vanished since.
    pub(crate) vanished: BTreeSet<String>,
    /// After so many bytes in all, the file gets this content, once for each entry.
    pub(crate) changes: Vec<(u64, String, Vec<u8>)>,
}

#[derive(Default)]
pub(crate) struct State {
    files: BTreeMap<String, (Vec<u8>, u32)>,
    /// Entries of listings that are not files: path and type.
    pub(crate) others: Vec<(String, &'static str)>,
    pub(crate) faults: Faults,
    /// Bytes served, by path.
    pub(crate) served: BTreeMap<String, u64>,
    /// Request heads, as received.
    pub(crate) requests: Vec<String>,
    page: usize,
    grown: Option<(String, Vec<u8>)>,
}

impl State {
    pub(crate) fn put(&mut self, path: &str, bytes: Vec<u8>) {
        let version = self.files.get(path).map_or(0, |(_, version)| version + 1);
        self.files.insert(path.to_owned(), (bytes, version));
    }

    pub(crate) fn remove(&mut self, path: &str) {
        self.files.remove(path);
    }

    /// Replaces the file's content after the next listing.
    pub(crate) fn grow_after_listing(&mut self, path: &str, bytes: Vec<u8>) {
        self.grown = Some((path.to_owned(), bytes));
    }

    pub(crate) fn total_served(&self) -> u64 {
        self.served.values().sum()
    }

    pub(crate) fn requests_for(&self, route: &str) -> usize {
        let of_route = |head: &&String| {
            let target = head.split(' ').nth(1).unwrap_or_default();
            target.split('?').next() == Some(&format!("/files/{route}"))
        };
        self.requests.iter().filter(of_route).count()
    }

    pub(crate) fn set_page(&mut self, entries: usize) {
        self.page = entries;
    }
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

pub(crate) struct FilesServer {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

impl FilesServer {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            port: listener.local_addr().unwrap().port(),
            shared: Arc::default(),
        };
        let shared = server.shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                // The error of a closed connection only ends its thread.
                std::thread::spawn(move || serve(&stream, &shared));
            }
        });
        server
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }

    pub(crate) fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.shared.changed.notify_all();
    }

    pub(crate) fn release(&self) {
        self.set(|state| state.faults.hold_after = None);
    }
}

fn serve(stream: &TcpStream, shared: &Shared) -> Option<()> {
    let mut lines = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if lines.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        shared.state.lock().unwrap().requests.push(head.clone());
        let length = header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        lines.read_exact(&mut body).ok()?;
        answer(stream, shared, &head, &body)?;
    }
}

fn answer(stream: &TcpStream, shared: &Shared, head: &str, body: &[u8]) -> Option<()> {
    let target = head.split(' ').nth(1)?;
    let url = url::Url::parse(&format!("http://host{target}")).ok()?;
    let query: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
    let path = query.get("path").map(String::as_str).unwrap_or_default();
    let path = path.trim_end_matches('/').to_owned();
    if header(head, "authorization") != Some(&format!("Bearer {TOKEN}")) {
        return problem(stream, 401, "unauthorized", false);
    }
    let mut state = shared.state.lock().unwrap();
    match url.path() {
        "/files/stat" => {
            let reply = replies::stat(&mut state, &path, query.contains_key("digest"));
            if state.faults.keeps_changing
                && let Some((_, version)) = state.files.get_mut(&path)
            {
                *version += 1;
            }
            drop(state);
            match reply {
                Some(reply) => send_json(stream, &reply),
                None => problem(stream, 404, "not_found", false),
            }
        }
        "/files/list" => {
            let cursor = query.get("cursor").map(String::as_str);
            let limit = query["limit"].parse().unwrap();
            let reply = replies::list(&state, &path, cursor, limit);
            if let Some((path, bytes)) = state.grown.take() {
                state.put(&path, bytes);
            }
            drop(state);
            send_json(stream, &reply)
        }
        "/files/download" | "/files/bundle" => {
            if state.faults.busy > 0 {
                state.faults.busy -= 1;
                drop(state);
                return problem(stream, 503, "busy", true);
            }
            if state.faults.unreadable.contains(&path) {
                drop(state);
                return problem(stream, 400, "invalid_argument", false);
            }
            drop(state);
            if url.path() == "/files/bundle" {
                bundle::send(stream, shared, &serde_json::from_slice(body).unwrap())
            } else {
                replies::download(stream, shared, head, &path)
            }
        }
        "/files/read" => {
            let file = state.files.get(&path);
            let reply = file.map(|(bytes, _)| read::read(&path, bytes, &query));
            let is_folder = replies::stat(&mut state, &path, false).is_some();
            drop(state);
            match reply {
                Some(reply) => send_json(stream, &reply),
                None if is_folder => problem(stream, 409, "is_a_directory", false),
                None => problem(stream, 404, "not_found", false),
            }
        }
        _ => problem(stream, 404, "not_found", false),
    }
}

/// Sends a body, applying the faults; `path_at` maps an offset to its file.
fn send_bytes(
    mut stream: &TcpStream,
    shared: &Shared,
    bytes: &[u8],
    path_at: &dyn Fn(usize) -> String,
) -> Option<()> {
    let mut sent = 0;
    for chunk in bytes.chunks(CHUNK) {
        let path = path_at(sent);
        let mut state = shared
            .changed
            .wait_while(shared.state.lock().unwrap(), |state| {
                let after = state.total_served() + chunk.len() as u64;
                state.faults.hold_after.is_some_and(|hold| after > hold)
                    || state.faults.stuck.as_deref() == Some(&path)
            })
            .unwrap();
        *state.served.entry(path).or_default() += chunk.len() as u64;
        let total = state.total_served();
        let is_due = |(at, ..): &(u64, String, Vec<u8>)| total >= *at;
        let due = state.faults.changes.iter().position(is_due);
        if let Some((_, path, bytes)) = due.map(|due| state.faults.changes.remove(due)) {
            state.put(&path, bytes);
        }
        drop(state);
        shared.changed.notify_all();
        stream.write_all(chunk).ok()?;
        sent += chunk.len();
    }
    Some(())
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

fn send_json(stream: &TcpStream, body: &Value) -> Option<()> {
    send(stream, "200 OK", "application/json", &body.to_string())
}

fn problem(stream: &TcpStream, status: u16, code: &str, retryable: bool) -> Option<()> {
    let body =
        json!({"status": status, "code": code, "detail": code, "hint": "", "retryable": retryable});
    send(
        stream,
        &format!("{status} No"),
        "application/problem+json",
        &body.to_string(),
    )
}

fn send(mut stream: &TcpStream, status: &str, kind: &str, body: &str) -> Option<()> {
    let length = body.len();
    // Each server is an executor of its own.
    let boot = stream.local_addr().ok()?.port();
    let text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nX-Smart-Colab-Api: 2\r\nX-Boot-Id: {boot}\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes()).ok()
}

fn etag(path: &str, version: u32) -> String {
    format!("\"{}-{version}\"", path.len())
}

fn modified_at(version: u32) -> String {
    format!("2026-11-21T10:{:02}:{:02}.123Z", version / 60, version % 60)
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
