//! Code in the kernels of notebooks that a person has open.

use std::fs;

use serde_json::json;

use super::{Answer, MARK, bridge, finish, run, succeeded};
use crate::support::executor::until_there;
use crate::support::home::Home;
use crate::support::jupyter::Jupyter;
use crate::support::stdio::Bridge;

#[tokio::test(flavor = "multi_thread")]
async fn code_that_waits_for_the_notebooks_own_cell_says_so() {
    let (server, home) = (Jupyter::server("/", &[]), Home::new());
    let mut bridge = bridge(&home, &server.setting());
    let kernel = server.open("a.ipynb");
    let session = "notebook:a.ipynb";
    let ran = bridge.call("run_code_quick", json!({"code": "1", "session": session}));
    succeeded(&finish(&mut bridge, ran));

    let person = server.client();
    let tab = person.attach(&kernel, "the person's tab").await.unwrap();
    let cell = format!("{MARK}import os, time\nwhile not os.path.exists('go'): time.sleep(0.05)");
    let cell = json!({"code": cell, "silent": false, "stop_on_error": true});
    tab.send("cell", "execute_request", &cell).await.unwrap();
    until_there(&server.root().join("ran"));
    let code = json!({"code": "print('after')", "session": session, "wait_sec": 1});
    let waiting = bridge.call("run_code_quick", code);
    assert_eq!(waiting.facts["state"], "queued", "{waiting:?}");
    let hint = waiting.fact("hint");
    assert!(hint.contains("a cell of the notebook's own"), "{hint}");
    assert!(hint.contains(&format!("session {session}")), "{hint}");

    fs::write(server.root().join("go"), "").unwrap();
    let job = json!({"job_id": waiting.facts["job_id"], "wait_sec": 30});
    let ran = bridge.call("get_output", job);
    let ran = finish(&mut bridge, ran);
    succeeded(&ran);
    assert_eq!(ran.text, "after\n");
}

#[test]
fn code_runs_in_the_kernel_of_an_open_notebook_and_leaves_it_alive() {
    let (server, home) = (Jupyter::server("/", &[]), Home::new());
    let mut bridge = bridge(&home, &server.setting());
    let unknown = json!({"code": "1", "session": "notebook:analysis.ipynb"});
    let refused = bridge.call("run_code_quick", unknown);
    refused.refused("not_found");
    let hint = refused.fact("hint");
    assert!(hint.contains("open the notebook there"), "{hint}");

    let kernel = server.open("work/analysis.ipynb");
    let mut in_kernel = |session: &str, code: &str| {
        let answer = bridge.call("run_code_quick", json!({"code": code, "session": session}));
        finish(&mut bridge, answer)
    };
    succeeded(&in_kernel(
        &format!("kernel:{}", kernel.to_uppercase()),
        "theirs = 41",
    ));
    let ran = in_kernel("notebook:analysis.ipynb", "print(theirs + 1)");
    assert_eq!(ran.text, "42\n", "{ran:?}");
    assert_eq!(ran.facts["session"], "notebook:analysis.ipynb", "{ran:?}");
    let ran = in_kernel("notebook:work/analysis.ipynb", "1/0");
    assert_eq!(ran.facts["state"], "failed", "{ran:?}");
    assert!(run(&mut bridge, "theirs").text.contains("NameError"));

    let session = json!({"session": "notebook:analysis.ipynb"});
    let variables = bridge.call("list_colab_variables", session.clone());
    assert!(variables.text.contains("theirs"), "{variables:?}");
    let sessions = bridge.call("check_colab_connection", json!({}));
    let sessions = sessions.facts["sessions"].as_array().unwrap();
    let adopted: Vec<_> = sessions.iter().map(|one| &one["adopted"]).collect();
    assert_eq!(adopted, [&json!(null), &json!(kernel)], "{sessions:?}");

    // A restart is the user's to allow: it ends their variables, and our code.
    let code = format!("{MARK}import time\nprint('printed', flush=True)\ntime.sleep(600)");
    let running = json!({"code": code, "session": session["session"]});
    let running = bridge.begin_call("run_code_quick", running);
    server.until_logged("printed");
    let refused = bridge.call("restart_session", session.clone());
    refused.refused("invalid_argument");
    assert!(refused.fact("hint").contains("confirm"), "{refused:?}");
    // A client that can ask does so, and the model need not confirm.
    let program = home.program(&[("COLAB_URL", &server.setting())]);
    let mut asking = Bridge::greeted_with("test", json!({"elicitation": {}}), program);
    let asked = asking.begin_call("restart_session", session.clone());
    asking.until_heard(|message| message["method"] == "elicitation/create");
    let question = asking.heard.pop().unwrap();
    let text = question["params"]["message"].as_str().unwrap();
    assert!(text.contains("variables are lost"), "{text}");
    let no = json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "decline"}});
    asking.send_line(no.to_string());
    Answer::of(&asking.answer(asked)).refused("declined");
    assert!(asking.leave().status.success());
    let confirmed = json!({"session": session["session"], "confirm": true});
    let restarted = bridge.call("restart_session", confirmed);
    let ended = Answer::of(&bridge.answer(running));
    assert_eq!(ended.facts["state"], "interrupted", "{ended:?}");
    assert_eq!(
        restarted.facts["ended_jobs"],
        json!([ended.facts["job_id"]]),
        "{restarted:?}"
    );
    assert!(
        restarted.fact("message").contains("variables are gone"),
        "{restarted:?}"
    );
    let code = json!({"code": "'theirs' in globals()", "session": session["session"]});
    let answer = bridge.call("run_code_quick", code);
    assert_eq!(finish(&mut bridge, answer).text, "False\n");
    let nowhere = format!("kernel:{}", uuid::Uuid::nil());
    let code = json!({"session": nowhere, "code": "1"});
    let refused = bridge.call("run_code_quick", code);
    refused.refused("not_found");
    let hint = refused.fact("hint");
    assert!(hint.contains("notebook:work/analysis.ipynb"), "{hint}");
    let nowhere = json!({"session": nowhere, "confirm": true});
    bridge.call("restart_session", nowhere).refused("not_found");
    let other = bridge.call(
        "run_code_quick",
        json!({"code": "1", "session": "notebook:other.ipynb"}),
    );
    assert!(
        other.fact("hint").contains("work/analysis.ipynb"),
        "{other:?}"
    );

    // The bridge and the executor end: the kernel is the person's.
    assert!(bridge.leave().status.success());
    assert_eq!(server.kernels(), [kernel]);
}
