//! The executor's upload routes on loopback, with faults on demand. Each connection has a thread, so that it outlives the tests' runtimes.
//! Faults count bytes and requests, never time, so they behave the same on any machine.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use sha2::{Digest, Sha256};

use super::upload_routes;

pub(crate) const TOKEN: &str = "t0ken";
pub(super) const ROOT: &str = "/content";
const CHUNK: usize = 16 * 1024;

/// The faults to inject.
#[derive(Default)]
pub(crate) struct Faults {
    /// Each body takes one entry, and its connection is cut after so many bytes of it.
    pub(crate) cuts: Vec<usize>,
    /// Number of requests with a body, or that finish an upload, to execute without a reply.
    pub(crate) lost_replies: u32,
    /// Number of them to answer `503 busy` without execution.
    pub(crate) busy: u32,
    /// Number of complete uploads to report as damaged.
    pub(crate) damaged: u32,
    /// Number of finish requests to answer with "ask again".
    pub(crate) checking: u32,
    /// After so many bytes in all, unfinished uploads are lost, once for each entry.
    pub(crate) losses: Vec<u64>,
    /// The disk is full for every body.
    pub(crate) full: bool,
    /// Bodies longer than this get no reply.
    pub(crate) longest: Option<usize>,
    /// After so many bytes in all, none are read until this is `None`.
    pub(crate) hold_at: Option<u64>,
    /// Bundled files to refuse, with the error code.
    pub(crate) refused: BTreeMap<String, &'static str>,
    /// Number of files at the end of a bundle to neither write nor report.
    pub(crate) unreported: usize,
}

#[derive(Default)]
pub(crate) struct Partial {
    pub(super) bytes: Vec<u8>,
    /// Sorted, disjoint ranges.
    pub(super) received: Vec<(usize, usize)>,
}

type Action = Box<dyn FnOnce() + Send>;

#[derive(Default)]
pub(crate) struct State {
    /// Content and modification time by absolute path.
    pub(crate) files: BTreeMap<String, (Vec<u8>, String)>,
    pub(crate) folders: BTreeSet<String>,
    pub(crate) uploads: BTreeMap<(String, String), Partial>,
    pub(crate) faults: Faults,
    /// The executor's boot id; not sent while empty.
    pub(crate) boot_id: &'static str,
    /// Bytes of bodies received, including those of cut bodies.
    pub(crate) arrived: u64,
    /// The longest body.
    pub(crate) largest: usize,
    /// Request heads, as received.
    pub(crate) requests: Vec<String>,
    /// Actions to run once so many bytes have arrived.
    pub(crate) actions: Vec<(u64, Action)>,
}

impl State {
    pub(crate) fn put(&mut self, path: &str, bytes: &[u8]) {
        let old = "2026-11-21T10:00:00.123Z".to_owned();
        self.files.insert(path.to_owned(), (bytes.to_vec(), old));
    }

    pub(crate) fn content(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(|(bytes, _)| bytes.as_slice())
    }

    pub(crate) fn count(&self, start: &str) -> usize {
        let begins = |head: &&String| head.starts_with(start);
        self.requests.iter().filter(begins).count()
    }

    pub(super) fn is_folder(&self, path: &str) -> bool {
        let start = format!("{path}/");
        let holds = |file: &String| file.starts_with(&start);
        path == ROOT
            || self.folders.contains(path)
            || self.folders.iter().any(holds)
            || self.files.keys().any(holds)
    }
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Admits one body at a time, so that a cut or a kill costs the same on any machine.
    turn: Mutex<()>,
    changed: Condvar,
}

pub(crate) struct UploadServer {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

impl UploadServer {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::<Shared>::default();
        let serving = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = serving.clone();
                // A closed connection only ends its thread.
                std::thread::spawn(move || {
                    serve(&stream, &shared);
                    let _ = stream.shutdown(Shutdown::Both);
                });
            }
        });
        Self { port, shared }
    }

    /// Returns the connection line, as the notebook prints it.
    pub(crate) fn line(&self) -> String {
        format!("http://127.0.0.1:{}#{TOKEN}", self.port)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }

    pub(crate) fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.shared.changed.notify_all();
    }

    /// Waits until `is_so`.
    pub(crate) fn until(&self, is_so: impl Fn(&State) -> bool) {
        let wait = |state: &mut State| !is_so(state);
        drop(self.shared.changed.wait_while(self.state(), wait).unwrap());
    }
}

/// `None` ends the connection.
fn serve(stream: &TcpStream, shared: &Shared) -> Option<()> {
    let mut input = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if input.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        shared.state.lock().unwrap().requests.push(head.clone());
        let length = header(&head, "content-length").map_or(0, |text| text.parse().unwrap());
        // Held until the body is stored; otherwise a loss triggered by one body could miss the one before it.
        let mut turn = (length > 0).then(|| shared.turn.lock().unwrap());
        let body = receive(&mut input, shared, length, &mut turn)?;
        let reply = upload_routes::answer(&shared.state, &head, &body)?;
        drop(turn);
        shared.changed.notify_all();
        let boot_id = shared.state.lock().unwrap().boot_id;
        send(stream, &reply, boot_id)?;
    }
}

/// Reads the whole body; `None` if it is cut.
fn receive(
    input: &mut impl Read,
    shared: &Shared,
    length: usize,
    turn: &mut Option<MutexGuard<'_, ()>>,
) -> Option<Vec<u8>> {
    if length == 0 {
        return Some(Vec::new());
    }
    let mut state = shared.state.lock().unwrap();
    state.largest = state.largest.max(length);
    let cuts = &mut state.faults.cuts;
    let cut = (!cuts.is_empty()).then(|| cuts.remove(0));
    let is_silent = state.faults.longest.is_some_and(|longest| length > longest);
    drop(state);
    let mut body = Vec::with_capacity(length);
    while body.len() < length {
        let held = |state: &mut State| state.faults.hold_at.is_some_and(|at| state.arrived >= at);
        drop(
            shared
                .changed
                .wait_while(shared.state.lock().unwrap(), held)
                .unwrap(),
        );
        let want = CHUNK.min(length - body.len());
        let want = cut.map_or(want, |cut| want.min(cut.saturating_sub(body.len())));
        if want == 0 {
            return None;
        }
        let mut chunk = vec![0; want];
        input.read_exact(&mut chunk).ok()?;
        body.extend_from_slice(&chunk);
        let mut state = shared.state.lock().unwrap();
        state.arrived += want as u64;
        let arrived = state.arrived;
        if let Some(at) = state.faults.losses.iter().position(|at| arrived >= *at) {
            state.faults.losses.remove(at);
            state.uploads.clear();
        }
        let due = state.actions.iter().position(|(at, _)| arrived >= *at);
        let action = due.map(|due| state.actions.remove(due).1);
        drop(state);
        if let Some(action) = action {
            action();
        }
        shared.changed.notify_all();
    }
    if is_silent {
        *turn = None;
        // Wait until the client gives up.
        let _ = input.read(&mut [0]);
        return None;
    }
    Some(body)
}

pub(super) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = head.lines().filter_map(|line| line.split_once(": "));
    let found = pairs.find(|(key, _)| key.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value)
}

fn send(mut stream: &TcpStream, reply: &upload_routes::Reply, boot_id: &str) -> Option<()> {
    let (status, body) = (reply.status, reply.body.to_string());
    let length = body.len();
    let boot = match boot_id {
        "" => String::new(),
        boot_id => format!("X-Boot-Id: {boot_id}\r\n"),
    };
    let text = format!(
        "HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nX-Smart-Colab-Api: 2\r\n{boot}\r\n{body}"
    );
    stream.write_all(text.as_bytes()).ok()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
