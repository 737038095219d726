//! Uploads from the client's roots.

use serde_json::{Value, json};

use super::*;
use crate::support::home::Home;
use crate::support::stdio::{Answer, Bridge};

/// Starts a client that declares roots.
fn start(server: &UploadServer, home: &Home, capabilities: &Value) -> Bridge {
    let line = server.line();
    let mut bridge = Bridge::start(home.program(&[("COLAB_URL", &line)]));
    let params = json!({
        "protocolVersion": "2025-11-25", "capabilities": capabilities, "clientInfo": {"name": "test", "version": "1"},
    });
    bridge.request("initialize", params);
    bridge.notify("notifications/initialized", json!({}));
    bridge
}

fn upload(bridge: &mut Bridge, local: &Path, answer: impl FnOnce(&mut Bridge)) -> Answer {
    let arguments = json!({"local_path": local, "remote_path": "x"});
    let id = bridge.begin_call("upload_to_colab", arguments);
    answer(bridge);
    Answer::of(&bridge.answer(id))
}

/// Answers the next `roots/list` request.
fn answer_roots(bridge: &mut Bridge, roots: &[&str]) {
    let is_question = |message: &Value| message["method"] == "roots/list";
    bridge.until_heard(is_question);
    let at = bridge.heard.iter().position(is_question).unwrap();
    let id = bridge.heard.remove(at)["id"].clone();
    let roots: Vec<Value> = roots.iter().map(|uri| json!({"uri": uri})).collect();
    let reply = json!({"jsonrpc": "2.0", "id": id, "result": {"roots": roots}});
    bridge.send_line(reply.to_string());
}

#[test]
fn files_are_uploaded_from_the_clients_current_roots() {
    let (server, home) = (UploadServer::start(), Home::new());
    let path = write(home.path(), "my project/ä.csv", b"1,2");
    let folder = url::Url::from_file_path(home.folder("my project")).unwrap();
    let mut bridge = start(&server, &home, &json!({"roots": {}}));
    let answer = upload(&mut bridge, &path, |bridge| {
        answer_roots(bridge, &["https://example.com/", folder.as_str()])
    });
    assert_eq!(answer.fact("status"), "complete", "{}", answer.whole);
    let answer = upload(&mut bridge, &path, |bridge| answer_roots(bridge, &[]));
    answer.refused("outside_upload_dirs");
    let outside = write(home.path(), "other/secret", b"s");
    let answer = upload(&mut bridge, &outside, |bridge| {
        answer_roots(bridge, &[folder.as_str(), "file://host/x", "nonsense"])
    });
    answer.refused("outside_upload_dirs");
    assert!(
        answer.fact("error").contains("my project"),
        "{}",
        answer.facts
    );
}

#[test]
fn a_client_that_declares_roots_but_lists_none_has_none() {
    let (server, home) = (UploadServer::start(), Home::new());
    let path = write(home.path(), "project/a", b"a");
    let mut bridge = start(&server, &home, &json!({"roots": {"listChanged": true}}));
    upload(&mut bridge, &path, |_| {}).refused("outside_upload_dirs");
}

#[test]
fn a_client_without_the_roots_capability_is_not_asked() {
    let (server, home) = (UploadServer::start(), Home::new());
    let path = write(home.path(), "project/a", b"a");
    let mut bridge = start(&server, &home, &json!({}));
    upload(&mut bridge, &path, |_| {}).refused("outside_upload_dirs");
    assert!(bridge.heard.is_empty(), "{:?}", bridge.heard);
}
