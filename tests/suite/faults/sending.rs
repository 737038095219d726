//! Sending code: it runs exactly once and its output is shown, whatever happens to the request or its reply.

use std::time::Duration;

use serde_json::json;

use super::{MARK, Rig, call, failed, finish, run, succeeded, until, warm};
use crate::support::executor::Executor;
use crate::support::proxy::{Fault, Stranger};

/// Sends marking code through `faults`, one for each try, and asserts one run.
async fn assert_runs_once(faults: &[Fault]) {
    let rig = Rig::start().await;
    let bridge = rig.bridge(&[("SMART_COLAB_CALL_BUDGET_SEC", "60")]).await;
    for fault in faults {
        rig.proxy.on("PUT /jobs/", 1, fault.clone());
    }
    let before = rig.proxy.seen("PUT /jobs/").len();
    let answer = run(&bridge, &format!("{MARK}print('shown', 6 * 7)")).await;
    let answer = finish(&bridge, answer).await;
    succeeded(&answer);
    assert_eq!(answer.text, "shown 42\n");
    assert_eq!(
        rig.proxy.seen("PUT /jobs/").len() - before,
        faults.len() + 1,
        "every fault was met"
    );
    // A second run would be queued before this one.
    let after = finish(&bridge, run(&bridge, "print(open('ran').read())").await).await;
    assert_eq!(after.text, "x\n");
}

#[tokio::test]
async fn code_whose_reply_is_lost_runs_once_and_is_shown() {
    assert_runs_once(&[Fault::LoseReply, Fault::LoseReply]).await;
}

#[tokio::test]
async fn code_whose_reply_is_cut_runs_once_and_is_shown() {
    assert_runs_once(&[
        Fault::CutReply(0.1),
        Fault::CutReply(0.5),
        Fault::CutReply(0.9),
    ])
    .await;
}

#[tokio::test]
async fn code_that_arrives_after_its_repetitions_runs_once_and_is_shown() {
    assert_runs_once(&[
        Fault::ArriveLate(Duration::from_secs(2)),
        Fault::Drop,
        Fault::LoseReply,
        Fault::ArriveLate(Duration::from_millis(300)),
    ])
    .await;
}

#[tokio::test]
async fn code_whose_reply_never_comes_is_sent_again_within_the_call() {
    assert_runs_once(&[Fault::SwallowReply]).await;
}

#[tokio::test]
async fn code_answered_by_gateway_errors_runs_once_and_is_shown() {
    assert_runs_once(&[
        Fault::Answer(Stranger::Cloudflare(502)),
        Fault::Answer(Stranger::Cloudflare(524)),
        Fault::Answer(Stranger::NgrokOffline),
    ])
    .await;
}

#[tokio::test]
async fn no_tool_notices_an_idle_connection_that_was_closed() {
    let rig = Rig::start().await;
    let bridge = rig.bridge(&[]).await;
    let job = run(&bridge, "x = 1").await.facts["job_id"].clone();
    for (tool, arguments) in [
        ("run_code_quick", json!({"code": "x"})),
        ("run_code_long", json!({"code": "x"})),
        ("get_output", json!({"job_id": job})),
        ("check_colab_connection", json!({})),
        ("probe_colab_environment", json!({})),
        ("list_colab_files", json!({})),
        ("list_colab_variables", json!({})),
    ] {
        rig.proxy.on("", 1, Fault::Drop);
        let answer = call(&bridge, tool, arguments).await;
        assert!(!answer.is_error, "{tool}: {answer:?}");
        assert_ne!(answer.facts["status"], "disconnected", "{answer:?}");
    }
}

#[tokio::test]
async fn a_cleanup_with_an_unknown_outcome_is_not_repeated_and_says_so() {
    let rig = Rig::start().await;
    let bridge = rig.bridge(&[]).await;
    run(&bridge, "x = 1").await;
    rig.proxy.on("POST /cleanup", 1, Fault::LoseReply);
    let answer = call(&bridge, "cleanup_colab", json!({})).await;
    failed(&answer, "connection_failed");
    assert_eq!(rig.proxy.seen("POST /cleanup").len(), 1);
    assert!(
        answer.facts["hint"]
            .as_str()
            .unwrap()
            .contains("list_colab_variables"),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_cleanup_that_was_not_sent_is_sent_once_the_connection_is_back() {
    let mut rig = Rig::start().await;
    run(&rig.bridge(&[]).await, "x = 1").await;
    // A fresh bridge, because a request on a pooled connection might have got through.
    let bridge = rig.bridge(&[]).await;
    rig.proxy.close().await;
    let opening = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        rig.proxy.open();
    };
    let (answer, ()) = tokio::join!(call(&bridge, "cleanup_colab", json!({})), opening);
    assert_eq!(
        answer.facts["cleared_variables"],
        json!(["x"]),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_machine_that_refuses_connections_for_a_while_gets_the_code_once() {
    let mut rig = Rig::start().await;
    let bridge = rig.bridge(&[]).await;
    rig.proxy.close().await;
    let code = format!("{MARK}print('late')");
    let opening = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        rig.proxy.open();
    };
    let (answer, ()) = tokio::join!(run(&bridge, &code), opening);
    let answer = finish(&bridge, answer).await;
    succeeded(&answer);
    assert_eq!(
        (answer.text.as_str(), rig.file("ran").as_str()),
        ("late\n", "x")
    );
}

#[tokio::test]
async fn code_that_was_never_sent_is_reported_as_not_run() {
    let mut rig = Rig::start().await;
    let bridge = rig.bridge(&[("SMART_COLAB_CALL_BUDGET_SEC", "5")]).await;
    rig.proxy.close().await;
    let answer = run(&bridge, MARK).await;
    failed(&answer, "connection_failed");
    assert!(
        answer.facts["hint"]
            .as_str()
            .unwrap()
            .starts_with("The code did not run."),
        "{answer:?}"
    );
    assert_eq!(answer.facts["job_id"], json!(null), "{answer:?}");
    rig.proxy.open();
    succeeded(&finish(&bridge, run(&bridge, "None").await).await);
    assert_eq!(rig.file("ran"), "");
}

#[tokio::test]
async fn code_without_any_reply_can_be_looked_up_by_its_job_id() {
    let rig = Rig::start().await;
    let bridge = rig.bridge(&[("SMART_COLAB_CALL_BUDGET_SEC", "5")]).await;
    for (fault, ran) in [(Fault::LoseReply, true), (Fault::Drop, false)] {
        rig.proxy.always(fault.clone());
        let answer = run(&bridge, "print('heard')").await;
        failed(&answer, "connection_failed");
        let job = answer.facts["job_id"].clone();
        assert!(job.is_string(), "{answer:?}");
        rig.proxy.heal();
        let answer = call(&bridge, "get_output", json!({"job_id": job})).await;
        if ran {
            let answer = finish(&bridge, answer).await;
            succeeded(&answer);
            assert_eq!(answer.text, "heard\n");
        } else {
            failed(&answer, "not_found");
            assert!(
                answer.facts["hint"]
                    .as_str()
                    .unwrap()
                    .contains("send it again"),
                "{answer:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_strangers_answer_after_a_lost_reply_does_not_hide_the_run() {
    for stranger in [Stranger::Service, Stranger::Executor("999")] {
        let rig = Rig::start().await;
        let bridge = rig.bridge(&[]).await;
        succeeded(&finish(&bridge, run(&bridge, "None").await).await);
        rig.proxy.on("PUT /jobs/", 1, Fault::LoseReply);
        rig.proxy.on("", 1, Fault::Answer(stranger));
        let answer = run(&bridge, &format!("{MARK}print('there')")).await;
        let answer = finish(&bridge, answer).await;
        succeeded(&answer);
        assert_eq!(answer.text, "there\n");
        assert_eq!(rig.file("ran"), "x");
    }
}

#[tokio::test]
async fn code_that_may_have_run_on_a_lost_machine_does_not_run_on_the_next() {
    let rig = Rig::start().await;
    let other = tokio::task::spawn_blocking(Executor::start).await.unwrap();
    let bridge = rig.bridge(&[]).await;
    succeeded(&finish(&bridge, run(&bridge, "None").await).await);
    let sent = rig.proxy.seen("PUT /jobs").len();
    rig.proxy.on("PUT /jobs", 1, Fault::LoseReply);
    rig.proxy.on("PUT /jobs", usize::MAX, Fault::Drop);
    let replace = async {
        until(|| rig.proxy.seen("PUT /jobs").len() > sent + 1).await;
        rig.proxy.lead_to(other.address());
        rig.proxy.heal();
    };
    let (answer, ()) = tokio::join!(run(&bridge, MARK), replace);
    failed(&answer, "runtime_replaced");
    until(|| rig.file("ran") == "x").await;
    assert!(!other.root().join("ran").exists());
    // Code sent now is for the new machine.
    succeeded(&finish(&bridge, run(&bridge, MARK).await).await);
    assert!(other.root().join("ran").exists());
}

#[tokio::test]
async fn an_interrupt_whose_reply_is_lost_reaches_the_code_once() {
    let rig = Rig::start().await;
    let bridge = rig.bridge(&[("SMART_COLAB_CALL_BUDGET_SEC", "5")]).await;
    warm(&bridge).await;
    let code = "
import time
try:
    print('begun', flush=True)
    time.sleep(600)
except KeyboardInterrupt:
    for _ in range(30): time.sleep(0.1)
    print('saved')
";
    let answer = call(&bridge, "run_code_long", json!({"code": code})).await;
    assert_eq!(answer.facts["state"], "running", "{answer:?}");
    rig.proxy.on("/interrupt", 3, Fault::LoseReply);
    let job = json!({"job_id": answer.facts["job_id"]});
    call(&bridge, "interrupt_execution", job.clone()).await;
    assert_eq!(rig.proxy.seen("/interrupt").len(), 4);
    let output = finish(&bridge, call(&bridge, "get_output", job).await).await;
    succeeded(&output);
    assert_eq!(output.text, "begun\nsaved\n");
}
