//! Many calls at once.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use crate::http::Bare;
use crate::peers::Peer;
use crate::server::{Server, bridge, call, facts};
use crate::support::executor::{Executor, TOKEN};
use crate::support::python::python;
use crate::table::{Row, in_turn, timed};

const TURNS: usize = 10;
const SESSIONS: usize = 64;
const CALLS: usize = 16;
const QUICK_CALLS: usize = 100;
/// Clients of each of the four kinds.
const SLOW_CLIENTS_EACH: &str = "50";

pub(crate) fn rows(executor: &Executor, _: &[Peer]) -> Vec<Row> {
    let folder = tempfile::tempdir().unwrap();
    let mut bridge = Server::bridge(executor, folder.path());
    bridge.quick("x = 1");
    let mut rows = Vec::new();
    for count in [4, 16, 64] {
        let arguments = vec![json!({"code": "x = 1"}); count];
        let side = std::cell::RefCell::new(&mut bridge);
        let [at_once, one] = in_turn(
            TURNS,
            [
                &mut || {
                    1000.0
                        * timed(|| {
                            succeeded(&side.borrow_mut().calls("run_code_quick", &arguments))
                        })
                },
                &mut || 1000.0 * count as f64 * timed(|| side.borrow_mut().quick("x = 1")),
            ],
        );
        let what = format!("{count} concurrent calls / {count} times one call");
        rows.push(Row::ratio(
            what,
            "ms",
            ("concurrent", &at_once),
            ("one by one", &one),
        ));
    }
    rows.push(over_sessions(&mut bridge));
    bridge.leave();
    rows.push(beside_long_polls());
    rows.extend(beside_slow_clients());
    rows
}

/// Measures calls at once, each in a session of its own, beside one after the other.
fn over_sessions(bridge: &mut Server) -> Row {
    let arguments: Vec<_> = (0..CALLS)
        .map(|number| json!({"code": "x = 1", "session": format!("t{number}")}))
        .collect();
    succeeded(&bridge.calls("run_code_quick", &arguments));
    let side = std::cell::RefCell::new(bridge);
    let [at_once, one] = in_turn(
        TURNS,
        [
            &mut || {
                1000.0 * timed(|| succeeded(&side.borrow_mut().calls("run_code_quick", &arguments)))
            },
            &mut || 1000.0 * CALLS as f64 * timed(|| side.borrow_mut().quick("x = 1")),
        ],
    );
    let what = format!("{CALLS} calls at once over as many sessions / {CALLS} times one");
    Row::ratio(what, "ms", ("at once", &at_once), ("one by one", &one)).at_most(0.5)
}

/// Measures a quick call while many sessions' calls wait, beside one with none waiting.
fn beside_long_polls() -> Row {
    let (busy_executor, quiet_executor) = (Executor::start(), Executor::start());
    let folder = tempfile::tempdir().unwrap();
    let mut command = bridge(&busy_executor.line(), &folder.path().join("busy"));
    command.env("SMART_COLAB_CALL_BUDGET_SEC", "3600");
    let mut busy = Server::start(command);
    for number in 0..SESSIONS {
        let code = json!({"code": "import time; time.sleep(3600)", "timeout_sec": 3600, "session": format!("s{number}")});
        busy.begin("tools/call", call("run_code_long", &code));
    }
    let mut quiet = Server::bridge(&quiet_executor, &folder.path().join("quiet"));
    while running(&mut busy) < SESSIONS {
        sleep(Duration::from_secs(1));
    }
    busy.quick("x = 1");
    quiet.quick("x = 1");
    let [beside, alone] = in_turn(
        QUICK_CALLS,
        [&mut || 1000.0 * timed(|| busy.quick("x = 1")), &mut || {
            1000.0 * timed(|| quiet.quick("x = 1"))
        }],
    );
    quiet.leave();
    busy.leave();
    let what = "x = 1 while 64 sessions' long polls wait / none";
    Row::ratio(what, "ms", ("64 wait", &beside), ("none", &alone)).at_most(1.3)
}

/// Measures calls of a client beside many that send or read slowly, wait or idle, and calls of a client alone.
fn beside_slow_clients() -> [Row; 2] {
    let (busy_executor, quiet_executor) = (Executor::start(), Executor::start());
    std::fs::write(busy_executor.root().join("large"), vec![0; 64 << 20]).unwrap();
    let mut busy = Bare::connect(busy_executor.address());
    let mut quiet = Bare::connect(quiet_executor.address());
    busy.run("x = 1");
    quiet.run("x = 1");
    let sleeper = busy.submit("import time; time.sleep(3600)", "other");
    let poll = format!("/jobs/{sleeper}/events?after=1&wait=25");
    let _crowds = [
        ("sender", "/health"),
        ("idle", "/"),
        ("reader", "/files/download?path=large"),
        ("poll", &poll),
    ]
    .map(|(kind, path)| Crowd::start(busy_executor.address(), kind, path));
    let mut row = |what: &str, call: fn(&mut Bare)| {
        let [beside, alone] = in_turn(
            QUICK_CALLS,
            [&mut || 1000.0 * timed(|| call(&mut busy)), &mut || {
                1000.0 * timed(|| call(&mut quiet))
            }],
        );
        let what = format!("{what} beside 200 slow clients / none");
        Row::ratio(what, "ms", ("beside them", &beside), ("none", &alone)).at_most(2.0)
    };
    [
        row("GET /health", Bare::health),
        row("x = 1, bare HTTP,", |client| client.run("x = 1")),
    ]
}

/// Slow clients of one kind, in their own process; they disconnect on drop.
struct Crowd(Child);

impl Crowd {
    fn start(executor: SocketAddr, kind: &str, path: &str) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("colab/tests/slow_clients.py");
        let mut child = Command::new(python())
            .arg(script)
            .args([&executor.ip().to_string(), &executor.port().to_string()])
            .args([TOKEN, kind, SLOW_CLIENTS_EACH, path])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut ready).unwrap();
        assert_eq!(ready.trim(), "ready");
        Self(child)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

fn running(bridge: &mut Server) -> usize {
    let answer = bridge.call("list_jobs", &json!({"state": "running", "top": 100}));
    let table = answer["content"][1]["text"].as_str().unwrap_or_default();
    table.matches("\trunning").count()
}

fn succeeded(answers: &[Value]) {
    for answer in answers {
        assert_eq!(facts(answer)["state"], "succeeded", "{answer}");
    }
}
