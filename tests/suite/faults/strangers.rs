//! Servers that answer instead of the executor: each kind has its error code and its advice.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use smart_colab::mcp::client::Client;
use tokio::time::timeout;

use super::{MARK, PATIENCE, Rig, call, failed, finish, run, succeeded};
use crate::support::executor::TOKEN;
use crate::support::proxy::{Fault, Stranger};

#[tokio::test]
async fn each_kind_of_foreign_server_has_its_error_code() {
    let rig = Rig::start().await;
    let bridge = rig.bridge(&[("SMART_COLAB_CALL_BUDGET_SEC", "5")]).await;
    for (stranger, code) in [
        (Stranger::NgrokOffline, "tunnel_offline"),
        (Stranger::NgrokLimited, "tunnel_offline"),
        (Stranger::Cloudflare(530), "tunnel_offline"),
        (Stranger::Cloudflare(502), "tunnel_offline"),
        (Stranger::Cloudflare(524), "tunnel_offline"),
        (Stranger::NgrokInterstitial, "incompatible_executor"),
        (Stranger::Executor("0"), "incompatible_executor"),
        (Stranger::Executor("999"), "incompatible_executor"),
        (Stranger::Service, "incompatible_executor"),
    ] {
        rig.proxy.heal();
        rig.proxy.always(Fault::Answer(stranger));
        let (ran, listed, cleaned, check) = tokio::join!(
            run(&bridge, "1"),
            call(&bridge, "list_colab_files", json!({})),
            call(&bridge, "cleanup_colab", json!({})),
            call(&bridge, "check_colab_connection", json!({})),
        );
        for answer in [ran, listed, cleaned] {
            failed(&answer, code);
        }
        assert_eq!(check.facts["status"], "disconnected", "{check:?}");
        assert_eq!(check.facts["code"], code, "{check:?}");
        assert!(
            check.facts["suggestion"].as_str().unwrap().len() > 10,
            "{check:?}"
        );
    }
}

/// A call's budget is an hour here: an answer within the test's patience did not wait for it.
#[tokio::test]
async fn refused_connections_fail_long_before_the_deadline() {
    let mut rig = Rig::start().await;
    let bridge = rig.bridge(&[("SMART_COLAB_CALL_BUDGET_SEC", "3600")]).await;
    let refused = async |bridge: &Client, code: &str| {
        let calls = ["run_code_quick", "run_code_long"].map(async |tool| {
            let answer = timeout(
                PATIENCE,
                call(bridge, tool, json!({"code": MARK, "session": tool})),
            )
            .await;
            let answer = answer.expect("an answer within the test's patience");
            failed(&answer, code);
            let hint = answer.facts["hint"].as_str().unwrap();
            assert!(
                hint.starts_with("The code did not run.") && hint.contains("connect_colab"),
                "{answer:?}"
            );
        });
        join_all(calls).await;
    };
    rig.proxy.always(Fault::Answer(Stranger::NgrokOffline));
    refused(&bridge, "tunnel_offline").await;
    rig.proxy.heal();
    rig.proxy.close().await;
    refused(&bridge, "connection_failed").await;
    rig.proxy.open();
    succeeded(&finish(&bridge, run(&bridge, "None").await).await);
    assert_eq!(rig.file("ran"), "");
}

#[tokio::test]
async fn a_rate_limited_tunnel_is_retried_after_its_delay_and_the_code_runs_once() {
    let rig = Rig::start().await;
    let bridge = rig.bridge(&[]).await;
    rig.proxy
        .on("PUT /jobs/", 2, Fault::Answer(Stranger::NgrokBusy));
    let began = Instant::now();
    let answer = finish(&bridge, run(&bridge, MARK).await).await;
    succeeded(&answer);
    assert!(
        began.elapsed() >= Duration::from_secs(2),
        "the retry came too soon"
    );
    assert_eq!(rig.file("ran"), "x");
}

#[tokio::test]
async fn a_wrong_token_is_refused_and_never_shown() {
    let rig = Rig::start().await;
    let url = format!("http://{}/#a-wrong-token", rig.proxy.address());
    let bridge = rig.bridge(&[("COLAB_URL", &url)]).await;
    // Makes the bridge write to its log.
    rig.proxy.on("PUT /jobs/", 1, Fault::Drop);
    let answer = run(&bridge, "1").await;
    failed(&answer, "unauthorized");
    assert!(
        answer.facts["hint"]
            .as_str()
            .unwrap()
            .contains("connect_colab"),
        "{answer:?}"
    );
    let check = call(&bridge, "check_colab_connection", json!({})).await;
    assert_eq!(check.facts["code"], "unauthorized", "{check:?}");
    for shown in [format!("{answer:?}"), format!("{check:?}"), logs(&rig)] {
        assert!(
            !shown.contains("a-wrong-token") && !shown.contains(TOKEN),
            "{shown}"
        );
    }
    assert!(logs(&rig).contains("smart_colab"), "the log was written");
}

fn logs(rig: &Rig) -> String {
    let files = std::fs::read_dir(rig.folder("data").join("logs")).unwrap();
    files
        .map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap())
        .collect()
}
