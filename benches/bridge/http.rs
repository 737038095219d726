//! HTTP clients beside the bridge: a bare one, and curl.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use smart_colab::base::ids::JobId;

use crate::support::executor::TOKEN;

/// A minimal HTTP client: one connection, one write, one read.
pub(crate) struct Bare {
    stream: TcpStream,
}

impl Bare {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream }
    }

    /// Sends the executor's cheapest request.
    pub(crate) fn health(&mut self) {
        let request = "GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
        self.stream.write_all(request.as_bytes()).unwrap();
        let health: Value = serde_json::from_slice(&self.reply()).unwrap();
        assert_eq!(health["status"], "ok", "{health}");
    }

    /// Runs code to its end.
    pub(crate) fn run(&mut self, code: &str) {
        let page = self.put(
            &JobId::fresh(),
            "wait=5.000&linger=0.500&max_bytes=1048576",
            &json!({"code": code, "session": "main", "timeout_sec": 120}),
        );
        assert_eq!(page["job"]["state"], "succeeded", "{page}");
    }

    /// Submits code to a session without waiting; returns its job id.
    pub(crate) fn submit(&mut self, code: &str, session: &str) -> JobId {
        let job_id = JobId::fresh();
        let body = json!({"code": code, "session": session, "timeout_sec": 3600});
        self.put(&job_id, "", &body);
        job_id
    }

    fn put(&mut self, job_id: &JobId, query: &str, body: &Value) -> Value {
        let body = body.to_string();
        let request = format!(
            "PUT /jobs/{job_id}?{query} HTTP/1.1\r\nHost: 127.0.0.1\r\n\
             Authorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.write_all(request.as_bytes()).unwrap();
        serde_json::from_slice(&self.reply()).unwrap()
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

/// Downloads by curl over one connection.
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
