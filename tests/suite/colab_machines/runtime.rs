//! An assigned machine as a runtime, with no tunnel and no notebook.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{REFRESH_TOKEN, colab, program, recorded, said, sign_in};
use crate::support::executor::until_there;
use crate::support::fake_colab::FakeColab;
use crate::support::home::Home;
use crate::support::jupyter::{Jupyter, TOKEN};
use crate::support::stdio::{Answer, Bridge};

/// A signed-in home with a machine; a bridge there needs no setting.
pub(super) fn up(servers: &[&Jupyter]) -> (Home, FakeColab) {
    let urls: Vec<String> = servers.iter().map(|server| server.url()).collect();
    let (home, fake) = (Home::new(), FakeColab::over(&urls, TOKEN));
    sign_in(&home, REFRESH_TOKEN);
    fake.set(&json!({"proxy_token_sec": 6}));
    let up = said(&colab(&home, &fake, &["up"]));
    assert!(up.contains("Ready"), "{up}");
    (home, fake)
}

pub(super) fn bridge(home: &Home, fake: &FakeColab) -> Bridge {
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
    revoke_in_mid_job(&home, &fake, &server, &mut bridge);
    drop(bridge);
    said(&colab(&home, &fake, &["down"]));
    assert!(fake.machines().is_empty() && recorded(&home) == 0);
    assert_eq!(
        fake.state()["faults"],
        json!([]),
        "no bearer token ever went to a machine"
    );
}

/// The job goes on without the sign-in, which is asked for, and its output is there after the next one.
fn revoke_in_mid_job(home: &Home, fake: &FakeColab, server: &Jupyter, bridge: &mut Bridge) {
    let root = server.root();
    let code = "open('again', 'a').write('x')\nwhile not os.path.exists('on'): time.sleep(0.05)\nprint('whole')";
    let begun = bridge.call("run_code_long", json!({"code": code, "wait_sec": 0}));
    let look = json!({"job_id": begun.fact("job_id")});
    until_there(&root.join("again"));
    fake.set(&json!({"revoke": true, "expire": true, "drop": true}));
    fs::write(root.join("on"), "").unwrap();
    let mut answer = bridge.call("get_output", look.clone());
    while !answer.is_error {
        answer = bridge.call("get_output", look.clone());
    }
    assert!(
        answer.fact("error").contains("no longer accepts"),
        "{}",
        answer.facts
    );
    fake.set(&json!({"revoke": false}));
    sign_in(home, REFRESH_TOKEN);
    let answer = bridge.call("get_output", look);
    answer.succeeded();
    assert_eq!(
        (answer.text.trim(), answer.fact("state")),
        ("whole", "succeeded")
    );
    assert_eq!(fs::read_to_string(root.join("again")).unwrap(), "x", "once");
}

#[test]
fn on_a_machine_that_was_replaced_under_its_name_an_operation_is_set_up_again() {
    let servers = [Jupyter::server("/", &[]), Jupyter::server("/", &[])];
    let (home, fake) = up(&[&servers[0], &servers[1]]);
    let mut bridge = bridge(&home, &fake);
    let [first, second] = servers.each_ref().map(Jupyter::root);
    fs::write(second.join("go"), "").unwrap();
    let body = "with open('ran', 'a') as file: print(i, file=file)\nwhile i == 6 and not os.path.exists('go'): time.sleep(0.01)\ni";
    let mut arguments = json!({
        "setup_code": "import os, time", "loop_code": body, "n_iterations": 12, "batch_size": 4, "checkpoint_name": "moved",
        "wait_sec": 0,
    });
    let mut answer = bridge.call("run_chunked_operation", arguments.clone());
    while answer.facts["completed"] != 6 {
        answer.succeeded();
        answer = bridge.call("get_output", json!({"job_id": "moved", "wait_sec": 1}));
    }
    fake.set(&json!({"replace": true}));
    arguments["wait_sec"] = Value::Null;
    while answer.facts["can_continue"] != false {
        answer = bridge.call("run_chunked_operation", arguments.clone());
    }
    assert_eq!(answer.facts["completed"], 12, "{}", answer.facts);
    let lines = |root: &Path| fs::read_to_string(root.join("ran")).unwrap();
    let numbers = |range: std::ops::Range<u8>| range.map(|i| format!("{i}\n")).collect::<String>();
    assert_eq!(lines(&first), numbers(0..7));
    assert_eq!(
        lines(&second),
        numbers(6..12),
        "from the iteration that did not end"
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
