//! An MCP server driven over stdio: the bridge or a peer. Single-threaded, so that no hand-over is measured.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread::spawn;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::executor::Executor;

pub(crate) struct Server {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    last_id: u64,
}

impl Server {
    /// Starts the server and performs the handshake.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut server = Self {
            stdin: child.stdin.take().unwrap(),
            stdout: BufReader::new(child.stdout.take().unwrap()),
            child,
            last_id: 0,
        };
        let client = json!({"name": "bench", "version": "1"});
        let hello =
            json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client});
        server.request("initialize", hello);
        server.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        server
    }

    /// Starts the bridge with its state in `folder`.
    pub(crate) fn bridge(executor: &Executor, folder: &Path) -> Self {
        Self::start(bridge(&executor.line(), folder))
    }

    /// Sends a request and returns its result, skipping notifications.
    pub(crate) fn request(&mut self, method: &str, params: Value) -> Value {
        let id = self.begin(method, params);
        self.answer(id)
    }

    /// Waits for the answer to a request.
    pub(crate) fn answer(&mut self, id: u64) -> Value {
        loop {
            let message = self.next();
            if message["id"] == id {
                return result(message);
            }
        }
    }

    pub(crate) fn call(&mut self, tool: &str, arguments: &Value) -> Value {
        self.request("tools/call", call(tool, arguments))
    }

    /// Sends all calls at once; returns the answers in the order received.
    pub(crate) fn calls(&mut self, tool: &str, arguments: &[Value]) -> Vec<Value> {
        for arguments in arguments {
            self.begin("tools/call", call(tool, arguments));
        }
        let mut answers = Vec::new();
        while answers.len() < arguments.len() {
            let message = self.next();
            if message["id"].is_u64() {
                answers.push(result(message));
            }
        }
        answers
    }

    /// Sends a request without waiting; returns its id.
    pub(crate) fn begin(&mut self, method: &str, params: Value) -> u64 {
        self.last_id += 1;
        let id = self.last_id;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        id
    }

    /// Reads the next message.
    pub(crate) fn next(&mut self) -> Value {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    /// Runs code on the bridge to its end, in as many calls as needed; returns their answers.
    pub(crate) fn run(&mut self, tool: &str, arguments: &Value) -> Vec<Value> {
        let mut answers = vec![self.call(tool, arguments)];
        loop {
            let facts = facts(&answers[answers.len() - 1]);
            if facts["state"] != "running" {
                assert_eq!(facts["state"], "succeeded", "{facts}");
                return answers;
            }
            let next = json!({"job_id": facts["job_id"], "after": facts["next"]});
            answers.push(self.call("get_output", &next));
        }
    }

    pub(crate) fn quick(&mut self, code: &str) {
        self.run("run_code_quick", &json!({"code": code}));
    }

    /// Runs a transfer on the bridge to its end; returns its report.
    pub(crate) fn transfer(&mut self, tool: &str, arguments: &Value) -> Value {
        loop {
            let report = self.call(tool, arguments)["structuredContent"].take();
            match report["status"].as_str() {
                Some("complete") => return report,
                Some("running") => {}
                _ => panic!("{report}"),
            }
        }
    }

    /// Returns the process id of the executor that it has started (Linux).
    pub(crate) fn executor(&self) -> Option<u32> {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).ok()?;
        let children = threads.flatten().find_map(|thread| {
            let children = std::fs::read_to_string(thread.path().join("children")).ok()?;
            (!children.is_empty()).then_some(children)
        })?;
        children.split_whitespace().next()?.parse().ok()
    }

    /// Returns the resident memory in MB (Linux).
    pub(crate) fn resident(&self) -> Option<f64> {
        self.memory("VmRSS:")
    }

    /// Returns the resident memory in MB that is not of files, such as the program's own (Linux).
    pub(crate) fn private(&self) -> Option<f64> {
        self.memory("RssAnon:")
    }

    /// Returns the peak resident memory in MB (Linux).
    pub(crate) fn peak(&self) -> Option<f64> {
        self.memory("VmHWM:")
    }

    fn memory(&self, field: &str) -> Option<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse().ok()?;
        Some(kibibytes * 1024.0 / 1e6)
    }

    /// Disconnects by closing stdin, and waits for the server's end.
    pub(crate) fn leave(mut self) {
        drop(self.stdin);
        self.child.wait().unwrap();
    }

    /// Ends the server as clients end one that goes on without stdin.
    pub(crate) fn end(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends the server once it has answered a request, or after `patience`.
    pub(crate) fn end_after_answer(self, id: u64, patience: Duration) {
        let Self {
            mut child, stdout, ..
        } = self;
        let (answered, answer) = mpsc::channel();
        let reading = spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let message: Value = serde_json::from_str(&line).unwrap();
                if message["id"] == id {
                    return answered.send(()).unwrap_or_default();
                }
            }
        });
        let _ = answer.recv_timeout(patience);
        child.kill().unwrap();
        child.wait().unwrap();
        reading.join().unwrap();
    }

    fn send(&mut self, message: &Value) {
        let line = format!("{message}\n");
        self.stdin.write_all(line.as_bytes()).unwrap();
    }
}

/// Returns the real program.
pub(crate) fn bridge(line: &str, folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_smart-colab"));
    command
        .env("COLAB_URL", line)
        .env("LOCAL_SAVE_DIR", folder.join("results"))
        .env("SMART_COLAB_DATA_DIR", folder.join("data"));
    command
}

pub(crate) fn call(tool: &str, arguments: &Value) -> Value {
    json!({"name": tool, "arguments": arguments})
}

/// Returns all text of an answer.
pub(crate) fn text(answer: &Value) -> String {
    let blocks = answer["content"].as_array().into_iter().flatten();
    blocks.filter_map(|block| block["text"].as_str()).collect()
}

/// Returns the facts in the first block of an execution's answer.
pub(crate) fn facts(answer: &Value) -> Value {
    let content = answer["content"].as_array().unwrap();
    let text = content[0]["text"].as_str().unwrap();
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn result(mut message: Value) -> Value {
    assert!(message["error"].is_null(), "{message}");
    message["result"].take()
}
