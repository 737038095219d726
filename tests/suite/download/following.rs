//! `get_output` follows a download by its id, in this bridge and in later ones.

use serde_json::json;

use super::*;
use crate::support::home::Home;
use crate::support::stdio::Bridge;

/// Starts a bridge whose calls answer within seconds.
fn start(home: &Home, server: &FilesServer) -> Bridge {
    let line = format!("http://127.0.0.1:{}#{TOKEN}", server.port);
    let budget = ("SMART_COLAB_CALL_BUDGET_SEC", "5");
    Bridge::greeted(home.program(&[("COLAB_URL", &line), budget]))
}

/// Creates a server that sends part of a file, and the rest once released.
fn held() -> (FilesServer, Vec<u8>) {
    let (server, bytes) = (FilesServer::start(), content(40 * PIECE, 1));
    server.set(|state| {
        state.put("/content/big", bytes.clone());
        state.faults.hold_after = Some(16 * PIECE);
    });
    (server, bytes)
}

#[test]
fn get_output_follows_a_download_to_its_end_and_repeats_the_report() {
    let (home, (server, bytes)) = (Home::new(), held());
    let mut bridge = start(&home, &server);
    let begun = bridge.call(
        "download_from_colab",
        json!({"remote_path": "/content/big"}),
    );
    assert_eq!(begun.facts["status"], "running");
    for default in ["renamed", "resumed_bytes", "skipped", "verified"] {
        assert!(begun.facts.get(default).is_none(), "{}", begun.facts);
    }
    let id = begun.fact("job_id").to_owned();
    assert!(begun.fact("next_step").contains(&id), "{}", begun.facts);
    let look = json!({"job_id": id, "wait_sec": 0});
    let running = bridge.call("get_output", look.clone());
    running.succeeded();
    assert_eq!(running.facts["state"], "running");
    assert_eq!(running.facts["job_id"], id.as_str());
    assert!(
        running.text.contains(" of 5.0 MiB received."),
        "{}",
        running.text
    );
    server.release();
    let ended = bridge.call("get_output", json!({"job_id": id}));
    ended.succeeded();
    assert_eq!(ended.facts["state"], "succeeded");
    assert_eq!(ended.facts["sha256"], sha256(&bytes));
    let path = ended.fact("local_path").to_owned();
    assert!(ended.text.contains(&path), "{}", ended.text);
    let line = ended.whole["content"][0]["text"].as_str().unwrap();
    assert!(
        line.starts_with(r#"{"success":true,"state":"succeeded","status":"#)
            && !line.contains("null"),
        "{line}"
    );
    for of_code in [
        json!({"grep": "received"}),
        json!({"tail_lines": 3}),
        json!({"from_byte": 0}),
        json!({"until": "received"}),
        json!({"after": 0}),
    ] {
        let mut arguments = json!({"job_id": id});
        let members = of_code.as_object().unwrap().clone();
        arguments.as_object_mut().unwrap().extend(members);
        let refused = bridge.call("get_output", arguments);
        refused.refused("invalid_argument");
        assert!(
            refused.fact("error").contains("a download"),
            "{of_code}: {}",
            refused.facts
        );
    }
    assert!(std::fs::read(&path).unwrap() == bytes);
    drop(bridge);
    // A new bridge reports it too, without a request to the runtime.
    server.state().requests.clear();
    let mut bridge = start(&home, &server);
    let report = bridge.call("get_output", look);
    report.succeeded();
    assert_eq!(report.fact("local_path"), path);
    assert!(server.state().requests.is_empty());
}

#[test]
fn get_output_of_a_new_bridge_resumes_what_a_killed_one_left() {
    let (home, (server, bytes)) = (Home::new(), held());
    let mut bridge = start(&home, &server);
    let begun = bridge.call(
        "download_from_colab",
        json!({"remote_path": "/content/big"}),
    );
    let id = begun.fact("job_id").to_owned();
    drop(bridge);
    server.release();
    let mut bridge = start(&home, &server);
    let ended = bridge.call("get_output", json!({"job_id": id}));
    ended.succeeded();
    assert_eq!(ended.facts["state"], "succeeded");
    assert_eq!(ended.facts["job_id"], id.as_str());
    assert!(ended.facts["resumed_bytes"].as_u64().unwrap() > 0);
    assert!(std::fs::read(ended.fact("local_path")).unwrap() == bytes);
}

#[test]
fn the_same_call_to_a_new_bridge_resumes_under_the_same_id() {
    let (home, (server, _)) = (Home::new(), held());
    let call = json!({"remote_path": "/content/big"});
    let mut bridge = start(&home, &server);
    let begun = bridge.call("download_from_colab", call.clone());
    let id = begun.fact("job_id").to_owned();
    // While one bridge runs the download, another does not touch it.
    let mut other = start(&home, &server);
    let look = json!({"job_id": id, "wait_sec": 0});
    let seen = other.call("get_output", look);
    seen.succeeded();
    assert_eq!(seen.facts["state"], "running");
    assert!(seen.text.contains("Another"), "{}", seen.text);
    drop(bridge);
    server.release();
    let whole = other.call("download_from_colab", call);
    assert_eq!(whole.facts["status"], "complete", "{}", whole.facts);
    assert_eq!(whole.fact("job_id"), id);
}

#[test]
fn a_failed_download_is_reported_as_every_error_is() {
    let (home, server) = (Home::new(), FilesServer::start());
    server.set(|state| {
        state.put("/content/a", content(3 * PIECE, 1));
        state.faults.wrong_digests = 100;
        state.faults.hold_after = Some(PIECE);
    });
    let mut bridge = start(&home, &server);
    let begun = bridge.call("download_from_colab", json!({"remote_path": "/content/a"}));
    let id = begun.fact("job_id").to_owned();
    server.release();
    let look = json!({"job_id": id});
    for _ in 0..2 {
        let failed = bridge.call("get_output", look.clone());
        failed.refused("connection_failed");
        assert_eq!(failed.facts["state"], "failed");
        assert_eq!(failed.facts["job_id"], id.as_str());
        assert_eq!(failed.facts["remote_path"], "/content/a");
        assert!(failed.text.contains("integrity check"), "{}", failed.text);
        assert!(
            failed.fact("hint").contains("Call download_from_colab"),
            "{}",
            failed.facts
        );
    }
    drop(bridge);
    start(&home, &server)
        .call("get_output", look)
        .refused("connection_failed");
}

#[test]
fn cancelling_get_output_does_not_stop_the_download() {
    let (home, (server, _)) = (Home::new(), held());
    let mut bridge = start(&home, &server);
    let begun = bridge.call(
        "download_from_colab",
        json!({"remote_path": "/content/big"}),
    );
    let id = begun.fact("job_id").to_owned();
    let looking = bridge.begin_call("get_output", json!({"job_id": id}));
    bridge.notify("notifications/cancelled", json!({"requestId": looking}));
    server.release();
    let ended = bridge.call("get_output", json!({"job_id": id}));
    ended.succeeded();
    assert_eq!(ended.facts["state"], "succeeded");
}
