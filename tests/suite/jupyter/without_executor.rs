//! Servers where no executor can run: code runs in their kernels alone, and every doubt about its output is named.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Answer, MARK, bridge, finish, run, succeeded};
use crate::support::cable::{Cable, Fault as Break};
use crate::support::executor::until_there;
use crate::support::home::Home;
use crate::support::jupyter::{Jupyter, TOKEN};
use crate::support::proxy::{Fault, Proxy};
use crate::support::stdio::{Bridge, PATIENCE};

/// Prints, waits for the file `go`, and prints again.
fn waiting() -> String {
    format!(
        "{MARK}import os, time\nprint('first', flush=True)\nwhile not os.path.exists('go'): time.sleep(0.05)\nos.remove('go')\nprint('last')"
    )
}

fn begin(server: &Jupyter, bridge: &mut Bridge) -> u64 {
    let _ = fs::remove_file(server.root().join("ran"));
    let id = bridge.begin_call("run_code_quick", json!({"code": waiting()}));
    until_there(&server.root().join("ran"));
    // What is on its way when a connection breaks may be lost.
    let job = running(bridge);
    let first = json!({"job_id": job, "until": "first", "wait_sec": 60});
    let first = bridge.call("get_output", first);
    assert_eq!(first.facts["matched"], "first", "{first:?}");
    id
}

fn running(bridge: &mut Bridge) -> Value {
    let jobs = bridge.call("list_jobs", json!({"state": "running"}));
    jobs.rows()[0]["job_id"].clone()
}

fn ran_once(server: &Jupyter) {
    assert_eq!(fs::read_to_string(server.root().join("ran")).unwrap(), "x");
}

fn newest(bridge: &mut Bridge) -> Answer {
    let job = bridge.call("list_jobs", json!({})).rows()[0]["job_id"].clone();
    let answer = bridge.call("get_output", json!({"job_id": job, "wait_sec": 30}));
    finish(bridge, answer)
}

#[test]
fn code_runs_and_the_rest_is_refused_with_the_reason() {
    let (server, home) = (Jupyter::server("/", &[]).without_psutil(), Home::new());
    let mut bridge = bridge(&home, &server.setting());
    let ran = run(&mut bridge, "x = 6 * 7\nprint(x)\nx + 1");
    succeeded(&ran);
    assert_eq!(ran.text, "42\n43\n");
    assert_eq!(ran.facts["output_complete"], Value::Null, "{ran:?}");
    let failed = run(&mut bridge, "1 / 0");
    assert_eq!(failed.facts["state"], "failed", "{failed:?}");
    assert!(failed.text.contains("ZeroDivisionError"), "{failed:?}");
    let picture = "from IPython.display import Image, display\nimport base64\n\
        display(Image(data=base64.b64decode('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='), format='png'))";
    let shown = run(&mut bridge, picture);
    assert!(shown.whole.to_string().contains("\"image\""), "{shown:?}");

    let check = bridge.call("check_colab_connection", json!({}));
    assert!(
        check.fact("suggestion").contains("lacks psutil"),
        "{check:?}"
    );
    for (tool, arguments) in [
        ("list_colab_variables", json!({})),
        ("probe_colab_environment", json!({})),
        ("cleanup_colab", json!({})),
        (
            "run_chunked_operation",
            json!({"setup_code": "", "loop_code": "print({i})", "n_iterations": 3}),
        ),
    ] {
        let refused = bridge.call(tool, arguments);
        let text = refused.whole.to_string();
        assert!(
            refused.is_error && text.contains("lacks psutil"),
            "{tool}: {text}"
        );
    }

    let variables = bridge.call("list_colab_variables", json!({}));
    assert!(
        variables.whole.to_string().contains("%whos"),
        "{variables:?}"
    );

    let cells = json!({"cells": [{"source": "print(6 * 7)"}]});
    let ran = bridge.call("run_notebook", cells);
    assert_eq!(ran.facts["state"], "succeeded", "{ran:?}");

    // What the server drops is not passed off as all of it.
    let flood = run(&mut bridge, "print('x' * 20_000_000)");
    assert_eq!(flood.facts["output_complete"], false, "{flood:?}");
    let _ = fs::remove_file(server.root().join("ran"));
    let id = bridge.begin_call(
        "run_code_quick",
        json!({"code": format!("{MARK}import time\ntime.sleep(600)")}),
    );
    until_there(&server.root().join("ran"));
    let job = running(&mut bridge);
    let stopped = bridge.call("interrupt_execution", json!({"job_id": job}));
    assert!(!stopped.is_error, "{stopped:?}");
    let ended = Answer::of(&bridge.answer(id));
    assert_eq!(ended.facts["state"], "interrupted", "{ended:?}");
    assert_eq!(run(&mut bridge, "print(x)").text, "42\n");
    let endless = json!({"code": "import time\nwhile True: time.sleep(0.1)", "timeout_sec": 1});
    let late = bridge.call("run_code_long", endless);
    let late = finish(&mut bridge, late);
    assert_eq!(late.facts["state"], "timed_out", "{late:?}");
    assert_eq!(late.facts["variables_lost"], Value::Null, "{late:?}");
    let restarted = bridge.call("restart_session", json!({}));
    assert!(!restarted.is_error, "{restarted:?}");
    assert!(run(&mut bridge, "print(x)").text.contains("NameError"));

    let gateway = Jupyter::kernel_gateway().without_psutil();
    let mut bridge = super::bridge(&home, &gateway.setting());
    assert_eq!(run(&mut bridge, "print(6 * 7)").text, "42\n");
    assert!(!home.everything().contains(TOKEN));
}

#[test]
fn a_server_that_has_ended_is_named_and_so_is_that_it_was_started_again() {
    let (mut server, home) = (Jupyter::server("/", &[]).without_psutil(), Home::new());
    // What cannot be reached is tried again as long as a call may take.
    let setting = server.setting();
    let settings = [
        ("COLAB_URL", &*setting),
        ("SMART_COLAB_CALL_BUDGET_SEC", "5"),
    ];
    let mut bridge = Bridge::greeted(home.program(&settings));
    let long = json!({"code": waiting(), "wait_sec": 0});
    let is_sent = |begun: &Answer| begun.facts["code"] != "busy";
    let begun = again(&mut bridge, "run_code_long", &long, is_sent);
    let job = &begun.facts["job_id"];
    let first = json!({"job_id": job, "until": "first", "wait_sec": 4});
    let has_printed = |read: &Answer| read.facts["matched"] == "first";
    again(&mut bridge, "get_output", &first, has_printed);

    let look = json!({"job_id": job, "wait_sec": 1});
    server.kill();
    let ended = "if the server was stopped, it ended with it";
    let is_named = |looked: &Answer| looked.whole.to_string().contains(ended);
    again(&mut bridge, "get_output", &look, is_named);
    server.restart(TOKEN);
    let is_lost = |looked: &Answer| looked.facts["state"] == "lost";
    let lost = again(&mut bridge, "get_output", &look, is_lost);
    let text = lost.whole.to_string();
    assert!(
        text.contains("the Jupyter Server was stopped or restarted"),
        "{text}"
    );
}

/// Calls until an answer is as expected: what a busy machine starts may take longer than a call.
fn again(
    bridge: &mut Bridge,
    tool: &str,
    arguments: &Value,
    is_expected: impl Fn(&Answer) -> bool,
) -> Answer {
    let end = Instant::now() + PATIENCE;
    loop {
        let answer = bridge.call(tool, arguments.clone());
        if is_expected(&answer) {
            return answer;
        }
        assert!(Instant::now() < end, "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn code_is_sent_once_and_what_is_not_known_of_it_is_said() {
    let (server, home) = (Jupyter::server("/", &[]).without_psutil(), Home::new());
    let mut cable = Cable::to(server.address());
    let setting = format!("jupyter+http://{}/?token={TOKEN}", cable.address());
    let mut first = bridge(&home, &setting);
    succeeded(&run(&mut first, "x = 1"));

    // The connection is cut: the server keeps the output for its only client.
    let id = begin(&server, &mut first);
    cable
        .strike(
            Break::Refuse(Duration::from_millis(300)),
            Duration::from_secs(60),
        )
        .await;
    fs::write(server.root().join("go"), "").unwrap();
    let answer = Answer::of(&first.answer(id));
    let answer = finish(&mut first, answer);
    succeeded(&answer);
    assert_eq!(answer.text, "first\nlast\n");
    assert_eq!(answer.facts["output_complete"], false, "{answer:?}");
    ran_once(&server);

    // The bridge is killed: the next one follows the code to its end.
    begin(&server, &mut first);
    drop(first);
    let mut second = bridge(&home, &setting);
    second.call("check_colab_connection", json!({}));
    fs::write(server.root().join("go"), "").unwrap();
    let answer = newest(&mut second);
    succeeded(&answer);
    assert!(answer.text.contains("last"), "{answer:?}");
    assert_eq!(answer.facts["output_complete"], false, "{answer:?}");
    ran_once(&server);
    assert_eq!(run(&mut second, "print(x)").text, "1\n");

    // Another client looks in meanwhile: the reply is gone, and the code is not sent again.
    begin(&server, &mut second);
    drop(second);
    let client = server.client();
    let mut others = Vec::new();
    for kernel in server.kernels() {
        others.push(client.attach(&kernel, "another").await.unwrap());
    }
    fs::write(server.root().join("go"), "").unwrap();
    for other in &mut others {
        let nothing = json!({});
        other
            .send("look", "kernel_info_request", &nothing)
            .await
            .unwrap();
        while other.next().await.unwrap().parent.as_deref() != Some("look") {}
    }
    let mut third = bridge(&home, &setting);
    let answer = newest(&mut third);
    assert_eq!(answer.facts["state"], "lost", "{answer:?}");
    assert_eq!(answer.facts["code"], "reply_missing", "{answer:?}");
    assert_eq!(answer.facts["output_complete"], false, "{answer:?}");
    ran_once(&server);
    succeeded(&run(&mut third, "x"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kernel_whose_start_was_not_answered_is_used() {
    let (server, home) = (Jupyter::server("/", &[]).without_psutil(), Home::new());
    let proxy = Proxy::to(server.address());
    let setting = format!("jupyter+http://{}/?token={TOKEN}", proxy.address());
    // The helper kernel, and the session's own.
    proxy.on("POST /api/kernels", 2, Fault::LoseReply);
    let mut bridge = bridge(&home, &setting);
    assert_eq!(run(&mut bridge, "print(6 * 7)").text, "42\n");
    assert_eq!(proxy.seen("POST /api/kernels").len(), 2);
    assert_eq!(server.kernels().len(), 2);
}
