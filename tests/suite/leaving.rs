//! However a client leaves, the program ends and takes along what it started, also when a call is under way and nobody reads the answers.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::executor::until_there;
use crate::support::home::Home;
use crate::support::process::is_running;
use crate::support::python::python;
use crate::support::stdio::{Bridge, PATIENCE};

/// A client on a local executor, with code under way, that reads nothing any more.
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
    fn waiting() -> Self {
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
            "print('kept', flush=True)\nimport os, pathlib, time\n\
            pathlib.Path('pids').write_text(f'{os.getpid()} {os.getppid()}')\n\
            pathlib.Path('begun').touch()\ntime.sleep(600)",
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

    /// Asks for more than a pipe holds, and waits until that was read.
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

    /// Waits for the end of all three processes; what was printed is kept.
    fn ends(mut self) {
        let end = Instant::now() + PATIENCE;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < end, "it stays");
            sleep(Duration::from_millis(10));
        }
        let pids = self.home.folder("results/workspace/pids");
        for pid in std::fs::read_to_string(pids).unwrap().split(' ') {
            while is_running(pid) {
                assert!(Instant::now() < end, "{pid} stays");
                sleep(Duration::from_millis(10));
            }
        }
        let mut next = Bridge::greeted(program(&self.home));
        let jobs = next.call("list_jobs", json!({"session": "main"}));
        let job = &jobs.facts["jobs"][0]["job_id"];
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
fn a_client_that_reads_nothing_and_leaves_takes_all_along() {
    let mut client = Client::waiting();
    client.fill_the_pipe();
    drop(client.stdin.take());
    client.ends();
}

#[test]
fn a_line_that_is_dead_on_the_other_side_ends_all() {
    let mut client = Client::waiting();
    drop(client.stdout.take());
    client.send("tools/list", json!({}));
    client.ends();
}

#[test]
fn a_signal_ends_all_though_nothing_is_read() {
    for signal in ["-TERM", "-INT"] {
        let mut client = Client::waiting();
        client.fill_the_pipe();
        client.signal(signal);
        client.ends();
    }
}
