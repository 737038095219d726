//! Calls that run in the tab: their progress, their end before their time, and what a check says of the tab.

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{connected, waiting, with_news};
use crate::support::colab_tab::{ColabTab, Page};
use crate::support::home::Home;
use crate::support::stdio::{Answer, Bridge, PATIENCE};

/// Waits until the tab's page suits.
fn until(tab: &ColabTab, suits: impl Fn(&Page) -> bool) {
    let end = Instant::now() + PATIENCE;
    while !suits(&tab.page()) {
        assert!(Instant::now() < end, "{:?}", tab.page().calls);
        sleep(Duration::from_millis(20));
    }
}

fn until_called(tab: &ColabTab, tool: &str) {
    until(tab, |page| page.calls.iter().any(|(name, _)| name == tool));
}

/// Begins a call with a progress token of the client's own.
fn begin(bridge: &mut Bridge, tool: &str, arguments: &Value) -> u64 {
    let params = json!({"name": tool, "arguments": arguments, "_meta": {"progressToken": "ours"}});
    bridge.begin("tools/call", params)
}

#[test]
fn the_tabs_progress_reaches_the_client_under_its_own_token() {
    let home = Home::new();
    let (mut bridge, tab, _) = connected(&home);
    bridge
        .call("add_code_cell", json!({"code": "wait"}))
        .succeeded();
    tab.page().reports = true;
    for (tool, arguments) in [
        ("run_code_cell", json!({"cell_index": 0})),
        ("call_colab_tool", json!({"name": "wait_for_ever"})),
    ] {
        bridge.heard.clear();
        begin(&mut bridge, tool, &arguments);
        bridge.until_heard(|message| {
            let params = &message["params"];
            let said = params["message"].as_str().unwrap_or_default();
            said.contains("is under way")
                && params["progressToken"] == "ours"
                && (&params["progress"], &params["total"]) == (&json!(1.0), &json!(4.0))
        });
    }
}

#[test]
fn a_cell_that_runs_in_the_tab_is_cancelled_there_and_the_answer_names_the_way_to_stop_it() {
    let home = Home::new();
    for interrupts in [false, true] {
        let (mut bridge, pair) = waiting(&home, &[("SMART_COLAB_CALL_BUDGET_SEC", "5")]);
        let page = Page::with_interrupts(interrupts);
        let tab = with_news(&mut bridge, || ColabTab::showing(page, &pair));
        let idle = bridge.call("interrupt_execution", json!({"session": "colab:tab"}));
        assert!(idle.fact("message").contains("No cell"), "{}", idle.facts);
        bridge
            .call("add_code_cell", json!({"code": "wait"}))
            .succeeded();
        let run = json!({"cell_index": 0, "wait_sec": 0});
        bridge.call("run_code_cell", run).succeeded();
        until_called(&tab, "run_code_cell");
        // No runtime is connected: what runs is in the tab.
        let stopped = bridge.call("interrupt_execution", json!({}));
        assert_eq!(stopped.fact("session"), "colab:tab");
        let way = match interrupts {
            false => "press Stop",
            true => "call_colab_tool with name \"interrupt_runtime\"",
        };
        let message = stopped.fact("message");
        assert!(message.contains(way), "{message}");
        assert!(message.contains("made1"), "{message}");
        until(&tab, |page| !page.cancelled.is_empty());
    }
}

#[test]
fn a_call_of_the_tabs_own_tools_that_the_user_stops_is_cancelled_there() {
    let home = Home::new();
    let (mut bridge, tab, _) = connected(&home);
    let call = begin(
        &mut bridge,
        "call_colab_tool",
        &json!({"name": "wait_for_ever"}),
    );
    until_called(&tab, "wait_for_ever");
    let stop = json!({"requestId": call, "reason": "the user stopped it"});
    bridge.notify("notifications/cancelled", stop);
    until(&tab, |page| !page.cancelled.is_empty());
    bridge.call("get_cells", json!({})).succeeded();
}

#[test]
fn a_check_names_the_connected_tab_and_what_goes_there() {
    let home = Home::new();
    let (mut bridge, tab, _) = connected(&home);
    let checked = bridge.call("check_colab_connection", json!({}));
    let facts = &checked.facts["tab"];
    assert_eq!(facts["notebook"], "colab:tab", "{}", checked.facts);
    assert_eq!(facts["is_default"], true);
    assert!(facts["connected_minutes"].as_f64().unwrap() < 60.0);
    assert_eq!(
        facts["opened"],
        "https://colab.research.google.com/notebooks/empty.ipynb"
    );
    let tools = facts["tools"].as_array().unwrap();
    assert!(tools.contains(&json!("get_session_info")), "{tools:?}");
    let hint = facts["hint"].as_str().unwrap();
    assert!(
        hint.contains("run_code_cell") && !hint.contains("turned away"),
        "{hint}"
    );
    with_news(&mut bridge, || drop(tab));
    let checked = bridge.call("check_colab_connection", json!({}));
    assert_eq!(checked.facts.get("tab"), None, "{}", checked.facts);
}

#[test]
fn two_servers_side_by_side_work_in_a_tab_each() {
    let home = Home::new();
    let (mut one, first, one_pair) = connected(&home);
    let (mut other, second, other_pair) = connected(&home);
    let (one_pair, other_pair) = (
        one_pair.split_once('&').unwrap(),
        other_pair.split_once('&').unwrap(),
    );
    assert!(one_pair.0 != other_pair.0 && one_pair.1 != other_pair.1);
    let (running, adding) = (
        one.begin_call("add_code_cell", json!({"code": "one"})),
        other.begin_call("add_code_cell", json!({"code": "other"})),
    );
    Answer::of(&one.answer(running)).succeeded();
    Answer::of(&other.answer(adding)).succeeded();
    assert_eq!(first.page().cells[0]["source"], json!(["one"]));
    assert_eq!(second.page().cells[0]["source"], json!(["other"]));
}
