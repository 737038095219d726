//! Reading output: nothing is lost or shown twice, whatever happens to the polls.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{BUDGET, MARGIN, Rig, call, failed, finish, run, succeeded, until_read, warm};
use crate::support::proxy::{Fault, Stranger};

/// Prints, waits for the file `go`, prints again.
const BEFORE_AND_AFTER: &str = "
import os, time
print('before', flush=True)
while not os.path.exists('go'): time.sleep(0.05)
print('after')
";

#[tokio::test]
async fn a_call_whose_tunnel_drops_shows_its_output_so_far_and_get_output_the_rest() {
    let mut rig = Rig::start().await;
    let bridge = rig.bridge(&[]).await;
    let started = Instant::now();
    let first_page_came = async {
        until_read(&bridge, "before").await;
        rig.proxy.close().await;
    };
    let (answer, ()) = tokio::join!(run(&bridge, BEFORE_AND_AFTER), first_page_came);
    assert!(started.elapsed() < BUDGET + MARGIN);
    failed(&answer, "connection_failed");
    assert_eq!(answer.text, "before\n");
    assert!(
        answer.facts["hint"]
            .as_str()
            .unwrap()
            .contains("get_output"),
        "{answer:?}"
    );
    let job = answer.facts["job_id"].clone();
    let next = answer.facts["next"].clone();

    rig.proxy.open();
    std::fs::write(rig.executor.root().join("go"), "").unwrap();
    let rest = call(&bridge, "get_output", json!({"job_id": job, "after": next})).await;
    let rest = finish(&bridge, rest).await;
    succeeded(&rest);
    assert_eq!(rest.text, "after\n");
    let all = call(&bridge, "get_output", json!({"job_id": job})).await;
    assert_eq!(all.text, "before\nafter\n");
}

#[tokio::test]
async fn output_arrives_whole_and_once_through_a_tunnel_that_loses_every_other_answer() {
    let rig = Rig::start().await;
    let bridge = rig.bridge(&[]).await;
    for _ in 0..12 {
        rig.proxy.on("/events", 1, Fault::CutReply(0.7));
        rig.proxy
            .on("/events", 1, Fault::DelayReply(Duration::ZERO));
        rig.proxy.on("/events", 1, Fault::LoseReply);
        rig.proxy
            .on("/events", 1, Fault::DelayReply(Duration::ZERO));
        rig.proxy.on("/events", 1, Fault::Drop);
    }
    let code = "
import time
for i in range(300):
    print('line', i, flush=True)
    time.sleep(0.01)
";
    let answer = finish(&bridge, run(&bridge, code).await).await;
    succeeded(&answer);
    let expected: String = (0..300).map(|i| format!("line {i}\n")).collect();
    assert_eq!(answer.text, expected);
}

#[tokio::test]
async fn an_answer_that_arrives_just_after_the_deadline_is_not_an_error() {
    let rig = Rig::start().await;
    let bridge = rig.bridge(&[("SMART_COLAB_CALL_BUDGET_SEC", "8")]).await;
    warm(&bridge).await;
    rig.proxy.on(
        "/events",
        usize::MAX,
        Fault::DelayReply(Duration::from_millis(1500)),
    );
    let answer = run(&bridge, BEFORE_AND_AFTER).await;
    assert_eq!(answer.facts["state"], "running", "{answer:?}");
    assert!(!answer.is_error, "{answer:?}");
    std::fs::write(rig.executor.root().join("go"), "").unwrap();
    let answer = finish(&bridge, answer).await;
    succeeded(&answer);
    assert_eq!(answer.text, "before\nafter\n");
}

#[tokio::test]
async fn output_of_many_pages_is_read_without_a_gap_and_kept_whole() {
    let rig = Rig::start().await;
    let bridge = rig.bridge(&[]).await;
    // Several times the size of one reply, so that a cut lands in the middle of a gzip stream.
    let code =
        "print(*(f'{i:07} {hash(str(i))}' for i in range(110_000)), sep='\\n')\nprint('end')";
    rig.proxy.on("/events", 2, Fault::CutReply(0.6));
    rig.proxy.on("/log", 1, Fault::CutReply(0.4));
    rig.proxy.on("/log", 1, Fault::LoseReply);
    let answer = finish(&bridge, run(&bridge, code).await).await;
    succeeded(&answer);
    assert!(answer.text.ends_with("\nend\n"));
    assert_eq!(answer.facts["notes"], json!(null), "{:?}", answer.facts);
    let log = std::fs::read_to_string(answer.facts["log"].as_str().unwrap()).unwrap();
    assert_eq!(log.lines().count(), 110_001);
    assert!(
        log.lines()
            .take(110_000)
            .enumerate()
            .all(|(i, line)| line.starts_with(&format!("{i:07} ")))
    );
    let zipped = rig
        .proxy
        .seen("/events")
        .into_iter()
        .chain(rig.proxy.seen("PUT /jobs/"));
    assert!(
        zipped.into_iter().any(|seen| seen
            .reply
            .to_ascii_lowercase()
            .contains("content-encoding: gzip")),
        "pages are sent compressed"
    );

    let job = &answer.facts["job_id"];
    let mut text = String::new();
    let mut from = json!(0);
    while from.is_u64() && text.len() < 100_000 {
        let arguments = json!({"job_id": job, "from_byte": from, "max_chars": 40_000});
        let page = call(&bridge, "get_output", arguments).await;
        succeeded(&page);
        text += &page.text;
        from = page.facts["next_byte"].clone();
    }
    assert!(
        log.starts_with(&text),
        "paged output is the log, from its beginning"
    );
}

#[tokio::test]
async fn one_write_larger_than_a_page_is_shown() {
    let rig = Rig::start().await;
    let bridge = rig.bridge(&[]).await;
    let code = "
from IPython.display import display
display({'application/json': {'numbers': 'n' * 3_000_000}, 'text/plain': 'a large one'}, raw=True)
print('end')
";
    let answer = finish(&bridge, run(&bridge, code).await).await;
    succeeded(&answer);
    assert_eq!(answer.text, "a large one\nend\n");
}

#[tokio::test]
async fn get_output_reads_a_finished_job_through_lost_answers() {
    let rig = Rig::start().await;
    let bridge = rig.bridge(&[]).await;
    let job = finish(&bridge, run(&bridge, "print('kept')").await)
        .await
        .facts["job_id"]
        .clone();
    rig.proxy.on("/events", 2, Fault::LoseReply);
    rig.proxy.on("/events", 1, Fault::CutReply(0.9));
    let answer = call(&bridge, "get_output", json!({"job_id": job})).await;
    succeeded(&answer);
    assert_eq!(answer.text, "kept\n");
}

#[tokio::test]
async fn a_log_saved_by_concurrent_calls_is_intact() {
    let rig = Rig::start().await;
    let bridge = rig.bridge(&[]).await;
    // The first call cannot save the log.
    rig.proxy
        .on("/log", 1, Fault::Answer(Stranger::NgrokInterstitial));
    let code = "print(*range(300_000), sep='\\n')";
    let answer = finish(&bridge, run(&bridge, code).await).await;
    assert_eq!(answer.facts["notes"].as_array().map(Vec::len), Some(1));
    let look = || {
        call(
            &bridge,
            "get_output",
            json!({"job_id": answer.facts["job_id"]}),
        )
    };
    let (one, two, three) = tokio::join!(look(), look(), look());
    for answer in [&one, &two, &three] {
        succeeded(answer);
    }
    let log = std::fs::read_to_string(one.facts["log"].as_str().unwrap()).unwrap();
    let expected: String = (0..300_000).map(|i| format!("{i}\n")).collect();
    assert!(
        log == expected,
        "{} bytes instead of {}",
        log.len(),
        expected.len()
    );
}
