//! The saved result of a named run, with the real program and executor.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::executor::{Executor, until_there};
use crate::support::home::{Home, break_folder};
use crate::support::stdio::{Answer, Bridge};

const CODE: &str = "import matplotlib.pyplot as plt\nfor i in range(30_000): print(f'line {i}: ü')\nplt.plot([1, 2])\nplt.show()";

fn run(bridge: &mut Bridge, name: &str, code: &str) -> Answer {
    let arguments = json!({"code": code, "checkpoint_name": name, "session": name});
    bridge.call("run_code_long", arguments)
}

fn get(bridge: &mut Bridge, name: &str) -> Answer {
    bridge.call("get_checkpoint", json!({"operation": name}))
}

fn read(path: &Value) -> String {
    fs::read_to_string(path.as_str().unwrap()).unwrap()
}

#[track_caller]
fn assert_whole(report: &Answer) {
    let whole: String = (0..30_000).map(|i| format!("line {i}: ü\n")).collect();
    assert!(read(&report.facts["output_file"]).starts_with(&whole));
    assert_eq!(read(&report.facts["code_file"]), CODE);
    assert_eq!(report.facts["code"], CODE);
    assert_eq!(report.fact("state"), "succeeded");
    assert_eq!(report.facts["notes"], json!([]));
    let text = report.fact("text");
    assert!(text.starts_with("line 0: ü\n") && text.contains("left out here"));
    let [picture] = report.facts["files"].as_array().unwrap().as_slice() else {
        panic!("{}", report.facts);
    };
    let bytes = fs::read(picture.as_str().unwrap()).unwrap();
    assert!(bytes.starts_with(b"\x89PNG"), "{picture}");
    for time in ["created_at", "started_at", "finished_at"] {
        assert!(report.facts["timing"][time].is_string(), "{}", report.facts);
    }
    assert!(report.facts["timing"]["execution_time_sec"].is_number());
}

#[test]
fn code_output_pictures_and_times_survive_the_loss_of_everything_else() {
    let (mut executor, home) = (Executor::start(), Home::new());
    let mut bridge = executor.bridge(&home, &[]);
    run(&mut bridge, "whole", CODE).succeeded();
    executor.kill();
    fs::remove_dir_all(home.folder("results")).unwrap();
    let report = get(&mut bridge, "whole");
    assert_whole(&report);
    assert_eq!(report.fact("session"), "whole");
    let list = bridge.call("list_checkpoints", json!({}));
    let row = &list.rows()[0];
    assert_eq!(
        (&row["operation"], &row["kind"]),
        (&json!("whole"), &json!("result"))
    );
    assert!(row["bytes"].as_u64().unwrap() > 400_000, "{row}");
    let deleted = bridge.call("delete_checkpoint", json!({"operation": "whole"}));
    assert!(
        deleted.facts["bytes"].as_u64().unwrap() > 400_000,
        "{}",
        deleted.facts
    );
    get(&mut bridge, "whole").refused("not_found");
}

#[test]
fn a_run_whose_bridge_was_killed_is_kept_by_the_next_one() {
    let (executor, home) = (Executor::shared(), Home::new());
    let (begun, go) = ("orphan-begun", executor.root().join("orphan-go"));
    let wait = format!(
        "import os, time\nopen({begun:?}, 'w').close()\nwhile not os.path.exists('orphan-go'): time.sleep(0.01)\n"
    );
    let code = format!("{wait}print('the end')");
    let mut bridge = executor.bridge(&home, &[]);
    let arguments = json!({"code": code, "checkpoint_name": "orphan", "session": "orphan"});
    bridge.begin_call("run_code_long", arguments);
    until_there(&executor.root().join(begun));
    drop(bridge);
    fs::write(go, "").unwrap();

    let mut next = executor.bridge(&home, &[]);
    let report = loop {
        let report = get(&mut next, "orphan");
        if report.fact("state") != "running" {
            break report;
        }
    };
    assert_eq!(report.fact("state"), "succeeded");
    assert_eq!(read(&report.facts["output_file"]), "the end\n");
    assert_eq!(read(&report.facts["code_file"]), code);
}

#[test]
fn a_result_is_complete_once_get_output_has_seen_the_end() {
    let (mut executor, home) = (Executor::start(), Home::new());
    let mut bridge = executor.bridge(&home, &[("SMART_COLAB_CALL_BUDGET_SEC", "5")]);
    let code =
        format!("import os, time\nwhile not os.path.exists('seen-go'): time.sleep(0.01)\n{CODE}");
    bridge.warm("seen");
    let answer = run(&mut bridge, "seen", &code);
    assert_eq!(answer.fact("state"), "running", "{}", answer.facts);
    bridge
        .call("delete_checkpoint", json!({"operation": "seen"}))
        .refused("busy");
    fs::write(executor.root().join("seen-go"), "").unwrap();
    let id = answer.fact("job_id").to_owned();
    let has_ended = (0..60).any(|_| {
        let look = bridge.call("get_output", json!({"job_id": id}));
        look.facts["state"] == "succeeded"
    });
    assert!(has_ended);
    executor.kill();
    let report = get(&mut bridge, "seen");
    assert_eq!(report.fact("state"), "succeeded", "{}", report.facts);
    assert_eq!(report.facts["notes"], json!([]));
    assert!(read(&report.facts["output_file"]).contains("line 29999"));
    assert_eq!(report.facts["files"].as_array().unwrap().len(), 1);
}

#[test]
fn results_that_the_disk_refuses_are_reported_and_the_rest_is_kept() {
    let (executor, home) = (Executor::shared(), Home::new());
    let (results, checkpoints) = (home.folder("results"), home.folder("checkpoints"));
    let mut bridge = executor.bridge(&home, &[]);
    // Not earlier: a bridge does not start with a folder that cannot be created.
    break_folder(&results);
    let answer = run(&mut bridge, "no-pictures", CODE);
    answer.succeeded();
    let report = get(&mut bridge, "no-pictures");
    assert!(read(&report.facts["output_file"]).contains("line 29999"));
    assert_eq!(report.facts["files"], json!([]));
    assert!(
        report.fact("next_step").contains("not all"),
        "{}",
        report.facts
    );
    // The folder can be written again.
    fs::remove_file(&results).unwrap();
    let mut bridge = executor.bridge(&home, &[]);
    assert_whole(&get(&mut bridge, "no-pictures"));

    let marker = "nowhere-ran";
    break_folder(&checkpoints);
    let answer = run(
        &mut bridge,
        "nowhere",
        &format!("open({marker:?}, 'w').close()"),
    );
    assert!(
        answer.is_error && answer.fact("hint").contains("CHECKPOINT_DIR"),
        "{}",
        answer.facts
    );
    assert!(!Path::exists(&executor.root().join(marker)), "the code ran");
}
