//! Events become a cell's outputs.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{MAX_HEAD_BYTES, MAX_RICH_BYTES, MAX_TAIL_BYTES, Outputs};
use crate::wire::event::Event;

fn outputs(events: &[Value]) -> Outputs {
    let mut outputs = Outputs::default();
    for event in events {
        let mut event = event.clone();
        event["seq"] = json!(1);
        outputs.take(&serde_json::from_value::<Event>(event).unwrap());
    }
    outputs
}

fn stream(name: &str, text: &str) -> Value {
    json!({"type": "stream", "name": name, "text": text})
}

fn show(text: &str) -> Value {
    json!({"type": "display_data", "data": {"text/plain": text}, "metadata": {}})
}

fn update(text: &str, id: Option<&str>) -> Value {
    let mut event = show(text);
    event["update"] = json!(true);
    event["display_id"] = json!(id);
    event
}

/// The text of each output.
fn texts(outputs: Outputs) -> Vec<String> {
    let values = outputs.finish(7).values.into_iter();
    let text = |value: Value| {
        let shown = value["text"]
            .as_str()
            .or(value["data"]["text/plain"].as_str());
        shown.unwrap().to_owned()
    };
    values.map(text).collect()
}

#[test]
fn events_are_converted_to_nbformat() {
    let error = json!({"type": "error", "ename": "E", "evalue": "v", "traceback": ["t"]});
    let result = json!({"type": "execute_result", "data": {"text/plain": "1", "application/json": {"a": 1}, "application/x": [1]},
        "metadata": {"m": 1}, "execution_count": 3});
    let events = [
        json!({"type": "started", "kernel_id": "k", "execution_count": 3}),
        stream("stdout", "a\r"),
        stream("stdout", "b\n"),
        stream("stderr", "c"),
        result,
        error,
    ];
    let values = outputs(&events).finish(0).values;
    assert_eq!(
        json!(values),
        json!([
            {"output_type": "stream", "name": "stdout", "text": "a\rb\n"},
            {"output_type": "stream", "name": "stderr", "text": "c"},
            {"output_type": "execute_result", "data": {"text/plain": "1", "application/json": {"a": 1}, "application/x": "[1]"},
                "metadata": {"m": 1}, "execution_count": 3},
            {"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["t"]},
        ])
    );
}

#[test]
fn an_update_replaces_its_display() {
    let mut first = show("one");
    first["display_id"] = json!("a");
    let mut other = show("two");
    other["display_id"] = json!("b");
    let events = [
        first,
        other,
        stream("stdout", "x"),
        update("three", Some("a")),
        update("four", Some("c")),
    ];
    let elsewhere = outputs(&events).finish(7).elsewhere;
    assert_eq!(elsewhere[" c"].data["text/plain"], "four");
    assert_eq!(texts(outputs(&events)), ["three", "two", "x"]);
    // An update without an id replaces only another update.
    let events = [
        show("one"),
        update("two", None),
        update("three", None),
        stream("stdout", "x"),
        update("four", None),
    ];
    assert_eq!(texts(outputs(&events)), ["one", "three", "x", "four"]);
}

#[test]
fn long_text_keeps_its_head_and_tail_and_all_displays_between() {
    let line = "x".repeat(1023) + "\n";
    let mut events: Vec<Value> = (0..2_000)
        .map(|n| stream("stdout", &format!("{n} {line}")))
        .collect();
    events.insert(1_000, show("in the middle"));
    let texts = texts(outputs(&events));
    assert_eq!(texts.len(), 3);
    assert!(texts[0].starts_with("0 x") && texts[0].contains("7 bytes in total, is skipped here"));
    assert_eq!(texts[1], "in the middle");
    assert!(texts[2].ends_with(&format!("1999 {line}")));
    let length: usize = texts.iter().map(String::len).sum();
    assert!(
        (MAX_HEAD_BYTES + MAX_TAIL_BYTES * 7 / 8..=MAX_HEAD_BYTES + MAX_TAIL_BYTES + 200)
            .contains(&length),
        "{length}"
    );
}

#[test]
fn pictures_beyond_the_limit_are_noted() {
    let picture = json!({"type": "display_data", "metadata": {},
        "data": {"image/png": {"blob": 1, "bytes": MAX_RICH_BYTES / 2}, "text/plain": "a plot"}});
    let outputs = outputs(&[picture.clone(), picture]);
    assert_eq!(outputs.pictures(), 1);
    let values = outputs.finish(0).values;
    let note = values[1]["text"].as_str().unwrap();
    assert!(note.contains("image/png of"), "{note}");
    assert_eq!(values[2]["data"], json!({"text/plain": "a plot"}));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_output_keeps_its_end_within_the_limit(
        batches in prop::collection::vec(prop::collection::vec((0_u8..5, prop::sample::select(vec![0_usize, 1, 30, 300, 510])), 0..8), 0..4),
    ) {
        let mut all = Outputs::default();
        let last = [500, 300, 500, 30, 510, 30, 510].map(|kib| vec![(0, kib)]);
        for batch in batches.into_iter().chain(last) {
            let event = |(kind, kib): (u8, usize)| match kind {
                0 => stream("stdout", &"ö".repeat(kib * 512)),
                1 | 2 => stream("stderr", &"e".repeat(kib * 1024)),
                kind => json!({"type": "display_data", "metadata": {}, "update": kind == 3, "display_id": "a",
                    "data": {"image/png": {"blob": 1, "bytes": kib * 32 * 1024}}}),
            };
            all.absorb(outputs(&batch.into_iter().map(event).collect::<Vec<_>>()), 7);
        }
        let values = all.finish(7).values;
        let texts = || values.iter().filter_map(|value| value["text"].as_str());
        prop_assert!(texts().next_back().unwrap().ends_with(&"ö".repeat(30 * 512)));
        prop_assert!(texts().any(|text| text.contains("skipped here")));
        prop_assert!(texts().map(str::len).sum::<usize>() <= MAX_HEAD_BYTES + MAX_TAIL_BYTES + 200);
    }
}

#[test]
fn cleared_output_does_not_come_back() {
    let clear = |wait: bool| json!({"type": "clear_output", "wait": wait});
    let mut first = show("one");
    first["display_id"] = json!("a");
    for wait in [true, false] {
        let events = [
            first.clone(),
            clear(wait),
            stream("stdout", "x"),
            update("two", Some("a")),
        ];
        assert_eq!(texts(outputs(&events)), ["x"]);
    }
    // An update is not new output, so it does not trigger a delayed clear.
    let events = [first.clone(), clear(true), update("two", Some("a"))];
    assert_eq!(texts(outputs(&events)), ["two"]);
    // A delayed clear carries over to the next batch of a loop.
    let mut all = outputs(&[first, clear(true)]);
    all.absorb(outputs(&[stream("stdout", "x")]), 7);
    assert_eq!(texts(all), ["x"]);
}

#[test]
fn an_exceptions_long_message_is_bounded() {
    let message = "m".repeat(5_000_000);
    let error = json!({"type": "error", "ename": "E", "evalue": message, "traceback": [message]});
    let [value] = outputs(&[error]).finish(7).values.try_into().unwrap();
    assert!(value.to_string().len() < 300_000);
    assert!(
        value["evalue"]
            .as_str()
            .unwrap()
            .contains("characters left out here")
    );
}
