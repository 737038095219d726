//! The sign-in, and machines: each is known here until it is given back.

use std::fs;

use serde_json::{Value, json};
use smart_colab::colab::Machines;

use super::{REFRESH_TOKEN, change_record, colab, failed, recorded, said, sign_in};
use crate::support::fake_colab::FakeColab;
use crate::support::home::Home;

const UP: [&str; 2] = ["up", "--no-start"];

#[test]
fn a_machine_is_assigned_shown_and_given_back() {
    let (home, fake) = (Home::new(), FakeColab::without_servers());
    sign_in(&home, REFRESH_TOKEN);
    let up = said(&colab(
        &home,
        &fake,
        &["up", "--gpu", "--high-ram", "--no-start"],
    ));
    let machine = &fake.machines()[0];
    let name = machine["endpoint"].as_str().unwrap();
    assert_eq!(up.trim(), name);
    assert_eq!(machine["accelerator"], "T4");
    assert_eq!(machine["is_high_ram"], true);
    let status = said(&colab(&home, &fake, &["status"]));
    assert!(
        status.contains(name) && status.contains("compute units"),
        "{status}"
    );
    said(&colab(&home, &fake, &["down"]));
    assert!(fake.machines().is_empty() && recorded(&home) == 0);
    let state = fake.state();
    assert_eq!(state["faults"], json!([]));
    let everything = home.everything() + &up + &status;
    assert_eq!(
        everything.matches(REFRESH_TOKEN).count(),
        1,
        "in Google's file alone"
    );
}

#[test]
fn an_assignment_whose_answer_is_lost_makes_no_second_machine_and_none_is_forgotten() {
    let (home, fake) = (Home::new(), FakeColab::without_servers());
    sign_in(&home, REFRESH_TOKEN);
    fake.set(&json!({"assign": ["lost"]}));
    said(&colab(&home, &fake, &UP));
    assert_eq!(fake.machines().len(), 1);
    assert_eq!(fake.count("POST", "/tun/m/assign"), 1);
    // As if this program had ended between the request and its answer.
    change_record(&home, |kept| kept["endpoint"] = Value::Null);
    said(&colab(&home, &fake, &["down", "--all"]));
    assert!(fake.machines().is_empty() && recorded(&home) == 0);
    // One that Colab has ended is forgotten.
    said(&colab(&home, &fake, &UP));
    fake.set(&json!({"gone": true}));
    let status = said(&colab(&home, &fake, &["status"]));
    assert!(status.contains("No machine"), "{status}");
}

#[test]
fn every_machine_is_tried_to_be_given_back_and_a_lost_one_is_named() {
    let (home, fake) = (Home::new(), FakeColab::without_servers());
    sign_in(&home, REFRESH_TOKEN);
    let names = [(); 2].map(|()| said(&colab(&home, &fake, &UP)).trim().to_owned());
    fake.set(&json!({"unassign_fails": 1}));
    let down = ["down", "--all"];
    failed(
        &colab(&home, &fake, &down),
        &[&names[0], "given back", &names[1]],
    );
    assert_eq!((fake.machines().len(), recorded(&home)), (1, 1));
    said(&colab(&home, &fake, &down));
    let unknown = colab(&home, &fake, &["down", "none"]);
    failed(&unknown, &["colab list"]);
    assert!(!String::from_utf8_lossy(&unknown.stderr).contains("colab up"));
    // An error that leaves open what was done.
    fake.set(&json!({"assign_get": ["502"]}));
    failed(
        &colab(&home, &fake, &UP),
        &["may have been assigned", "colab list", "colab down"],
    );
}

#[test]
fn each_command_prints_one_object_for_programs_also_when_it_fails() {
    let (home, fake) = (Home::new(), FakeColab::without_servers());
    let json = |arguments: &[&str]| -> Value {
        let output = colab(&home, &fake, &[arguments, &["--json"]].concat());
        let facts: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(facts["success"], output.status.success(), "{facts}");
        facts
    };
    let signed_out = json(&["quota"]);
    assert_eq!(signed_out["code"], "not_signed_in");
    assert!(signed_out["hint"].as_str().unwrap().contains("gcloud"));
    sign_in(&home, REFRESH_TOKEN);
    assert_eq!(json(&["list"])["machines"], json!([]));
    let up = json(&["up", "--gpu", "--max-hours", "3", "--no-start"]);
    assert_eq!(
        (&up["accelerator"], &up["max_hours"]),
        (&json!("T4"), &json!(3.0))
    );
    let status = json(&["status"]);
    assert_eq!(status["machines"][0]["name"], up["name"]);
    assert_eq!(status["machines"][0]["ends_at"], up["ends_at"]);
    assert_eq!(status["quota"], json(&["quota"])["quota"]);
    assert_eq!(status["quota"]["machines"], 1);
    assert_eq!(json(&["down"])["given_back"], json!([up["name"]]));
}

#[test]
fn what_has_no_effect_and_what_cannot_be_read_is_said() {
    let (home, fake) = (Home::new(), FakeColab::without_servers());
    sign_in(&home, REFRESH_TOKEN);
    fake.set(&json!({"eligible": ["L4"]}));
    let up = colab(
        &home,
        &fake,
        &["up", "--gpu", "l4", "--high-ram", "--no-start"],
    );
    let noted = String::from_utf8_lossy(&up.stderr);
    assert!(
        up.status.success() && noted.contains("with L4 have one size"),
        "{noted}"
    );
    let record = home.folder("data/colab/machines/torn.json");
    fs::write(&record, "{\"key\":").unwrap();
    let down = colab(&home, &fake, &["down"]);
    let noted = String::from_utf8_lossy(&down.stderr);
    assert!(
        noted.contains("torn.json") && noted.contains("Manage sessions"),
        "{noted}"
    );
    assert!(down.status.success() && record.exists() && fake.machines().is_empty());
}

#[test]
fn down_ends_what_was_assigned_here_and_nothing_else() {
    let (home, other, fake) = (Home::new(), Home::new(), FakeColab::without_servers());
    sign_in(&home, REFRESH_TOKEN);
    sign_in(&other, REFRESH_TOKEN);
    said(&colab(&other, &fake, &UP));
    let none = said(&colab(&home, &fake, &["down"]));
    assert!(none.contains("No machine"), "{none}");
    for _ in 0..2 {
        said(&colab(&home, &fake, &UP));
    }
    failed(
        &colab(&home, &fake, &["down"]),
        &["which machine", "all of them"],
    );
    assert_eq!(fake.machines().len(), 3);
    failed(&colab(&home, &fake, &["down", "no-such"]), &["no-such"]);
    said(&colab(&home, &fake, &["down", "--all"]));
    assert_eq!(fake.machines().len(), 1);
    let status = said(&colab(&home, &fake, &["status"]));
    assert!(status.contains("elsewhere"), "{status}");
}

#[test]
fn a_look_with_another_account_forgets_no_machine() {
    let (home, fake, others) = (
        Home::new(),
        FakeColab::without_servers(),
        FakeColab::without_servers(),
    );
    sign_in(&home, REFRESH_TOKEN);
    said(&colab(&home, &fake, &UP));
    for command in ["status", "down"] {
        let none = said(&colab(&home, &others, &[command]));
        assert!(none.contains("No machine"), "{none}");
    }
    said(&colab(&home, &fake, &["down"]));
    assert!(fake.machines().is_empty() && recorded(&home) == 0);
}

#[test]
fn each_refusal_of_colab_says_what_to_do_and_leaves_no_record() {
    let (home, fake) = (Home::new(), FakeColab::without_servers());
    failed(
        &colab(&home, &fake, &UP),
        &["nobody is signed in", "gcloud auth", "login --client"],
    );
    sign_in(&home, REFRESH_TOKEN);
    for (knob, words) in [
        ("html_400", ["T4", "another accelerator"]),
        ("412", ["too many machines", "Manage sessions"]),
        ("503", ["free now: a machine with T4", "some minutes"]),
        ("quota_1", ["at its limit", "compute units"]),
        ("quota_503", ["at its limit", "compute units"]),
        ("denylisted", ["refuses machines", "FAQ"]),
    ] {
        fake.set(&json!({"assign": [knob]}));
        failed(&colab(&home, &fake, &["up", "--gpu", "--no-start"]), &words);
        assert!(fake.machines().is_empty() && recorded(&home) == 0, "{knob}");
    }
    fake.set(&json!({"captcha": true}));
    failed(&colab(&home, &fake, &UP), &["a person", "browser"]);
    fake.set(&json!({"captcha": false, "scopes": ["openid"]}));
    failed(
        &colab(&home, &fake, &["status"]),
        &["does not allow", "every box"],
    );
    fake.set(&json!({"scopes": null, "revoke": true}));
    failed(
        &colab(&home, &fake, &["status"]),
        &["no longer accepts", "seven days"],
    );
}

#[tokio::test]
async fn a_keep_alive_without_an_answer_is_done_and_a_refused_one_is_not() {
    let (home, fake) = (Home::new(), FakeColab::without_servers());
    sign_in(&home, REFRESH_TOKEN);
    let name = said(&colab(&home, &fake, &UP));
    let machines = Machines::new(&home.folder("data"));
    let plane = machines
        .named(name.trim())
        .unwrap()
        .plane(&home.folder("data"))
        .unwrap();
    plane.keep_alive(name.trim()).await.unwrap();
    assert_eq!(fake.machines()[0]["keep_alives"], 1);
    fake.set(&json!({"keep_alive": 404}));
    plane.keep_alive(name.trim()).await.unwrap_err();
    assert_eq!(fake.state()["faults"], json!([]), "each has its header");
}

#[test]
fn a_list_that_is_left_out_and_an_accelerator_without_a_known_name_are_read() {
    let (home, fake) = (Home::new(), FakeColab::without_servers());
    sign_in(&home, REFRESH_TOKEN);
    for list in ["absent", "empty"] {
        fake.set(&json!({"no_assignments": list}));
        let none = said(&colab(&home, &fake, &["status"]));
        assert!(none.contains("No machine"), "{none}");
    }
    // An answer with what is sure alone, and a name that came later than this program.
    fake.set(&json!({"sparse": true, "accelerator_name": "X9"}));
    let name = said(&colab(&home, &fake, &["up", "--gpu", "--no-start"]));
    let status = said(&colab(&home, &fake, &["status"]));
    assert!(
        status.contains(name.trim()) && status.contains("X9"),
        "{status}"
    );
}

/// The program that opens addresses answers as a person's browser who agrees.
#[cfg(unix)]
#[test]
fn a_sign_in_with_a_client_of_ones_own_is_kept_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (home, fake) = (Home::new(), FakeColab::without_servers());
    let browser = home.folder("browser");
    let python = crate::support::python::python();
    let visit = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1]).read()";
    let script = format!(
        "#!/bin/sh\nexec '{}' -c '{visit}' \"$1\"\n",
        python.display()
    );
    fs::write(&browser, script).unwrap();
    fs::set_permissions(&browser, fs::Permissions::from_mode(0o700)).unwrap();
    let client = home.folder("client.json");
    let content = json!({"installed": {"client_id": "client", "client_secret": "s3cret"}});
    fs::write(&client, content.to_string()).unwrap();
    let login = || {
        let mut command = home.program(&[fake.setting(), ("BROWSER", browser.to_str().unwrap())]);
        command.env("CLOUDSDK_CONFIG", home.folder("nothing"));
        command
            .args(["colab", "login", "--client"])
            .arg(&client)
            .output()
            .unwrap()
    };
    let said = said(&login());
    assert!(said.starts_with("Signed in."), "{said}");
    assert_eq!(fake.state()["faults"], json!([]));
    let file = home.folder("data/colab/sign-in.json");
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let kept: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert!(!said.contains(kept["refresh_token"].as_str().unwrap()));
    fake.set(&json!({"consent": "deny"}));
    failed(&login(), &["not finished", "confirm in the browser"]);
    fake.set(&json!({"consent": "agree", "scopes": ["openid"]}));
    failed(&login(), &["every box"]);
    fs::write(&client, "{\"web\": {}}").unwrap();
    failed(&login(), &["Desktop app"]);
}
