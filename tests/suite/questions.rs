//! Code asks the user with `input()`, and their client answers.

use std::fs;
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::executor::Executor;
use crate::support::home::Home;
use crate::support::stdio::{Answer, Bridge, PATIENCE, modern};

/// Counts its runs in the file `NAME`, so that a second one is noticed.
fn asking(name: &str) -> String {
    format!(
        "with open('{name}', 'a') as f: f.write('x')\nprint('before')\nname = input('Name? ')\nprint('Hello', name)"
    )
}

/// A bridge of a client that can show forms.
fn able(executor: &Executor, home: &Home, variables: &[(&str, &str)]) -> Bridge {
    let line = executor.line();
    let mut program = home.program(&[("COLAB_URL", &line)]);
    program.envs(variables.iter().copied());
    Bridge::greeted_with("test", json!({"elicitation": {}}), program)
}

/// Waits for the next question, and takes it.
fn question(bridge: &mut Bridge) -> Value {
    let is_question = |message: &Value| message["method"] == "elicitation/create";
    bridge.until_heard(is_question);
    let at = bridge.heard.iter().position(is_question).unwrap();
    bridge.heard.remove(at)
}

fn reply(bridge: &mut Bridge, question: &Value, result: Value) {
    let message = json!({"jsonrpc": "2.0", "id": question["id"], "result": result});
    bridge.send_line(message.to_string());
}

fn accept(value: &str) -> Value {
    json!({"action": "accept", "content": {"answer": value}})
}

#[test]
fn the_user_answers_the_code_of_a_run_and_of_one_that_was_left() {
    let (executor, home) = (Executor::shared(), Home::new());
    let mut bridge = able(executor, &home, &[]);
    let session = "answers";
    let code = format!(
        "{}\ntry: input()\nexcept RuntimeError as error: print(error)\ninput()",
        asking("answers-runs")
    );
    let arguments = json!({"code": code, "session": session});
    let call = bridge.begin_call("run_code_quick", arguments);
    let first = question(&mut bridge);
    let params = &first["params"];
    let text = params["message"].as_str().unwrap();
    assert_eq!(
        text,
        "The code in session answers asks (enter no password here):\n\nName?"
    );
    assert_eq!(params["requestedSchema"]["required"], json!(["answer"]));
    reply(&mut bridge, &first, accept("Ada\nEve"));
    let second = question(&mut bridge);
    reply(&mut bridge, &second, json!({"action": "cancel"}));
    let third = question(&mut bridge);
    reply(&mut bridge, &third, json!({"action": "decline"}));
    let done = Answer::of(&bridge.answer(call));
    done.refused("python_error");
    assert!(
        done.text.starts_with(
            "before\nName? \nHello Ada\n\ninput() was called, and the question was not answered"
        ),
        "{}",
        done.text
    );
    assert!(
        done.fact("hint").starts_with("The user declined"),
        "{}",
        done.facts
    );
    let runs = fs::read_to_string(executor.root().join("answers-runs")).unwrap();
    assert_eq!(runs, "x");

    let code = "import os, time\nwhile not os.path.exists('answers-go'): time.sleep(0.02)\nprint('Hello', input('Name? '))";
    let arguments = json!({"code": code, "session": session, "wait_sec": 0});
    let left = bridge.call("run_code_long", arguments);
    fs::write(executor.root().join("answers-go"), "").unwrap();
    let job = left.fact("job_id").to_owned();
    let call = bridge.begin_call("get_output", json!({"job_id": job}));
    let asked = question(&mut bridge);
    reply(&mut bridge, &asked, accept("Bob"));
    let seen = Answer::of(&bridge.answer(call));
    seen.succeeded();
    assert_eq!(seen.text, "Name? \nHello Bob\n");
}

#[test]
fn a_question_is_listed_and_is_withdrawn_when_its_code_is_stopped() {
    let (executor, home) = (Executor::shared(), Home::new());
    let (mut bridge, mut other) = (
        able(executor, &home, &[]),
        executor.bridge(&Home::new(), &[]),
    );
    let arguments = json!({"code": asking("stopped-runs"), "session": "asked"});
    let call = bridge.begin_call("run_code_quick", arguments);
    let asked = question(&mut bridge);
    let list = other.call("list_jobs", json!({"session": "asked", "state": "running"}));
    let [row] = list.rows().try_into().unwrap();
    assert_eq!(row["state"], "running, asks", "{row}");
    // A client that cannot ask is not kept waiting, and says what the code waits for.
    let seen = other.call("get_output", json!({"job_id": row["job_id"]}));
    seen.succeeded();
    assert_eq!(seen.facts["asking"]["prompt"], "Name? ", "{}", seen.facts);
    assert_eq!(seen.text, "before\nName? ");
    for said in ["waits for the user's answer", "interrupt_execution"] {
        assert!(seen.fact("hint").contains(said), "{}", seen.facts);
    }
    let stopped = other.call("interrupt_execution", json!({"session": "asked"}));
    assert_eq!(stopped.fact("state"), "interrupted", "{}", stopped.facts);
    bridge.until_heard(|message| {
        message["method"] == "notifications/cancelled"
            && message["params"]["requestId"] == asked["id"]
    });
    Answer::of(&bridge.answer(call)).refused("cancelled");

    // Its own code is not kept waiting either.
    let code = json!({"code": "input('Name? ')", "session": "asked"});
    let refused = other.call("run_code_quick", code);
    refused.refused("python_error");
    assert!(
        refused.fact("hint").starts_with("There is nobody"),
        "{}",
        refused.facts
    );
}

#[test]
fn a_question_that_the_user_leaves_unanswered_keeps_waiting() {
    let (executor, home) = (Executor::shared(), Home::new());
    let mut bridge = able(executor, &home, &[("SMART_COLAB_CALL_BUDGET_SEC", "5")]);
    bridge.warm("unanswered");
    let arguments = json!({"code": asking("unanswered-runs"), "session": "unanswered"});
    let call = bridge.begin_call("run_code_quick", arguments);
    let first = question(&mut bridge);
    let silent = Answer::of(&bridge.answer(call));
    silent.succeeded();
    assert_eq!(
        silent.facts["asking"]["prompt"], "Name? ",
        "{}",
        silent.facts
    );
    // The time limit is told as it is by now: a quarter of the call's time is left for that.
    let left = silent.facts["ends_in_sec"].as_u64().unwrap();
    assert!(left < 118, "{}", silent.facts);
    // A late answer is none.
    reply(&mut bridge, &first, accept("late"));
    let job = silent.fact("job_id").to_owned();
    let call = bridge.begin_call("get_output", json!({"job_id": job}));
    let again = question(&mut bridge);
    reply(&mut bridge, &again, accept("Ada"));
    let seen = Answer::of(&bridge.answer(call));
    assert_eq!(seen.text, "before\nName? \nHello Ada\n");
}

/// Since 2026-07-28 the question is the answer to the call.
#[test]
fn a_repeated_call_brings_the_answer_and_sends_no_code() {
    let (executor, home) = (Executor::shared(), Home::new());
    let start = || Bridge::start(home.program(&[("COLAB_URL", &executor.line())]));
    let mut bridge = start();
    let arguments = json!({"code": asking("modern-runs"), "session": "modern"});
    let call = |bridge: &mut Bridge, answer: Value| {
        let mut params = json!({"name": "run_code_quick", "arguments": arguments});
        let members = params.as_object_mut().unwrap();
        members.extend(answer.as_object().unwrap().clone());
        let mut params = modern(params);
        params["_meta"]["io.modelcontextprotocol/clientCapabilities"] =
            json!({"elicitation": {"form": {}}});
        bridge.request("tools/call", params)
    };
    let brings = |state: &Value, answer: Value| json!({"requestState": state, "inputResponses": {"consent": answer}});
    let asked = call(&mut bridge, json!({}));
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    let message = &asked["inputRequests"]["consent"]["params"]["message"];
    assert!(message.as_str().unwrap().ends_with("\n\nName?"), "{asked}");
    let state = &asked["requestState"];
    // Another process of the bridge knows the question, too.
    let mut later = start();
    for bridge in [&mut later, &mut bridge] {
        let done = Answer::of(&call(bridge, brings(state, accept("Ada"))));
        done.succeeded();
        assert_eq!(done.text, "before\nName? \nHello Ada\n");
        assert!(done.facts["answer"].is_null(), "{}", done.facts);
    }
    let late = Answer::of(&call(&mut bridge, brings(state, accept("Eve"))));
    assert_eq!(late.text, "before\nName? \nHello Ada\n");
    assert!(
        late.fact("answer").contains("no longer waited"),
        "{}",
        late.facts
    );
    let runs = fs::read_to_string(executor.root().join("modern-runs")).unwrap();
    assert_eq!(runs, "x");

    for closed in [json!({"action": "decline"}), json!(false)] {
        let asked = call(&mut bridge, json!({}));
        let state = &asked["requestState"];
        Answer::of(&call(&mut bridge, brings(state, closed))).refused("python_error");
    }
}

/// A client repeats a call 10 times by default.
#[test]
fn a_call_that_has_asked_often_ends_with_the_name_of_its_job() {
    let (executor, home) = (Executor::shared(), Home::new());
    let mut bridge = Bridge::start(home.program(&[("COLAB_URL", &executor.line())]));
    let code = "print(sum(int(input()) for _ in range(9)))";
    let mut call = |tool: &str, arguments: Value, state: Option<&Value>| {
        let mut params = json!({"name": tool, "arguments": arguments});
        if let Some(state) = state {
            params["requestState"] = state.clone();
            params["inputResponses"] = json!({"consent": accept("1")});
        }
        let mut params = modern(params);
        params["_meta"]["io.modelcontextprotocol/clientCapabilities"] =
            json!({"elicitation": {"form": {}}});
        bridge.request("tools/call", params)
    };
    let arguments = json!({"code": code, "session": "often"});
    let mut asked = call("run_code_quick", arguments.clone(), None);
    for _ in 0..8 {
        assert_eq!(asked["resultType"], "input_required", "{asked}");
        let state = asked["requestState"].clone();
        asked = call("run_code_quick", arguments.clone(), Some(&state));
    }
    let asks = Answer::of(&asked);
    asks.succeeded();
    assert_eq!(asks.facts["asking"]["number"], 9, "{}", asks.facts);
    let job = json!({"job_id": asks.fact("job_id")});
    let asked = call("get_output", job.clone(), None);
    let done = Answer::of(&call("get_output", job, Some(&asked["requestState"])));
    done.succeeded();
    assert!(done.text.ends_with("9\n"), "{}", done.text);
}

#[test]
fn a_client_that_answers_by_itself_does_not_answer_a_loop_forever() {
    let (executor, home) = (Executor::shared(), Home::new());
    let mut bridge = able(executor, &home, &[]);
    let arguments = json!({"code": "while True: input()", "session": "eager"});
    let call = bridge.begin_call("run_code_quick", arguments);
    let is_question = |message: &Value| message["method"] == "elicitation/create";
    let (mut count, end) = (0, Instant::now() + PATIENCE);
    while !bridge.waiting.iter().any(|answer| answer["id"] == call) {
        if bridge.heard.iter().any(is_question) {
            let asked = question(&mut bridge);
            reply(&mut bridge, &asked, accept(""));
            count += 1;
        } else {
            bridge.receive(end, "question or answer");
        }
    }
    assert!(count >= 20, "{count}");
    let asks = Answer::of(&bridge.answer(call));
    assert_eq!(asks.fact("state"), "running", "{asks:?}");
    assert!(
        asks.fact("answer").contains("as if by no person"),
        "{asks:?}"
    );
    bridge.call("interrupt_execution", json!({"session": "eager"}));
}
