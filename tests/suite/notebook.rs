//! All cells of the notebook, as its user runs them, with a bridge connected to the printed line.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::home::Home;
use crate::support::python::python;
use crate::support::stdio::{Bridge, PATIENCE};

#[test]
fn the_line_that_the_notebook_prints_connects_the_bridge() {
    let home = Home::new();
    let root = home.folder("content");
    std::fs::create_dir(&root).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("colab/tests/run_notebook.py");
    let mut notebook = Command::new(python())
        .arg(script)
        .arg(&root)
        .env_remove("SMART_COLAB_TOKEN")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (sender, lines) = channel();
    let stdout = BufReader::new(notebook.stdout.take().unwrap());
    spawn(move || {
        for line in stdout.lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    let mut stderr = notebook.stderr.take().unwrap();
    let complaints = spawn(move || {
        let mut said = String::new();
        let _ = stderr.read_to_string(&mut said);
        said
    });

    let mut printed = String::new();
    let line = loop {
        let Ok(line) = lines.recv_timeout(PATIENCE) else {
            let _ = notebook.kill();
            panic!("{printed}\n{}", complaints.join().unwrap());
        };
        printed.push_str(&line);
        printed.push('\n');
        let line = line.trim();
        if line.starts_with("http://127.0.0.1:") && line.contains('#') {
            break line.to_owned();
        }
    };
    let (url, token) = line.split_once('#').unwrap();

    let mut bridge = Bridge::greeted(home.program(&[("COLAB_URL", &line)]));
    let report = bridge.call("check_colab_connection", json!({}));
    assert_eq!(report.fact("status"), "connected", "{}", report.facts);
    let code = "import os\nprint('from the notebook')\nos.path.realpath(os.getcwd())";
    let answer = bridge.call("run_code_quick", json!({"code": code}));
    answer.succeeded();
    let place = root.canonicalize().unwrap();
    let expected = format!("from the notebook\n'{}'", place.display());
    assert_eq!(answer.text.trim_end(), expected);
    // The notebook shows what runs.
    while !printed.contains("from the notebook") {
        let Ok(line) = lines.recv_timeout(PATIENCE) else {
            panic!("the job is not shown live: {printed}");
        };
        printed.push_str(&line);
        printed.push('\n');
    }

    let address = url.trim_start_matches("http://");
    shut_down(address, token);
    let end = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = notebook.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > end {
            let _ = notebook.kill();
            panic!("the notebook keeps running: {printed}");
        }
        sleep(Duration::from_millis(20));
    };
    assert!(
        status.success(),
        "{printed}\n{}",
        complaints.join().unwrap()
    );
    assert!(
        TcpStream::connect(address).is_err(),
        "the executor still serves"
    );
    let report = bridge.call("check_colab_connection", json!({}));
    assert_eq!(report.fact("code"), "connection_failed", "{}", report.facts);
}

fn shut_down(address: &str, token: &str) {
    let mut connection = TcpStream::connect(address).unwrap();
    let request = format!(
        "POST /shutdown HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    connection.write_all(request.as_bytes()).unwrap();
    let mut reply = String::new();
    connection.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 202"), "{reply}");
}
