//! Output longer than an answer's limit.

use serde_json::json;

use super::{CLIENT, Client, MAX_TEXT_CHARS, hinted_byte};
use crate::support::executor::Executor;
use crate::support::home::Home;

#[test]
fn any_part_of_a_log_can_be_read() {
    let mut client = Client::of("ranges");
    let answer = client.run("for i in range(20_000):\n    print(f'line {i}: ü')");
    let whole: String = (0..20_000).map(|i| format!("line {i}: ü\n")).collect();
    let hint = answer.fact("hint");
    assert!(hint.contains("from_byte"), "{hint}");
    let job = answer.fact("job_id").to_owned();
    let (mut read, mut from) = (String::new(), json!(0));
    while !from.is_null() {
        let part = client
            .bridge
            .call("get_output", json!({"job_id": job, "from_byte": from}));
        part.succeeded();
        assert!(part.text.chars().count() <= MAX_TEXT_CHARS);
        assert_eq!(part.facts["from_byte"], from);
        assert_eq!(part.facts["log_bytes"], whole.len());
        assert!(part.facts["notes"].is_null(), "{}", part.facts);
        read += &part.text;
        from = part.facts["next_byte"].clone();
    }
    assert!(read == whole, "{} of {}", read.len(), whole.len());
    // The hint names the end of the head.
    let head = answer.text.split("\n… [").next().unwrap();
    let behind = hinted_byte(hint);
    assert_eq!(&whole[..behind], format!("{head}\n"));
    let end = client
        .bridge
        .call("get_output", json!({"job_id": job, "from_byte": -15}));
    assert_eq!(end.text, "line 19999: ü\n");
    assert_eq!(end.facts["from_byte"], whole.len() - 15);
    assert!(end.facts["next_byte"].is_null(), "{}", end.facts);
    let beyond = json!({"job_id": job, "from_byte": whole.len() + 9});
    let beyond = client.bridge.call("get_output", beyond);
    beyond.succeeded();
    assert_eq!(beyond.text, "");
    let hint = beyond.fact("hint");
    assert!(hint.contains(&format!("{} bytes", whole.len())), "{hint}");
    let short = client.run("print('short')");
    let short = json!({"job_id": short.fact("job_id"), "from_byte": 2});
    assert_eq!(client.bridge.call("get_output", short).text, "ort\n");
    let both = json!({"job_id": job, "from_byte": 0, "after": 0});
    client
        .bridge
        .call("get_output", both)
        .refused("invalid_argument");
}

#[test]
fn a_saved_log_outlives_its_machine() {
    let executor = Executor::start();
    let home = Home::new();
    let mut bridge = executor.bridge_of(CLIENT, &home, &[]);
    let code = json!({"code": "for i in range(20_000):\n    print(f'line {i}')"});
    let answer = bridge.call("run_code_quick", code);
    let whole: String = (0..20_000).map(|i| format!("line {i}\n")).collect();
    let quiet = bridge.call("run_code_quick", json!({"code": "print(1)"}));
    drop(bridge);
    let line = executor.line();
    drop(executor);
    let variables = [
        ("COLAB_URL", line.as_str()),
        ("SMART_COLAB_CALL_BUDGET_SEC", "5"),
    ];
    let mut bridge = crate::support::stdio::Bridge::greeted_by(CLIENT, home.program(&variables));
    let middle = json!({"job_id": answer.fact("job_id"), "from_byte": 100_000});
    let part = bridge.call("get_output", middle);
    part.succeeded();
    assert!(part.text.len() > 10_000 && whole[100_000..].starts_with(&part.text));
    assert!(
        part.facts["notes"][0]
            .as_str()
            .unwrap()
            .contains("local copy")
    );
    // Without a place the end is read. What follows a cursor is not in a copy's end.
    let part = bridge.call("get_output", json!({"job_id": answer.fact("job_id")}));
    part.succeeded();
    assert!(part.text.len() > 10_000 && whole.ends_with(&part.text));
    assert!(part.facts["state"].is_null(), "{part:?}");
    let note = part.facts["notes"][0].as_str().unwrap();
    assert!(note.contains("does not answer"), "{note}");
    let later = json!({"job_id": answer.fact("job_id"), "after": 7});
    bridge
        .call("get_output", later)
        .refused("connection_failed");
    let nothing = json!({"job_id": quiet.fact("job_id"), "from_byte": 0});
    bridge
        .call("get_output", nothing)
        .refused("connection_failed");
}

/// Less than the output itself, so it is never held whole.
#[cfg(target_os = "linux")]
#[test]
fn long_output_is_not_held_in_memory() {
    const MEBIBYTES: u64 = 24;
    let mut client = Client::of("memory");
    client.run("1").succeeded();
    let idle = client.bridge.peak_memory();
    let code = format!(
        "import sys\npiece = ('x' * 1023 + '\\n') * 64\nfor _ in range({MEBIBYTES} * 16):\n    _ = sys.stdout.write(piece)"
    );
    let answer = client.run(&code);
    answer.succeeded();
    let taken = (client.bridge.peak_memory() - idle) >> 20;
    assert!(taken < MEBIBYTES * 2 / 3, "{taken} MiB");
    let log = std::fs::read(answer.fact("log")).unwrap();
    let line = [&[b'x'; 1023][..], b"\n"].concat();
    assert_eq!(log.len() as u64, MEBIBYTES << 20);
    assert!(log.chunks(1024).all(|chunk| chunk == line));
}
