//! The four promises where the machine is reached through a Jupyter Server: the real binary, real servers, the real executor that it starts there.

mod connecting;
mod flows;
mod gateways;
mod healing;
mod links;
mod notebooks;
mod plain_files;
mod refusals;
mod without_executor;

use std::fs;
use std::time::Instant;

use serde_json::json;

use crate::support::executor::until_there;
use crate::support::home::Home;
use crate::support::jupyter::{Jupyter, TOKEN};
use crate::support::stdio::{Answer, Bridge, PATIENCE};

/// Appends a mark to the file `ran` each time it runs.
const MARK: &str = "with open('ran', 'a') as ran: ran.write('x')\n";

fn bridge(home: &Home, setting: &str) -> Bridge {
    Bridge::greeted(home.program(&[("COLAB_URL", setting)]))
}

fn run(bridge: &mut Bridge, code: &str) -> Answer {
    let answer = bridge.call("run_code_quick", json!({"code": code}));
    finish(bridge, answer)
}

/// Reads from the end of `answer` until the job is over; returns the last answer with the text of all.
fn finish(bridge: &mut Bridge, answer: Answer) -> Answer {
    let (mut answer, end) = (answer, Instant::now() + PATIENCE);
    while answer.facts["next"].is_u64() {
        assert!(Instant::now() < end, "{answer:?}");
        let from = json!({"job_id": answer.facts["job_id"], "after": answer.facts["next"]});
        let more = bridge.call("get_output", from);
        answer = Answer {
            text: answer.text + &more.text,
            ..more
        };
    }
    answer
}

#[track_caller]
fn succeeded(answer: &Answer) {
    assert_eq!(answer.facts["state"], "succeeded", "{answer:?}");
}

/// Returns bytes without repetition.
fn content(length: u32) -> Vec<u8> {
    let hash = |index: u32| index.wrapping_mul(2_654_435_761).to_le_bytes()[3];
    (0..length).map(hash).collect()
}

#[test]
fn behind_a_base_path_nothing_is_lost_and_a_killed_bridge_is_followed() {
    let (server, home) = (Jupyter::server("/user/bob/", &[]), Home::new());
    let mut first = bridge(&home, &server.setting());
    let connected = first.call("check_colab_connection", json!({}));
    assert_eq!(connected.fact("url"), server.url());
    succeeded(&run(&mut first, "x = 1"));
    let ran = run(&mut first, "import os; print(x, os.getcwd())");
    let root = server.root().canonicalize().unwrap();
    assert_eq!(ran.text.trim(), format!("1 {}", root.display()));

    // 20 MB of lines, which the server's own channel would cut to a tenth.
    let ran = run(&mut first, "for i in range(200_000): print(f'{i:099}')");
    succeeded(&ran);
    let log = fs::read_to_string(ran.fact("log")).unwrap();
    assert_eq!(log.len(), 20_000_000);
    assert!(log.lines().zip(0..).all(|(line, i)| line.parse() == Ok(i)));

    let bytes = content(10_000_000);
    fs::write(home.folder("results/up.bin"), &bytes).unwrap();
    let up = first.call(
        "upload_to_colab",
        json!({"local_path": "up.bin", "remote_path": "there.bin"}),
    );
    assert_eq!(up.fact("status"), "complete");
    assert!(fs::read(server.root().join("there.bin")).unwrap() == bytes);
    let down = first.call(
        "download_from_colab",
        json!({"remote_path": "there.bin", "local_filename": "down.bin"}),
    );
    assert_eq!(down.fact("status"), "complete");
    assert!(fs::read(home.folder("results/down.bin")).unwrap() == bytes);

    let helper = server.helper();
    let code = format!(
        "{MARK}import os, time\nwhile not os.path.exists('go'): time.sleep(0.05)\nprint('went')"
    );
    let id = first.begin_call("run_code_quick", json!({"code": code}));
    until_there(&server.root().join("ran"));
    let _ = id;
    // Killed: nothing is said to the server.
    drop(first);
    let mut second = bridge(&home, &server.setting());
    let jobs = second.call("list_jobs", json!({}));
    fs::write(server.root().join("go"), "").unwrap();
    let job = jobs.rows()[0]["job_id"].clone();
    let answer = second.call("get_output", json!({"job_id": job, "wait_sec": 30}));
    let answer = finish(&mut second, answer);
    succeeded(&answer);
    assert!(answer.text.contains("went"), "{answer:?}");
    assert_eq!(fs::read_to_string(server.root().join("ran")).unwrap(), "x");
    assert_eq!(server.helper(), helper, "helpers accumulate");

    // A client that leaves takes its helper along; the executor and its variables stay.
    assert!(second.leave().status.success());
    assert_eq!(server.kernels(), [""; 0]);
    let mut third = bridge(&home, &server.setting());
    assert_eq!(run(&mut third, "print(x)").text, "1\n");
    assert!(!home.everything().contains(TOKEN));
}
