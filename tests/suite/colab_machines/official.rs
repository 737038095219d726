//! The same over Google's documented API.

use std::process::Output;

use serde_json::{Value, json};

use super::{
    REFRESH_TOKEN, change_record, colab, colab_with, failed, program, recorded, said, sign_in,
};
use crate::support::fake_colab::FakeColab;
use crate::support::home::Home;
use crate::support::jupyter::{Jupyter, TOKEN};
use crate::support::stdio::Bridge;

const API: (&str, &str) = ("COLAB_MACHINE_API", "v1beta");

fn official(home: &Home, fake: &FakeColab, arguments: &[&str]) -> Output {
    colab_with(home, fake, &[API], arguments)
}

#[test]
fn the_official_api_leads_to_a_runtime_and_gives_it_back() {
    let server = Jupyter::server("/", &[]);
    let (home, fake) = (Home::new(), FakeColab::over(&[server.url()], TOKEN));
    sign_in(&home, REFRESH_TOKEN);
    fake.set(&json!({"boot_sec": 1, "proxy_token_sec": 6, "tier": 1}));
    said(&official(&home, &fake, &["up", "--gpu"]));
    let status = said(&official(&home, &fake, &["status"]));
    assert!(
        status.contains("pro") && status.contains("GPUs: T4") && status.contains("sc-"),
        "{status}"
    );
    // The record says how the machine is asked for.
    let mut bridge = Bridge::greeted(program(&home, &fake, &[]));
    let ran = bridge.call("run_code_quick", json!({"code": "print(6 * 7)"}));
    assert_eq!(ran.text.trim(), "42");
    fake.set(&json!({"expire": true, "expire_access": true, "drop": true}));
    let ran = bridge.call("run_code_quick", json!({"code": "print(6 * 8)"}));
    assert_eq!(ran.text.trim(), "48");
    drop(bridge);
    said(&official(&home, &fake, &["down"]));
    assert!(fake.machines().is_empty() && recorded(&home) == 0);
    let state = fake.state();
    assert_eq!(state["faults"], json!([]));
    let requests = state["requests"].as_array().unwrap();
    let pages = requests
        .iter()
        .filter(|one| one["path"].as_str().unwrap().starts_with("/tun"));
    assert_eq!(pages.count(), 0);
}

#[test]
fn a_creation_whose_answer_is_lost_makes_no_second_machine_and_none_is_forgotten() {
    let (home, fake) = (Home::new(), FakeColab::without_servers());
    sign_in(&home, REFRESH_TOKEN);
    fake.set(&json!({"assign": ["lost"]}));
    said(&official(&home, &fake, &["up", "--no-start"]));
    assert_eq!(fake.machines().len(), 1);
    change_record(&home, |kept| kept["endpoint"] = Value::Null);
    said(&official(&home, &fake, &["down", "--all"]));
    assert!(fake.machines().is_empty() && recorded(&home) == 0);
}

#[test]
fn a_machine_is_found_and_given_back_by_the_api_that_it_was_asked_for_with() {
    let (home, fake) = (Home::new(), FakeColab::without_servers());
    sign_in(&home, REFRESH_TOKEN);
    let name = said(&official(&home, &fake, &["up", "--no-start"]));
    let list = said(&colab(&home, &fake, &["list"]));
    assert!(list.contains(name.trim()), "{list}");
    said(&colab(&home, &fake, &["down"]));
    assert!(fake.machines().is_empty() && recorded(&home) == 0);
    said(&colab(&home, &fake, &["up", "--no-start"]));
    said(&official(&home, &fake, &["down"]));
    assert!(fake.machines().is_empty() && recorded(&home) == 0);
}

#[test]
fn a_machine_of_the_other_api_is_not_lost_while_that_does_not_answer() {
    let (home, fake) = (Home::new(), FakeColab::without_servers());
    sign_in(&home, REFRESH_TOKEN);
    let name = said(&official(&home, &fake, &["up", "--no-start"]));
    let name = name.trim();
    let own = said(&colab(&home, &fake, &["up", "--no-start"]));
    fake.set(&json!({"official_fails": true}));
    let list = said(&colab(&home, &fake, &["list"]));
    assert!(list.contains(name), "{list}");
    let down = colab(&home, &fake, &["down", "--all", "--json"]);
    assert!(!down.status.success());
    let said: Value = serde_json::from_slice(&down.stdout).unwrap();
    assert_eq!(said["success"], false);
    assert_eq!(said["failed"], json!([name]));
    assert_eq!(said["given_back"], json!([own.trim()]));
    assert!(said["error"].as_str().unwrap().contains(name), "{said}");
    assert_eq!((fake.machines().len(), recorded(&home)), (1, 1));
}

#[test]
fn each_refusal_of_the_official_api_says_what_to_do_and_leaves_no_record() {
    let (home, fake) = (Home::new(), FakeColab::without_servers());
    sign_in(&home, REFRESH_TOKEN);
    let up = ["up", "--gpu", "--no-start"];
    for (knob, words) in [
        ("412", ["too many machines", "Manage sessions"]),
        ("quota_2", ["at its limit", "compute units"]),
        ("denylisted", ["refuses machines", "FAQ"]),
        ("503", ["free now: a machine with T4", "some minutes"]),
        ("html_400", ["T4", "another accelerator"]),
    ] {
        fake.set(&json!({"assign": [knob]}));
        failed(&official(&home, &fake, &up), &words);
        assert!(fake.machines().is_empty() && recorded(&home) == 0, "{knob}");
    }
    let with_cost = [&up[..], &["--max-units", "3"]].concat();
    failed(
        &official(&home, &fake, &with_cost),
        &["does not say what", "in hours"],
    );
    fake.set(&json!({"is_allowlisted": false}));
    failed(
        &official(&home, &fake, &["list"]),
        &["not open to this account", "COLAB_MACHINE_API"],
    );
    fake.set(&json!({"is_allowlisted": true, "scopes": ["openid"], "expire_access": true}));
    failed(
        &official(&home, &fake, &["list"]),
        &["does not allow", "every box"],
    );
    failed(
        &colab_with(&home, &fake, &[("COLAB_MACHINE_API", "v2")], &["list"]),
        &["COLAB_MACHINE_API", "v1beta"],
    );
}
