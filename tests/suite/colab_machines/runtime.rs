//! An assigned machine as a runtime, with no tunnel and no notebook.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{REFRESH_TOKEN, colab, program, recorded, said, sign_in};
use crate::support::executor::until_there;
use crate::support::fake_colab::FakeColab;
use crate::support::home::Home;
use crate::support::jupyter::{Jupyter, TOKEN};
use crate::support::stdio::{Answer, Bridge};

/// A signed-in home with a machine; a bridge there needs no setting.
fn up(servers: &[&Jupyter]) -> (Home, FakeColab) {
    let urls: Vec<String> = servers.iter().map(|server| server.url()).collect();
    let (home, fake) = (Home::new(), FakeColab::over(&urls, TOKEN));
    sign_in(&home, REFRESH_TOKEN);
    fake.set(&json!({"proxy_token_sec": 6}));
    let up = said(&colab(&home, &fake, &["up"]));
    assert!(up.contains("Ready"), "{up}");
    (home, fake)
}

fn bridge(home: &Home, fake: &FakeColab) -> Bridge {
    Bridge::greeted(program(home, fake, &[]))
}

#[test]
fn one_command_leads_to_a_runtime_that_outlives_its_tokens_and_is_given_back() {
    let server = Jupyter::server("/", &[]);
    let (home, fake) = up(&[&server]);
    let mut bridge = bridge(&home, &fake);
    bridge
        .call("run_code_quick", json!({"code": "x = 41"}))
        .succeeded();
    let root = server.root();
    let code = "import os, time\nopen('begun', 'a').write('x')\nwhile not os.path.exists('go'): time.sleep(0.05)\nprint(x + 1)";
    let running = bridge.begin_call("run_code_long", json!({"code": code}));
    until_there(&root.join("begun"));
    // Every token of before has ended, and its connections are cut: the machine looks as if it were gone.
    fake.set(&json!({"expire": true, "expire_access": true, "drop": true}));
    fs::write(root.join("go"), "").unwrap();
    let mut answer = Answer::of(&bridge.answer(running));
    while answer.facts["state"] == "running" {
        let look = json!({"job_id": answer.fact("job_id"), "wait_sec": 5});
        answer = bridge.call("get_output", look);
    }
    answer.succeeded();
    assert!(answer.text.contains("42"), "{}", answer.text);
    assert_eq!(fs::read_to_string(root.join("begun")).unwrap(), "x", "once");
    let checked = bridge.call("check_colab_connection", json!({}));
    assert!(
        checked.facts.to_string().contains("colab:"),
        "{}",
        checked.facts
    );
    drop(bridge);
    said(&colab(&home, &fake, &["down"]));
    assert!(fake.machines().is_empty() && recorded(&home) == 0);
    assert_eq!(
        fake.state()["faults"],
        json!([]),
        "no bearer token ever went to a machine"
    );
}

#[test]
fn a_machine_that_boots_slowly_is_waited_for_and_one_that_is_gone_is_named() {
    let server = Jupyter::server("/", &[]);
    let (home, fake) = (Home::new(), FakeColab::over(&[server.url()], TOKEN));
    sign_in(&home, REFRESH_TOKEN);
    fake.set(&json!({"kernel_start_fails": 1, "accelerator_name": "X9"}));
    let name = said(&colab(&home, &fake, &["up", "--gpu", "--no-start"]));
    let setting = format!("colab:{}", name.trim());
    let mut bridge = Bridge::greeted(home.program(&[fake.setting(), ("COLAB_URL", &setting)]));
    let mut answer = bridge.call("run_code_quick", json!({"code": "print('up')"}));
    while answer.facts["code"] == "starting" {
        answer = bridge.call("run_code_quick", json!({"code": "print('up')"}));
    }
    answer.succeeded();
    fake.set(&json!({"gone": true}));
    let gone = bridge.call("run_code_quick", json!({"code": "1"}));
    assert!(gone.is_error, "{}", gone.facts);
    let gone = until_named(&mut bridge, gone);
    assert!(gone.contains("has ended the machine"), "{gone}");
}

/// What a call says at last: the first ones may only know that the connection broke.
fn until_named(bridge: &mut Bridge, mut answer: Answer) -> String {
    while !answer.facts.to_string().contains("has ended") {
        answer = bridge.call("run_code_quick", json!({"code": "1"}));
        assert!(answer.is_error, "{}", answer.facts);
    }
    let facts: Value = answer.facts;
    facts.to_string()
}

#[test]
fn a_model_has_a_machine_assigned_once_the_user_agreed_and_gives_it_back() {
    let server = Jupyter::server("/", &[]);
    let (home, fake) = (Home::new(), FakeColab::over(&[server.url()], TOKEN));
    let mut bridge = bridge(&home, &fake);
    let arguments = json!({"accelerator": "t4", "confirm": true});
    let nobody = bridge.call("assign_colab_runtime", arguments.clone());
    nobody.refused("not_signed_in");
    sign_in(&home, REFRESH_TOKEN);
    let asked = bridge.call("assign_colab_runtime", json!({"accelerator": "t4"}));
    asked.refused("invalid_argument");
    assert!(
        asked.fact("error").contains("compute units"),
        "{}",
        asked.facts
    );
    assert!(fake.machines().is_empty());

    let assigned = bridge.call("assign_colab_runtime", arguments);
    assigned.succeeded();
    let (name, mut state) = (assigned.fact("name"), assigned.fact("state").to_owned());
    while state == "starting" {
        if !bridge.call("run_code_quick", json!({"code": "1"})).is_error {
            state = "connected".to_owned();
        }
    }
    let ran = bridge.call("run_code_quick", json!({"code": "print(6 * 7)"}));
    assert_eq!(ran.text.trim(), "42");
    let listed = bridge.call("list_colab_runtimes", json!({}));
    assert!(
        listed.text.contains(name) && listed.text.contains("T4"),
        "{}",
        listed.text
    );
    let unknown = bridge.call("unassign_colab_runtime", json!({"name": "no-such"}));
    unknown.refused("not_found");
    bridge
        .call("unassign_colab_runtime", json!({"name": name}))
        .succeeded();
    assert!(fake.machines().is_empty() && recorded(&home) == 0);
}

#[test]
fn a_call_does_not_wait_for_a_machine_that_boots_for_minutes() {
    // Its server is never there.
    let (home, fake) = (Home::new(), FakeColab::without_servers());
    sign_in(&home, REFRESH_TOKEN);
    let patient = ("SMART_COLAB_CALL_BUDGET_SEC", "600");
    let strict = ("COLAB_MAX_HOURS", "2");
    let mut bridge = Bridge::greeted(program(&home, &fake, &[patient, strict]));
    let begun = Instant::now();
    let arguments = json!({"high_ram": true, "max_hours": 5, "confirm": true});
    let assigned = bridge.call("assign_colab_runtime", arguments);
    assigned.succeeded();
    assert_eq!(assigned.fact("state"), "starting");
    assert_eq!(
        assigned.fact("ends"),
        "after 2 h",
        "the user's limit is the stricter one"
    );
    let hint = assigned.fact("hint");
    assert!(
        hint.contains("in the background") && hint.contains("half a minute"),
        "{hint}"
    );
    let code = bridge.call("run_code_quick", json!({"code": "1"}));
    code.refused("busy");
    assert!(code.fact("error").contains("to boot"), "{}", code.facts);
    assert!(
        begun.elapsed() < Duration::from_secs(150),
        "{:?}",
        begun.elapsed()
    );
    let negative = bridge.call(
        "assign_colab_runtime",
        json!({"max_hours": -1, "confirm": true}),
    );
    negative.refused("invalid_argument");
}
