//! Machines end at the limit that the user set.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use super::{
    REFRESH_TOKEN, change_record, colab, colab_with, failed, program, recorded, said, sign_in,
};
use crate::support::executor::until_there;
use crate::support::fake_colab::FakeColab;
use crate::support::home::Home;
use crate::support::jupyter::{Jupyter, TOKEN};
use crate::support::stdio::Bridge;

/// Makes the only machine so old.
fn age(home: &Home, minutes: u64) {
    let at = SystemTime::now() - Duration::from_secs(minutes * 60);
    let at = jiff::Timestamp::try_from(at).unwrap().to_string();
    change_record(home, |kept| kept["asked_at"] = json!(at));
}

#[test]
fn a_bridge_gives_a_machine_back_at_its_limit_and_names_and_keeps_what_ran_there() {
    let server = Jupyter::server("/", &[]);
    let (home, fake) = (Home::new(), FakeColab::over(&[server.url()], TOKEN));
    sign_in(&home, REFRESH_TOKEN);
    said(&colab(&home, &fake, &["up", "--max-hours", "5"]));
    let mut bridge = Bridge::greeted(program(&home, &fake, &[]));
    let code =
        "import time\nprint('so far')\nopen('begun', 'w').close()\nwhile True: time.sleep(0.1)";
    let running = bridge.call("run_code_long", json!({"code": code, "wait_sec": 0}));
    let job = running.fact("job_id").to_owned();
    until_there(&server.root().join("begun"));
    assert_eq!(fake.machines().len(), 1);

    let mut news = || loop {
        let reply = bridge.call("list_colab_runtimes", json!({}));
        if let Some(said) = reply.facts["machine_limit"].as_str() {
            return said.to_owned();
        }
        sleep(Duration::from_millis(200));
    };
    age(&home, 4 * 60 + 55);
    let soon = news();
    assert!(
        soon.contains("is given back at") && soon.contains(&job),
        "{soon}"
    );
    assert_eq!(fake.machines().len(), 1);
    age(&home, 5 * 60 + 1);
    let ended = news();
    assert!(
        ended.contains("at its limit of 5 h") && ended.contains(&job),
        "{ended}"
    );
    assert!(fake.machines().is_empty() && recorded(&home) == 0);
    let log = home.folder("results/logs").join(format!("{job}.log"));
    assert_eq!(fs::read_to_string(&log).unwrap(), "so far\n");
    assert!(ended.contains(log.to_str().unwrap()), "{ended}");
    let kept = bridge.call("get_output", json!({"job_id": job}));
    assert_eq!(kept.text, "so far\n", "{}", kept.facts);
}

#[test]
fn the_next_command_gives_back_what_has_cost_as_much_as_the_user_allowed() {
    let (home, other, fake) = (Home::new(), Home::new(), FakeColab::without_servers());
    for home in [&home, &other] {
        sign_in(home, REFRESH_TOKEN);
    }
    // What another machine costs does not count.
    said(&colab(&other, &fake, &["up", "--no-start"]));
    let settings = [("COLAB_MAX_UNITS", "9"), ("COLAB_MAX_HOURS", "20")];
    let arguments = ["up", "--gpu", "--max-units", "1.18", "--no-start", "--json"];
    let up = said(&colab_with(&home, &fake, &settings, &arguments));
    let up: Value = serde_json::from_str(&up).unwrap();
    let time = |name: &str| {
        up[name]
            .as_str()
            .unwrap()
            .parse::<jiff::Timestamp>()
            .unwrap()
    };
    // A T4 costs 1.18 an hour.
    let life = time("ends_at").duration_since(time("assigned_here_at"));
    assert_eq!((life.as_secs() + 1) / 60, 60, "{up}");
    assert_eq!(up["max_hours"], 20.0);

    age(&home, 59);
    let before = colab(&home, &fake, &["status"]);
    assert!(said(&before).contains("after 20 h or 1.18 compute units"));
    assert!(String::from_utf8_lossy(&before.stderr).contains("is given back at"));
    age(&home, 61);
    let after = colab(&home, &fake, &["list"]);
    let noted = String::from_utf8_lossy(&after.stderr);
    assert!(noted.contains("was given back at its limit"), "{noted}");
    assert_eq!(fake.machines().len(), 1);
    assert_eq!((recorded(&home), recorded(&other)), (0, 1));
}

#[test]
fn a_list_without_the_machine_ends_no_limit() {
    let (home, fake) = (Home::new(), FakeColab::without_servers());
    sign_in(&home, REFRESH_TOKEN);
    let up = ["up", "--max-hours", "1", "--no-start"];
    said(&colab(&home, &fake, &up));
    fake.set(&json!({"lose_list": 1, "forget": true}));
    age(&home, 61);
    let _bridge = Bridge::greeted(program(&home, &fake, &[]));
    while fake.count("GET", "/tun/m/assignments") == 0 {
        sleep(Duration::from_millis(200));
    }
    assert_eq!(recorded(&home), 1);
    let end = Instant::now() + Duration::from_secs(60);
    while recorded(&home) == 1 && Instant::now() < end {
        sleep(Duration::from_millis(500));
    }
    assert_eq!(recorded(&home), 0);
    assert!(fake.machines().is_empty());
}

#[test]
fn a_rate_that_has_not_risen_yet_is_not_taken_for_the_machines_own() {
    let (home, other, fake) = (Home::new(), Home::new(), FakeColab::without_servers());
    for home in [&home, &other] {
        sign_in(home, REFRESH_TOKEN);
    }
    said(&colab(&other, &fake, &["up", "--gpu", "--no-start"]));
    fake.set(&json!({"rate": 1.18, "eligible": null}));
    let up = ["up", "--gpu", "A100", "--max-units", "5.37", "--no-start"];
    said(&colab(&home, &fake, &up));
    let minutes = || {
        let list = said(&colab(&home, &fake, &["list", "--json"]));
        let list: Value = serde_json::from_str(&list).unwrap();
        let machines = list["machines"].as_array().unwrap();
        let ours = machines.iter().find(|one| !one["ends_at"].is_null());
        let time = |name: &str| {
            let text = ours.unwrap()[name].as_str().unwrap();
            text.parse::<jiff::Timestamp>().unwrap()
        };
        let life = time("ends_at").duration_since(time("assigned_here_at"));
        (life.as_secs() + 1) / 60
    };
    assert_eq!(minutes(), 273, "all of what the account pays an hour");
    fake.set(&json!({"rate": null}));
    assert_eq!(minutes(), 60);
}

#[test]
fn a_limit_that_is_no_number_above_0_is_refused_before_anything_is_assigned() {
    let (home, fake) = (Home::new(), FakeColab::without_servers());
    sign_in(&home, REFRESH_TOKEN);
    let up = ["up", "--no-start"];
    failed(
        &colab_with(&home, &fake, &[("COLAB_MAX_HOURS", "soon")], &up),
        &["COLAB_MAX_HOURS", "a number above 0"],
    );
    failed(
        &colab(&home, &fake, &["up", "--max-units", "0"]),
        &["above 0"],
    );
    assert!(fake.machines().is_empty() && recorded(&home) == 0);
}

#[test]
fn a_machine_that_colab_does_not_take_back_is_named_and_tried_again() {
    let (home, fake) = (Home::new(), FakeColab::without_servers());
    sign_in(&home, REFRESH_TOKEN);
    said(&colab(
        &home,
        &fake,
        &["up", "--max-hours", "1", "--no-start"],
    ));
    age(&home, 61);
    fake.set(&json!({"scopes": ["openid"], "expire_access": true}));
    let refused = colab(&home, &fake, &["list"]);
    let noted = String::from_utf8_lossy(&refused.stderr);
    assert!(
        noted.contains("past its limit of 1 h") && noted.contains("tried again"),
        "{noted}"
    );
    assert_eq!((fake.machines().len(), recorded(&home)), (1, 1));
    fake.set(&json!({"scopes": null, "expire_access": true}));
    let none = said(&colab(&home, &fake, &["list"]));
    assert!(none.contains("No machine"), "{none}");
    assert!(fake.machines().is_empty() && recorded(&home) == 0);
}
