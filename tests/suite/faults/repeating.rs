//! An executor that repeats events, or announces events that it does not send.

use serde_json::{Value, json};
use smart_colab::mcp::client::Client;

use super::{Rig, call, failed, finish, run, succeeded, until};
use crate::support::proxy::{Fault, Stranger};

const OURS: &str = "Content-Type: application/json\r\nX-Smart-Colab-Api: 2\r\nX-Boot-Id: 1";
/// Prints, and ends when the file `go` is there.
const TALK: &str = "
import os, time
print('before', flush=True)
while not os.path.exists('go'): time.sleep(0.05)
print('after')
";

/// Returns a page of a running job.
fn page(events: &Value, next: u64, more: bool) -> Stranger {
    let job = json!({
        "id": "01890a5d-ac96-774b-bcce-b302099a8057", "session": "main", "state": "running", "timeout_sec": 60,
        "created_at": "2026-11-01T00:00:00Z", "last_seq": 9, "log_bytes": 0,
    });
    let body = json!({"job": job, "events": events, "next": next, "more": more}).to_string();
    Stranger::Page("200 OK", OURS, body.leak())
}

fn printed(seq: u64, text: &str) -> Value {
    json!({"seq": seq, "type": "stream", "name": "stdout", "text": text})
}

async fn release(rig: &Rig, bridge: &Client, job: &Value) {
    std::fs::write(rig.executor.root().join("go"), "").unwrap();
    let output = call(bridge, "get_output", json!({"job_id": job})).await;
    let output = finish(bridge, output).await;
    succeeded(&output);
    assert_eq!(output.text, "before\nafter\n");
}

#[tokio::test]
async fn events_announced_but_never_sent_end_the_wait_with_an_error() {
    let rig = Rig::start().await;
    let bridge = rig.bridge(&[("SMART_COLAB_CALL_BUDGET_SEC", "3600")]).await;
    for stale in [
        page(&json!([]), 0, true),
        page(&json!([printed(1, "again\n")]), 1, true),
        page(
            &json!([printed(1, "again\n"), printed(0, "again\n")]),
            1,
            false,
        ),
    ] {
        let before = rig.proxy.seen("/events").len();
        rig.proxy.on("/events", usize::MAX, Fault::Answer(stale));
        let answer = run(&bridge, TALK).await;
        failed(&answer, "incompatible_executor");
        assert!(!answer.text.contains("again"), "{answer:?}");
        let hint = answer.facts["hint"].as_str().unwrap();
        assert!(hint.contains("get_output"), "{answer:?}");
        let asked = rig.proxy.seen("/events").len() - before;
        assert!(asked < 20, "{asked} requests");
        rig.proxy.heal();
        release(&rig, &bridge, &answer.facts["job_id"]).await;
        std::fs::remove_file(rig.executor.root().join("go")).unwrap();
    }
}

#[tokio::test]
async fn an_executor_that_does_not_long_poll_is_polled_with_pauses() {
    let rig = Rig::start().await;
    let bridge = rig.bridge(&[("SMART_COLAB_CALL_BUDGET_SEC", "15")]).await;
    let empty = page(&json!([]), 0, false);
    rig.proxy.on("/events", usize::MAX, Fault::Answer(empty));
    let answer = run(&bridge, TALK).await;
    assert_eq!(answer.facts["state"], "running", "{answer:?}");
    assert!(!answer.is_error, "{answer:?}");
    let asked = rig.proxy.seen("/events").len();
    assert!(asked < 50, "{asked} requests");
    rig.proxy.heal();
    release(&rig, &bridge, &answer.facts["job_id"]).await;
}

#[tokio::test]
async fn repeated_events_are_shown_once() {
    let rig = Rig::start().await;
    let bridge = rig.bridge(&[]).await;
    let again = json!([printed(1, "again\n"), printed(0, "backward\n")]);
    let again = page(&again, 1, false);
    rig.proxy.on("/events", 2, Fault::Answer(again));
    let asked_again = async {
        until(|| rig.proxy.seen("/events").len() > 2).await;
        std::fs::write(rig.executor.root().join("go"), "").unwrap();
    };
    let (answer, ()) = tokio::join!(run(&bridge, TALK), asked_again);
    let answer = finish(&bridge, answer).await;
    succeeded(&answer);
    assert_eq!(answer.text, "before\nafter\n");
}
