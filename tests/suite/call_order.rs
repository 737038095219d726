//! Concurrent calls act on their session in the order in which the client sent them.

use serde_json::{Value, json};

use crate::support::executor::Executor;
use crate::support::home::Home;
use crate::support::stdio::{Answer, Bridge};

fn quick(session: &str, code: &str) -> (&'static str, Value) {
    ("run_code_quick", json!({"code": code, "session": session}))
}

/// Sends all calls without waiting, then returns their answers.
fn at_once(bridge: &mut Bridge, calls: &[(&str, Value)]) -> Vec<Answer> {
    let ids: Vec<u64> = calls
        .iter()
        .map(|(tool, arguments)| bridge.begin_call(tool, arguments.clone()))
        .collect();
    ids.iter()
        .map(|id| Answer::of(&bridge.answer(*id)))
        .collect()
}

#[test]
fn code_runs_in_the_order_in_which_it_was_sent() {
    let home = Home::new();
    let mut bridge = Executor::shared().bridge(&home, &[]);
    let session = "turns-code";
    bridge.call("run_code_quick", quick(session, "seen = []").1);
    for round in 0..40 {
        let note = |n: u32| format!("seen.append({})", round * 4 + n);
        let long = json!({"code": note(1), "session": session});
        let setup = json!({"setup_code": note(3), "loop_code": "i", "n_iterations": 1, "session": session, "restart": true});
        let calls = [
            quick(session, &note(0)),
            ("run_code_long", long),
            quick(session, &note(2)),
            ("run_chunked_operation", setup),
        ];
        for answer in at_once(&mut bridge, &calls) {
            answer.succeeded();
        }
    }
    let seen = bridge.call("run_code_quick", quick(session, "print(seen)").1);
    let expected: Vec<u32> = (0..160).collect();
    assert_eq!(seen.text.trim(), format!("{expected:?}"));
}

#[test]
fn slow_code_is_not_overtaken_and_does_not_block_other_sessions() {
    let home = Home::new();
    let mut bridge = Executor::shared().bridge(&home, &[]);
    let (slow, other) = ("turns-slow", "turns-other");
    let begun = bridge.call("run_code_quick", quick(slow, "seen = []").1);
    begun.succeeded();
    let hold = bridge.begin_call(
        "run_code_quick",
        quick(
            slow,
            "import time\nwhile 'go' not in globals(): time.sleep(0.01)",
        )
        .1,
    );
    let behind = bridge.begin_call("run_code_quick", quick(slow, "print('behind')").1);
    bridge
        .call("run_code_quick", quick(other, "1").1)
        .succeeded();
    // Sent last, but must not wait for the code that it is to interrupt.
    let ended = bridge.call("interrupt_execution", json!({"session": slow}));
    assert_eq!(ended.facts["state"], "interrupted", "{}", ended.facts);
    assert!(Answer::of(&bridge.answer(hold)).is_error);
    assert_eq!(Answer::of(&bridge.answer(behind)).text, "behind\n");
}

#[test]
fn a_restart_takes_effect_between_the_calls_before_and_after_it() {
    let home = Home::new();
    let mut bridge = Executor::shared().bridge(&home, &[]);
    let session = "turns-restart";
    for _ in 0..3 {
        let answers = at_once(
            &mut bridge,
            &[
                quick(session, "import time; before = True; time.sleep(600)"),
                ("restart_session", json!({"session": session})),
                quick(session, "print('before' in globals()); after = True"),
            ],
        );
        assert_eq!(
            answers[0].facts["state"], "interrupted",
            "{}",
            answers[0].facts
        );
        assert_eq!(answers[1].facts["ended_jobs"].as_array().unwrap().len(), 1);
        assert_eq!(answers[2].text, "False\n");
    }
}

#[test]
fn a_refused_or_cancelled_call_does_not_block_the_next_one() {
    let home = Home::new();
    let mut bridge = Executor::shared().bridge(&home, &[]);
    let session = "turns-freed";
    let calls = [
        quick(session, "import time; time.sleep(600)"),
        quick(session, "print('never')"),
        quick(session, " "),
        ("run_code_quick", json!({"session": session})),
        quick(session, "print('last')"),
    ];
    let ids: Vec<u64> = calls
        .iter()
        .map(|(tool, arguments)| bridge.begin_call(tool, arguments.clone()))
        .collect();
    for id in &ids[..2] {
        let stop = json!({"requestId": id, "reason": "User requested cancellation"});
        bridge.notify("notifications/cancelled", stop);
    }
    for id in &ids[2..4] {
        assert!(Answer::of(&bridge.answer(*id)).is_error);
    }
    assert_eq!(Answer::of(&bridge.answer(ids[4])).text, "last\n");
}
