//! Switching to another runtime, by a tool or by a terminal command while servers run.

use std::fs;
use std::io::Write;
use std::process::{Output, Stdio};

use serde_json::{Value, json};

use crate::support::executor::{Executor, TOKEN};
use crate::support::home::Home;
use crate::support::stdio::{Answer, Bridge};

/// A local address that refuses connections.
const DEAD_URL: &str = "http://127.0.0.1:9/#old-t0ken";

fn run(bridge: &mut Bridge, code: &str) -> Answer {
    bridge.call(
        "run_code_quick",
        json!({"code": code, "session": "connect"}),
    )
}

/// Runs `smart-colab connect` with `line` on stdin.
pub(crate) fn connect(home: &Home, arguments: &[&str], line: &str) -> Output {
    let mut command = home.program(&[]);
    command.arg("connect").args(arguments);
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = pipes.stderr(Stdio::piped()).spawn().unwrap();
    // A command that reads no line may have exited.
    let _ = child.stdin.take().unwrap().write_all(line.as_bytes());
    let output = child.wait_with_output().unwrap();
    let said = format!("{output:?}");
    assert!(!said.contains(TOKEN) && !said.contains("t0ken"), "{said}");
    output
}

#[test]
fn connect_colab_connects_at_once_and_for_later_starts() {
    let (executor, home) = (Executor::shared(), Home::new());
    let mut bridge = Bridge::greeted(home.program(&[]));
    run(&mut bridge, "1").refused("not_configured");
    let report = bridge.call("connect_colab", json!({"url": executor.line()}));
    assert!(!report.is_error, "{}", report.whole);
    assert_eq!(report.fact("status"), "connected");
    assert_eq!(report.fact("url"), executor.url);
    assert_eq!(
        (&report.facts["saved"], &report.facts["notes"]),
        (&json!(true), &json!([]))
    );
    run(&mut bridge, "1").succeeded();
    let left = bridge.leave();

    let mut later = Bridge::greeted(home.program(&[]));
    run(&mut later, "1").succeeded();
    drop(later);
    let path = home.folder("data").join("connection.json");
    assert!(fs::read_to_string(&path).unwrap().contains(TOKEN));
    fs::remove_file(path).unwrap();
    let shown = left.stdout + &left.stderr + &home.everything();
    assert!(!shown.contains(TOKEN), "the token is in one file alone");
}

#[test]
fn address_and_token_may_be_separate_and_a_configured_address_is_noted() {
    let (executor, home) = (Executor::shared(), Home::new());
    let mut bridge = Bridge::greeted(home.program(&[("COLAB_URL", DEAD_URL)]));
    let arguments = json!({"url": executor.url, "token": TOKEN});
    let report = bridge.call("connect_colab", arguments);
    assert_eq!(report.fact("status"), "connected");
    let note = report.facts["notes"][0].as_str().unwrap();
    assert!(note.contains("COLAB_URL"), "{note}");
    run(&mut bridge, "1").succeeded();
}

#[test]
fn an_address_that_cannot_be_used_changes_nothing() {
    let (executor, home) = (Executor::shared(), Home::new());
    let mut bridge = executor.bridge(&home, &[]);
    let wrong = format!("{}#old-t0ken", executor.url);
    for (url, code) in [
        (wrong.as_str(), "unauthorized"),
        (DEAD_URL, "connection_failed"),
        ("http://example.com/#t", "invalid_argument"),
        ("ftp://example.com/#t", "invalid_argument"),
        ("https://example.com", "invalid_argument"),
        ("https://user:pw@example.com/#t", "invalid_argument"),
        ("the notebook's", "invalid_argument"),
        ("local", "invalid_argument"),
        ("jupyter", "invalid_argument"),
        (
            "http://127.0.0.1:9/lab?token=old-t0ken",
            "connection_failed",
        ),
        (
            "jupyter+http://example.com/?token=old-t0ken",
            "invalid_argument",
        ),
    ] {
        let answer = bridge.call("connect_colab", json!({"url": url}));
        answer.refused(code);
        assert!(!answer.whole.to_string().contains("old-t0ken"));
        run(&mut bridge, "1").succeeded();
    }
    assert!(!home.folder("data").join("connection.json").exists());
}

#[test]
fn the_connect_command_heals_a_running_call() {
    let (executor, home) = (Executor::shared(), Home::new());
    let mut bridge = Bridge::greeted(home.program(&[("COLAB_URL", DEAD_URL)]));
    let code = "with open('healed', 'a') as file: print('x', end='', file=file)\nprint('here')";
    let params = json!({
        "name": "run_code_quick", "arguments": {"code": code, "session": "connect"}, "_meta": {"progressToken": "p"},
    });
    let call = bridge.begin("tools/call", params);
    bridge.until_heard(|message| {
        let said = message["params"]["message"].as_str().unwrap_or_default();
        said.contains("cannot be reached") && said.contains("trying again")
    });
    let output = connect(&home, &[], &executor.line());
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains(&executor.url), "{said}");
    let answer = Answer::of(&bridge.answer(call));
    answer.succeeded();
    assert_eq!(answer.text, "here\n");
    assert_eq!(
        fs::read_to_string(executor.root().join("healed")).unwrap(),
        "x"
    );
    let check = bridge.call("check_colab_connection", json!({}));
    assert_eq!(check.fact("url"), executor.url);
}

#[test]
fn the_connection_check_switches_to_the_saved_connection() {
    let (executor, home) = (Executor::shared(), Home::new());
    assert!(connect(&home, &[], &executor.line()).status.success());
    for stale in [DEAD_URL.to_owned(), format!("{}#old-t0ken", executor.url)] {
        let mut bridge = Bridge::greeted(home.program(&[("COLAB_URL", &stale)]));
        let check = bridge.call("check_colab_connection", json!({}));
        assert_eq!(check.fact("status"), "connected", "{}", check.facts);
    }
}

#[test]
fn the_command_saves_only_what_works_and_forgets_it_when_asked() {
    let (executor, home) = (Executor::shared(), Home::new());
    let file = home.folder("data").join("connection.json");
    for (line, status) in [
        ("https://example.com\n", 2),
        ("\n", 2),
        (DEAD_URL, 1),
        (&format!("{}#old-t0ken", executor.url), 1),
    ] {
        let output = connect(&home, &[], line);
        assert_eq!(output.status.code(), Some(status), "{output:?}");
        assert!(!output.stderr.is_empty() && output.stdout.is_empty());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("connect_colab"), "{said}");
        if status == 1 {
            assert!(said.contains("un `smart-colab connect` with"), "{said}");
        }
        assert!(!file.exists());
    }
    fs::create_dir_all(home.folder("data")).unwrap();
    fs::write(&file, "{ torn").unwrap();
    let output = connect(&home, &["--json"], &executor.line());
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&said["success"], &said["url"]),
        (&json!(true), &json!(executor.url))
    );
    assert!(file.with_file_name("connection.json.corrupt-1").exists());
    assert!(connect(&home, &["--forget"], "").status.success());
    assert!(!file.exists());
    let mut bridge = Bridge::greeted(home.program(&[]));
    run(&mut bridge, "1").refused("not_configured");
}

#[test]
fn a_job_of_the_previous_runtime_is_located_and_found_again() {
    let (first, second, home) = (Executor::shared(), Executor::start(), Home::new());
    let mut bridge = first.bridge(&home, &[]);
    let ran = run(&mut bridge, "print('there')");
    let job = json!({"job_id": ran.facts["job_id"]});
    let connect = |bridge: &mut Bridge, executor: &Executor| {
        let report = bridge.call("connect_colab", json!({"url": executor.line()}));
        assert_eq!(report.fact("status"), "connected");
    };
    connect(&mut bridge, &second);
    let answer = bridge.call("get_output", job.clone());
    answer.refused("not_found");
    assert!(
        answer.fact("error").contains(&first.url),
        "{}",
        answer.facts
    );
    assert!(
        answer.fact("hint").contains("connect_colab"),
        "{}",
        answer.facts
    );
    assert_eq!(
        run(&mut bridge, "print('here')").facts["runtime_replaced"],
        true
    );
    connect(&mut bridge, first);
    let again = bridge.call("get_output", job);
    again.succeeded();
    assert_eq!(again.text, "there\n");
}
