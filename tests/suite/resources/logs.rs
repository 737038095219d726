//! Job logs, read from the machine and from their copies.

use std::fs;

use serde_json::{Value, json};
use smart_colab::base::ids::JobId;

use super::{Client, ERAS, Era, INTERNAL, save};
use crate::support::executor::{Executor, TOKEN, until_there};
use crate::support::home::Home;
use crate::support::proxy::{Fault, Proxy};
use crate::support::stdio::until_warm;

fn connected(era: Era, home: &Home, executor: &Executor, budget: &str) -> Client {
    connected_by(&executor.line(), era, home, budget)
}

fn connected_by(line: &str, era: Era, home: &Home, budget: &str) -> Client {
    let variables = [("COLAB_URL", line), ("SMART_COLAB_CALL_BUDGET_SEC", budget)];
    Client::start(era, home.program(&variables))
}

fn run(client: &mut Client, session: &str, code: &str) -> (String, Value) {
    let answer = client.call("run_code_long", json!({"code": code, "session": session}));
    let uri = format!("smart-colab://jobs/{}/log", answer.fact("job_id"));
    (uri, answer.facts)
}

#[test]
fn a_log_is_read_whole_and_in_parts() {
    for era in ERAS {
        let home = Home::new();
        let mut client = connected(era, &home, Executor::shared(), "45");
        let session = format!("log-{era:?}");
        let (uri, _) = run(
            &mut client,
            &session,
            "for i in range(500):\n    print(f'{i:03}ü')",
        );
        let whole: String = (0..500).map(|i| format!("{i:03}ü\n")).collect();
        let content = client.content(&uri);
        assert_eq!(content["text"], whole.as_str());
        assert_eq!(content["mimeType"], "text/plain");
        assert_eq!(content["_meta"]["smart-colab/log_bytes"], 3000);
        for (query, text, from) in [
            ("?bytes=12", "000ü\n001ü\n", 0),
            ("?from=6&bytes=6", "001ü\n", 6),
            ("?from=-6", "499ü\n", 2994),
            ("?from=-12&bytes=5", "498ü", 2988),
            ("?from=4&bytes=4", "\n00", 4),
            ("?from=0&bytes=4", "000", 0),
            ("?from=9999", "", 3000),
            ("?from=-9999&bytes=3", "000", 0),
        ] {
            let content = client.content(&format!("{uri}{query}"));
            assert_eq!(content["text"], text, "{query}");
            assert_eq!(content["_meta"]["smart-colab/from"], from, "{query}");
            assert_eq!(content["_meta"]["smart-colab/source"], "runtime");
        }
        for query in ["?from=x", "?bytes=0", "?lines=3", "?from=1&from=1"] {
            client.refused(&format!("{uri}{query}"), -32602);
        }
        assert!(super::uris(&client.list()).contains(&uri));
        assert!(!client.bridge.leave().stdout.contains(TOKEN));
    }
}

#[test]
fn a_running_job_is_linked_to_its_log_and_can_be_read() {
    let home = Home::new();
    let mut client = connected(Era::Modern, &home, Executor::shared(), "5");
    let code = "import time\nprint('begun', flush=True)\ntime.sleep(600)";
    until_warm("linked", |code| client.call("run_code_quick", code));
    let arguments = json!({"code": code, "session": "linked"});
    let answer = client.call("run_code_long", arguments);
    assert_eq!(answer.facts["state"], "running");
    let [link] = answer.links.as_slice() else {
        panic!("{:?}", answer.links);
    };
    assert_eq!(client.text(link), "begun\n");
    let ended = client.call(
        "interrupt_execution",
        json!({"job_id": answer.fact("job_id")}),
    );
    assert_eq!(ended.facts["state"], "interrupted");
    assert!(client.text(link).contains("KeyboardInterrupt"));
    let answer = client.call("get_output", json!({"job_id": answer.fact("job_id")}));
    assert!(answer.links.is_empty(), "{:?}", answer.links);
}

#[test]
fn a_log_that_is_too_long_is_read_in_parts() {
    let home = Home::new();
    let mut client = connected(Era::Handshake, &home, Executor::shared(), "100");
    let code = "line = 'x' * 999 + '\\n'\nfor _ in range(9000):\n    print(line, end='')";
    let (uri, facts) = run(&mut client, "too-long", code);
    assert_eq!(facts["state"], "succeeded", "{facts}");
    let error = client.refused(&uri, INTERNAL);
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(&format!("{uri}?from=")), "{message}");
    let line = "x".repeat(999) + "\n";
    assert_eq!(client.text(&format!("{uri}?from=-1000")), line);
    let content = client.content(&format!("{uri}?from=8999000"));
    assert_eq!(content["text"], line);
    // A fetched log is not fetched again unless it has grown.
    assert_eq!(content["_meta"]["smart-colab/source"], "copy");
    let copy = facts["log"].as_str().unwrap();
    let copy = fs::File::options().write(true).open(copy).unwrap();
    copy.set_len(8_000_000).unwrap();
    let content = client.content(&format!("{uri}?from=-1000"));
    assert_eq!(content["text"], line);
    assert_eq!(content["_meta"]["smart-colab/source"], "runtime");
}

#[test]
fn a_log_is_read_from_its_copy_when_the_machine_is_gone() {
    let home = Home::new();
    let mut executor = Executor::start();
    let mut client = connected(Era::Modern, &home, &executor, "20");
    let (uri, facts) = run(
        &mut client,
        "main",
        "for i in range(20_000):\n    print(f'line {i}')",
    );
    let whole: String = (0..20_000).map(|i| format!("line {i}\n")).collect();
    assert_eq!(
        fs::read_to_string(facts["log"].as_str().unwrap()).unwrap(),
        whole
    );
    let (unkept, _) = run(&mut client, "main", "print('short')");
    executor.kill();
    let content = client.content(&uri);
    assert_eq!(content["text"], whole.as_str());
    assert_eq!(content["_meta"]["smart-colab/source"], "copy");
    assert_eq!(client.text(&format!("{uri}?from=-11")), "line 19999\n");
    let error = client.refused(&unkept, INTERNAL);
    assert_eq!(error["data"]["code"], "connection_failed", "{error}");
    assert_eq!(error["data"]["retryable"], true, "{error}");
    let listed = super::uris(&client.list());
    assert!(
        listed.contains(&uri) && listed.contains(&unkept),
        "{listed:?}"
    );
}

#[test]
fn a_log_is_read_from_its_copy_when_its_machine_answers_without_it() {
    let home = Home::new();
    let executor = Executor::start();
    let tunnels = tokio::runtime::Runtime::new().unwrap();
    let _within = tunnels.enter();
    let proxy = Proxy::to(executor.address());
    let line = format!("http://{}#{TOKEN}", proxy.address());
    let mut client = connected_by(&line, Era::Modern, &home, "10");
    let code = "for i in range(20_000):\n    print(f'line {i}')";
    let (uri, facts) = run(&mut client, "main", code);
    let copy = fs::File::options()
        .write(true)
        .open(facts["log"].as_str().unwrap());
    copy.unwrap().set_len(100_000).unwrap();
    proxy.on("/log", usize::MAX, Fault::Drop);
    let content = client.content(&format!("{uri}?bytes=14"));
    assert_eq!(content["text"], "line 0\nline 1\n");
    assert_eq!(content["_meta"]["smart-colab/source"], "copy");
    assert_eq!(content["_meta"]["smart-colab/log_bytes"], 100_000);
    assert!(!proxy.seen("/log").is_empty());
}

#[test]
fn an_unknown_job_has_no_log() {
    for era in ERAS {
        let home = Home::new();
        let mut client = connected(era, &home, Executor::shared(), "45");
        let id = JobId::fresh();
        let uri = format!("smart-colab://jobs/{id}/log");
        client.refused(&uri, era.missing());
        client.refused("smart-colab://jobs/7/log", era.missing());
        save(
            &home,
            &format!("logs/{id}.log"),
            b"kept of a machine before",
        );
        assert_eq!(client.text(&uri), "kept of a machine before");
    }
}

#[test]
fn without_an_address_a_log_says_how_to_connect() {
    let home = Home::new();
    let mut client = Client::start(Era::Handshake, home.program(&[]));
    let uri = format!("smart-colab://jobs/{}/log", JobId::fresh());
    let error = client.refused(&uri, INTERNAL);
    assert_eq!(error["data"]["code"], "not_configured");
    assert!(error["message"].as_str().unwrap().contains("COLAB_URL"));
}

/// Nor does a read that its client cancels.
#[test]
fn a_log_read_that_waits_does_not_block_other_requests() {
    let home = Home::new();
    let executor = Executor::start();
    let mut client = connected(Era::Modern, &home, &executor, "45");
    let flag = executor.root().join("flag");
    let code = format!(
        "open({:?}, 'w').close()\nprint('there')",
        flag.display().to_string()
    );
    let (uri, _) = run(&mut client, "main", &code);
    until_there(&flag);
    drop(executor);
    let waiting = client.begin("resources/read", json!({"uri": uri}));
    assert!(super::uris(&client.list()).contains(&uri));
    client
        .bridge
        .notify("notifications/cancelled", json!({"requestId": waiting}));
    assert!(super::uris(&client.list()).contains(&uri));
    assert_eq!(client.bridge.leave().status.code(), Some(0));
}
