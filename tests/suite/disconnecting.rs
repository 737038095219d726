//! However a client disconnects, the program exits and ends its executor and kernel, even during a call and with stdout unread.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::executor::{EXECUTOR_PID, until_there};
use crate::support::home::Home;
use crate::support::process::is_running;
use crate::support::python::python;
use crate::support::stdio::{Bridge, PATIENCE};

/// A client on a local executor with running code, that has stopped reading stdout.
struct Client {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<BufReader<ChildStdout>>,
    sent: u32,
    home: Home,
}

fn program(home: &Home) -> Command {
    home.program(&[
        ("COLAB_URL", "local"),
        ("SMART_COLAB_PYTHON", python().to_str().unwrap()),
    ])
}

impl Client {
    fn start() -> Self {
        let home = Home::new();
        let mut command = program(&home);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut client = Self {
            stdin: child.stdin.take(),
            stdout: child.stdout.take().map(BufReader::new),
            child,
            sent: 0,
            home,
        };
        let hello = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}});
        client.send("initialize", hello);
        let stdout = client.stdout.as_mut().unwrap();
        stdout.read_line(&mut String::new()).unwrap();
        client.run(
            &format!(
                "print('kept', flush=True)\nimport os, pathlib, psutil, time\n\
                pathlib.Path('pids').write_text(f'{{os.getpid()}} ' + str({EXECUTOR_PID}))\n\
                pathlib.Path('begun').touch()\ntime.sleep(600)"
            ),
            "main",
        );
        client.until_there("begun");
        client
    }

    fn send(&mut self, method: &str, params: Value) {
        self.sent += 1;
        let line = json!({"jsonrpc": "2.0", "id": self.sent, "method": method, "params": params});
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    fn run(&mut self, code: &str, session: &str) {
        let arguments = json!({"code": code, "session": session});
        let call = json!({"name": "run_code_quick", "arguments": arguments});
        self.send("tools/call", call);
    }

    fn until_there(&self, name: &str) {
        until_there(&self.home.folder("results/workspace").join(name));
    }

    /// Requests more than a pipe holds, and waits until the program has read the requests.
    fn fill_the_pipe(&mut self) {
        for _ in 0..60 {
            self.send("tools/list", json!({}));
        }
        self.run("open('asked', 'w').close()", "other");
        self.until_there("asked");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// Asserts that all three processes end and that the output is kept.
    fn assert_all_end(mut self) {
        let end = Instant::now() + PATIENCE;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < end, "the program keeps running");
            sleep(Duration::from_millis(10));
        }
        let pids = self.home.folder("results/workspace/pids");
        for pid in std::fs::read_to_string(pids).unwrap().split(' ') {
            while is_running(pid) {
                assert!(Instant::now() < end, "{pid} keeps running");
                sleep(Duration::from_millis(10));
            }
        }
        let mut next = Bridge::greeted(program(&self.home));
        let jobs = next.call("list_jobs", json!({"session": "main"}));
        let job = &jobs.rows()[0]["job_id"];
        let output = next.call("get_output", json!({"job_id": job}));
        assert!(output.text.contains("kept"), "{}", output.whole);
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_client_that_stops_reading_and_leaves_ends_every_process() {
    let mut client = Client::start();
    client.fill_the_pipe();
    drop(client.stdin.take());
    client.assert_all_end();
}

#[test]
fn a_closed_stdout_ends_every_process() {
    let mut client = Client::start();
    drop(client.stdout.take());
    client.send("tools/list", json!({}));
    client.assert_all_end();
}

#[test]
fn a_signal_ends_every_process_while_stdout_is_full() {
    for signal in ["-TERM", "-INT"] {
        let mut client = Client::start();
        client.fill_the_pipe();
        client.signal(signal);
        client.assert_all_end();
    }
}
