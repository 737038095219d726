//! The user is asked by their client before a machine is assigned that costs compute units, or one is given back on which code runs.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::{REFRESH_TOKEN, recorded, sign_in};
use crate::support::fake_colab::FakeColab;
use crate::support::home::Home;
use crate::support::jupyter::{Jupyter, TOKEN};
use crate::support::python::{python, succeed};
use crate::support::stdio::{Answer, Bridge, modern};

const ASSIGN: &str = "/tun/m/assign";

/// A signed-in home, and a Colab that has no machine free: the request for one is counted, and answered at once.
fn signed_in() -> (Home, FakeColab) {
    let (home, fake) = (Home::new(), FakeColab::without_servers());
    sign_in(&home, REFRESH_TOKEN);
    fake.set(&json!({"assign": vec!["503"; 20]}));
    (home, fake)
}

/// A bridge whose client can show forms.
fn bridge(home: &Home, fake: &FakeColab, variables: &[(&str, &str)]) -> Bridge {
    let mut all = variables.to_vec();
    all.push(fake.setting());
    let mut program = home.program(&all);
    program.env("CLOUDSDK_CONFIG", home.folder("home/.config/gcloud"));
    program.env_remove("GOOGLE_APPLICATION_CREDENTIALS");
    Bridge::greeted_with("test", json!({"elicitation": {}}), program)
}

/// Waits for a question to the user, and returns its request.
fn question(bridge: &mut Bridge) -> Value {
    let is_question = |message: &Value| message["method"] == "elicitation/create";
    bridge.until_heard(is_question);
    let found = bridge.heard.iter().find(|message| is_question(message));
    found.unwrap().clone()
}

/// Calls a tool, and answers the question that comes of it.
fn asked(bridge: &mut Bridge, tool: &str, arguments: Value, answer: Value) -> (Value, Answer) {
    bridge.heard.clear();
    let call = bridge.begin_call(tool, arguments);
    let question = question(bridge);
    let mut message = json!({"jsonrpc": "2.0", "id": question["id"]});
    message
        .as_object_mut()
        .unwrap()
        .extend(answer.as_object().unwrap().clone());
    bridge.send_line(message.to_string());
    (question["params"].clone(), Answer::of(&bridge.answer(call)))
}

fn said(action: &str) -> Value {
    json!({"result": {"action": action, "content": {}}})
}

#[test]
fn a_client_that_can_ask_asks_the_user_before_a_machine_costs_units() {
    let (home, fake) = signed_in();
    let mut bridge = bridge(&home, &fake, &[]);
    // The model's word does not count here.
    let arguments = json!({"accelerator": "t4", "high_ram": true, "confirm": true});
    let mut assign = |answer| {
        asked(
            &mut bridge,
            "assign_colab_runtime",
            arguments.clone(),
            answer,
        )
    };

    let (question, declined) = assign(said("decline"));
    declined.refused("declined");
    let text = question["message"].as_str().unwrap();
    for word in [
        "T4",
        "more memory",
        "somebody@example.org",
        "compute units",
        "an hour",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert_eq!(
        question["requestedSchema"],
        json!({"type": "object", "properties": {}})
    );
    let (_, closed) = assign(said("cancel"));
    closed.refused("cancelled");
    assert!(
        closed.fact("hint").contains("SMART_COLAB_CONFIRM"),
        "{}",
        closed.facts
    );
    assert_eq!(fake.count("POST", ASSIGN), 0);
    assert_eq!(recorded(&home), 0);

    assign(said("accept")).1.refused("none_free");
    assert_eq!(fake.count("POST", ASSIGN), 1);
    for unclear in [
        json!({"result": {"action": "reject"}}),
        json!({"result": {"action": "Accept"}}),
        json!({"result": {}}),
        json!({"result": false}),
        json!({"result": null}),
        json!({"error": {"code": -32603, "message": "no window"}}),
    ] {
        let (_, refused) = assign(unclear.clone());
        refused.refused("cancelled");
        assert_eq!(fake.count("POST", ASSIGN), 1, "{unclear}");
    }
    // The client cannot show it after all: the model's word is what is left.
    let broken = json!({"error": {"code": -32601, "message": "unknown"}});
    assign(broken.clone()).1.refused("none_free");
    assert_eq!(fake.count("POST", ASSIGN), 2);
    let (_, unconfirmed) = asked(&mut bridge, "assign_colab_runtime", json!({}), broken);
    unconfirmed.refused("invalid_argument");
    assert!(
        unconfirmed.fact("hint").contains("confirm: true"),
        "{}",
        unconfirmed.facts
    );
    assert_eq!(fake.count("POST", ASSIGN), 2);
}

#[test]
fn a_question_that_nobody_answers_is_withdrawn_in_time_and_a_late_yes_does_nothing() {
    let (home, fake) = signed_in();
    let mut bridge = bridge(&home, &fake, &[("SMART_COLAB_CALL_BUDGET_SEC", "5")]);
    let call = bridge.begin_call("assign_colab_runtime", json!({"confirm": true}));
    let question = question(&mut bridge);
    let silent = Answer::of(&bridge.answer(call));
    silent.refused("timed_out");
    assert!(
        silent.fact("hint").contains("call again"),
        "{}",
        silent.facts
    );
    bridge.until_heard(|message| {
        message["method"] == "notifications/cancelled"
            && message["params"]["requestId"] == question["id"]
    });
    let late = json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept"}});
    bridge.send_line(late.to_string());
    bridge.call("list_colab_runtimes", json!({})).succeeded();
    assert_eq!(fake.count("POST", ASSIGN), 0);
}

#[test]
fn with_the_setting_for_it_the_models_word_is_enough() {
    let (home, fake) = signed_in();
    let mut bridge = bridge(&home, &fake, &[("SMART_COLAB_CONFIRM", "model")]);
    bridge
        .call("assign_colab_runtime", json!({}))
        .refused("invalid_argument");
    bridge
        .call("assign_colab_runtime", json!({"confirm": true}))
        .refused("none_free");
    assert_eq!(fake.count("POST", ASSIGN), 1);
}

/// Since 2026-07-28 the question is the answer to the call.
#[test]
fn a_yes_counts_once_and_for_the_call_that_was_asked_about() {
    let (home, fake) = signed_in();
    let mut program = home.program(&[fake.setting()]);
    program.env("CLOUDSDK_CONFIG", home.folder("home/.config/gcloud"));
    program.env_remove("GOOGLE_APPLICATION_CREDENTIALS");
    let mut bridge = Bridge::start(program);
    let mut call = |arguments: Value, answer: Value| {
        let mut params = json!({"name": "assign_colab_runtime", "arguments": arguments});
        params
            .as_object_mut()
            .unwrap()
            .extend(answer.as_object().unwrap().clone());
        let mut params = modern(params);
        params["_meta"]["io.modelcontextprotocol/clientCapabilities"] =
            json!({"elicitation": {"form": {}}});
        bridge.request("tools/call", params)
    };
    let yes = |state: &Value| json!({"requestState": state, "inputResponses": {"consent": {"action": "accept"}}});
    let asking = call(json!({"confirm": true}), json!({}));
    assert_eq!(asking["resultType"], "input_required", "{asking}");
    let question = &asking["inputRequests"]["consent"];
    assert_eq!(question["method"], "elicitation/create");
    assert!(
        question["params"]["message"]
            .as_str()
            .unwrap()
            .contains("compute units")
    );
    // For another machine, and with a state that was made up.
    for (arguments, state) in [
        (json!({"accelerator": "A100"}), &asking["requestState"]),
        (json!({"confirm": true}), &json!("guess")),
    ] {
        let again = call(arguments, yes(state));
        assert_eq!(again["resultType"], "input_required", "{again}");
    }
    for unclear in [
        json!({}),
        json!({"inputResponses": {}}),
        json!({"inputResponses": {"consent": {}}}),
        json!({"inputResponses": {"consent": false}}),
        json!({"inputResponses": {"other": {"action": "accept"}}}),
    ] {
        let mut again = unclear;
        again["requestState"] = call(json!({"confirm": true}), json!({}))["requestState"].clone();
        Answer::of(&call(json!({"confirm": true}), again)).refused("cancelled");
    }
    assert_eq!(fake.count("POST", ASSIGN), 0);
    let asking = call(json!({"confirm": true}), json!({}));
    let state = &asking["requestState"];
    Answer::of(&call(json!({"confirm": true}), yes(state))).refused("none_free");
    let twice = call(json!({"confirm": true}), yes(state));
    assert_eq!(twice["resultType"], "input_required", "{twice}");
    assert_eq!(fake.count("POST", ASSIGN), 1);
}

#[test]
fn a_machine_on_which_code_runs_is_given_back_once_the_user_agreed() {
    let server = Jupyter::server("/", &[]);
    let (home, fake) = (Home::new(), FakeColab::over(&[server.url()], TOKEN));
    sign_in(&home, REFRESH_TOKEN);
    let mut bridge = bridge(&home, &fake, &[]);
    let (_, assigned) = asked(
        &mut bridge,
        "assign_colab_runtime",
        json!({}),
        said("accept"),
    );
    assigned.succeeded();
    let name = assigned.fact("name").to_owned();
    let mut begun = bridge.call(
        "run_code_long",
        json!({"code": "import time; time.sleep(600)", "wait_sec": 0}),
    );
    while begun.is_error {
        bridge.call("connect_colab", json!({"url": format!("colab:{name}")}));
        begun = bridge.call(
            "run_code_long",
            json!({"code": "import time; time.sleep(600)", "wait_sec": 0}),
        );
    }
    let job = begun.fact("job_id").to_owned();
    let arguments = json!({"name": name});
    let (question, declined) = asked(
        &mut bridge,
        "unassign_colab_runtime",
        arguments.clone(),
        said("decline"),
    );
    declined.refused("declined");
    assert!(
        question["message"].as_str().unwrap().contains(&job),
        "{question}"
    );
    let queued = bridge.call("run_code_long", json!({"code": "1", "wait_sec": 0}));
    let queued = queued.fact("job_id").to_owned();
    // Another client on this computer, whose code runs elsewhere.
    let mut other = self::bridge(&home, &fake, &[("COLAB_URL", "http://127.0.0.1:9#none")]);
    for bridge in [&mut other, &mut bridge] {
        let unassign = "unassign_colab_runtime";
        let (question, declined) = asked(bridge, unassign, arguments.clone(), said("decline"));
        declined.refused("declined");
        let text = question["message"].as_str().unwrap();
        assert!(text.contains(&job) && text.contains(&queued), "{text}");
    }
    assert_eq!(fake.machines().len(), 1);
    for job in [queued, job] {
        bridge
            .call("interrupt_execution", json!({"job_id": job}))
            .facts["state"]
            .as_str()
            .unwrap();
    }
    // Nothing runs there now.
    bridge.call("unassign_colab_runtime", arguments).succeeded();
    assert!(fake.machines().is_empty());
}

#[test]
fn the_official_client_asks_its_user_in_both_eras() {
    let (home, fake) = signed_in();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/official_consent.py");
    let said = succeed(
        Command::new(python())
            .arg(script)
            .arg(env!("CARGO_BIN_EXE_smart-colab"))
            .arg(home.path())
            .arg(fake.setting().1),
    );
    let expected = "accept none_free\ndecline declined\ncancel cancelled\n";
    assert_eq!(
        said,
        format!("2025-11-25\n{expected}2026-07-28\n{expected}")
    );
    assert_eq!(fake.count("POST", ASSIGN), 2);
}
