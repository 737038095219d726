//! Processes that die: the executor, its kernel, the bridge.

use std::time::{Duration, Instant};

use serde_json::json;
use smart_colab::mcp::client::Client;
use tokio::process::Command;

use super::{BUDGET, MARGIN, MARK, Rig, call, failed, finish, run, succeeded, until_read, warm};
use crate::support::executor::{EXECUTOR_PID, Executor};
use crate::support::python::python;

/// Prints, then keeps running.
const LONG_CODE: &str = "
import time
print('printed', flush=True)
time.sleep(600)
";

#[tokio::test]
async fn a_job_whose_executor_was_killed_is_lost_but_its_output_is_kept() {
    let mut rig = Rig::start().await;
    let bridge = rig.bridge(&[]).await;
    let started = Instant::now();
    let code = format!("{MARK}{LONG_CODE}");
    let restart = async {
        until_read(&bridge, "printed").await;
        rig.executor.kill();
        rig.executor.restart();
    };
    let (answer, ()) = tokio::join!(run(&bridge, &code), restart);
    assert!(started.elapsed() < BUDGET + MARGIN);
    failed(&answer, "kernel_died");
    assert_eq!(answer.facts["state"], "lost");
    assert_eq!(answer.facts["variables_lost"], true);
    assert_eq!(answer.text, "printed\n");
    assert!(
        answer.facts["hint"].as_str().unwrap().contains("setup"),
        "{answer:?}"
    );

    let again = call(
        &bridge,
        "get_output",
        json!({"job_id": answer.facts["job_id"]}),
    )
    .await;
    assert_eq!(
        (again.text.as_str(), &again.facts["state"]),
        ("printed\n", &json!("lost"))
    );
    succeeded(&finish(&bridge, run(&bridge, "print(1)").await).await);
    assert_eq!(rig.file("ran"), "x");
}

#[tokio::test]
async fn a_job_of_a_replaced_machine_is_reported_as_gone() {
    let rig = Rig::start().await;
    let other = tokio::task::spawn_blocking(Executor::start).await.unwrap();
    let bridge = rig.bridge(&[]).await;
    let old = finish(&bridge, run(&bridge, "print('old')").await)
        .await
        .facts["job_id"]
        .clone();
    let replace = async {
        until_read(&bridge, "printed").await;
        rig.proxy.lead_to(other.address());
        // The long poll that the old machine holds ends with it.
        rig.proxy.cut();
    };
    let (answer, ()) = tokio::join!(run(&bridge, LONG_CODE), replace);
    failed(&answer, "runtime_replaced");
    assert_eq!(answer.text, "printed\n");
    let hint = answer.facts["hint"].as_str().unwrap();
    assert!(!hint.contains("goes on"), "{hint}");
    assert!(!hint.contains("keeps running"), "{hint}");
    failed(
        &call(&bridge, "get_output", json!({"job_id": old})).await,
        "runtime_replaced",
    );

    // The next bridge on this computer knows the job; one on another computer cannot.
    let newer = rig.bridge(&[]).await;
    failed(
        &call(&newer, "get_output", json!({"job_id": old})).await,
        "runtime_replaced",
    );
    let elsewhere = rig.folder("elsewhere").display().to_string();
    let newer = rig.bridge(&[("SMART_COLAB_DATA_DIR", &elsewhere)]).await;
    let answer = call(&newer, "get_output", json!({"job_id": old})).await;
    failed(&answer, "not_found");
    let hint = answer.facts["hint"].as_str().unwrap();
    assert!(
        hint.contains("replaced") && !hint.contains("GET /"),
        "{hint}"
    );
}

#[tokio::test]
async fn a_kernel_that_ends_itself_fails_its_code_and_the_next_call_works() {
    let rig = Rig::start().await;
    let bridge = rig.bridge(&[]).await;
    // Sleep, because a dying process loses what its sending thread has not sent.
    let code = format!(
        "{MARK}import os, time\nprint('last words', flush=True)\ntime.sleep(1)\nos._exit(1)"
    );
    let answer = finish(&bridge, run(&bridge, &code).await).await;
    failed(&answer, "kernel_died");
    assert_eq!(answer.text, "last words\n");
    assert_eq!(answer.facts["variables_lost"], true);
    let answer = finish(&bridge, run(&bridge, "print('alive')").await).await;
    succeeded(&answer);
    assert_eq!(
        (answer.text.as_str(), rig.file("ran").as_str()),
        ("alive\n", "x")
    );
}

#[tokio::test]
async fn code_that_times_out_is_interrupted_and_keeps_its_output_and_variables() {
    let rig = Rig::start().await;
    let bridge = rig.bridge(&[]).await;
    let code = "import time\nx = 5\nprint('begun', flush=True)\ntime.sleep(600)";
    let answer = call(
        &bridge,
        "run_code_long",
        json!({"code": code, "timeout_sec": 1}),
    )
    .await;
    let answer = finish(&bridge, answer).await;
    failed(&answer, "timed_out");
    assert!(answer.text.starts_with("begun\n"), "{answer:?}");
    assert_eq!(
        finish(&bridge, run(&bridge, "print(x)").await).await.text,
        "5\n"
    );

    let stubborn = "
import time
print('begun', flush=True)
while True:
    try: time.sleep(600)
    except KeyboardInterrupt: pass
";
    let answer = call(
        &bridge,
        "run_code_long",
        json!({"code": stubborn, "timeout_sec": 1}),
    )
    .await;
    let answer = finish(&bridge, answer).await;
    failed(&answer, "timed_out");
    assert_eq!(answer.facts["variables_lost"], true);
    assert_eq!(answer.text, "begun\n");
    succeeded(&finish(&bridge, run(&bridge, "'x' in dir()").await).await);
}

#[tokio::test]
async fn a_job_outlives_its_bridge_and_the_next_bridge_reads_all_of_it() {
    let rig = Rig::start().await;
    let bridge = rig.bridge(&[("SMART_COLAB_CALL_BUDGET_SEC", "5")]).await;
    warm(&bridge).await;
    let code = format!(
        "{MARK}import os, time\nprint('before', flush=True)\nwhile not os.path.exists('go'): time.sleep(0.05)\nprint('after')"
    );
    let answer = run(&bridge, &code).await;
    assert_eq!(answer.facts["state"], "running", "{answer:?}");
    let job = answer.facts["job_id"].clone();
    {
        // Killed while it waits for the job.
        let waiting = call(&bridge, "get_output", json!({"job_id": job}));
        let _ = tokio::time::timeout(Duration::from_millis(300), waiting).await;
    }
    bridge.kill().await;
    std::fs::write(rig.executor.root().join("go"), "").unwrap();
    let next = rig.bridge(&[]).await;
    let answer = call(&next, "get_output", json!({"job_id": job})).await;
    let answer = finish(&next, answer).await;
    succeeded(&answer);
    assert_eq!(
        (answer.text.as_str(), rig.file("ran").as_str()),
        ("before\nafter\n", "x")
    );
}

#[tokio::test]
async fn many_calls_at_once_get_an_answer_each_and_only_their_own() {
    let rig = Rig::start().await;
    let bridge = rig.bridge(&[]).await;
    let codes: Vec<String> = (0..60)
        .map(|i| format!("{MARK}import time\nfor _ in range(3): print({i}); time.sleep(0.005)"))
        .collect();
    let calls = codes
        .iter()
        .map(async |code| finish(&bridge, run(&bridge, code).await).await);
    let answers = futures_util::future::join_all(calls).await;
    for (i, answer) in answers.iter().enumerate() {
        succeeded(answer);
        assert_eq!(answer.text, format!("{i}\n").repeat(3));
    }
    assert_eq!(rig.file("ran"), "x".repeat(60));
}

#[cfg(unix)]
#[tokio::test]
async fn a_call_outlives_a_local_executor_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_smart-colab"));
    command
        .env("COLAB_URL", "local")
        .env("LOCAL_SAVE_DIR", folder.path().join("results"))
        .env("SMART_COLAB_DATA_DIR", folder.path().join("data"))
        .env("SMART_COLAB_PYTHON", python())
        .env("SMART_COLAB_CALL_BUDGET_SEC", "60");
    let bridge = Client::start(command).await.unwrap();
    succeeded(&finish(&bridge, run(&bridge, "None").await).await);
    let code = format!(
        "
import os, psutil, signal, time
print('printed', flush=True)
time.sleep(1)
os.kill({EXECUTOR_PID}, signal.SIGKILL)
time.sleep(600)
"
    );
    let answer = finish(&bridge, run(&bridge, &code).await).await;
    failed(&answer, "kernel_died");
    assert_eq!(answer.facts["state"], "lost", "{answer:?}");
    assert_eq!(answer.text, "printed\n");
    bridge.leave().await;
}
