//! The report tools: the connection, the machine, its files and its variables.

use serde_json::{Value, json};

use crate::support::executor::Executor;
use crate::support::home::Home;
use crate::support::stdio::{Answer, Bridge};

fn bridge(home: &Home) -> Bridge {
    Executor::shared().bridge(home, &[])
}

#[track_caller]
fn run(bridge: &mut Bridge, session: &str, code: &str) -> Answer {
    let arguments = json!({"code": code, "session": session});
    let answer = bridge.call("run_code_quick", arguments);
    answer.succeeded();
    answer
}

fn names<'a>(list: &'a Value, field: &str) -> Vec<&'a str> {
    let list = list.as_array().unwrap();
    list.iter()
        .map(|item| item[field].as_str().unwrap())
        .collect()
}

#[test]
fn a_report_is_the_same_as_structured_content_and_as_text() {
    let home = Home::new();
    let mut bridge = bridge(&home);
    for (tool, arguments) in [
        ("check_colab_connection", json!({})),
        ("probe_colab_environment", json!({})),
        ("restart_session", json!({"session": "main"})),
    ] {
        // `Answer::of` checks that both forms are equal.
        let answer = bridge.call(tool, arguments);
        assert!(!answer.is_error, "{}", answer.whole);
        assert!(answer.whole["structuredContent"].is_object(), "{tool}");
        assert_eq!(answer.text, "", "{tool}");
    }
}

#[test]
fn the_connection_check_reports_the_runtime() {
    let home = Home::new();
    let answer = bridge(&home).call("check_colab_connection", json!({}));
    assert_eq!(answer.fact("status"), "connected");
    assert_eq!(answer.fact("url"), Executor::shared().url);
    for number in ["latency_ms", "uptime_minutes", "memory_available_gb"] {
        assert!(answer.facts[number].is_number(), "{}", answer.facts);
    }
    assert!(names(&answer.facts["sessions"], "name").contains(&"main"));
    let session = answer.facts["sessions"][0].as_object().unwrap();
    for identity in ["kernel_id", "started_at", "idle_sec"] {
        assert!(!session.contains_key(identity), "{session:?}");
    }
    let saved = home.folder("results").display().to_string();
    assert_eq!(answer.fact("save_dir"), saved);
    assert_eq!(answer.facts["upload_dirs"], json!([saved]));
    assert_eq!(answer.facts["call_limit_sec"], 45);

    let line = Executor::shared().line();
    let more = home.folder("more");
    std::fs::create_dir(&more).unwrap();
    let variables = [
        ("COLAB_URL", line.as_str()),
        ("UPLOAD_DIRS", more.to_str().unwrap()),
        ("SMART_COLAB_CALL_BUDGET_SEC", "20"),
    ];
    let mut other = Bridge::greeted(home.program(&variables));
    let answer = other.call("check_colab_connection", json!({}));
    assert_eq!(answer.facts["upload_dirs"], json!([saved, more]));
    assert_eq!(answer.facts["call_limit_sec"], 20);
}

#[test]
fn what_a_call_changed_in_small_is_among_its_facts() {
    let home = Home::new();
    let mut bridge = bridge(&home);
    let first = run(&mut bridge, "trainig", "held = b'x' * 200_000_000");
    assert_eq!(first.facts["new_session"], true, "{}", first.facts);
    let delta = |answer: &Answer| answer.facts["memory_delta_mb"].as_f64().unwrap();
    assert!((180.0..220.0).contains(&delta(&first)), "{}", first.facts);
    let second = run(&mut bridge, "trainig", "del held");
    assert!(second.facts["new_session"].is_null(), "{}", second.facts);
    assert!(
        (-220.0..-180.0).contains(&delta(&second)),
        "{}",
        second.facts
    );
    assert!(run(&mut bridge, "main", "1").facts["new_session"].is_null());
    let look = bridge.call("get_output", json!({"job_id": first.facts["job_id"]}));
    assert!(look.facts["new_session"].is_null(), "{}", look.facts);
}

#[cfg(unix)]
#[test]
fn a_command_that_fails_has_its_exit_code_among_the_facts() {
    let home = Home::new();
    let mut bridge = bridge(&home);
    for (code, exit_code) in [
        ("!exit 3", json!(3)),
        ("!exit 3\n!true", json!(3)),
        ("!kill -9 $$", json!(-9)),
        ("%pip install ./nowhere --no-index", json!(1)),
        ("!true", Value::Null),
        ("1", Value::Null),
    ] {
        let answer = run(&mut bridge, "commands", code);
        assert_eq!(
            answer.facts["exit_code"], exit_code,
            "{code}: {}",
            answer.facts
        );
    }
}

#[test]
fn reading_the_output_of_code_that_failed_is_no_error() {
    let home = Home::new();
    let mut bridge = bridge(&home);
    let arguments = json!({"code": "print('out')\n1 / 0", "session": "failing"});
    let ran = bridge.call("run_code_quick", arguments);
    ran.refused("python_error");
    let job = json!({"job_id": ran.facts["job_id"]});
    let read = bridge.call("get_output", job);
    assert!(!read.is_error, "{}", read.whole);
    assert_eq!(read.text, ran.text);
    for fact in ["success", "state", "code", "error", "hint", "retryable"] {
        assert_eq!(read.facts[fact], ran.facts[fact], "{fact}");
    }
}

#[test]
fn a_module_beside_the_data_is_imported_and_one_elsewhere_is_named() {
    let home = Home::new();
    let mut bridge = bridge(&home);
    run(&mut bridge, "modules", "%%writefile beside_7c1.py\nx = 1");
    run(&mut bridge, "modules", "import beside_7c1");
    let folder = Executor::shared().root().join("elsewhere_7c1");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("hidden_7c1.py"), "x = 2").unwrap();
    let arguments = json!({"code": "import hidden_7c1", "session": "modules"});
    let answer = bridge.call("run_code_quick", arguments);
    answer.refused("python_error");
    let (hint, folder) = (answer.fact("hint"), folder.display().to_string());
    assert!(
        hint.contains(&format!("sys.path.insert(0, '{folder}')")),
        "{hint}"
    );
    assert!(!hint.contains("pip"), "{hint}");
}

#[test]
fn a_wrong_token_is_reported_without_being_shown() {
    let home = Home::new();
    let line = format!("{}#wr0ng-t0ken", Executor::shared().url);
    let mut bridge = Bridge::greeted(home.program(&[("COLAB_URL", &line)]));
    let report = bridge.call("check_colab_connection", json!({}));
    assert_eq!(report.fact("status"), "disconnected");
    assert_eq!(report.fact("code"), "unauthorized");
    assert!(!report.fact("suggestion").is_empty());
    let refused = bridge.call("run_code_quick", json!({"code": "1"}));
    refused.refused("unauthorized");
    let left = bridge.leave();
    let said = left.stdout + &left.stderr + &home.everything();
    assert!(!said.contains("wr0ng-t0ken"), "{said}");
}

#[test]
fn the_probe_describes_the_machine() {
    let home = Home::new();
    let answer = bridge(&home).call("probe_colab_environment", json!({}));
    assert!(!answer.is_error, "{}", answer.whole);
    let facts = &answer.facts;
    assert!(facts["compute"]["cpu_count"].as_u64().unwrap() > 0);
    assert!(facts["compute"]["memory_total_gb"].as_f64().unwrap() > 0.0);
    assert!(facts["gpu"].is_array());
    assert!(facts["python"].is_string());
    assert!(facts["packages"]["numpy"].is_string(), "{facts}");
    assert!(!facts["storage"].as_array().unwrap().is_empty());
    assert!(facts["recommendations"].is_array());
    let whole = facts.to_string();
    assert!(!whole.contains("null"), "{whole}");

    let arguments = json!({"packages": ["numpy", "nowhere-7c1"]});
    let named = bridge(&home).call("probe_colab_environment", arguments);
    let packages = &named.facts["packages"];
    assert_eq!(packages["numpy"], facts["packages"]["numpy"]);
    assert_eq!(packages["nowhere-7c1"], "not installed");
    assert_eq!(packages.as_object().unwrap().len(), 2, "{packages}");
}

#[test]
fn named_variables_are_cleared_alone_and_an_unknown_name_clears_none() {
    let home = Home::new();
    let mut bridge = bridge(&home);
    let code = "import numpy\na = numpy.ones(25_000_000)\nb = 1\nc = 2\na";
    run(&mut bridge, "naming", code);
    let mut clean = |variables: Value| {
        bridge.call(
            "cleanup_colab",
            json!({"session": "naming", "variables": variables}),
        )
    };
    let unknown = clean(json!(["a", "nobody"]));
    unknown.refused("not_found");
    let said = "Session naming has no variable nobody; nothing was cleared.";
    assert_eq!(unknown.fact("error"), said);
    assert_eq!(unknown.fact("hint"), "It has: a, b, c.");
    clean(json!([])).refused("invalid_argument");
    // As some clients write lists.
    let named = clean(json!("a, c"));
    assert_eq!(named.facts["cleared_variables"], json!(["a", "c"]));
    assert!(
        named.facts["freed_mb"].as_f64().unwrap() > 180.0,
        "{}",
        named.facts
    );
    assert_eq!(run(&mut bridge, "naming", "print(b)").text, "1\n");
    let left = bridge.call("list_colab_variables", json!({"session": "naming"}));
    assert_eq!(names(&json!(left.rows()), "name"), ["b"]);

    let code = "data = numpy.ones(250_000)\nhead = data[:5]";
    run(&mut bridge, "naming", code);
    let arguments = json!({"session": "naming", "variables": ["data"]});
    let held = bridge.call("cleanup_colab", arguments);
    assert_eq!(held.facts["held_by"], json!(["head"]));
    assert!(held.fact("hint").ends_with("in variables: head."));
}

#[test]
fn cleanup_deletes_no_user_file() {
    let home = Home::new();
    let mut bridge = bridge(&home);
    let root = Executor::shared().root();
    let folder = root.join("clean");
    std::fs::create_dir(&folder).unwrap();
    for name in ["keep.txt", "keep.tmp.csv", "old.tmp", "old.temp", "old.pyc"] {
        std::fs::write(folder.join(name), "x").unwrap();
    }
    run(&mut bridge, "cleaning", "x = 1");
    let plain = bridge.call("cleanup_colab", json!({"session": "cleaning"}));
    assert_eq!(plain.facts["deleted_files"], json!([]), "{}", plain.facts);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 5);

    let arguments = json!({"session": "cleaning", "temp_files": true});
    let thorough = bridge.call("cleanup_colab", arguments);
    let deleted = thorough.facts["deleted_files"].to_string();
    for name in ["old.tmp", "old.temp", "old.pyc"] {
        assert!(deleted.contains(name), "{deleted}");
        assert!(!folder.join(name).exists(), "{name}");
    }
    for name in ["keep.txt", "keep.tmp.csv"] {
        assert!(folder.join(name).exists(), "{name}");
    }
}
