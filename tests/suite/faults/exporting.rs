//! Exporting over a link that breaks or is slow: the notebook holds what arrived in time, and the report says what is missing.

use std::time::Duration;

use serde_json::{Value, json};

use super::keeping::PICTURE;
use super::{Rig, call, finish, run, succeeded};
use crate::support::proxy::Fault;

fn notebook(report: &Value) -> Value {
    let path = report["path"].as_str().unwrap();
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[tokio::test]
async fn an_export_fetches_broken_answers_again() {
    let rig = Rig::start().await;
    let bridge = rig.bridge(&[]).await;
    succeeded(&finish(&bridge, run(&bridge, PICTURE).await).await);
    for route in ["/code", "/events", "/blobs/", "/jobs?"] {
        rig.proxy.on(route, 1, Fault::CutReply(0.8));
        rig.proxy.on(route, 1, Fault::LoseReply);
    }
    let report = call(&bridge, "export_notebook", json!({})).await;
    assert_eq!(report.facts["jobs_left_out"], 0, "{report:?}");
    let cells = notebook(&report.facts);
    let outputs = cells["cells"][2]["outputs"].as_array().unwrap();
    assert!(outputs[0]["data"]["image/png"].is_string(), "{outputs:?}");
    assert_eq!(outputs[1]["text"], "beside it\n");
}

#[tokio::test]
async fn an_export_over_a_slow_link_says_how_to_get_the_rest() {
    let rig = Rig::start().await;
    let bridge = rig.bridge(&[]).await;
    for n in 0..20 {
        finish(&bridge, run(&bridge, &format!("print({n})")).await).await;
    }
    let slow = Fault::DelayReply(Duration::from_secs(3));
    rig.proxy.on("/code", usize::MAX, slow);
    let report = call(&bridge, "export_notebook", json!({"filename": "slow"})).await;
    assert!(!report.is_error, "{report:?}");
    let missing = report.facts["jobs_left_out"].as_u64().unwrap();
    let said = report.facts["message"].as_str().unwrap();
    assert!(said.contains("this call ran out of time"), "{said}");
    assert!(said.contains(&format!("last: {missing}")), "{said}");
    // Leave out the title; the rig ran one job of its own.
    let written = report.facts["cells"].as_u64().unwrap() - 1;
    assert_eq!(written + missing, 21);

    rig.proxy.heal();
    let rest = call(&bridge, "export_notebook", json!({"last": missing})).await;
    let (rest, slow) = (notebook(&rest.facts), notebook(&report.facts));
    let cells = |notebook: &Value| notebook["cells"].as_array().unwrap()[1..].to_vec();
    let sources: Vec<Value> = [cells(&slow), cells(&rest)].concat();
    let sources = sources[1..].iter().map(|cell| cell["source"].clone());
    let wanted = (0..20).map(|n| json!(format!("print({n})")));
    assert!(sources.eq(wanted));
}
