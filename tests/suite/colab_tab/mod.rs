//! The notebook in a tab of Colab: the cell tools in it, and tabs that go away.

mod calls;
mod chromium;
mod doors;

use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::colab_tab::ColabTab;
use crate::support::home::Home;
use crate::support::stdio::{Answer, Bridge, modern};

/// A bridge that waits for a tab, and what the tab's dialog is given.
fn waiting(home: &Home, variables: &[(&str, &str)]) -> (Bridge, String) {
    let mut bridge = Bridge::greeted(home.program(variables));
    let asked = bridge.call("open_colab_browser_connection", json!({}));
    asked.succeeded();
    assert_eq!(asked.facts["result"], false, "{}", asked.facts);
    assert_eq!(asked.fact("state"), "waiting");
    let pair = asked.fact("token_and_port").to_owned();
    (bridge, pair)
}

/// A bridge with a tab.
fn connected(home: &Home) -> (Bridge, ColabTab, String) {
    let (mut bridge, pair) = waiting(home, &[]);
    let tab = with_news(&mut bridge, || ColabTab::open(&pair));
    let asked = bridge.call("open_colab_browser_connection", json!({}));
    assert_eq!(asked.facts["result"], true, "{}", asked.facts);
    (bridge, tab, pair)
}

/// Does what connects or ends a tab, and waits for the news of it.
fn with_news<T>(bridge: &mut Bridge, act: impl FnOnce() -> T) -> T {
    bridge.heard.clear();
    let done = act();
    bridge.until_heard(|message| message["method"] == "notifications/tools/list_changed");
    done
}

#[test]
fn the_cell_tools_work_in_the_tab_that_is_connected() {
    let home = Home::new();
    let (mut bridge, tab, _) = connected(&home);
    bridge
        .call("add_code_cell", json!({"code": "one"}))
        .succeeded();
    let text = bridge.call(
        "add_text_cell",
        json!({"content": "# Title", "cell_index": 0}),
    );
    text.succeeded();
    assert_eq!(
        (&text.facts["cell_index"], &text.facts["cells"]),
        (&json!(0), &json!(2))
    );
    let moved = bridge.call("move_cell", json!({"from": 0, "cell_index": 1}));
    assert_eq!(moved.facts["cell_index"], 1, "{}", moved.facts);
    let cell = bridge.call("get_cells", json!({}));
    let ids: Vec<String> = (tab.page().cells.iter())
        .map(|cell| cell["id"].as_str().unwrap().to_owned())
        .collect();
    assert!(
        cell.text
            .contains(&format!("[0] code id={} version=", ids[0])),
        "{}",
        cell.text
    );
    let updated = bridge.call(
        "update_cell",
        json!({"cell_id": ids[0], "content": "two", "expect": version(&cell.text, 0)}),
    );
    updated.succeeded();
    // As somebody who has read the first source.
    let stale = json!({"cell_id": ids[0], "content": "three", "expect": version(&cell.text, 0)});
    bridge.call("update_cell", stale).refused("cell_changed");
    let ran = bridge.call("run_code_cell", json!({"cell_index": 0}));
    ran.succeeded();
    assert_eq!(ran.fact("state"), "succeeded");
    assert!(ran.text.contains("ran two"), "{}", ran.text);
    bridge
        .call("update_cell", json!({"cell_index": 0, "content": "raise"}))
        .succeeded();
    let failed = bridge.call("run_code_cell", json!({"cell_index": 0}));
    assert_eq!(
        (failed.is_error, failed.fact("state")),
        (true, "failed"),
        "{}",
        failed.facts
    );
    assert!(failed.text.contains("ValueError"), "{}", failed.text);
    assert_eq!(failed.facts["code"], "python_error");
    bridge
        .call("delete_cell", json!({"cell_id": ids[1]}))
        .succeeded();
    assert_eq!(tab.page().cells.len(), 1);
    for (tool, arguments) in [("run_cells", json!({})), ("run_notebook", json!({}))] {
        bridge.call(tool, arguments).refused("invalid_argument");
    }
    for refused in [
        ("run_code_cell", json!({"cell_id": "no"}), "not_found"),
        (
            "add_code_cell",
            json!({"code": "1", "cell_index": 9}),
            "not_found",
        ),
        ("update_cell", json!({"content": "1"}), "invalid_argument"),
    ] {
        bridge.call(refused.0, refused.1).refused(refused.2);
    }
    assert_eq!(tab.count("run_code_cell"), 2);
}

/// The version of a cell in a page of cells.
fn version(page: &str, index: usize) -> String {
    let heading = page
        .lines()
        .find(|line| line.starts_with(&format!("--- [{index}]")));
    let (_, rest) = heading.unwrap().split_once("version=").unwrap();
    rest.split_whitespace().next().unwrap().to_owned()
}

#[test]
fn a_cell_that_outlives_its_call_is_run_once_and_its_outputs_are_shown_later() {
    let home = Home::new();
    let (mut bridge, tab, _) = connected(&home);
    tab.page().hides_outputs = true;
    bridge
        .call("add_code_cell", json!({"code": "wait for it"}))
        .succeeded();
    let begun = bridge.call("run_code_cell", json!({"cell_index": 0, "wait_sec": 0}));
    begun.succeeded();
    assert_eq!(begun.fact("state"), "running");
    bridge
        .call("run_code_cell", json!({"cell_index": 0}))
        .refused("busy");
    let shown = bridge.call("get_cells", json!({}));
    assert!(shown.text.contains(" running ---"), "{}", shown.text);
    tab.page().is_released = true;
    let shown = loop {
        let shown = bridge.call("get_cells", json!({}));
        if !shown.text.contains(" running ---") {
            break shown;
        }
    };
    assert!(shown.text.contains("ran wait for it"), "{}", shown.text);
    assert_eq!(tab.count("run_code_cell"), 1);
}

#[test]
fn a_call_in_flight_when_its_tab_goes_is_lost_and_never_repeated() {
    let home = Home::new();
    let (mut bridge, tab, pair) = connected(&home);
    bridge
        .call("add_code_cell", json!({"code": "wait"}))
        .succeeded();
    let running = bridge.begin_call("run_code_cell", json!({"cell_index": 0}));
    while tab.count("run_code_cell") == 0 {
        sleep(Duration::from_millis(20));
    }
    let page = with_news(&mut bridge, || tab.close());
    let lost = Answer::of(&bridge.answer(running));
    lost.refused("connection_lost");
    assert_eq!(lost.facts["retryable"], false);
    bridge.call("get_cells", json!({})).refused("not_connected");
    // The page is reloaded: the same token, a new connection, and other names of its cells.
    let before = page.lock().unwrap().cells[0]["id"].take();
    page.lock().unwrap().cells[0]["id"] = json!("anew");
    let tab = with_news(&mut bridge, || ColabTab::reopen(page, &pair));
    bridge
        .call("run_code_cell", json!({"cell_id": before}))
        .refused("not_found");
    let shown = bridge.call("get_cells", json!({}));
    assert!(
        shown.text.contains("wait") && shown.text.contains("id=anew"),
        "{}",
        shown.text
    );
    assert_eq!(tab.count("run_code_cell"), 1);
}

#[test]
fn a_second_tab_is_turned_away_while_the_first_one_lives_and_replaces_a_dead_one() {
    let home = Home::new();
    let (mut bridge, first, pair) = connected(&home);
    let second = ColabTab::open_by_v6(&pair);
    let (code, reason) = second.closed().unwrap();
    assert_eq!(code, 1013);
    assert!(reason.contains("Close that one"), "{reason}");
    let asked = bridge.call("open_colab_browser_connection", json!({}));
    let checked = bridge.call("check_colab_connection", json!({}));
    for hint in [
        asked.fact("hint"),
        checked.facts["tab"]["hint"].as_str().unwrap(),
    ] {
        assert!(hint.contains("one tab at a time"), "{hint}");
    }
    bridge
        .call("add_code_cell", json!({"code": "first"}))
        .succeeded();
    assert_eq!(first.page().cells.len(), 1);
    with_news(&mut bridge, || drop(first));
    let third = with_news(&mut bridge, || ColabTab::open_by_v6(&pair));
    bridge
        .call("add_code_cell", json!({"code": "third"}))
        .succeeded();
    assert_eq!(third.page().cells.len(), 1);
}

#[test]
fn a_tab_that_sleeps_is_said_to_in_time_and_its_edit_is_not_repeated() {
    let home = Home::new();
    let (mut bridge, pair) = waiting(&home, &[("SMART_COLAB_CALL_BUDGET_SEC", "5")]);
    let tab = with_news(&mut bridge, || ColabTab::open(&pair));
    bridge
        .call("add_code_cell", json!({"code": "1"}))
        .succeeded();
    tab.page().is_asleep = true;
    let silent = bridge.call("delete_cell", json!({"cell_index": 0}));
    silent.refused("timed_out");
    assert_eq!(silent.facts["retryable"], false);
    tab.page().is_asleep = false;
    bridge.call("get_cells", json!({})).succeeded();
    assert_eq!(tab.count("delete_cell"), 0);
}

#[test]
fn what_the_tab_has_beyond_the_cell_tools_is_listed_and_called() {
    let home = Home::new();
    let (mut bridge, _tab, _) = connected(&home);
    let listed = bridge.call("list_colab_tools", json!({}));
    assert!(listed.text.contains("get_session_info"), "{}", listed.text);
    let call = json!({"name": "get_session_info", "arguments": {"detail": 2}});
    let answered = bridge.call("call_colab_tool", call);
    let answer: Value = serde_json::from_str(&answered.text).unwrap();
    assert_eq!(answer, json!({"gpu": "T4", "asked": {"detail": 2}}));
    let unknown = bridge.call("call_colab_tool", json!({"name": "no_such_tool"}));
    unknown.refused("unsupported");
    assert!(
        unknown.fact("hint").contains("run_code_cell"),
        "{}",
        unknown.facts
    );
    let refused = json!({"name": "update_cell", "arguments": {"cellId": "no"}});
    let refused = bridge.call("call_colab_tool", refused);
    refused.refused("refused");
    assert!(
        refused.fact("error").contains("no such cell"),
        "{}",
        refused.facts
    );
}

#[test]
fn without_a_tab_each_tool_says_how_to_connect_one() {
    let home = Home::new();
    let (mut bridge, _) = waiting(&home, &[]);
    for (tool, arguments) in [
        ("get_cells", json!({})),
        ("add_code_cell", json!({"code": "1"})),
        ("run_code_cell", json!({"cell_index": 0})),
        ("list_colab_tools", json!({})),
        ("call_colab_tool", json!({"name": "x"})),
    ] {
        let refused = bridge.call(tool, arguments);
        refused.refused("not_connected");
        let hint = refused.fact("hint");
        assert!(
            hint.contains("open_colab_browser_connection"),
            "{tool}: {hint}"
        );
    }
    for address in [
        "https://example.org/a.ipynb",
        "http://colab.research.google.com/",
        "a",
    ] {
        let refused = bridge.call(
            "open_colab_browser_connection",
            json!({"notebook_url": address}),
        );
        refused.refused("invalid_argument");
    }
}

#[test]
fn clients_without_a_handshake_hear_of_a_tab_on_their_stream() {
    let home = Home::new();
    let mut bridge = Bridge::start(home.program(&[]));
    let call = json!({"name": "open_colab_browser_connection", "arguments": {}});
    let asked = Answer::of(&bridge.request("tools/call", modern(call)));
    let filter = json!({"notifications": {"toolsListChanged": true}});
    bridge.begin("subscriptions/listen", modern(filter));
    bridge.until_heard(|message| message["method"] == "notifications/subscriptions/acknowledged");
    let tab = with_news(&mut bridge, || ColabTab::open(asked.fact("token_and_port")));
    with_news(&mut bridge, || drop(tab));
}

#[test]
fn answers_that_are_no_notebook_are_named_and_harm_nothing() {
    let home = Home::new();
    let (mut bridge, tab, _) = connected(&home);
    for odd in [json!("busy"), json!(7), json!({"cells": {}}), json!(null)] {
        tab.page().odd_answer = Some(odd);
        bridge
            .call("get_cells", json!({}))
            .refused("unexpected_reply");
    }
    tab.page().odd_answer = None;
    bridge
        .call("add_code_cell", json!({"code": "1"}))
        .succeeded();
    // Whose outputs are not known is not shown with those of another source.
    bridge
        .call("run_code_cell", json!({"cell_index": 0}))
        .succeeded();
    tab.page().hides_outputs = true;
    tab.page().cells[0]["source"] = json!(["2"]);
    let shown = bridge.call("get_cells", json!({}));
    assert!(!shown.text.contains("ran 1"), "{}", shown.text);
}
