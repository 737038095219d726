//! Notifications reach subscribed clients, and only while they are subscribed.

use std::fs;

use serde_json::{Value, json};
use smart_colab::base::ids::JobId;

use super::{Client, ERAS, Era, keep_result, save, uri_of};
use crate::support::executor::{Executor, until_there};
use crate::support::home::Home;
use crate::support::stdio::Bridge;

const UPDATED: &str = "notifications/resources/updated";
const LIST_CHANGED: &str = "notifications/resources/list_changed";
const STREAM: &str = "io.modelcontextprotocol/subscriptionId";

/// Subscribes to `uris`; returns the stream's id in the era that has one.
fn watch(client: &mut Client, uris: &[&str]) -> Option<u64> {
    match client.era {
        Era::Handshake => {
            for uri in uris {
                let subscribed = client.ask("resources/subscribe", json!({"uri": uri}));
                assert_eq!(subscribed, json!({}), "{uri}");
            }
            None
        }
        Era::Modern => Some(listen(client, json!({"resourceSubscriptions": uris}))),
    }
}

/// Opens a stream and waits for its acknowledgement.
fn listen(client: &mut Client, wishes: Value) -> u64 {
    let id = client.begin("subscriptions/listen", json!({"notifications": wishes}));
    client.bridge.until_heard(|message| {
        message["method"] == "notifications/subscriptions/acknowledged"
            && message["params"]["_meta"][STREAM] == id
    });
    id
}

/// Waits for an update of `uri` and drops all its notifications so far.
#[track_caller]
fn wait_for_update(client: &mut Client, uri: &str, stream: Option<u64>) {
    let is_it = |message: &Value| {
        message["method"] == UPDATED
            && message["params"]["uri"] == uri
            && message["params"]["_meta"][STREAM].as_u64() == stream
    };
    client.bridge.until_heard(is_it);
    client.bridge.heard.retain(|message| !is_it(message));
}

/// Waits for a change of the list and drops its notification.
#[track_caller]
fn wait_for_list_change(client: &mut Client, stream: Option<u64>) {
    let is_it = |message: &Value| message["method"] == LIST_CHANGED;
    client.bridge.until_heard(is_it);
    for change in client.heard(LIST_CHANGED) {
        assert_eq!(
            change["params"]["_meta"][STREAM].as_u64(),
            stream,
            "{change}"
        );
    }
    let first = client.bridge.heard.iter().position(is_it).unwrap();
    client.bridge.heard.remove(first);
}

fn unwatch(client: &mut Client, uri: &str, stream: Option<u64>) {
    match stream {
        None => {
            let done = client.ask("resources/unsubscribe", json!({"uri": uri}));
            assert_eq!(done, json!({}));
        }
        Some(id) => {
            let params = json!({"requestId": id});
            client.bridge.notify("notifications/cancelled", params);
        }
    }
}

#[test]
fn a_growing_log_is_notified_until_its_job_ends() {
    for era in ERAS {
        let home = Home::new();
        let executor = Executor::start();
        let line = executor.line();
        let variables = [
            ("COLAB_URL", line.as_str()),
            ("SMART_COLAB_CALL_BUDGET_SEC", "5"),
        ];
        let mut client = Client::start(era, home.program(&variables));
        // Prints a number for each file of the test, up to 3.
        let code = "import os, time\nn = 0\nwhile True:\n    if os.path.exists(f'go{n}'):\n        n += 1\n        print(n, flush=True)\n        \
                    if n == 3: break\n    time.sleep(0.05)";
        let answer = client.call("run_code_long", json!({"code": code}));
        let uri = answer.links[0].clone();
        let stream = watch(&mut client, &[&uri]);
        // Output printed before the subscription counts as an update.
        wait_for_update(&mut client, &uri, stream);
        for n in 0..3 {
            fs::write(executor.root().join(format!("go{n}")), "").unwrap();
            wait_for_update(&mut client, &uri, stream);
        }
        let whole = loop {
            let text = client.text(&uri);
            if text.contains('3') {
                break text;
            }
            wait_for_update(&mut client, &uri, stream);
        };
        assert_eq!(whole, "1\n2\n3\n");
        let count = client.heard(UPDATED).len();
        assert!(
            count <= 2,
            "{count} more updates; the end takes at most two"
        );
        assert_eq!(client.bridge.leave().status.code(), Some(0));
    }
}

#[test]
fn file_and_checkpoint_changes_by_any_process_are_notified() {
    for era in ERAS {
        let home = Home::new();
        let file = save(&home, "a.txt", b"one");
        let first = keep_result(&home, "op", "one");
        let (uri, checkpoint) = (uri_of(&file), "smart-colab://checkpoints/op");
        let mut client = Client::offline(era, &home);
        let stream = watch(&mut client, &[&uri, checkpoint]);
        // The files are so new that the client may not have read this state.
        wait_for_update(&mut client, &uri, stream);
        wait_for_update(&mut client, checkpoint, stream);
        fs::write(&file, "longer").unwrap();
        wait_for_update(&mut client, &uri, stream);
        let second = keep_result(&home, "op", "another");
        wait_for_update(&mut client, checkpoint, stream);
        fs::remove_file(&file).unwrap();
        wait_for_update(&mut client, &uri, stream);
        fs::remove_file(&first).unwrap();
        fs::remove_file(&second).unwrap();
        wait_for_update(&mut client, checkpoint, stream);
        fs::write(&file, "again").unwrap();
        wait_for_update(&mut client, &uri, stream);
    }
}

#[test]
fn unsubscribing_stops_notifications() {
    for era in ERAS {
        let home = Home::new();
        let (first, second) = (save(&home, "a", b""), save(&home, "b", b""));
        let (dropped, kept) = (uri_of(&first), uri_of(&second));
        let mut client = Client::offline(era, &home);
        let dropped_stream = watch(&mut client, &[&dropped]);
        let stream = watch(&mut client, &[&kept]);
        wait_for_update(&mut client, &dropped, dropped_stream);
        wait_for_update(&mut client, &kept, stream);
        unwatch(&mut client, &dropped, dropped_stream);
        client.list();
        client.bridge.heard.clear();
        // Both are polled equally often: after three updates of one, an update of the other would have arrived.
        fs::write(&first, "changed").unwrap();
        for text in ["1", "22", "333"] {
            fs::write(&second, text).unwrap();
            wait_for_update(&mut client, &kept, stream);
        }
        assert!(
            client.heard(UPDATED).is_empty(),
            "{:?}",
            client.bridge.heard
        );
        unwatch(&mut client, &kept, stream);
        client.list();
    }
}

#[test]
fn an_unknown_resource_cannot_be_watched() {
    let home = Home::new();
    let outside = home.folder("secret.txt");
    fs::write(&outside, "").unwrap();
    let gone = home.folder("results").join("gone.txt");
    save(&home, "a.txt", b"");
    let mut client = Client::offline(Era::Handshake, &home);
    for uri in [
        &uri_of(&outside),
        &uri_of(&gone),
        "smart-colab://jobs/7/log",
        "notes",
    ] {
        let refused = client.ask("resources/subscribe", json!({"uri": uri}));
        assert_eq!(
            refused["error"]["code"],
            Era::Handshake.missing(),
            "{refused}"
        );
    }
    // A stream acknowledges what it accepts.
    let mut client = Client::offline(Era::Modern, &home);
    let good = "smart-colab://checkpoints/op";
    listen(
        &mut client,
        json!({"resourceSubscriptions": ["notes", good, good], "toolsListChanged": true, "promptsListChanged": true}),
    );
    let heard = client.heard("notifications/subscriptions/acknowledged");
    let accepted = &heard[0]["params"]["notifications"];
    let wanted = json!({"resourceSubscriptions": [good, good], "toolsListChanged": true});
    assert_eq!(accepted, &wanted);
    for method in ["resources/subscribe", "resources/unsubscribe"] {
        let refused = client.ask(method, json!({"uri": good}));
        assert_eq!(refused["error"]["code"], -32601, "{refused}");
        let said = refused["error"]["message"].as_str().unwrap();
        assert!(said.contains("subscriptions/listen"), "{said}");
    }
}

#[test]
fn at_most_a_hundred_resources_are_watched() {
    let home = Home::new();
    let uris: Vec<String> = (0..101)
        .map(|n| format!("smart-colab://checkpoints/op{n}"))
        .collect();
    let mut client = Client::offline(Era::Handshake, &home);
    for uri in &uris[..100] {
        watch(&mut client, &[uri, uri]);
    }
    let refused = client.ask("resources/subscribe", json!({"uri": uris[100]}));
    assert_eq!(refused["error"]["data"]["code"], "busy", "{refused}");
    unwatch(&mut client, &uris[0], None);
    // The slot is free once the watch has ended.
    while client.ask("resources/subscribe", json!({"uri": uris[100]})) != json!({}) {}

    let mut client = Client::offline(Era::Modern, &home);
    listen(&mut client, json!({"resourceSubscriptions": uris}));
    let heard = client.heard("notifications/subscriptions/acknowledged");
    let accepted = &heard[0]["params"]["notifications"]["resourceSubscriptions"];
    assert_eq!(accepted.as_array().unwrap().len(), 100);
}

#[test]
fn new_resources_are_notified() {
    for era in ERAS {
        let home = Home::new();
        let line = Executor::shared().line();
        let variables = [
            ("COLAB_URL", line.as_str()),
            ("SMART_COLAB_CALL_BUDGET_SEC", "5"),
        ];
        let mut client = Client::start(era, home.program(&variables));
        let session = format!("news-{era:?}");
        let code = json!({"code": "import time; time.sleep(600)", "session": session});
        let running = client.call("run_code_long", code);
        client.list();
        let stream = (era == Era::Modern).then(|| {
            // A client that did not ask for it gets no notification.
            listen(
                &mut client,
                json!({"resourceSubscriptions": ["smart-colab://checkpoints/op"]}),
            );
            listen(&mut client, json!({"resourcesListChanged": true}))
        });
        // Calls that create nothing, and time to poll after each.
        let again = json!({"job_id": running.fact("job_id"), "wait_sec": 2});
        for _ in 0..2 {
            client.call("get_output", again.clone());
        }
        assert!(
            client.heard(LIST_CHANGED).is_empty(),
            "notified without a change"
        );
        for n in 0..2 {
            let code = json!({"code": n.to_string(), "session": format!("{session}-2")});
            client.call("run_code_quick", code);
            wait_for_list_change(&mut client, stream);
        }
        client.call("interrupt_execution", json!({"session": session}));
    }
}

#[test]
fn a_client_that_never_listed_resources_gets_no_list_changes() {
    let home = Home::new();
    let line = Executor::shared().line();
    let mut bridge = Bridge::greeted(home.program(&[("COLAB_URL", &line)]));
    for n in 0..3 {
        bridge.call(
            "run_code_quick",
            json!({"code": n.to_string(), "session": "no-list"}),
        );
    }
    assert_eq!(bridge.heard, [] as [Value; 0]);
}

#[test]
fn watches_end_when_their_client_disconnects() {
    for era in ERAS {
        let home = Home::new();
        let executor = Executor::start();
        let line = executor.line();
        let variables = [
            ("COLAB_URL", line.as_str()),
            ("SMART_COLAB_CALL_BUDGET_SEC", "5"),
        ];
        let mut client = Client::start(era, home.program(&variables));
        let code = "open('begun', 'w').close()\nimport time\nprint(1, flush=True)\ntime.sleep(600)";
        let answer = client.call("run_code_long", json!({"code": code}));
        until_there(&executor.root().join("begun"));
        let (log, unknown) = (answer.links[0].clone(), JobId::fresh());
        let file = uri_of(&save(&home, "a.txt", b""));
        let unknown = format!("smart-colab://jobs/{unknown}/log");
        let stream = watch(&mut client, &[&log, &file, &unknown]);
        wait_for_update(&mut client, &log, stream);
        let left = client.bridge.leave();
        assert_eq!(left.status.code(), Some(0), "{}", left.stderr);
        assert!(
            !left.stderr.contains("timed out draining"),
            "{}",
            left.stderr
        );
        // A stream ends with an answer.
        let ending = stream.map(|id| format!("\"id\":{id},\"result\""));
        assert!(
            ending.is_none_or(|ending| left.stdout.contains(&ending)),
            "{}",
            left.stdout
        );
    }
}
