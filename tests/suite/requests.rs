//! Every request is answered under its id, however malformed.

use serde_json::{Value, json};

use crate::support::executor::Executor;
use crate::support::home::Home;
use crate::support::stdio::{Answer, Bridge};

/// Ids beyond the number types of most programs.
const IDS: [&str; 7] = [
    "9223372036854775808",
    "18446744073709551616",
    "123456789012345678901234567890",
    "-99999999999999999999",
    "1.5",
    "1e400",
    r#""0a\"\\é""#,
];

fn parsed(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

#[test]
fn malformed_json_is_refused_under_its_id_with_a_hint() {
    let home = Home::new();
    let mut bridge = Bridge::greeted(home.program(&[]));
    let call = |id: u32, value: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"list_jobs","arguments":{{"top":{value}}}}}}}"#
        )
    };
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    let latin = [call(4, "\"").into_bytes(), vec![0xE9], b"\"}}}".to_vec()].concat();
    for (id, line, code) in [
        (1, call(1, &deep).into_bytes(), -32700),
        (2, call(2, "1e999").into_bytes(), -32700),
        (3, call(3, "NaN").into_bytes(), -32700),
        (4, latin, -32700),
        (5, call(5, "\"cut").replace("}}}", "").into_bytes(), -32700),
        (6, call(6, "1").replace("2.0", "1.0").into_bytes(), -32600),
        (
            7,
            call(7, "1")
                .replace("\"method\"", "\"id\":8,\"method\"")
                .into_bytes(),
            -32600,
        ),
        (
            9,
            call(9, "1")
                .replace("\"method\"", "\"result\":1,\"method\"")
                .into_bytes(),
            -32600,
        ),
    ] {
        bridge.send_line(&line);
        let answer = bridge.answer(id);
        let error = &answer["error"];
        assert_eq!(error["code"], code, "{answer}");
        let said = error["message"].as_str().unwrap();
        assert!(said.contains("Nothing was done: send it again"), "{said}");
    }
    // Responses and empty lines get no answer.
    for line in [
        r#"{"jsonrpc":"2.0","id":1,"result":1e999}"#,
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":1e999}}"#,
        "",
    ] {
        bridge.send_line(line);
    }
    assert_eq!(bridge.request("ping", json!({})), json!({}));
}

/// Returns the codes of the answers to `line` up to that of a ping, and asserts that all have the id null.
fn codes_under_null(bridge: &mut Bridge, line: &str) -> Vec<i64> {
    bridge.send_line(line);
    bridge.send_line(r#"{"jsonrpc":"2.0","id":"end","method":"ping"}"#);
    let mut codes = Vec::new();
    let mut is_ended = false;
    // An answer of rmcp and one of ours may arrive in either order.
    while !is_ended || codes.is_empty() {
        let answer = parsed(&bridge.line());
        if answer["id"] == "end" {
            is_ended = true;
            continue;
        }
        assert!(answer.as_object().unwrap().contains_key("id"), "{answer}");
        assert_eq!(answer["id"], json!(null), "{line}: {answer}");
        let error = &answer["error"];
        let said = error["message"].as_str().unwrap();
        assert!(said.contains("Nothing was done: send it again"), "{said}");
        codes.push(error["code"].as_i64().unwrap());
    }
    codes
}

#[test]
fn a_request_without_a_readable_id_is_refused_under_null() {
    let home = Home::new();
    let mut bridge = Bridge::greeted(home.program(&[]));
    for (line, code) in [
        ("{", -32700),
        (r#"{"jsonrpc":"2.0","method":"ping","id""#, -32700),
        ("GET / HTTP/1.1", -32700),
        (r#"{"method":1e999}"#, -32700),
        (
            r#"{"jsonrpc":"2.0","method":"notifications/x","params":1e999}"#,
            -32700,
        ),
        ("[", -32700),
        ("[1", -32700),
        (r#"[{"jsonrpc":"2.0","method":"ping"},"#, -32700),
        ("[]", -32600),
        ("[1]", -32600),
        ("7", -32600),
        ("null", -32600),
        (r#"{"jsonrpc":"2.0","method":1,"params":"bar"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600),
        (
            r#"{"jsonrpc":"2.0","id":null,"method":"tools/call","params":{"name":"list_jobs"}}"#,
            -32600,
        ),
        (r#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":[1],"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":{},"method":7}"#, -32600),
        (
            r#"[{"jsonrpc":"2.0","id":null,"method":"tools/list"}]"#,
            -32600,
        ),
    ] {
        assert_eq!(codes_under_null(&mut bridge, line), [code], "{line}");
    }
    // A client that writes an absent id as null sends this.
    bridge.send_line(r#"{"jsonrpc":"2.0","id":null,"method":"notifications/initialized"}"#);
    assert_eq!(bridge.request("ping", json!({})), json!({}));
    // Before the handshake too, and when the client disconnects at once.
    let mut early = Bridge::start(home.program(&[]));
    early.send_line("{");
    assert_eq!(parsed(&early.line())["error"]["code"], -32700);
    early.initialize("2025-03-26");
    early.send_line("{");
    let left = early.leave();
    assert!(left.stdout.trim_end().ends_with('}'), "{}", left.stdout);
    assert_eq!(left.stdout.matches(r#""id":null"#).count(), 1);
}

#[test]
fn each_broken_element_of_a_batch_is_refused() {
    let home = Home::new();
    let mut bridge = Bridge::greeted(home.program(&[]));
    let batch = r#"[1,{"foo":"boo"},{"jsonrpc":"2.0","id":true,"method":"ping"},{"jsonrpc":"2.0","method":1e999}]"#;
    let mut codes = codes_under_null(&mut bridge, batch);
    while codes.len() < 4 {
        codes.push(parsed(&bridge.line())["error"]["code"].as_i64().unwrap());
    }
    codes.sort_unstable();
    assert_eq!(codes, [-32700, -32600, -32600, -32600]);
}

#[test]
fn a_truncated_or_oversized_batch_runs_nothing_and_refuses_every_call() {
    let home = Home::new();
    let mut bridge = Bridge::greeted(home.program(&[]));
    for (line, code) in [
        (
            r#"[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","method"#.to_owned(),
            -32700,
        ),
        (
            format!(
                r#"[{{"jsonrpc":"2.0","id":1,"method":"ping"}}{}]"#,
                ",1".repeat(100_000)
            ),
            -32600,
        ),
    ] {
        bridge.send_line(&line);
        let mut ids = Vec::new();
        for _ in 0..2 {
            let answer = parsed(&bridge.line());
            assert_eq!(answer["error"]["code"], code, "{answer}");
            ids.push(answer["id"].clone());
        }
        assert!(
            ids.contains(&json!(1)) && ids.contains(&json!(null)),
            "{ids:?}"
        );
        assert_eq!(bridge.request("ping", json!({})), json!({}));
    }
}

#[test]
fn a_lone_surrogate_is_replaced_and_its_call_runs() {
    let home = Home::new();
    let mut bridge = Executor::shared().bridge(&home, &[]);
    bridge.send_line(
        r#"{"jsonrpc":"2.0","id":"half","method":"tools/call","params":{"name":"run_code_quick","arguments":{"session":"requests","code":"print('\ud83d', '\ud83d\ude00', '\\ud83d'.isascii(), '\ude00')"}}}"#,
    );
    let answer = parsed(&bridge.line());
    assert_eq!(answer["id"], "half", "{answer}");
    let answer = Answer::of(&answer["result"]);
    assert_eq!(answer.text, "\u{fffd} 😀 False \u{fffd}\n");
}

#[test]
fn ids_are_echoed_exactly_as_sent() {
    let home = Home::new();
    let mut bridge = Bridge::greeted(home.program(&[]));
    let long = format!("\"{}\"", "x".repeat(100_000));
    for id in IDS.iter().copied().chain([long.as_str()]) {
        for (method, params) in [
            ("ping", "{}"),
            ("tools/list", "{}"),
            ("no/such/method", "{}"),
            (
                "tools/call",
                r#"{"name":"list_checkpoints","arguments":{}}"#,
            ),
        ] {
            bridge.send_line(format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#
            ));
            let line = bridge.line();
            let expected = format!(r#""id":{id},"#);
            assert!(line.contains(&expected), "{expected:.80}: {line:.200}");
        }
        bridge.send_line(format!(r#"{{"jsonrpc":"2.0","id":{id},"method":7}}"#));
        let line = bridge.line();
        assert!(line.contains(&format!(r#""id":{id},"#)), "{line:.200}");
        assert!(line.contains("cannot be read"), "{line:.200}");
    }
}

#[test]
fn calls_with_any_id_report_progress_and_can_be_cancelled() {
    let home = Home::new();
    let mut bridge = Executor::shared().bridge(&home, &[]);
    for id in IDS {
        let token = format!(r#""progressToken":{id}"#);
        bridge.send_line(format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"run_code_quick","arguments":{{"code":"print(1, flush=True)\nimport time; time.sleep(600)","session":"requests-ids"}},"_meta":{{"progressToken":{id}}}}}}}"#
        ));
        let line = bridge.line();
        assert!(line.contains(&token), "{token}: {line}");
        bridge.send_line(format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id},"reason":"AbortError: remote-cancel"}}}}"#
        ));
        // The session is free again.
        let next = bridge.call(
            "run_code_quick",
            json!({"code": "print(2)", "session": "requests-ids"}),
        );
        assert_eq!(next.text, "2\n", "{id}");
    }
}

#[test]
fn each_request_of_a_batch_is_answered() {
    let home = Home::new();
    let mut bridge = Bridge::start(home.program(&[]));
    let hello = bridge.initialize("2025-03-26");
    assert_eq!(hello["protocolVersion"], "2025-03-26");
    bridge.send_line(
        r#"[{"jsonrpc":"2.0","method":"notifications/initialized"},
            {"jsonrpc":"2.0","id":11,"method":"ping"},
            {"jsonrpc":"2.0","id":12,"method":"tools/call","params":{"name":"list_checkpoints","arguments":{"top":1e999}}},
            {"jsonrpc":"2.0","id":13,"method":"tools/list"}]"#
            .replace('\n', " "),
    );
    assert_eq!(bridge.answer(11), json!({}));
    assert_eq!(bridge.answer(12)["error"]["code"], -32700);
    assert!(bridge.answer(13)["tools"].is_array());
}

#[test]
fn a_request_before_the_handshake_asks_for_initialize() {
    let home = Home::new();
    let mut bridge = Bridge::start(home.program(&[]));
    let call = json!({"name": "list_checkpoints", "arguments": {}});
    for (method, params) in [
        ("tools/call", call),
        ("tools/list", json!({})),
        ("resources/list", json!({})),
    ] {
        let answer = bridge.request(method, params);
        let said = answer["error"]["message"].as_str().unwrap();
        assert!(said.contains("send initialize"), "{answer}");
    }
    let answer = bridge.request("initialize", json!({"protocolVersion": 7}));
    let said = answer["error"]["message"].as_str().unwrap();
    assert!(
        said.contains("the params of initialize must be"),
        "{answer}"
    );
    assert_eq!(bridge.request("ping", json!({})), json!({}));
    bridge.initialize("2025-11-25");
    assert!(bridge.request("tools/list", json!({}))["tools"].is_array());
}
