//! The ways to the executor that are compared.

#![allow(dead_code)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};
use smart_colab::base::ids::JobId;

use crate::support::executor::{Executor, TOKEN};

/// The real binary, spoken to as a client does.
pub(crate) struct Bridge {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    calls: u64,
}

impl Bridge {
    /// Starts it and shakes hands.
    pub(crate) fn start(executor: &Executor, folder: &Path) -> Self {
        Self::start_to(&executor.line(), folder)
    }

    /// The same, to another address.
    pub(crate) fn start_to(line: &str, folder: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_smart-colab"))
            .env("COLAB_URL", line)
            .env("LOCAL_SAVE_DIR", folder.join("results"))
            .env("SMART_COLAB_DATA_DIR", folder.join("data"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut bridge = Self {
            stdin: child.stdin.take().unwrap(),
            stdout: BufReader::new(child.stdout.take().unwrap()),
            child,
            calls: 0,
        };
        let client = json!({"name": "bench", "version": "1"});
        bridge.request(
            "initialize",
            &json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client}),
        );
        bridge.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        bridge
    }

    /// Runs code to its end.
    pub(crate) fn run(&mut self, code: &str) {
        let answer = self.request(
            "tools/call",
            &json!({"name": "run_code_quick", "arguments": {"code": code}}),
        );
        let text = answer["result"]["content"][0]["text"].as_str().unwrap();
        let facts: Value = serde_json::from_str(text).unwrap();
        assert_eq!(facts["state"], "succeeded", "{answer}");
    }

    /// Downloads a file or folder to its end; the report.
    pub(crate) fn download(&mut self, remote: &str) -> Value {
        loop {
            let answer = self.request(
                "tools/call",
                &json!({"name": "download_from_colab", "arguments": {"remote_path": remote}}),
            );
            let report = &answer["result"]["structuredContent"];
            match report["status"].as_str() {
                Some("complete") => return report.clone(),
                Some("running") => {}
                _ => panic!("{answer}"),
            }
        }
    }

    /// Megabytes of memory that it holds now, where the system tells.
    pub(crate) fn resident(&self) -> Option<f64> {
        self.memory("VmRSS:")
    }

    /// And the most that it ever held.
    pub(crate) fn peak(&self) -> Option<f64> {
        self.memory("VmHWM:")
    }

    fn memory(&self, field: &str) -> Option<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse().ok()?;
        Some(kibibytes * 1024.0 / 1e6)
    }

    /// Leaves as a client does.
    pub(crate) fn leave(mut self) {
        drop(self.stdin);
        assert!(self.child.wait().unwrap().success());
    }

    fn request(&mut self, method: &str, params: &Value) -> Value {
        self.calls += 1;
        let request =
            json!({"jsonrpc": "2.0", "id": self.calls, "method": method, "params": params});
        self.send(&request);
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(answer["id"], self.calls, "{answer}");
        answer
    }

    fn send(&mut self, message: &Value) {
        self.stdin
            .write_all(format!("{message}\n").as_bytes())
            .unwrap();
    }
}

/// The least that an HTTP client can do: one connection, one write, one read.
pub(crate) struct Bare {
    stream: TcpStream,
}

impl Bare {
    pub(crate) fn connect(executor: &Executor) -> Self {
        let stream = TcpStream::connect(executor.address()).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream }
    }

    /// Runs code to its end.
    pub(crate) fn run(&mut self, code: &str) {
        let body = json!({"code": code, "session": "main", "timeout_sec": 120}).to_string();
        let request = format!(
            "PUT /jobs/{}?wait=5.000&linger=0.500&max_bytes=1048576 HTTP/1.1\r\nHost: 127.0.0.1\r\n\
             Authorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            JobId::fresh(),
            body.len()
        );
        self.stream.write_all(request.as_bytes()).unwrap();
        let page: Value = serde_json::from_slice(&self.reply()).unwrap();
        assert_eq!(page["job"]["state"], "succeeded", "{page}");
    }

    fn reply(&mut self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(16 * 1024);
        let head = loop {
            if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            self.more(&mut bytes);
        };
        let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
        let length = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"));
        let end = head + length.unwrap().trim().parse::<usize>().unwrap();
        while bytes.len() < end {
            self.more(&mut bytes);
        }
        bytes.split_off(head)
    }

    fn more(&mut self, bytes: &mut Vec<u8>) {
        let mut piece = [0; 16 * 1024];
        let count = self.stream.read(&mut piece).unwrap();
        assert!(count > 0, "the executor closed the connection");
        bytes.extend_from_slice(&piece[..count]);
    }
}

/// Downloads by curl, on one connection.
pub(crate) fn curl(url: &str, path: &str, to: &Path) {
    let status = Command::new("curl")
        .args(["--silent", "--fail", "--header"])
        .arg(format!("Authorization: Bearer {TOKEN}"))
        .args(["--get", "--data-urlencode"])
        .arg(format!("path={path}"))
        .arg("--output")
        .arg(to)
        .arg(format!("{url}/files/download"))
        .status();
    assert!(status.unwrap().success());
}
