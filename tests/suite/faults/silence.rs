//! Every call returns in time when the executor stops answering.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{MARGIN, Rig, call, failed, finish, run, succeeded, until_read};
use crate::support::executor::TOKEN;
use crate::support::proxy::Fault;

#[tokio::test]
async fn every_tool_returns_within_its_deadline_when_the_executor_is_silent() {
    let budget = Duration::from_secs(6);
    let rig = Rig::start().await;
    let bridge = rig.bridge(&[("SMART_COLAB_CALL_BUDGET_SEC", "6")]).await;
    let job = finish(&bridge, run(&bridge, "1").await).await.facts["job_id"].clone();
    for fault in [Fault::Silence, Fault::SwallowReply] {
        rig.proxy.heal();
        rig.proxy.always(fault);
        let tools = [
            ("run_code_quick", json!({"code": "1"}), budget),
            (
                "run_code_long",
                json!({"code": "1", "timeout_sec": 3600}),
                budget,
            ),
            ("get_output", json!({"job_id": job}), budget),
            ("get_output", json!({"job_id": job, "wait_sec": 0}), budget),
            ("probe_colab_environment", json!({}), budget),
            ("list_colab_files", json!({}), budget),
            ("list_colab_variables", json!({}), budget),
            ("cleanup_colab", json!({}), budget),
            ("check_colab_connection", json!({}), Duration::from_secs(10)),
        ];
        let calls = tools.into_iter().map(async |(tool, arguments, within)| {
            let started = Instant::now();
            let answer = call(&bridge, tool, arguments).await;
            let took = started.elapsed();
            assert!(took < within + MARGIN, "{tool} took {took:?}");
            if tool == "check_colab_connection" {
                assert_eq!(answer.facts["status"], "disconnected", "{answer:?}");
            } else {
                failed(&answer, "timed_out");
            }
        });
        futures_util::future::join_all(calls).await;
    }
}

#[tokio::test]
async fn every_tool_keeps_to_a_short_budget_when_the_executor_is_silent() {
    let rig = Rig::start().await;
    let budget = |seconds| [("SMART_COLAB_CALL_BUDGET_SEC", seconds)];
    let (bridge, slower) = (
        rig.bridge(&budget("5")).await,
        rig.bridge(&budget("8")).await,
    );
    let job = finish(&bridge, run(&bridge, "1").await).await.facts["job_id"].clone();
    call(&slower, "list_colab_variables", json!({})).await;
    rig.proxy.always(Fault::Silence);
    let tools = [
        ("check_colab_connection", json!({})),
        ("list_jobs", json!({})),
        ("list_colab_files", json!({})),
        ("read_colab_file", json!({"path": "a"})),
        ("download_from_colab", json!({"remote_path": "a"})),
        ("interrupt_execution", json!({"job_id": job})),
        ("restart_session", json!({})),
        ("export_notebook", json!({})),
        (
            "connect_colab",
            json!({"url": format!("http://{}/#{TOKEN}", rig.proxy.address())}),
        ),
    ];
    let calls = tools.map(|(tool, arguments)| call(&bridge, tool, arguments));
    tokio::select! {
        biased;
        _ = futures_util::future::join_all(calls) => {}
        _ = call(&slower, "probe_colab_environment", json!({})) => panic!("a call took longer than its budget"),
    }
}

#[tokio::test]
async fn a_job_that_falls_silent_is_reported_with_what_it_had_printed() {
    let rig = Rig::start().await;
    // Longer than the executor may hold a long poll.
    let budget = Duration::from_secs(45);
    let bridge = rig.bridge(&[("SMART_COLAB_CALL_BUDGET_SEC", "45")]).await;
    let started = Instant::now();
    let code = "
import os, time
print('printed', flush=True)
while not os.path.exists('go'): time.sleep(0.05)
print('unseen')
";
    let silence = async {
        until_read(&bridge, "printed").await;
        rig.proxy.always(Fault::Silence);
        rig.proxy.cut();
        std::fs::write(rig.executor.root().join("go"), "").unwrap();
    };
    let (answer, ()) = tokio::join!(run(&bridge, code), silence);
    assert!(started.elapsed() < budget + MARGIN);
    failed(&answer, "timed_out");
    assert_eq!(answer.text, "printed\n");
    rig.proxy.heal();
    let answer = finish(&bridge, answer).await;
    succeeded(&answer);
    assert_eq!(answer.text, "printed\nunseen\n");
}
