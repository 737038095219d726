//! How long a call waits: `wait_sec` of the runs, `until` of `get_output`, and the time limit that ends the code.

use serde_json::{Value, json};

use crate::calls::{Held, assert_running, read_on};
use crate::support::executor::{Executor, until_there};
use crate::support::home::Home;
use crate::support::stdio::Bridge;

fn start(home: &Home, session: &str) -> Bridge {
    let mut bridge = Executor::shared().bridge(home, &[]);
    bridge.warm(session);
    bridge
}

#[test]
fn a_run_that_waits_for_nothing_returns_at_once_and_its_code_runs() {
    for tool in ["run_code_quick", "run_code_long"] {
        let (home, held) = (Home::new(), Held::new(&format!("at-once-{tool}")));
        let mut bridge = start(&home, held.session());
        let mut arguments = held.arguments();
        arguments["wait_sec"] = json!(0);
        if tool == "run_code_long" {
            arguments["checkpoint_name"] = json!("at-once");
        }
        // The code ends only when it is released, after the reply.
        let answer = bridge.call(tool, arguments);
        assert!(!answer.is_error, "{}", answer.whole);
        until_there(&held.file("begun"));
        held.release();
        Held::assert_whole(&read_on(&mut bridge, answer.fact("job_id"), json!(0)));
    }
}

#[test]
fn an_operation_that_waits_for_nothing_returns_at_once_and_runs_on() {
    let (home, held) = (Home::new(), Held::new("at-once-operation"));
    let mut bridge = start(&home, held.session());
    let go = held.file("go").display().to_string();
    let body = format!(
        "import os, time\nprint('at', i, flush=True)\nwhile not os.path.exists({go:?}):\n    time.sleep(0.02)\ni"
    );
    let answer = bridge.call(
        "run_chunked_operation",
        json!({"loop_code": body, "n_iterations": 3, "wait_sec": 0, "checkpoint_name": held.session(), "session": held.session()}),
    );
    assert!(!answer.is_error, "{}", answer.whole);
    assert_eq!(answer.facts["completed"], 0);
    let look = json!({"job_id": held.session(), "wait_sec": 1});
    let mut shown = answer.text;
    while !shown.contains("at 0") {
        shown.push_str(&bridge.call("get_output", look.clone()).text);
    }
    // A reply with nothing new saves nothing.
    let mut saved_at = || {
        bridge.call("get_output", look.clone());
        let report = bridge.call("get_checkpoint", json!({"operation": held.session()}));
        report.fact("updated_at").to_owned()
    };
    assert_eq!(saved_at(), saved_at());
    held.release();
    let ended = bridge.call("get_output", json!({"job_id": held.session()}));
    assert_eq!(ended.fact("state"), "succeeded", "{}", ended.whole);
}

#[test]
fn a_wait_is_a_number_of_seconds_and_never_longer_than_a_call() {
    let (home, held) = (Home::new(), Held::new("wait-numbers"));
    let mut bridge = Executor::shared().bridge(&home, &[("SMART_COLAB_CALL_BUDGET_SEC", "5")]);
    let run = json!({"code": "1", "session": "wait-numbers"});
    let operation = json!({"loop_code": "i", "n_iterations": 1, "session": "wait-numbers"});
    for (tool, arguments) in [
        ("run_code_quick", &run),
        ("run_code_long", &run),
        ("run_chunked_operation", &operation),
    ] {
        for wrong in [json!(-1), json!(0.5), json!("soon")] {
            let mut arguments = arguments.clone();
            arguments["wait_sec"] = wrong;
            let answer = bridge.call(tool, arguments);
            answer.refused("invalid_argument");
            assert!(
                answer.fact("error").contains("wait_sec"),
                "{}",
                answer.whole
            );
        }
    }
    bridge.warm("wait-numbers");
    let mut arguments = held.arguments();
    arguments["wait_sec"] = json!(9_000_000_000_000_000_000_u64);
    assert_running(&bridge.call("run_code_quick", arguments));
}

#[test]
fn running_code_says_when_its_time_limit_ends_it() {
    let home = Home::new();
    let mut bridge = start(&home, "limits");
    for (tool, limit) in [("run_code_quick", 120), ("run_code_long", 4_000)] {
        let held = Held::new(&format!("limits-{tool}"));
        bridge.warm(held.session());
        let mut arguments = held.arguments();
        arguments["wait_sec"] = json!(0);
        if tool == "run_code_long" {
            arguments["timeout_sec"] = json!(limit);
        }
        let job = bridge.call(tool, arguments).fact("job_id").to_owned();
        until_there(&held.file("begun"));
        let answer = bridge.call("get_output", json!({"job_id": job, "wait_sec": 0}));
        assert_running(&answer);
        let left = answer.facts["ends_in_sec"].as_u64().unwrap();
        assert!((1..=limit).contains(&left), "{}", answer.facts);
        let is_announced = answer.fact("hint").contains("time limit ends it");
        assert_eq!(is_announced, tool == "run_code_quick", "{}", answer.facts);
        held.release();
        let ended = bridge.call("get_output", json!({"job_id": job}));
        assert!(ended.facts["ends_in_sec"].is_null(), "{}", ended.facts);
    }
}

#[test]
fn one_look_waits_for_a_line_and_the_next_one_for_a_later_line() {
    let (home, held) = (Home::new(), Held::new("until"));
    let mut bridge = start(&home, "until");
    let mut arguments = held.arguments();
    arguments["wait_sec"] = json!(0);
    let job = bridge
        .call("run_code_long", arguments)
        .fact("job_id")
        .to_owned();
    let look = |after: &Value, until: &str| json!({"job_id": job, "after": after, "until": until});
    let (mut after, mut last) = (json!(0), 0);
    for _ in 0..3 {
        let answer = bridge.call("get_output", look(&after, "^[0-9]*0$"));
        assert_running(&answer);
        let line = answer.fact("matched");
        assert!(
            answer.text.lines().any(|shown| shown == line),
            "{}",
            answer.text
        );
        let number: u64 = line.parse().unwrap();
        assert!(
            after == 0 || number > last,
            "{number} was shown before: {}",
            answer.whole
        );
        (after, last) = (answer.facts["next"].clone(), number);
    }
    // It never comes: the wait ends with the time given, or with the code.
    let mut never = look(&after, "never");
    never["wait_sec"] = json!(1);
    let answer = bridge.call("get_output", never);
    assert_running(&answer);
    assert_eq!(answer.facts["matched"], false, "{}", answer.facts);
    let hint = answer.fact("hint");
    assert!(hint.contains("`until` again"), "{hint}");
    held.release();
    let answer = bridge.call("get_output", look(&answer.facts["next"], "never"));
    assert_eq!(answer.fact("state"), "succeeded");
    assert_eq!(answer.facts["matched"], false, "{}", answer.facts);
    // What was printed long ago is found too, and nothing is waited for.
    let answer = bridge.call("get_output", json!({"job_id": job, "until": "^la.t$"}));
    assert_eq!(answer.facts["matched"], "last", "{}", answer.facts);
    let answer = bridge.call("get_output", json!({"job_id": job}));
    assert!(answer.facts["matched"].is_null(), "{}", answer.facts);
}

#[test]
fn a_line_is_waited_for_beyond_more_output_than_a_reply_holds() {
    let home = Home::new();
    let mut bridge = start(&home, "until-much");
    let code = "for n in range(40_000):\n    print('filler', n)\nprint('the one line')\nfor n in range(3):\n    print('more', n)";
    let run = bridge.call(
        "run_code_quick",
        json!({"code": code, "session": "until-much"}),
    );
    let job = run.fact("job_id");
    let look = json!({"job_id": job, "after": 0, "until": "the one"});
    let answer = bridge.call("get_output", look);
    answer.succeeded();
    assert_eq!(answer.facts["matched"], "the one line", "{}", answer.facts);
    assert!(answer.text.starts_with("filler 0\n"), "{}", answer.text);
    // Less of the same output is shown on demand.
    let look = json!({"job_id": job, "after": 0, "until": "the one", "tail_lines": 2});
    let answer = bridge.call("get_output", look);
    assert_eq!(answer.facts["matched"], "the one line", "{}", answer.facts);
    assert_eq!(answer.text, "more 1\nmore 2\n");
    let look =
        json!({"job_id": job, "until": "the one", "grep": "^filler 3999.$", "tail_lines": 1});
    let answer = bridge.call("get_output", look);
    assert_eq!(answer.facts["matched"], "the one line", "{}", answer.facts);
    assert!(answer.text.ends_with(":filler 39999\n"), "{}", answer.text);
}

#[test]
fn a_wrong_until_is_refused_with_the_place_of_the_fault() {
    let home = Home::new();
    let mut bridge = start(&home, "until-wrong");
    let run = bridge.call(
        "run_code_quick",
        json!({"code": "1", "session": "until-wrong"}),
    );
    let job = run.fact("job_id");
    for (until, said) in [
        ("a(", "character 2"),
        ("", "empty"),
        ("[z-a]", "character 2"),
    ] {
        let answer = bridge.call("get_output", json!({"job_id": job, "until": until}));
        answer.refused("invalid_argument");
        assert!(answer.fact("error").contains(said), "{}", answer.whole);
    }
    let both = json!({"job_id": job, "until": "a", "from_byte": 0});
    bridge.call("get_output", both).refused("invalid_argument");
}
