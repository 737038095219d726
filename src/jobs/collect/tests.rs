//! Events are rendered as a person would have seen them.

use serde_json::json;

use super::{Collector, Reader};
use crate::base::text::Room;
use crate::jobs::display::Body;
use crate::wire::event::Event;

fn collect(events: &[serde_json::Value]) -> Collector {
    let mut collector = Collector::new(Room::for_chars(40_000));
    for (at, event) in events.iter().enumerate() {
        let mut event = event.clone();
        event["seq"] = json!(at + 1);
        let event: Event = serde_json::from_value(event).unwrap();
        let _ = collector.take(&event);
    }
    collector.settle();
    collector
}

#[test]
fn displayed_text_starts_on_its_own_line() {
    let collector = collect(&[
        json!({"type": "stream", "name": "stdout", "text": "before"}),
        json!({"type": "execute_result", "data": {"text/plain": "   a\n0  1"}, "execution_count": 1}),
    ]);
    assert_eq!(collector.into_excerpt().render(), "before\n   a\n0  1\n");
}

#[test]
fn a_display_is_shown_in_its_last_state_despite_output_between() {
    let display = |id: &str, update: bool, blob: u64| {
        json!({"type": "display_data", "update": update, "display_id": id,
            "data": {"image/png": {"blob": blob, "bytes": 9}}})
    };
    let collector = collect(&[
        display("loss", false, 1),
        json!({"type": "stream", "name": "stdout", "text": "epoch 1\n"}),
        display("other", false, 2),
        display("loss", true, 3),
        json!({"type": "stream", "name": "stdout", "text": "epoch 2\n"}),
        display("loss", true, 4),
        json!({"type": "finished", "state": "succeeded", "execution_time_sec": 1.0}),
    ]);
    let blobs = collector.attachments.iter().map(|one| match &one.body {
        Body::Blob(blob) => blob.blob,
        body @ (Body::Text(_) | Body::Dropped) => panic!("{body:?}"),
    });
    assert_eq!(blobs.collect::<Vec<_>>(), [2, 4]);
    assert_eq!(collector.into_excerpt().render(), "epoch 1\nepoch 2\n");
}

#[test]
fn cleared_output_disappears_with_the_next_output() {
    let plot = json!({"type": "display_data", "data": {"image/png": {"blob": 1, "bytes": 9}}});
    let line = |text: &str| json!({"type": "stream", "name": "stdout", "text": text});
    let clear = |wait: bool| json!({"type": "clear_output", "wait": wait});
    let rounds = [plot.clone(), line("one\n"), clear(true)];
    let waiting = collect(&rounds);
    assert_eq!(waiting.attachments.len(), 1);
    assert!(!waiting.has_cleared);
    let cleared = collect(&[&rounds[..], &[line("two\n"), plot]].concat());
    assert!(cleared.has_cleared);
    assert_eq!(cleared.attachments.len(), 1);
    assert_eq!(cleared.into_excerpt().render(), "two\n");
    let mut handed = collect(&rounds[..2]);
    assert_eq!(handed.take_attachments().len(), 1);
    assert!(handed.take_attachments().is_empty());
    let emptied = collect(&[line("one\n"), clear(false)]);
    assert_eq!(emptied.into_excerpt().render(), "");
}

#[test]
fn consecutive_updates_show_only_the_last() {
    let update = |n: u32| json!({"type": "display_data", "update": true, "display_id": "d", "data": {"text/plain": format!("{n} %")}});
    let plot = |n: u32| json!({"type": "display_data", "update": true, "display_id": "p", "data": {"image/png": {"blob": n, "bytes": 9}}});
    let mut events =
        vec![json!({"type": "display_data", "display_id": "d", "data": {"text/plain": "0 %"}})];
    events.extend((1..=50).map(update));
    events.push(json!({"type": "stream", "name": "stdout", "text": "half\n"}));
    events.extend((51..=100).map(update));
    events.push(json!({"type": "stream", "name": "stdout", "text": "drawn\n"}));
    events.extend((1..=9).map(plot));
    let collector = collect(&events);
    assert_eq!(collector.attachments.len(), 1);
    assert!(matches!(collector.attachments[0].body, Body::Blob(blob) if blob.blob == 9));
    assert_eq!(
        collector.into_excerpt().render(),
        "50 %\nhalf\n100 %\ndrawn\n"
    );
}

#[test]
fn html_is_parsed_only_where_shown_and_kept_as_files_when_there_are_many() {
    let table = format!("<table>{}</table>", "<tr><td>x</td></tr>".repeat(9_000));
    let page = |id: &str, update: bool| {
        json!({"type": "display_data", "update": update, "display_id": id,
            "data": {"text/plain": "<x object>", "text/html": table}})
    };
    let updates: Vec<_> = (0..50).map(|at| page("a", at > 0)).collect();
    let collector = collect(&updates);
    assert!(collector.attachments.is_empty());
    assert!(collector.into_excerpt().render().starts_with("x\nx\n"));
    let many: Vec<_> = (0..50).map(|at| page(&at.to_string(), false)).collect();
    let collector = collect(&many);
    assert!((40..50).contains(&collector.attachments.len()));
    assert!(collector.into_excerpt().render().contains("kept as a file"));
}

fn pages(count: usize) -> Vec<serde_json::Value> {
    let page = format!("<script></script>{}", "x".repeat(200_000));
    let page = json!({"type": "display_data", "data": {"text/html": page}});
    vec![page; count]
}

#[test]
fn pages_beyond_the_memory_limit_are_only_counted() {
    let collector = collect(&pages(200));
    assert_eq!(collector.attachments.len(), 200);
    let held = collector.attachments.iter().map(|one| one.body.held());
    assert!((15 << 20..=16 << 20).contains(&held.sum::<usize>()));
    let last = collector.attachments.last().unwrap();
    assert_eq!((last.seq, &last.body), (200, &Body::Dropped));
}

#[test]
fn a_paging_reader_stops_before_it_drops_an_attachment() {
    let mut collector = Collector::new(Room::for_chars(40_000)).stopping_when_full();
    let mut page = pages(1).remove(0);
    page["seq"] = json!(1);
    let event: Event = serde_json::from_value(page).unwrap();
    let taken = (0..200).take_while(|_| collector.take(&event).is_continue());
    assert!((30..60).contains(&taken.count()));
    collector.settle();
    let mut attachments = collector.attachments.iter();
    assert!(attachments.all(|one| one.body.held() > 0));
}

#[test]
fn a_traceback_is_shown_without_colours() {
    let collector = collect(&[json!({
        "type": "error", "ename": "ValueError", "evalue": "no", "traceback": ["\u{1b}[31mValueError\u{1b}[0m: no"]
    })]);
    assert_eq!(collector.error.as_ref().unwrap().ename, "ValueError");
    assert_eq!(collector.into_excerpt().render(), "ValueError: no\n");
}

#[test]
fn an_unknown_event_type_is_skipped() {
    let collector = collect(&[
        json!({"type": "hologram", "at": "now"}),
        json!({"type": "stream", "name": "stderr", "text": "x"}),
    ]);
    assert_eq!(collector.into_excerpt().render(), "x");
}

fn bar(id: &str, text: &str, update: bool, live: bool) -> serde_json::Value {
    json!({"type": "display_data", "display_id": id, "update": update, "live": live, "data": {"text/plain": text}})
}

#[test]
fn a_progress_bar_is_shown_once_in_its_final_state() {
    let line = |text: &str| json!({"type": "stream", "name": "stdout", "text": text});
    let events = [
        bar("outer", "0 of 2", false, true),
        bar("inner", "0 %", false, true),
        line("one\n"),
        bar("inner", "50 %", true, true),
        bar("outer", "1 of 2", true, true),
        bar("inner", "100 %", true, false),
        line("two\n"),
        bar("gone", "0 %", false, true),
        bar("gone", "", true, false),
    ];
    let collector = collect(&events);
    let text = collector.into_excerpt().render();
    assert_eq!(text, "one\n100 %\ntwo\n1 of 2\n");
}

#[test]
fn a_running_progress_bar_is_the_last_line() {
    let mut collector = Collector::new(Room::for_chars(40_000));
    for (at, event) in [bar("a", "0 %", false, true), bar("a", "37 %", true, true)]
        .iter()
        .enumerate()
    {
        let mut event = event.clone();
        event["seq"] = json!(at + 1);
        let event: Event = serde_json::from_value(event).unwrap();
        let _ = collector.take(&event);
    }
    assert_eq!(collector.newest().line, "37 %");
    assert_eq!(collector.into_excerpt().render(), "37 %\n");
}

#[test]
fn updates_of_a_cleared_display_are_not_shown() {
    for wait in [true, false] {
        let events = [
            bar("a", "0 %", false, true),
            json!({"type": "clear_output", "wait": wait}),
            json!({"type": "stream", "name": "stdout", "text": "next\n"}),
            bar("a", "100 %", true, false),
        ];
        assert_eq!(collect(&events).into_excerpt().render(), "next\n");
    }
}
