//! Google's side of Colab on loopback: the sign-in, the control plane, and the machines, each over a real Jupyter Server.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::python::python;

/// Ended on drop.
pub(crate) struct FakeColab {
    child: Child,
    address: String,
}

impl FakeColab {
    /// The machines lead to these servers, one after the other; the last one repeats.
    pub(crate) fn over(servers: &[String], token: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/fake_colab");
        let mut command = Command::new(python());
        command.arg(folder).args(["--jupyter-token", token]);
        for server in servers {
            command.args(["--jupyter-url", server]);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        let address = ready["url"].as_str().unwrap().to_owned();
        Self { child, address }
    }

    /// Machines that nobody connects to.
    pub(crate) fn without_servers() -> Self {
        Self::over(&["http://127.0.0.1:9".to_owned()], "none")
    }

    /// The setting that leads to it.
    pub(crate) fn setting(&self) -> (&str, &str) {
        ("GOOGLE_SERVICES_URL", &self.address)
    }

    /// Turns knobs, and returns the state.
    pub(crate) fn set(&self, knobs: &Value) -> Value {
        self.ask("POST", &knobs.to_string())
    }

    pub(crate) fn state(&self) -> Value {
        self.ask("GET", "")
    }

    /// Requests of this method and path so far.
    pub(crate) fn count(&self, method: &str, path: &str) -> usize {
        let state = self.state();
        let requests = state["requests"].as_array().unwrap();
        let is_it = |request: &&Value| request["method"] == method && request["path"] == path;
        requests.iter().filter(is_it).count()
    }

    /// The machines that are assigned.
    pub(crate) fn machines(&self) -> Vec<Value> {
        let state = self.state();
        let machines = state["machines"].as_array().unwrap();
        let is_alive = |machine: &&Value| machine["is_alive"] == true;
        machines.iter().filter(is_alive).cloned().collect()
    }

    fn ask(&self, method: &str, body: &str) -> Value {
        let host = self.address.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(host).unwrap();
        let length = body.len();
        let request = format!(
            "{method} /_fake HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        serde_json::from_str(body).unwrap()
    }
}

impl Drop for FakeColab {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
