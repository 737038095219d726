//! The server on stdio, for clients of every protocol version.

use serde_json::{Value, json};

use crate::support::home::Home;
use crate::support::stdio::{Bridge, Left, MODERN, modern};

/// Refuses connections, so a call that needs the network waits or fails.
const DEAD_URL: &str = "https://127.0.0.1:9/#dead-t0ken";

fn unconfigured(home: &Home) -> Bridge {
    Bridge::start(home.program(&[]))
}

#[track_caller]
fn assert_clean_exit(left: &Left) {
    assert_eq!(left.status.code(), Some(0), "{}", left.stderr);
}

#[test]
fn every_known_protocol_version_is_echoed_by_initialize() {
    for version in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        let home = Home::new();
        let mut bridge = unconfigured(&home);
        let hello = bridge.initialize(version);
        assert_eq!(hello["protocolVersion"], version, "{hello}");
        assert_eq!(hello["serverInfo"]["name"], "smart-colab", "{hello}");
        assert!(hello["capabilities"]["tools"].is_object(), "{hello}");
        let instructions = hello["instructions"].as_str().unwrap();
        assert!(instructions.chars().count() < 4_096);
        bridge.notify("notifications/initialized", json!({}));
        assert_eq!(bridge.request("ping", json!({})), json!({}));
        assert_clean_exit(&bridge.leave());
    }
}

#[test]
fn an_unknown_protocol_version_is_answered_with_a_known_one() {
    let home = Home::new();
    let mut bridge = unconfigured(&home);
    let hello = bridge.initialize("2199-01-01");
    assert!(hello["protocolVersion"].is_string(), "{hello}");
    assert_clean_exit(&bridge.leave());
}

#[test]
fn a_modern_client_calls_without_any_handshake() {
    let home = Home::new();
    let mut bridge = Bridge::start(home.program(&[("COLAB_URL", DEAD_URL)]));
    let tools = bridge.request("tools/list", modern(json!({})));
    assert!(tools["tools"].is_array(), "{tools}");
    let call = json!({"name": "check_colab_connection", "arguments": {}});
    let report = bridge.request("tools/call", modern(call));
    let facts = &report["structuredContent"];
    assert_eq!(facts["status"], "disconnected", "{report}");
    assert_clean_exit(&bridge.leave());
}

#[test]
fn a_modern_client_discovers_and_then_calls() {
    let home = Home::new();
    let mut bridge = unconfigured(&home);
    let found = bridge.request("server/discover", modern(json!({})));
    let versions = found["supportedVersions"].as_array().unwrap();
    assert!(versions.contains(&json!(MODERN)), "{found}");
    let tools = bridge.request("tools/list", modern(json!({})));
    assert!(tools["tools"].is_array(), "{tools}");
    assert_clean_exit(&bridge.leave());
}

/// Claude Code tries `server/discover`, may time out, and then sends `initialize`.
#[test]
fn a_client_may_fall_back_from_discovery_to_the_handshake() {
    for giving_up in [false, true] {
        let home = Home::new();
        let mut bridge = Bridge::start(home.program(&[("COLAB_URL", DEAD_URL)]));
        let id = bridge.begin("server/discover", modern(json!({})));
        if giving_up {
            let params = json!({"requestId": id, "reason": "timeout"});
            bridge.notify("notifications/cancelled", params);
        } else {
            let found = bridge.answer(id);
            assert!(found["supportedVersions"].is_array(), "{found}");
        }
        let hello = bridge.initialize("2025-11-25");
        assert_eq!(hello["protocolVersion"], "2025-11-25", "{hello}");
        bridge.notify("notifications/initialized", json!({}));
        let tools = bridge.request("tools/list", json!({}));
        assert!(tools["tools"].is_array(), "{tools}");
        assert_clean_exit(&bridge.leave());
    }
}

#[test]
fn a_ping_and_a_notification_may_come_before_the_handshake() {
    let home = Home::new();
    let mut bridge = unconfigured(&home);
    bridge.notify("notifications/initialized", json!({}));
    assert_eq!(bridge.request("ping", json!({})), json!({}));
    bridge.notify("notifications/roots/list_changed", json!({}));
    let hello = bridge.initialize("2025-06-18");
    assert_eq!(hello["protocolVersion"], "2025-06-18", "{hello}");
    assert_clean_exit(&bridge.leave());
}

#[test]
fn a_client_that_disconnects_at_once_is_not_an_error() {
    let home = Home::new();
    let left = unconfigured(&home).leave();
    assert_clean_exit(&left);
    assert_eq!(left.stdout, "");
}

#[test]
fn stdout_holds_only_messages_until_the_client_disconnects() {
    let home = Home::new();
    let mut bridge = Bridge::greeted(home.program(&[("SMART_COLAB_LOG", "trace")]));
    bridge.request("tools/list", json!({}));
    bridge.call("check_colab_connection", json!({}));
    let left = bridge.leave();
    assert_clean_exit(&left);
    assert_eq!(left.stdout.lines().count(), 3, "{}", left.stdout);
    for line in left.stdout.lines() {
        let message: Value = serde_json::from_str(line).unwrap();
        assert_eq!(message["jsonrpc"], "2.0");
    }
}

#[test]
fn a_malformed_line_is_survived() {
    let home = Home::new();
    let mut bridge = unconfigured(&home);
    bridge.send_line("this is no JSON");
    bridge.send_line("");
    bridge.initialize("2025-11-25");
    bridge.notify("notifications/initialized", json!({}));
    for line in [
        "{",
        "[]",
        "null",
        "{\"jsonrpc\":\"2.0\"}",
        "\u{1}\u{2}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/unheard_of\"}",
    ] {
        bridge.send_line(line);
    }
    let answer = bridge.request("no/such/method", json!({}));
    assert!(answer["error"]["code"].is_number(), "{answer}");
    assert_eq!(bridge.request("ping", json!({})), json!({}));
    assert_clean_exit(&bridge.leave());
}

#[test]
fn a_malformed_request_is_answered_under_its_id() {
    let home = Home::new();
    let mut bridge = unconfigured(&home);
    bridge.initialize("2025-11-25");
    bridge.notify("notifications/initialized", json!({}));
    // Including one larger than the memory limit.
    let code = "x".repeat(65 * 1024 * 1024);
    for (id, line) in [
        (
            101,
            json!({"jsonrpc": "2.0", "id": 101, "method": "tools/call", "params": [1]}),
        ),
        (
            102,
            json!({"jsonrpc": "2.0", "id": 102, "method": "tools/call", "params": {"name": 5}}),
        ),
        (103, json!({"id": 103, "method": "tools/list"})),
        (
            104,
            json!({"jsonrpc": "2.0", "id": 104, "method": ["tools/list"]}),
        ),
        (
            105,
            json!({"jsonrpc": "2.0", "id": 105, "method": "tools/call", "params": {"name": "run_code_quick", "arguments": {"code": code}}}),
        ),
    ] {
        bridge.send_line(line.to_string());
        let answer = bridge.answer(id);
        assert!(answer["error"]["code"].is_number(), "{answer}");
    }
    assert_eq!(bridge.request("ping", json!({})), json!({}));
    assert_clean_exit(&bridge.leave());
}

#[test]
fn malformed_params_and_unknown_methods_have_different_errors() {
    let home = Home::new();
    let mut bridge = unconfigured(&home);
    bridge.initialize("2025-11-25");
    bridge.notify("notifications/initialized", json!({}));
    for (id, method, params, code, said) in [
        (
            101,
            "tools/call",
            json!({"name": "list_jobs", "arguments": "{}"}),
            -32602,
            "an object",
        ),
        (102, "resources/read", json!({}), -32602, "uri"),
        (103, "tools/bake", json!({}), -32601, "tools/bake"),
        (
            104,
            "tools/bake",
            json!({}),
            -32601,
            "Supported are initialize,",
        ),
        (
            105,
            "tool/call",
            json!({}),
            -32601,
            "did you mean tools/call?",
        ),
        (
            106,
            "prompts/get",
            json!({"name": "x"}),
            -32602,
            "there are analyse_a_dataset, ",
        ),
        (
            107,
            "logging/setLevel",
            json!({"level": "info"}),
            -32601,
            "no log messages",
        ),
        (
            109,
            "tools/call",
            json!({"name": "run_code_quik"}),
            -32602,
            "did you mean run_code_quick?",
        ),
        (
            110,
            "tools/call",
            json!({"name": "bake"}),
            -32602,
            "there are add_code_cell, ",
        ),
        (
            111,
            "subscriptions/listen",
            json!({"notifications": {}}),
            -32601,
            "protocol version",
        ),
        (
            112,
            "initialize",
            json!({"protocolVersion": 7}),
            -32602,
            "`protocolVersion`, a string",
        ),
    ] {
        let line = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        bridge.send_line(line.to_string());
        let error = &bridge.answer(id)["error"];
        assert_eq!(error["code"], code, "{error}");
        assert!(error["message"].as_str().unwrap().contains(said), "{error}");
    }
    assert_clean_exit(&bridge.leave());
}

#[test]
fn a_dead_address_does_not_block_the_handshake_or_the_tool_list() {
    let home = Home::new();
    let mut bridge = Bridge::greeted(home.program(&[("COLAB_URL", DEAD_URL)]));
    let tools = bridge.request("tools/list", json!({}));
    assert!(tools["tools"].is_array(), "{tools}");
    let report = bridge.call("check_colab_connection", json!({}));
    assert_eq!(report.facts["status"], "disconnected", "{}", report.facts);
    assert_eq!(report.facts["code"], "connection_failed");
    assert!(!report.fact("suggestion").is_empty());
    assert_eq!(report.facts["url"], "https://127.0.0.1:9");
    let left = bridge.leave();
    assert_clean_exit(&left);
    assert!(!(left.stdout + &left.stderr + &home.everything()).contains("dead-t0ken"));
}

#[test]
fn without_an_address_every_tool_says_how_to_connect() {
    let home = Home::new();
    let mut bridge = Bridge::greeted(home.program(&[]));
    let tools = bridge.request("tools/list", json!({}));
    assert!(!tools["tools"].as_array().unwrap().is_empty());
    let id = "0193a5b0-0000-7000-8000-000000000000";
    for (tool, arguments) in [
        ("probe_colab_environment", json!({})),
        ("run_code_quick", json!({"code": "1"})),
        ("run_code_long", json!({"code": "1"})),
        (
            "run_chunked_operation",
            json!({"setup_code": "", "loop_code": "i", "n_iterations": 2}),
        ),
        ("list_colab_files", json!({})),
        ("download_from_colab", json!({"remote_path": "a"})),
        ("cleanup_colab", json!({})),
        ("list_colab_variables", json!({})),
        ("get_output", json!({"job_id": id})),
    ] {
        let answer = bridge.call(tool, arguments);
        answer.refused("not_configured");
        assert!(answer.fact("hint").contains("COLAB_URL"), "{tool}");
    }
    let report = bridge.call("check_colab_connection", json!({}));
    assert!(!report.is_error);
    assert_eq!(report.facts["status"], "disconnected");
    assert_eq!(report.facts["code"], "not_configured");
    assert!(report.fact("suggestion").contains("COLAB_URL"));
    assert_clean_exit(&bridge.leave());
}

#[test]
fn all_configuration_errors_are_reported_at_once() {
    let home = Home::new();
    let file = home.folder("file");
    std::fs::write(&file, "").unwrap();
    let below = file.join("results").display().to_string();
    let left = Bridge::start(home.program(&[
        ("COLAB_URL", "http://example.com/#s3cret"),
        ("SMART_COLAB_CALL_BUDGET_SEC", "soon"),
        ("LOCAL_SAVE_DIR", &below),
        ("CHECKPOINT_DIR", "${HOME}/checkpoints"),
    ]))
    .leave();
    assert_eq!(left.status.code(), Some(2), "{}", left.stderr);
    assert_eq!(left.stdout, "");
    for said in [
        "COLAB_URL starts with http://",
        "SMART_COLAB_CALL_BUDGET_SEC is \"soon\"",
        &format!("LOCAL_SAVE_DIR is {below}: that folder cannot be created"),
        "CHECKPOINT_DIR holds a placeholder ${HOME} that the client did not replace",
    ] {
        assert!(left.stderr.contains(said), "{}", left.stderr);
    }
    assert!(!home.everything().contains("${"), "no folder of that name");
    assert!(!left.stderr.contains("s3cret"), "{}", left.stderr);
}
