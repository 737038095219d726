//! Intermediaries that forward a request and reply with a page of their own: what ran is never reported as not run.

use serde_json::json;

use super::{MARK, MIN_BUDGET, Rig, call, failed, finish, run, succeeded, until};
use crate::support::executor::TOKEN;
use crate::support::proxy::{Fault, Proxy, Stranger};

pub(super) const HTML: &str = "Content-Type: text/html";
pub(super) const OURS: &str = "Content-Type: text/html\r\nX-Smart-Colab-Api: 2\r\nX-Boot-Id: 1";

pub(super) const PAGES: [Stranger; 12] = [
    Stranger::Page("200 OK", HTML, "<html>Sign in to the network</html>"),
    Stranger::Page("200 OK", "Content-Type: application/json", "{\"ok\":true}"),
    Stranger::Page("200 OK", HTML, ""),
    Stranger::Page("302 Found", "Location: http://127.0.0.1:9/sign-in", ""),
    Stranger::Page("401 Unauthorized", "WWW-Authenticate: Basic", ""),
    Stranger::Page("403 Forbidden", HTML, "<html>blocked</html>"),
    Stranger::Page("404 Not Found", HTML, "<html>no such page</html>"),
    Stranger::Page("429 Too Many Requests", HTML, ""),
    Stranger::Page("502 Bad Gateway", HTML, "<html>nginx</html>"),
    Stranger::Page("503 Service Unavailable", HTML, ""),
    // The executor's headers with a foreign page.
    Stranger::Page("503 Service Unavailable", OURS, "<html>maintenance</html>"),
    Stranger::Page("404 Not Found", OURS, "<html>maintenance</html>"),
];

#[tokio::test]
async fn code_whose_reply_is_replaced_by_a_page_runs_once_and_is_shown() {
    let rig = Rig::start().await;
    let bridge = rig.bridge(&[("SMART_COLAB_CALL_BUDGET_SEC", "60")]).await;
    for (count, page) in PAGES.into_iter().enumerate() {
        rig.proxy.on("PUT /jobs/", 1, Fault::ReplaceReply(page));
        let answer = run(&bridge, &format!("{MARK}print('shown')")).await;
        let answer = finish(&bridge, answer).await;
        succeeded(&answer);
        assert_eq!(answer.text, "shown\n", "{page:?}");
        let ran = finish(&bridge, run(&bridge, "print(open('ran').read())").await).await;
        assert_eq!(ran.text.trim().len(), count + 1, "{page:?}");
    }
}

#[tokio::test]
async fn code_whose_replies_stay_replaced_may_be_running_and_is_found_by_its_id() {
    let rig = Rig::start().await;
    // Side by side, as each call waits for its whole budget.
    let cases = PAGES.into_iter().enumerate().map(async |(number, page)| {
        let (proxy, ran) = (Proxy::to(rig.executor.address()), format!("ran{number}"));
        let url = format!("http://{}/#{TOKEN}", proxy.address());
        let bridge = rig.bridge(&[("COLAB_URL", &url), MIN_BUDGET]).await;
        // The executor is known, then every reply is a page.
        succeeded(&finish(&bridge, run(&bridge, "None").await).await);
        proxy.always(Fault::ReplaceReply(page));
        let mark = MARK.replace("'ran'", &format!("'{ran}'"));
        let answer = run(&bridge, &format!("{mark}print('there')")).await;
        assert!(answer.is_error, "{answer:?}");
        let hint = answer.facts["hint"].as_str().unwrap();
        assert!(
            hint.contains("may be running") && hint.contains("get_output"),
            "{answer:?}"
        );
        assert!(!format!("{answer:?}").contains("did not run"), "{answer:?}");
        proxy.heal();
        let job = json!({"job_id": answer.facts["job_id"]});
        let answer = finish(&bridge, call(&bridge, "get_output", job).await).await;
        succeeded(&answer);
        assert_eq!(answer.text, "there\n");
        assert_eq!(rig.file(&ran), "x");
    });
    futures_util::future::join_all(cases).await;
}

#[tokio::test]
async fn code_is_not_sent_to_a_server_that_never_was_an_executor() {
    let rig = Rig::start().await;
    let bridge = rig.bridge(&[("SMART_COLAB_CALL_BUDGET_SEC", "60")]).await;
    let sent = rig.proxy.seen("PUT /jobs/").len();
    rig.proxy.always(Fault::Answer(PAGES[0]));
    let answer = run(&bridge, MARK).await;
    failed(&answer, "incompatible_executor");
    let hint = answer.facts["hint"].as_str().unwrap();
    assert!(hint.starts_with("The code did not run."), "{answer:?}");
    assert_eq!(rig.proxy.seen("PUT /jobs/").len(), sent);
    rig.proxy.heal();
    succeeded(&finish(&bridge, run(&bridge, "None").await).await);
    assert_eq!(rig.file("ran"), "");
}

#[tokio::test]
async fn a_first_request_whose_reply_is_replaced_runs_once() {
    let rig = Rig::start().await;
    let bridge = rig.bridge(&[]).await;
    rig.proxy.on("PUT /jobs/", 1, Fault::ReplaceReply(PAGES[0]));
    rig.proxy.on("/events", 1, Fault::ReplaceReply(PAGES[0]));
    let answer = finish(&bridge, run(&bridge, MARK).await).await;
    succeeded(&answer);
    assert_eq!(rig.file("ran"), "x");
}

#[tokio::test]
async fn queries_but_not_actions_are_repeated_when_a_reply_is_replaced() {
    let rig = Rig::start().await;
    let bridge = rig.bridge(&[]).await;
    for page in PAGES {
        succeeded(&finish(&bridge, run(&bridge, "x = 1").await).await);
        for (tool, pattern, look) in [
            ("cleanup_colab", "POST /cleanup", "list_colab_variables"),
            ("restart_session", "/restart", "list_colab_variables"),
        ] {
            let before = rig.proxy.seen(pattern).len();
            rig.proxy.on(pattern, 1, Fault::ReplaceReply(page));
            let answer = call(&bridge, tool, json!({})).await;
            assert!(answer.is_error, "{page:?}: {answer:?}");
            let hint = answer.facts["hint"].as_str().unwrap();
            assert!(
                hint.contains("not known") && hint.contains(look),
                "{page:?}: {answer:?}"
            );
            assert_eq!(rig.proxy.seen(pattern).len(), before + 1);
        }
        rig.proxy.on("GET /variables", 1, Fault::ReplaceReply(page));
        let answer = call(&bridge, "list_colab_variables", json!({})).await;
        assert!(!answer.is_error, "{page:?}: {answer:?}");
    }
}

#[tokio::test]
async fn a_loop_whose_replies_are_replaced_does_each_iteration_once() {
    let rig = Rig::start().await;
    let bridge = rig.bridge(&[]).await;
    let whole = Stranger::Page("200 OK", OURS, "<html>maintenance</html>");
    for (count, page) in [PAGES[0], PAGES[3], PAGES[10], whole]
        .into_iter()
        .enumerate()
    {
        for pattern in ["PUT /jobs/", "/events"] {
            rig.proxy.on(pattern, 2, Fault::ReplaceReply(page));
        }
        let name = format!("loop{count}");
        let arguments = json!({
            "setup_code": "begun = 1", "n_iterations": 4, "batch_size": 2, "checkpoint_name": name,
            "loop_code": "with open('ran', 'a') as ran: print(i, end='', file=ran)\ni * i",
        });
        let mut answer = call(&bridge, "run_chunked_operation", arguments.clone()).await;
        for _ in 0..10 {
            if answer.facts["state"] == "succeeded" {
                break;
            }
            answer = call(&bridge, "run_chunked_operation", arguments.clone()).await;
        }
        succeeded(&answer);
        assert!(!answer.text.contains("<html>"), "{answer:?}");
        assert_eq!(rig.file("ran"), "0123".repeat(count + 1), "{page:?}");
        rig.proxy.on("", 1, Fault::ReplaceReply(page));
        let kept = call(&bridge, "get_checkpoint", json!({"operation": name})).await;
        rig.proxy.heal();
        assert_eq!(kept.facts["state"], "succeeded", "{page:?}: {kept:?}");
        let last = json!({"i": 3, "result": 9});
        assert_eq!(kept.facts["last_results"][3], last, "{page:?}: {kept:?}");
    }
}

#[tokio::test]
async fn an_interrupt_whose_reply_is_replaced_reaches_the_code_once() {
    let rig = Rig::start().await;
    let bridge = rig.bridge(&[("SMART_COLAB_CALL_BUDGET_SEC", "5")]).await;
    let code = "
import time
try:
    open('begun', 'w').close()
    time.sleep(600)
except KeyboardInterrupt:
    for _ in range(10): time.sleep(0.1)
    print('saved')
";
    let answer = call(&bridge, "run_code_long", json!({"code": code})).await;
    until(|| rig.executor.root().join("begun").exists()).await;
    rig.proxy.on("/interrupt", 1, Fault::ReplaceReply(PAGES[0]));
    let job = json!({"job_id": answer.facts["job_id"]});
    call(&bridge, "interrupt_execution", job.clone()).await;
    assert_eq!(rig.proxy.seen("/interrupt").len(), 2);
    let output = finish(&bridge, call(&bridge, "get_output", job).await).await;
    succeeded(&output);
    assert_eq!(output.text, "saved\n");
}
