//! Helpers, executors and servers that end while code runs or between calls.

use std::fs;
use std::time::Instant;

use serde_json::json;

use super::{MARK, bridge, finish, run, succeeded};
use crate::support::executor::until_there;
use crate::support::home::Home;
use crate::support::jupyter::{Jupyter, TOKEN};
use crate::support::process;
use crate::support::stdio::{Bridge, PATIENCE};

/// Runs code that waits for a file, does `harm` while it runs, and returns its output.
fn through(server: &Jupyter, bridge: &mut Bridge, harm: impl FnOnce()) -> String {
    let root = server.root();
    let code = format!(
        "{MARK}import os, time\nprint('first', flush=True)\nwhile not os.path.exists('go'): time.sleep(0.05)\nprint('last', x)"
    );
    let id = bridge.begin_call("run_code_quick", json!({"code": code}));
    until_there(&root.join("ran"));
    harm();
    fs::write(root.join("go"), "").unwrap();
    let answer = super::Answer::of(&bridge.answer(id));
    let answer = finish(bridge, answer);
    succeeded(&answer);
    assert_eq!(fs::read_to_string(root.join("ran")).unwrap(), "x");
    for name in ["ran", "go"] {
        fs::remove_file(root.join(name)).unwrap();
    }
    answer.text
}

#[test]
fn code_survives_its_helper_and_output_survives_executor_and_server() {
    let (mut server, home) = (Jupyter::server("/", &[]), Home::new());
    let mut bridge = bridge(&home, &server.setting());
    succeeded(&run(&mut bridge, "x = 1"));
    let helper = server.helper();

    let text = through(&server, &mut bridge, || {
        let restarted = server.ask("POST", &format!("api/kernels/{helper}/restart"));
        assert_eq!(restarted.unwrap().0, 200);
    });
    assert_eq!(text, "first\nlast 1\n");
    assert_eq!(server.helper(), helper);

    let text = through(&server, &mut bridge, || {
        let deleted = server.ask("DELETE", &format!("api/kernels/{helper}"));
        assert_eq!(deleted.unwrap().0, 204);
    });
    assert_eq!(text, "first\nlast 1\n");
    assert_ne!(server.helper(), helper);

    // The executor: its job is lost, its output is not.
    let code = format!("{MARK}import time\nprint('printed', flush=True)\ntime.sleep(600)");
    let id = bridge.begin_call("run_code_quick", json!({"code": code}));
    until_there(&server.root().join("ran"));
    server.until_logged("printed");
    process::kill(server.executor());
    let lost = super::Answer::of(&bridge.answer(id));
    assert_eq!(lost.facts["state"], "lost", "{lost:?}");
    assert_eq!(lost.text, "printed\n");
    succeeded(&run(&mut bridge, "x = 2"));
    assert_eq!(fs::read_to_string(server.root().join("ran")).unwrap(), "x");

    // The server: a call that begins meanwhile waits for it.
    server.kill();
    let id = bridge.begin_call("get_output", json!({"job_id": lost.facts["job_id"]}));
    server.restart(TOKEN);
    let mut kept = super::Answer::of(&bridge.answer(id));
    // A server that needs longer than calls wait is found by the next call.
    let end = Instant::now() + PATIENCE;
    while kept.facts["state"] != "lost" && Instant::now() < end {
        kept = bridge.call("get_output", json!({"job_id": lost.facts["job_id"]}));
    }
    assert_eq!(
        (kept.text.as_str(), &kept.facts["state"]),
        ("printed\n", &json!("lost"))
    );
    succeeded(&run(&mut bridge, "x = 3"));

    // Its token.
    server.kill();
    server.restart("an0ther-t0ken-of-the-jupyter-server");
    let refused = bridge.call("run_code_quick", json!({"code": "x"}));
    refused.refused("unauthorized");
    assert!(refused.fact("hint").contains("jupyter+"), "{refused:?}");

    // And nothing at all.
    server.kill();
    let gone = bridge.call("run_code_quick", json!({"code": "x"}));
    gone.refused("connection_failed");
    assert!(gone.fact("hint").contains("Jupyter Server"), "{gone:?}");
    assert!(!home.everything().contains(TOKEN));
}
