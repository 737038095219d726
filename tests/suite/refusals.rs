//! Invalid input gets a code, a message and a hint; nothing runs and no checkpoint is touched.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::executor::Executor;
use crate::support::home::Home;
use crate::support::stdio::Bridge;

fn plan(changes: &Value) -> Value {
    let mut plan = json!({
        "setup_code": "base = 1", "loop_code": "base + i", "n_iterations": 3, "batch_size": 2, "checkpoint_name": "kept",
        "session": "refusals",
    });
    for (name, value) in changes.as_object().unwrap() {
        plan[name] = value.clone();
    }
    plan
}

/// Returns every file below a folder with its content.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

fn operated() -> (Home, Bridge) {
    let home = Home::new();
    let mut bridge = Executor::shared().bridge(&home, &[]);
    bridge
        .call("run_chunked_operation", plan(&json!({})))
        .succeeded();
    (home, bridge)
}

#[test]
fn an_invalid_plan_is_refused_and_touches_no_checkpoint() {
    let (home, mut bridge) = operated();
    let before = files(&home.folder("checkpoints"));
    assert!(!before.is_empty());
    let long = "x".repeat(300);
    for (changes, code) in [
        (json!({"checkpoint_name": "../kept"}), "invalid_argument"),
        (json!({"checkpoint_name": "a/b"}), "invalid_argument"),
        (json!({"checkpoint_name": "a\\b"}), "invalid_argument"),
        (json!({"checkpoint_name": "."}), "invalid_argument"),
        (json!({"checkpoint_name": ".."}), "invalid_argument"),
        (json!({"checkpoint_name": ""}), "invalid_argument"),
        (json!({"checkpoint_name": "a:b"}), "invalid_argument"),
        (json!({"checkpoint_name": long}), "invalid_argument"),
        (json!({"batch_size": 0}), "invalid_argument"),
        (json!({"n_iterations": 0}), "invalid_argument"),
        (json!({"n_iterations": -1}), "invalid_argument"),
        (json!({"on_error": "panic"}), "invalid_argument"),
        (json!({"session": "a b"}), "invalid_argument"),
        (json!({"loop_code": " "}), "invalid_argument"),
    ] {
        let answer = bridge.call("run_chunked_operation", plan(&changes));
        answer.refused(code);
        assert_eq!(files(&home.folder("checkpoints")), before, "{changes}");
    }
    for (changes, differing) in [
        (json!({"loop_code": "base + i + 1"}), "loop_code"),
        (json!({"setup_code": "base = 2"}), "setup_code"),
        (json!({"n_iterations": 4}), "n_iterations (3 before, 4 now)"),
        (
            json!({"session": "other"}),
            "session (refusals before, other now)",
        ),
        (
            json!({"n_iterations": 2, "setup_code": "", "loop_code": "i"}),
            "n_iterations (3 before, 2 now), setup_code, loop_code",
        ),
    ] {
        let answer = bridge.call("run_chunked_operation", plan(&changes));
        answer.refused("checkpoint_mismatch");
        let error = answer.fact("error");
        assert!(
            error.ends_with(&format!("; what differs: {differing}")),
            "{error}"
        );
        // keep_done is named where it helps alone.
        let is_code = !differing.contains(" now)");
        let hint = answer.fact("hint");
        assert_eq!(hint.contains("keep_done"), is_code, "{hint}");
        assert_eq!(files(&home.folder("checkpoints")), before, "{changes}");
    }
    for name in ["../kept", "a/b", ".", long.as_str()] {
        let answer = bridge.call("get_checkpoint", json!({"operation": name}));
        answer.refused("invalid_argument");
    }
    let unknown = bridge.call("get_checkpoint", json!({"operation": "other"}));
    unknown.refused("not_found");
    assert!(
        unknown.whole.to_string().contains("kept"),
        "the known names are listed"
    );
    assert_eq!(files(&home.folder("checkpoints")), before);
}

#[test]
fn invalid_code_stops_an_operation_before_its_first_iteration() {
    let (_home, mut bridge) = operated();
    for (name, changes) in [
        (
            "failing-setup",
            json!({"setup_code": "raise ValueError('no data')"}),
        ),
        ("no-setup", json!({"setup_code": "def ("})),
        ("no-body", json!({"loop_code": "for x in: pass"})),
    ] {
        let mut changes = changes;
        changes["checkpoint_name"] = json!(name);
        let answer = bridge.call("run_chunked_operation", plan(&changes));
        answer.refused("python_error");
        assert_eq!(answer.facts["completed"], 0, "{}", answer.facts);
        assert!(
            answer.fact("hint").contains("keep_done: true"),
            "{}",
            answer.facts
        );
        let fixed = plan(&json!({"checkpoint_name": name, "keep_done": true}));
        bridge.call("run_chunked_operation", fixed).succeeded();
    }
}

#[test]
fn a_cursor_past_the_end_shows_nothing_and_an_invalid_one_is_refused() {
    let home = Home::new();
    let mut bridge = Executor::shared().bridge(&home, &[]);
    let arguments = json!({"code": "print('whole')", "session": "refusals-cursor"});
    let ran = bridge.call("run_code_quick", arguments);
    let id = &ran.facts["job_id"];
    for after in [json!(4_000_000), json!(9_007_199_254_740_991_u64)] {
        let answer = bridge.call("get_output", json!({"job_id": id, "after": after}));
        answer.succeeded();
        assert_eq!(answer.text, "", "{}", answer.facts);
    }
    for after in [json!(-1), json!("next"), json!(1.5), json!(1e30)] {
        let answer = bridge.call("get_output", json!({"job_id": id, "after": after}));
        answer.refused("invalid_argument");
    }
    let whole = bridge.call("get_output", json!({"job_id": id}));
    assert_eq!(whole.text, "whole\n");
}
