//! Checkpoints, linked and read.

use serde_json::{Value, json};

use super::{Client, ERAS, Era, keep_result};
use crate::support::executor::Executor;
use crate::support::home::Home;

#[test]
fn a_checkpoint_resource_matches_get_checkpoint() {
    let home = Home::new();
    keep_result(&home, "best.run-1", "accuracy 0.9");
    for era in ERAS {
        let mut client = Client::offline(era, &home);
        let uri = "smart-colab://checkpoints/best.run-1";
        let content = client.content(uri);
        assert_eq!(content["mimeType"], "application/json");
        let read: Value = serde_json::from_str(content["text"].as_str().unwrap()).unwrap();
        let report = client.call("get_checkpoint", json!({"operation": "best.run-1"}));
        assert_eq!(read, report.facts);
        assert_eq!(read["text"], "accuracy 0.9");
        let error = client.refused("smart-colab://checkpoints/worst", era.missing());
        assert!(
            error["message"].as_str().unwrap().contains("best.run-1"),
            "{error}"
        );
    }
}

#[test]
fn an_operation_links_its_checkpoint() {
    let home = Home::new();
    let line = Executor::shared().line();
    let mut client = Client::start(Era::Handshake, home.program(&[("COLAB_URL", &line)]));
    let operation = json!({
        "setup_code": "x = 1", "loop_code": "x + i", "n_iterations": 4, "batch_size": 2, "checkpoint_name": "linked.op", "session": "linked-op",
    });
    let answer = client.call("run_chunked_operation", operation);
    answer.succeeded();
    assert_eq!(answer.links, ["smart-colab://checkpoints/linked.op"]);
    let report: Value = serde_json::from_str(&client.text(&answer.links[0])).unwrap();
    assert_eq!(report["completed"], 4, "{report}");
    let listed = super::uris(&client.list());
    assert!(listed.contains(&answer.links[0]), "{listed:?}");
}
