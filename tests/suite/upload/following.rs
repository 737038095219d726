//! `get_output` follows an upload by its id, in this bridge and in later ones.

use serde_json::json;

use super::*;
use crate::support::home::Home;
use crate::support::stdio::Bridge;

/// The program's piece size in bytes.
const REAL_PIECE: u64 = 4 << 20;

/// Starts a bridge whose calls answer within seconds.
fn start(home: &Home, server: &UploadServer) -> Bridge {
    let line = server.line();
    let budget = ("SMART_COLAB_CALL_BUDGET_SEC", "5");
    Bridge::greeted(home.program(&[("COLAB_URL", &line), budget]))
}

/// Creates a server that takes part of a file, and the rest once released.
fn held() -> (UploadServer, Home, Vec<u8>) {
    let (server, home) = (UploadServer::start(), Home::new());
    let bytes = content(5 * REAL_PIECE, 1);
    write(home.path(), "results/big", &bytes);
    server.state().faults.hold_at = Some(2 * REAL_PIECE);
    (server, home, bytes)
}

fn release(server: &UploadServer) {
    server.set(|state| state.faults.hold_at = None);
}

/// Begins an upload that outlives its call; returns its id.
fn begin(bridge: &mut Bridge) -> String {
    let arguments = json!({"local_path": "big", "remote_path": "/content/big"});
    let begun = bridge.call("upload_to_colab", arguments);
    assert_eq!(begun.facts["status"], "running", "{}", begun.facts);
    let id = begun.fact("job_id").to_owned();
    let next = begun.fact("next_step");
    assert!(next.contains("get_output") && next.contains(&id), "{next}");
    id
}

#[test]
fn get_output_follows_an_upload_to_its_end_and_repeats_the_report() {
    let (server, home, bytes) = held();
    let mut bridge = start(&home, &server);
    let id = begin(&mut bridge);
    let look = json!({"job_id": id, "wait_sec": 0});
    let running = bridge.call("get_output", look.clone());
    running.succeeded();
    assert_eq!(running.facts["state"], "running");
    assert_eq!(running.facts["job_id"], id.as_str());
    let text = &running.text;
    assert!(text.contains(" of 20.0 MiB sent."), "{text}");
    release(&server);
    let ended = bridge.call("get_output", json!({"job_id": id}));
    ended.succeeded();
    assert_eq!(ended.facts["state"], "succeeded");
    assert_eq!(ended.facts["sha256"], sha256(&bytes));
    assert!(ended.text.contains("/content/big"), "{}", ended.text);
    assert!(server.state().content("/content/big") == Some(&bytes));
    drop(bridge);
    // A new bridge reports it too, without a request to the runtime.
    server.state().requests.clear();
    let report = start(&home, &server).call("get_output", look);
    report.succeeded();
    assert_eq!(report.facts["sha256"], sha256(&bytes));
    assert!(server.state().requests.is_empty());
}

#[test]
fn get_output_of_a_new_bridge_resumes_what_a_killed_one_left() {
    let (server, home, bytes) = held();
    let mut bridge = start(&home, &server);
    let id = begin(&mut bridge);
    // While one bridge runs the upload, another does not touch it.
    let mut other = start(&home, &server);
    let seen = other.call("get_output", json!({"job_id": id, "wait_sec": 0}));
    seen.succeeded();
    assert_eq!(seen.facts["state"], "running");
    assert!(seen.text.contains("Another"), "{}", seen.text);
    drop(bridge);
    release(&server);
    let ended = other.call("get_output", json!({"job_id": id}));
    ended.succeeded();
    assert_eq!(ended.facts["state"], "succeeded");
    assert_eq!(ended.facts["job_id"], id.as_str());
    assert!(ended.facts["already_there_bytes"].as_u64().unwrap() > 0);
    assert!(server.state().content("/content/big") == Some(&bytes));
}

#[test]
fn a_new_bridge_checks_upload_permission_again() {
    let (server, home) = (UploadServer::start(), Home::new());
    let bytes = content(5 * REAL_PIECE, 1);
    let path = write(home.path(), "other/big", &bytes);
    server.state().faults.hold_at = Some(2 * REAL_PIECE);
    let (line, dirs) = (server.line(), home.folder("other"));
    let run = |more: &[(&str, &str)]| {
        let budget = ("SMART_COLAB_CALL_BUDGET_SEC", "5");
        let mut command = home.program(&[("COLAB_URL", &line), budget]);
        command.envs(more.iter().copied());
        Bridge::greeted(command)
    };
    let allowed = [("UPLOAD_DIRS", dirs.to_str().unwrap())];
    let call = json!({"local_path": path, "remote_path": "/content/big"});
    let mut bridge = run(&allowed);
    let id = bridge.call("upload_to_colab", call.clone());
    let id = id.fact("job_id").to_owned();
    drop(bridge);
    release(&server);
    let refused = run(&[]).call("get_output", json!({"job_id": id}));
    refused.refused("outside_upload_dirs");
    let hint = refused.fact("hint");
    assert!(hint.contains("Call upload_to_colab again"), "{hint}");
    assert!(server.state().content("/content/big").is_none());
    // A refusal does not lose the upload: it resumes where it is allowed.
    let ended = run(&allowed).call("upload_to_colab", call);
    assert_eq!(ended.facts["status"], "complete", "{}", ended.facts);
    assert_eq!(ended.fact("job_id"), id);
    assert!(server.state().content("/content/big") == Some(&bytes));
}

#[test]
fn a_failed_upload_is_reported_as_every_error_is() {
    let (server, home, _) = held();
    server.state().faults.damaged = 100;
    let mut bridge = start(&home, &server);
    let id = begin(&mut bridge);
    release(&server);
    let look = json!({"job_id": id});
    for _ in 0..2 {
        let failed = bridge.call("get_output", look.clone());
        failed.refused("connection_failed");
        assert_eq!(failed.facts["state"], "failed");
        assert_eq!(failed.facts["job_id"], id.as_str());
        assert_eq!(failed.facts["remote_path"], "/content/big");
        assert!(failed.text.contains("integrity check"), "{}", failed.text);
        assert!(
            failed.fact("hint").contains("Call upload_to_colab"),
            "{}",
            failed.facts
        );
    }
    drop(bridge);
    let report = start(&home, &server).call("get_output", look);
    report.refused("connection_failed");
}
