//! Logs that are searched and read in parts.

use serde_json::{Value, json};

use super::{CLIENT, Client, hinted_byte};
use crate::support::executor::Executor;
use crate::support::home::Home;
use crate::support::stdio::{Answer, Bridge};

/// Prints 3.5 MB with one line of interest in the middle.
const LOG: &str = "import sys\nlines = [f'epoch {n} loss {1 / (n + 1):.9f} of the model\\n' for n in range(84_000)]\n\
    lines[42_000] = 'warning: gradient 溢出 in layer 7\\n'\n_ = sys.stdout.write(''.join(lines))";

fn output(bridge: &mut Bridge, job: &Value, arguments: Value) -> Answer {
    let mut all = json!({"job_id": job});
    let members = arguments.as_object().unwrap().clone();
    all.as_object_mut().unwrap().extend(members);
    bridge.call("get_output", all)
}

#[test]
fn one_line_of_a_long_log_is_found_also_when_the_machine_is_gone() {
    let executor = Executor::start();
    let home = Home::new();
    let mut bridge = executor.bridge_of(CLIENT, &home, &[]);
    let answer = bridge.call("run_code_quick", json!({"code": LOG}));
    answer.succeeded();
    let job = answer.facts["job_id"].clone();
    let whole = std::fs::read_to_string(answer.fact("log")).unwrap();
    assert!(whole.len() > 3_500_000);
    let at = whole.find("warning").unwrap();
    let line = "warning: gradient 溢出 in layer 7\n";
    let before = bridge_memory(&bridge);
    let check = |bridge: &mut Bridge| {
        let found = searched(
            bridge,
            &job,
            json!({"grep": r"gradient \w+ IN|(?i)GRADIENT 溢"}),
        );
        found.succeeded();
        assert_eq!(found.text, format!("{at}:{line}"));
        assert_eq!(
            (&found.facts["matches"], &found.facts["log_bytes"]),
            (&json!(1), &json!(whole.len()))
        );
        let read_on = output(bridge, &job, json!({"from_byte": at, "max_chars": 100}));
        assert!(read_on.text.starts_with(line), "{}", read_on.text);
        let around = searched(bridge, &job, json!({"grep": "溢出", "context": 1}));
        let lines: Vec<_> = around.text.lines().collect();
        assert!(
            lines.len() == 3 && lines[0].contains("-epoch 41999 "),
            "{}",
            around.text
        );
        assert!(lines[2].contains("-epoch 42001 "), "{}", around.text);
        let none = searched(bridge, &job, json!({"grep": "no such line"}));
        none.succeeded();
        assert_eq!(
            (none.text.as_str(), &none.facts["matches"]),
            ("", &json!(0))
        );
        assert!(none.fact("hint").contains("(?i)"));
        let last = searched(bridge, &job, json!({"grep": "loss", "tail_lines": 2}));
        assert_eq!(last.text.lines().count(), 2);
        assert!(
            last.text.contains(":epoch 83998 ") && last.text.contains(":epoch 83999 "),
            "{}",
            last.text
        );
        assert_eq!(last.facts["matches"], 83_999);
        found.facts
    };
    let facts = check(&mut bridge);
    assert_eq!(facts["state"], "succeeded");
    if let (Some(before), Some(after)) = (before, bridge_memory(&bridge)) {
        assert!(after - before < 3_000_000, "{before} {after}");
    }
    // All that matches is found, part by part.
    let (mut from, mut count) = (json!(3_400_000), 0);
    while !from.is_null() {
        let part = output(
            &mut bridge,
            &job,
            json!({"grep": "epoch", "from_byte": from}),
        );
        count += part.text.lines().count();
        from = part.facts["next_byte"].clone();
    }
    assert_eq!(count, whole[3_400_000..].matches("epoch").count());
    drop(bridge);
    let address = executor.line();
    drop(executor);
    let variables = [
        ("COLAB_URL", address.as_str()),
        ("SMART_COLAB_CALL_BUDGET_SEC", "8"),
    ];
    let mut bridge = Bridge::greeted_by(CLIENT, home.program(&variables));
    let facts = check(&mut bridge);
    assert!(
        facts["notes"][0].as_str().unwrap().contains("local copy"),
        "{facts}"
    );
}

/// Searches the whole log: a call goes as far as its time allows.
fn searched(bridge: &mut Bridge, job: &Value, mut arguments: Value) -> Answer {
    let mut answer = output(bridge, job, arguments.clone());
    while !answer.facts["next_byte"].is_null() {
        arguments["from_byte"] = answer.facts["next_byte"].clone();
        let mut next = output(bridge, job, arguments.clone());
        if arguments["tail_lines"].is_null() {
            next.text.insert_str(0, &answer.text);
        }
        assert_ne!(next.facts["next_byte"], answer.facts["next_byte"]);
        let count = |answer: &Answer| answer.facts["matches"].as_u64().unwrap();
        next.facts["matches"] = json!(count(&answer) + count(&next));
        answer = next;
    }
    answer
}

#[cfg(target_os = "linux")]
fn bridge_memory(bridge: &Bridge) -> Option<u64> {
    Some(bridge.peak_memory())
}

#[cfg(not(target_os = "linux"))]
fn bridge_memory(_: &Bridge) -> Option<u64> {
    None
}

#[test]
fn a_look_after_a_cursor_shows_searches_and_ends_what_is_new_alone() {
    let mut client = Client::of("news");
    let code = "for n in range(3): print('first', n)\nfor n in range(3): print('ü second', n)";
    let answer = client.run(code);
    let job = answer.facts["job_id"].clone();
    let all = output(&mut client.bridge, &job, json!({"after": 0}));
    assert_eq!(all.text, answer.text);
    let begun = client.bridge.call(
        "run_code_long",
        json!({"session": client.session, "code": "import os, time\nfor n in range(3): print('first', n, flush=True)\n\
            open('news-begun', 'w').close()\nwhile not os.path.exists('news-go'): time.sleep(0.02)\n\
            for n in range(4_000): print('second ü', n, flush=n % 500 == 0)", "timeout_sec": 600}),
    );
    // The call's budget has ended before the code was let go.
    assert_eq!(begun.fact("state"), "running");
    let (job, next) = (begun.facts["job_id"].clone(), begun.facts["next"].clone());
    assert!(begun.text.ends_with("first 2\n"), "{}", begun.text);
    std::fs::write(Executor::shared().root().join("news-go"), "").unwrap();
    let search = json!({"after": next, "grep": "(first|second).* [12]$"});
    let mut found = output(&mut client.bridge, &job, search.clone());
    while found.facts["state"] == "running" {
        found = output(&mut client.bridge, &job, search.clone());
    }
    let begin = "first 0\nfirst 1\nfirst 2\n".len();
    let line = "second ü 0\n".len();
    let expected = format!(
        "{}:second ü 1\n{}:second ü 2\n",
        begin + line,
        begin + 2 * line
    );
    assert_eq!(found.text, expected);
    let news = output(&mut client.bridge, &job, json!({"after": next}));
    assert!(news.text.starts_with("second ü 0\n") && news.text.ends_with("second ü 3999\n"));
    // The hint leads to what was omitted.
    let hint = news.fact("hint");
    let from = hinted_byte(hint);
    let head = news.text.split("\n… [").next().unwrap();
    assert_eq!(from, begin + head.len() + 1);
    let last = output(
        &mut client.bridge,
        &job,
        json!({"after": next, "tail_lines": 2}),
    );
    assert_eq!(last.text, "second ü 3998\nsecond ü 3999\n");
    assert_eq!(last.fact("state"), "succeeded");
    let end = output(
        &mut client.bridge,
        &job,
        json!({"after": 1_000_000, "grep": "."}),
    );
    assert_eq!((end.text.as_str(), &end.facts["matches"]), ("", &json!(0)));
}

#[test]
fn the_last_lines_are_read_without_the_rest() {
    let mut client = Client::of("tails");
    let answer = client.run("for n in range(50_000): print('line', n)\n1 / 0");
    let job = answer.facts["job_id"].clone();
    let last = output(&mut client.bridge, &job, json!({"tail_lines": 1}));
    assert_eq!(last.text, "ZeroDivisionError: division by zero\n");
    assert_eq!((last.fact("state"), last.is_error), ("failed", false));
    let many = output(&mut client.bridge, &job, json!({"tail_lines": 10_000}));
    assert!(many.text.ends_with("division by zero\n") && many.text.starts_with("line "));
    assert!(many.text.chars().count() <= 12_000);
    assert!(many.fact("hint").contains("from_byte"), "{}", many.facts);
    let log = std::fs::read_to_string(answer.fact("log")).unwrap();
    let from = usize::try_from(many.facts["from_byte"].as_u64().unwrap()).unwrap();
    assert!(log[from..].starts_with(&many.text[..1_000]));
}

#[test]
fn requests_that_make_no_sense_are_refused_with_the_reason() {
    let mut client = Client::of("senseless");
    let job = client.run("print(1)").facts["job_id"].clone();
    for (arguments, said) in [
        (
            json!({"grep": "epoch (1|2"}),
            "unclosed group at character 7",
        ),
        (json!({"grep": "损失 [z-a]"}), "at character 5"),
        (json!({"grep": "(?=a)"}), "look-around"),
        (json!({"grep": ""}), "empty"),
        (json!({"grep": r"(\w{900}){900}"}), "memory"),
        (json!({"context": 2}), "without grep"),
        (json!({"grep": "a", "context": 51}), "0 to 50"),
        (json!({"tail_lines": 0}), "tail_lines is 0"),
        (json!({"max_chars": 0}), "max_chars is 0"),
        (
            json!({"tail_lines": 3, "from_byte": 0}),
            "both from_byte and tail_lines",
        ),
        (
            json!({"after": 3, "from_byte": 0}),
            "both after and from_byte",
        ),
    ] {
        let answer = output(&mut client.bridge, &job, arguments.clone());
        answer.refused("invalid_argument");
        let error = answer.fact("error");
        assert!(error.contains(said), "{arguments}: {error}");
    }
}

#[test]
fn the_last_lines_are_those_that_a_terminal_shows() {
    let mut client = Client::of("bars");
    let bars = "bar = lambda name, states: print(*(f'{name} {n:>6} of {states} |{n % 10 * chr(35):<10}|' for n in range(states + 1)), sep='\\r')\n";
    // A longer one than any reply has room for.
    let answer = client.run(&format!(
        "{bars}for name in 'abcd': bar(name, 6_000)\nbar('e', 200)\nprint('done')\nprint('green ok')"
    ));
    answer.succeeded();
    let job = answer.facts["job_id"].clone();
    let shown = "b   6000 of 6000 |          |\nc   6000 of 6000 |          |\nd   6000 of 6000 |          |\n\
        e    200 of 200 |          |\ndone\ngreen ok\n";
    let bar = |(name, states)| {
        let states = (0..=states).map(|n| {
            let done = "#".repeat(n % 10);
            format!("{name} {n:>6} of {states} |{done:<10}|")
        });
        states.collect::<Vec<_>>().join("\r") + "\n"
    };
    let bars = ["a", "b", "c", "d"].map(|name| (name, 6_000));
    let log: String = bars.into_iter().chain([("e", 200)]).map(bar).collect();
    let log = log + "done\ngreen ok\n";
    assert!(log.len() > 500_000, "{}", log.len());
    for (lines, skipped) in [(6, 0), (3, 3), (1, 5)] {
        let last = output(&mut client.bridge, &job, json!({"tail_lines": lines}));
        let expected: String = shown.split_inclusive('\n').skip(skipped).collect();
        assert_eq!(last.text, expected);
        assert!(last.facts["hint"].is_null(), "{}", last.facts);
        assert_eq!(last.facts["log_bytes"], log.len());
        let from = usize::try_from(last.facts["from_byte"].as_u64().unwrap()).unwrap();
        assert_eq!(log[from..].lines().count(), lines, "{from}");
        assert!(log[..from].ends_with('\n'));
    }
    // To a search each state is a line.
    let states = output(
        &mut client.bridge,
        &job,
        json!({"grep": "^e ", "tail_lines": 2}),
    );
    assert_eq!(states.facts["matches"], 201);
    let cut = output(
        &mut client.bridge,
        &job,
        json!({"tail_lines": 9, "max_chars": 10}),
    );
    assert_eq!(cut.text, "green ok\n");
    let hint = cut.fact("hint");
    assert!(
        hint.starts_with("There is room for the last line only."),
        "{hint}"
    );
}
