//! Drives the real program line by line, without any of our own MCP code.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Far longer than any answer takes on a slow machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The first protocol version without a handshake.
pub(crate) const MODERN: &str = "2026-07-28";

/// Adds the metadata that a modern client sends with each request.
pub(crate) fn modern(mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    params
}

/// A running server.
pub(crate) struct Bridge {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    stderr: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
    pub waiting: VecDeque<Value>,
    /// Every line of stdout so far.
    pub stdout: String,
    /// Notifications, and requests to the client, in the order received.
    pub heard: Vec<Value>,
    last_id: u64,
}

/// The exit status and all output of a server that has ended.
pub(crate) struct Left {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Bridge {
    pub(crate) fn start(mut command: Command) -> Self {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let stderr = Arc::new(Mutex::new(Vec::new()));
        let (mut said, kept) = (child.stderr.take().unwrap(), stderr.clone());
        let reader = spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = said.read(&mut piece) {
                kept.lock().unwrap().extend_from_slice(&piece[..count]);
            }
        });
        Self {
            stdin: child.stdin.take(),
            child,
            lines,
            stderr,
            reader: Some(reader),
            waiting: VecDeque::new(),
            stdout: String::new(),
            heard: Vec::new(),
            last_id: 0,
        }
    }

    /// Starts the server and performs the handshake of today's clients.
    pub(crate) fn greeted(command: Command) -> Self {
        Self::greeted_by("test", command)
    }

    /// The same as the client of this name does it.
    pub(crate) fn greeted_by(client: &str, command: Command) -> Self {
        Self::greeted_with(client, json!({}), command)
    }

    /// The same as a client with these capabilities does it.
    pub(crate) fn greeted_with(client: &str, capabilities: Value, command: Command) -> Self {
        let mut bridge = Self::start(command);
        bridge.introduce(client, "2025-11-25", capabilities);
        bridge.notify("notifications/initialized", json!({}));
        bridge
    }

    pub(crate) fn initialize(&mut self, version: &str) -> Value {
        self.introduce("test", version, json!({}))
    }

    fn introduce(&mut self, client: &str, version: &str, capabilities: Value) -> Value {
        self.request(
            "initialize",
            json!({
                "protocolVersion": version,
                "capabilities": capabilities,
                "clientInfo": {"name": client, "version": "1"},
            }),
        )
    }

    pub(crate) fn send_line(&mut self, line: impl AsRef<[u8]>) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(line.as_ref()).unwrap();
        stdin.write_all(b"\n").unwrap();
        stdin.flush().unwrap();
    }

    pub(crate) fn notify(&mut self, method: &str, params: Value) {
        let message = json!({"jsonrpc": "2.0", "method": method, "params": params});
        self.send_line(message.to_string());
    }

    /// Sends a request without waiting; returns its id.
    pub(crate) fn begin(&mut self, method: &str, params: Value) -> u64 {
        self.last_id += 1;
        let message =
            json!({"jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params});
        self.send_line(message.to_string());
        self.last_id
    }

    /// Waits for the answer to a request; returns its result, or the whole error message.
    pub(crate) fn answer(&mut self, id: u64) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let at = self.waiting.iter().position(|message| message["id"] == id);
            if let Some(message) = at.and_then(|at| self.waiting.remove(at)) {
                return content(message);
            }
            self.receive(end, &format!("answer to {id}"));
        }
    }

    /// Takes the next message, or panics at `end` without the one that is `awaited`.
    pub(crate) fn receive(&mut self, end: Instant, awaited: &str) {
        let Some(message) = self.next(end) else {
            panic!("no {awaited}; stderr: {}", self.stderr());
        };
        if message.get("method").is_some() {
            self.heard.push(message);
        } else {
            self.waiting.push_back(message);
        }
    }

    pub(crate) fn request(&mut self, method: &str, params: Value) -> Value {
        let id = self.begin(method, params);
        self.answer(id)
    }

    /// Reads messages until a notification satisfies `suits`.
    pub(crate) fn until_heard(&mut self, suits: impl Fn(&Value) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !self.heard.iter().any(&suits) {
            self.receive(end, "such notification");
        }
    }

    pub(crate) fn begin_call(&mut self, tool: &str, arguments: Value) -> u64 {
        self.begin("tools/call", json!({"name": tool, "arguments": arguments}))
    }

    pub(crate) fn call(&mut self, tool: &str, arguments: Value) -> Answer {
        let id = self.begin_call(tool, arguments);
        Answer::of(&self.answer(id))
    }

    /// Calls [`until_warm`] on this bridge.
    pub(crate) fn warm(&mut self, session: &str) {
        until_warm(session, |code| self.call("run_code_quick", code));
    }

    /// Reads the next line of stdout.
    pub(crate) fn line(&mut self) -> String {
        let line = self.lines.recv_timeout(PATIENCE);
        line.unwrap_or_else(|_| panic!("silence; stderr: {}", self.stderr()))
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr.lock().unwrap()).into_owned()
    }

    /// Returns the peak memory in bytes.
    #[cfg(target_os = "linux")]
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        let kilobytes = line.unwrap().split_whitespace().nth(1).unwrap();
        kilobytes.parse::<u64>().unwrap() * 1024
    }

    /// Disconnects by closing stdin, and waits for the program's end.
    pub(crate) fn leave(mut self) -> Left {
        drop(self.stdin.take());
        let end = Instant::now() + PATIENCE;
        while self.next(end).is_some() {}
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(
                Instant::now() < end,
                "the program keeps running; stderr: {}",
                self.stderr()
            );
            sleep(Duration::from_millis(10));
        };
        self.reader.take().unwrap().join().unwrap();
        Left {
            status,
            stdout: std::mem::take(&mut self.stdout),
            stderr: self.stderr(),
        }
    }

    /// Reads the next message, or `None` at the end of stdout. Fails on anything but JSON-RPC.
    fn next(&mut self, end: Instant) -> Option<Value> {
        let left = end.saturating_duration_since(Instant::now());
        let line = match self.lines.recv_timeout(left) {
            Ok(line) => line,
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => panic!("silence; stderr: {}", self.stderr()),
        };
        self.stdout.push_str(&line);
        self.stdout.push('\n');
        let message: Value = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("not JSON on stdout ({error}): {line}"));
        assert_eq!(message["jsonrpc"], "2.0", "{line}");
        assert!(!line.contains("$advice"), "advice without words: {line}");
        Some(message)
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn content(mut message: Value) -> Value {
    if message.get("error").is_some() {
        message
    } else {
        message["result"].take()
    }
}

/// A tool's result as a person reads it.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub is_error: bool,
    pub whole: Value,
    /// The text, without the first line of facts.
    pub text: String,
    /// A report's structured content, or an execution's first line.
    pub facts: Value,
    /// Base64 and mime type.
    pub pictures: Vec<(String, String)>,
    pub links: Vec<String>,
}

impl Answer {
    pub(crate) fn of(result: &Value) -> Self {
        let mut answer = Self {
            is_error: result["isError"] == true,
            whole: result.clone(),
            ..Self::default()
        };
        let blocks = result["content"]
            .as_array()
            .unwrap_or_else(|| panic!("not a tool result: {result}"));
        let text_of = |value: &Value| value.as_str().unwrap().to_owned();
        let mut texts = Vec::new();
        for block in blocks {
            match block["type"].as_str() {
                Some("text") => texts.push(text_of(&block["text"])),
                Some("image") => {
                    let picture = (text_of(&block["data"]), text_of(&block["mimeType"]));
                    answer.pictures.push(picture);
                }
                Some("resource_link") => answer.links.push(text_of(&block["uri"])),
                _ => panic!("an unknown block: {block}"),
            }
        }
        let first = blocks.first().is_none_or(|block| block["type"] == "text");
        assert!(first, "the first block is no text: {result}");
        let line = texts.first().cloned().unwrap_or_default();
        answer.facts = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("the first text is not JSON ({error}): {line}"));
        if let Some(structured) = result.get("structuredContent") {
            assert_eq!(
                structured, &answer.facts,
                "text and structured content differ"
            );
        }
        answer.text = texts.split_off(texts.len().min(1)).concat();
        answer
    }

    /// Returns a fact that must be a string.
    #[track_caller]
    pub(crate) fn fact(&self, name: &str) -> &str {
        let fact = self.facts[name].as_str();
        fact.unwrap_or_else(|| panic!("no {name} in {}", self.facts))
    }

    /// Returns the rows of a list, with the numbers in them; columns without content are null.
    #[track_caller]
    pub(crate) fn rows(&self) -> Vec<Value> {
        let cell = |text: &str| match serde_json::from_str(text) {
            Ok(value @ (Value::Number(_) | Value::String(_))) => value,
            Ok(_) | Err(_) => json!(text),
        };
        let lines = self.text.lines();
        let lines = lines.filter(|line| !line.starts_with('[') || line.contains('\t'));
        let mut lines = lines.map(|line| line.split('\t'));
        let heading: Vec<&str> = lines.next().into_iter().flatten().collect();
        lines
            .map(|cells| {
                let named = heading.iter().zip(cells);
                let named = named.filter(|(_, text)| !text.is_empty());
                named
                    .map(|(name, text)| ((*name).to_owned(), cell(text)))
                    .collect()
            })
            .collect()
    }

    /// Asserts an error with `code` and the fields of every error.
    #[track_caller]
    pub(crate) fn refused(&self, code: &str) {
        assert!(self.is_error, "{}", self.whole);
        assert_eq!(self.facts["code"], code, "{}", self.facts);
        assert_eq!(self.facts["success"], false, "{}", self.facts);
        assert!(self.facts["retryable"].is_boolean(), "{}", self.facts);
        for name in ["error", "hint"] {
            assert!(!self.fact(name).trim().is_empty(), "{}", self.facts);
        }
    }

    /// Insists that a look at code that failed says why, and has not failed itself.
    #[track_caller]
    pub(crate) fn shows_failure(&self, code: &str) {
        let failed = Self {
            is_error: true,
            whole: self.whole.clone(),
            facts: self.facts.clone(),
            ..Self::default()
        };
        failed.refused(code);
        assert!(!self.is_error, "{}", self.whole);
    }

    #[track_caller]
    pub(crate) fn succeeded(&self) {
        assert!(!self.is_error, "{}", self.whole);
        assert_eq!(self.facts["success"], true, "{}", self.facts);
    }
}

/// Waits until the session's kernel is up, however slow the machine, so that calls with a short budget reach it.
pub(crate) fn until_warm(session: &str, mut run: impl FnMut(Value) -> Answer) {
    let end = Instant::now() + PATIENCE;
    let code = json!({"code": "pass", "session": session});
    loop {
        let answer = run(code.clone());
        if answer.facts["state"] == "succeeded" {
            return;
        }
        assert!(Instant::now() < end, "{}", answer.facts);
    }
}
