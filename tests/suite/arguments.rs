//! Arguments as models and clients send them: of another type, superfluous, misspelt.

use serde_json::{Value, json};

use crate::support::executor::Executor;
use crate::support::home::Home;
use crate::support::stdio::{Answer, Bridge};

#[track_caller]
fn assert_refused_saying(answer: &Answer, said: &[&str]) {
    answer.refused("invalid_argument");
    for said in said {
        assert!(
            answer.fact("error").contains(said),
            "{said}: {}",
            answer.facts
        );
    }
}

#[test]
fn every_argument_of_a_wrong_type_is_named_with_its_value() {
    let home = Home::new();
    let mut bridge = Bridge::greeted(home.program(&[]));
    let list = bridge.request("tools/list", json!({}));
    for tool in list["tools"].as_array().unwrap() {
        let name = tool["name"].as_str().unwrap();
        for argument in tool["inputSchema"]["properties"]
            .as_object()
            .into_iter()
            .flatten()
        {
            let wanted = format!("`{}` must be ", argument.0);
            for (given, came) in [
                (json!(["s3cret"]), ", not a list"),
                (json!({"s3cret": 1}), ", not an object"),
            ] {
                let kind = &argument.1["type"];
                let is_list_of_text = kind == "array" && argument.1["items"]["type"] == "string";
                if (given.is_array() && is_list_of_text) || (given.is_object() && kind == "object")
                {
                    continue;
                }
                let came = match kind == "array" && given.is_array() {
                    true => "[0] is no object",
                    false => came,
                };
                let mut arguments = json!({});
                arguments[argument.0] = given;
                let answer = bridge.call(name, arguments);
                assert_refused_saying(&answer, &[&wanted, came]);
                assert!(!answer.whole.to_string().contains("s3cret"), "{name}");
            }
        }
        let required = tool["inputSchema"]["required"].as_array();
        for argument in required.into_iter().flatten() {
            let missing = format!("`{}` is missing", argument.as_str().unwrap());
            assert_refused_saying(&bridge.call(name, json!({})), &[&missing]);
        }
    }
    // Each problem is named in one sentence.
    let arguments = json!({"code": 5, "timeout_sec": "ten", "checkpoint_name": false});
    let answer = bridge.call("run_code_long", arguments);
    let said = [
        "`code` must be a string, not a number",
        "`timeout_sec` must be an integer of 0 or more, not \"ten\"",
        "`checkpoint_name` must be a string, not false",
    ];
    assert_refused_saying(&answer, &said);
    let arguments = json!({"setup_code": "", "n_iterations": -1.0, "on_error": "panic", "restart": 1, "batch_size": 2.5});
    let answer = bridge.call("run_chunked_operation", arguments);
    let said = [
        "`n_iterations` must be an integer of 0 or more, not -1.0",
        "`on_error` must be one of \"stop\", \"skip\", not \"panic\"",
        "`restart` must be true or false, not 1",
        "`batch_size` must be an integer of 0 or more, not 2.5",
    ];
    assert_refused_saying(&answer, &said);
}

#[test]
fn numbers_and_booleans_parse_from_the_types_that_clients_send() {
    let home = Home::new();
    let mut bridge = Executor::shared().bridge(&home, &[]);
    for (timeout, remove) in [
        (json!(30), json!(true)),
        (json!(30.0), json!("true")),
        (json!("30"), json!(" True ")),
        (json!("30.0"), json!(null)),
        (json!(null), json!("false")),
    ] {
        let session = "arguments-types";
        let code = json!({"code": "print('ran')", "timeout_sec": timeout, "session": session, "checkpoint_name": null});
        let answer = bridge.call("run_code_long", code);
        answer.succeeded();
        assert_eq!(answer.text, "ran\n");
        let is_gone = remove.as_str().is_some_and(|text| text != "false") || remove == true;
        let report = bridge.call(
            "restart_session",
            json!({"session": session, "remove": remove}),
        );
        assert!(!report.is_error, "{}", report.facts);
        assert_eq!(
            report.facts["session"].is_null(),
            is_gone,
            "{}",
            report.facts
        );
    }
}

#[test]
fn unknown_arguments_are_ignored_and_reported_once() {
    let home = Home::new();
    let mut bridge = Executor::shared().bridge(&home, &[]);
    let code = |extra: Value| {
        let mut arguments = json!({"code": "print('ran')", "session": "arguments-unknown"});
        arguments
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        arguments
    };
    let answer = bridge.call(
        "run_code_quick",
        code(json!({"explanation": "to see", "x": [1]})),
    );
    answer.succeeded();
    assert_eq!(answer.text, "ran\n");
    let said = answer.fact("ignored_arguments");
    assert_eq!(
        said,
        "explanation, x is not an argument of run_code_quick: it has code, session, wait_sec"
    );
    let whole = answer.whole.to_string();
    assert_eq!(whole.matches("explanation").count(), 1, "{whole}");
    // Gemini CLI adds it to every call.
    for (tool, arguments) in [
        ("run_code_quick", code(json!({}))),
        ("list_jobs", json!({})),
        ("check_colab_connection", json!({})),
    ] {
        let mut arguments = arguments;
        arguments["wait_for_previous"] = json!(true);
        let answer = bridge.call(tool, arguments);
        assert!(!answer.is_error, "{}", answer.facts);
        assert_eq!(answer.facts.get("ignored_arguments"), None);
    }
    let report = bridge.call("check_colab_connection", json!({"verbose": true}));
    let said = report.fact("ignored_arguments");
    assert_eq!(
        said,
        "verbose is not an argument of check_colab_connection: it has none"
    );
    let failed = bridge.call(
        "get_checkpoint",
        json!({"operation": "none", "verbose": true}),
    );
    failed.refused("not_found");
    assert!(failed.fact("ignored_arguments").contains("verbose"));
}

#[test]
fn a_misspelt_argument_is_refused_before_anything_runs() {
    let home = Home::new();
    let mut bridge = Executor::shared().bridge(&home, &[]);
    let kept = json!({"code": "kept = 1", "session": "arguments-kept"});
    bridge.call("run_code_quick", kept).succeeded();
    for name in ["sesion", "Session", "sessions"] {
        let mut arguments = json!({});
        arguments[name] = json!("arguments-kept");
        let answer = bridge.call("restart_session", arguments);
        let said = format!("`{name}` is not an argument of restart_session: `session` is");
        assert_refused_saying(&answer, &[&said]);
    }
    let look = json!({"code": "kept", "session": "arguments-kept"});
    assert_eq!(bridge.call("run_code_quick", look).text, "1\n");
}
