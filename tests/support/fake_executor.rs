//! An executor of another version that answers how it is, and runs nothing.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use jiff::fmt::rfc2822::DateTimePrinter;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

/// What a fake executor answers.
#[derive(Clone, Copy)]
pub(crate) struct FakeExecutor {
    pub(crate) token: &'static str,
    pub(crate) hours_ahead: i64,
    pub(crate) disk_free_gb: f64,
    pub(crate) gpu_used_gb: f64,
}

pub(crate) const WELL: FakeExecutor = FakeExecutor {
    token: "kT3vQ9xLm2Rp7sWc4nYbZ8dF",
    hours_ahead: 0,
    disk_free_gb: 50.0,
    gpu_used_gb: 0.5,
};

impl FakeExecutor {
    pub(crate) fn reply(self, request: &str) -> Vec<u8> {
        let is_let_in = request.contains(&format!("Bearer {}", self.token));
        let session =
            json!({"name": "main", "state": "idle", "queued_jobs": 0, "execution_count": 1});
        let body = match request.split(' ').nth(1).unwrap() {
            "/health" => json!({"status": "ok", "uptime_minutes": 3.2, "version": "0.0.9"}),
            _ if !is_let_in => return answer("401 Unauthorized", "X-Smart-Colab-Api: 2", "{}"),
            "/sessions" => json!({"sessions": [session]}),
            "/probe" => json!({
                "executor": {"version": "0.0.9", "boot_id": "b", "uptime_minutes": 1.0, "root": "/content"},
                "platform": {"system": "Linux", "release": "6", "machine": "x86_64", "colab": true},
                "python": {"version": "3.12", "implementation": "CPython", "executable": "python"},
                "compute": {"cpu_count": 2, "memory_total_gb": 12.7, "memory_available_gb": 9.8, "memory_used_pct": 20.0},
                "gpu": [{"index": 0, "name": "Tesla T4", "memory_total_gb": 15.0, "memory_used_gb": self.gpu_used_gb}],
                "storage": [{"path": "/", "total_gb": 100.0, "free_gb": self.disk_free_gb, "used_pct": 10.0}],
                "packages": {}, "package_count": 0, "sessions": [session],
                "limits": {"max_timeout_sec": 1, "max_wait_sec": 1, "max_body_bytes": 1},
            }),
            other => panic!("{other}"),
        };
        let date = Timestamp::now() + SignedDuration::from_hours(self.hours_ahead);
        let mut text = String::new();
        let printer = DateTimePrinter::new();
        printer.print_timestamp_rfc9110(&date, &mut text).unwrap();
        let headers = format!("X-Smart-Colab-Api: 2\r\nDate: {text}");
        answer("200 OK", &headers, &body.to_string())
    }
}

/// A whole response.
pub(crate) fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}").into()
}

/// Serves until the end of the process; `reply` gets the head of a request.
pub(crate) fn serve(reply: impl Fn(&str) -> Vec<u8> + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = String::new();
            let mut reader = BufReader::new(&stream);
            while !head.ends_with("\r\n\r\n")
                && reader.read_line(&mut head).is_ok_and(|read| read > 0)
            {}
            // What speaks TLS here sends no head, and what only looks for the port nothing.
            if head.ends_with("\r\n\r\n") {
                let _ = stream.write_all(&reply(&head));
            }
        }
    });
    address
}
