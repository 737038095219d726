//! Replies as clients keep them: the facts first, in no more bytes than each client hands to its model.

use serde_json::{Value, json};

use crate::support::executor::Executor;
use crate::support::home::Home;
use crate::support::stdio::{Answer, Bridge};

/// Names of clients, and the bytes of a reply that reach their models; the first one is unknown.
const CLIENTS: [(&str, usize); 5] = [
    ("somebody", 10_000),
    ("codex-mcp-client", 11_000),
    ("gemini-cli-mcp-client-smart-colab", 36_000),
    ("claude-code", 48_000),
    ("claude-ai", 50_000),
];
const PLOT: &str = "import matplotlib.pyplot as plt\ndef plot(n):\n    plt.figure(figsize=(n, 1))\n    plt.plot([1, n])\n    plt.show()\n";

fn bridge(client: &str, home: &Home) -> Bridge {
    Executor::shared().bridge_of(client, home, &[])
}

/// A bridge whose calls end soon, and its session.
fn quick_bridge(client: &str, home: &Home, session: &str) -> Bridge {
    let budget = [("SMART_COLAB_CALL_BUDGET_SEC", "5")];
    let mut bridge = Executor::shared().bridge_of(client, home, &budget);
    bridge.warm(session);
    bridge
}

/// Bytes of a reply as JSON, without the data of its pictures.
fn bytes(answer: &Answer) -> usize {
    let mut content = answer.whole["content"].clone();
    for block in content.as_array_mut().unwrap() {
        if block["type"] == "image" {
            block["data"] = json!("");
        }
    }
    content.to_string().len()
}

/// Characters of an error that reach a client's model; it sees the ends of a longer one.
const ERROR_CHARS: [(&str, usize); 1] = [("claude-code", 10_000)];

/// Characters of a reply's texts, and of its links as JSON.
fn chars(answer: &Answer) -> usize {
    let blocks = answer.whole["content"].as_array().unwrap();
    let of = |block: &Value| match block["text"].as_str() {
        Some(text) => text.chars().count() + 1,
        None => block.to_string().chars().count(),
    };
    blocks.iter().map(of).sum()
}

/// The kinds of the blocks after the facts: the text's, `*` for a picture, `>` for a link.
fn shape(answer: &Answer) -> Vec<String> {
    let blocks = answer.whole["content"].as_array().unwrap();
    let kind = |block: &Value| match block["type"].as_str().unwrap() {
        "text" => block["text"].as_str().unwrap().trim().to_owned(),
        "image" => "*".to_owned(),
        _ => ">".to_owned(),
    };
    blocks[1..].iter().map(kind).collect()
}

#[test]
fn every_reply_begins_with_the_facts_and_fits_its_client() {
    for (client, limit) in CLIENTS {
        let home = Home::new();
        let session = format!("replies-{limit}");
        let mut bridge = quick_bridge(client, &home, &session);
        for (lines, text) in [
            (300, "\"a\""),
            (30_000, "loss 0.5"),
            (300, "訓練中"),
            (30_000, "損失"),
        ] {
            let code = format!("for i in range({lines}): print(i, '{text}')\n1 / 0");
            let ran = json!({"code": code, "session": session});
            let mut answer = bridge.call("run_code_quick", ran);
            check(&answer, limit);
            for (_, most) in ERROR_CHARS.iter().filter(|(name, _)| *name == client) {
                let is_error = answer.whole["isError"] == true;
                assert!(!is_error || chars(&answer) <= *most, "{}", chars(&answer));
            }
            while answer.facts["state"] == "running" {
                answer = bridge.call("get_output", json!({"job_id": answer.fact("job_id")}));
                check(&answer, limit);
            }
            assert_eq!(answer.fact("code"), "python_error", "{client}");
            assert!(answer.text.starts_with("0 "), "{client}: {}", answer.facts);
            assert!(
                answer.text.ends_with("division by zero\n"),
                "{client}: {}",
                answer.facts
            );
        }
        for text in ["loss", "損失"] {
            let code =
                format!("for i in range(30_000): print(i, '{text}')\nimport time\ntime.sleep(600)");
            let answer = bridge.call("run_code_long", json!({"code": code, "session": session}));
            assert_eq!(answer.fact("state"), "running");
            assert!(answer.facts["next"].is_u64(), "{}", answer.facts);
            check(&answer, limit);
            let stop = json!({"job_id": answer.fact("job_id")});
            let stopped = bridge.call("interrupt_execution", stop);
            assert_eq!(stopped.fact("state"), "interrupted");
        }
    }
}

#[test]
fn a_message_that_is_too_long_for_the_facts_is_cut_there() {
    let home = Home::new();
    let mut bridge = bridge("somebody", &home);
    let code = json!({"code": "raise ValueError('\\\"損' * 9_000)", "session": "replies-facts"});
    let answer = bridge.call("run_code_quick", code);
    answer.refused("python_error");
    check(&answer, 10_000);
    assert!(
        answer.fact("error").starts_with("ValueError: "),
        "{}",
        answer.facts
    );
}

#[track_caller]
fn check(answer: &Answer, limit: usize) {
    assert!(bytes(answer) <= limit, "{} > {limit}", bytes(answer));
    assert!(answer.facts["job_id"].is_string() && answer.facts["state"].is_string());
    let facts = answer.whole["content"][0]["text"].as_str().unwrap();
    assert_eq!(facts.lines().count(), 1, "{facts}");
    assert!(facts.len() <= limit / 4, "{} of facts", facts.len());
}

#[test]
fn the_default_is_12_000_characters_and_more_are_shown_when_asked_for() {
    let home = Home::new();
    let mut bridge = bridge("claude-ai", &home);
    let code = json!({"code": "print('x\\n' * 15_000, end='')", "session": "replies-more"});
    let answer = bridge.call("run_code_quick", code);
    let shown = answer.text.chars().count();
    assert!((11_000..=12_100).contains(&shown), "{shown}");
    let job = answer.fact("job_id");
    for (chars, expected) in [(300, 150..=400), (20_000, 19_000..=20_100)] {
        let more = json!({"job_id": job, "max_chars": chars});
        let shown = bridge.call("get_output", more).text.chars().count();
        assert!(expected.contains(&shown), "{shown} of {chars}");
    }
    // As many as the client keeps.
    let most = bridge.call("get_output", json!({"job_id": job, "max_chars": 100_000}));
    assert!(
        (30_000..=50_000).contains(&bytes(&most)),
        "{}",
        bytes(&most)
    );
}

#[test]
fn pictures_stand_where_they_were_shown() {
    let home = Home::new();
    let mut bridge = bridge("somebody", &home);
    let code =
        format!("{PLOT}print('first')\nplot(1)\nplot(2)\nprint('second')\nplot(3)\nprint('third')");
    let code = json!({"code": code, "session": "replies-pictures"});
    let answer = bridge.call("run_code_quick", code);
    answer.succeeded();
    let expected = ["first", "*", "*", "second", "*", "third", ">", ">", ">"];
    assert_eq!(shape(&answer), expected);
    let widths: Vec<_> = answer
        .pictures
        .iter()
        .map(|(data, _)| width(data))
        .collect();
    assert!(widths.is_sorted() && widths[0] < widths[2], "{widths:?}");
    let long = format!("{PLOT}print('x\\n' * 9_000)\nplot(1)\nprint('y\\n' * 9_000)\nplot(2)");
    let code = json!({"code": long, "session": "replies-pictures"});
    let [head, first, tail, second] = &shape(&bridge.call("run_code_quick", code))[..4] else {
        panic!("other blocks");
    };
    assert!(
        head.starts_with("x\nx") && head.ends_with("characters left out here] …"),
        "{head}"
    );
    assert!(tail.starts_with("y\ny") && tail.ends_with("y"), "{tail}");
    assert_eq!((first.as_str(), second.as_str()), ("*", "*"));
}

fn width(data: &str) -> u32 {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::STANDARD.decode(data);
    image::load_from_memory(&bytes.unwrap()).unwrap().width()
}

#[test]
fn an_error_names_its_pictures_for_clients_that_do_not_show_them() {
    let code = format!("{PLOT}print('before')\nplot(3)\nprint('after')\n1 / 0");
    for (client, shows) in [
        ("gemini-cli-mcp-client", false),
        ("claude-code", false),
        ("codex-mcp-client", true),
        ("somebody", true),
    ] {
        let home = Home::new();
        let mut bridge = bridge(client, &home);
        let code = json!({"code": code, "session": "replies-errors"});
        let answer = bridge.call("run_code_quick", code);
        answer.refused("python_error");
        let shape = shape(&answer);
        assert_eq!(shape[0], "before", "{client}");
        assert_eq!(shape[1] == "*", shows, "{client}: {shape:?}");
        assert_eq!(answer.pictures.len(), usize::from(shows), "{client}");
        assert!(shape[2].starts_with("after"), "{client}");
        let [link] = answer.links.as_slice() else {
            panic!("{client}: {:?}", answer.links);
        };
        if !shows {
            let path = url::Url::parse(link).unwrap().to_file_path().unwrap();
            assert_eq!(shape[1], format!("[picture: {}]", path.display()));
        }
        // Looking at it is no error.
        let look = json!({"job_id": answer.fact("job_id")});
        assert_eq!(
            bridge.call("get_output", look).pictures.len(),
            1,
            "{client}"
        );
    }
}

#[test]
fn operations_and_checkpoints_fit_their_client() {
    for (client, limit) in CLIENTS {
        let home = Home::new();
        let session = format!("replies-chunks-{limit}");
        let mut bridge = quick_bridge(client, &home, &session);
        let arguments = json!({
            "setup_code": format!("# {}\n{PLOT}", "訓練".repeat(9_000)),
            "loop_code": format!("# {}\nfor n in range(3_000): print({{i}}, n, '損失')\nif {{i}} == 1: plot(2)\n'損' * 9_000", "x\n# ".repeat(9_000)),
            "n_iterations": 3, "checkpoint_name": "op", "session": session,
        });
        let mut answer = bridge.call("run_chunked_operation", arguments);
        while answer.facts["state"] == "running" {
            check_operation(&answer, limit);
            answer = bridge.call("get_output", json!({"job_id": "op"}));
        }
        check_operation(&answer, limit);
        assert_eq!(answer.fact("state"), "succeeded", "{}", answer.facts);
        let report = bridge.call("get_checkpoint", json!({"operation": "op"}));
        let said = report.whole["structuredContent"].to_string();
        assert!(said.len() <= limit, "{client}: {}", said.len());
        assert_eq!(report.facts["completed"], 3);
        assert!(report.facts["notes"].to_string().contains("cut here"));
        assert!(
            report.facts["plan"]["setup_code"]
                .as_str()
                .unwrap()
                .contains("left out")
        );
    }
}

#[track_caller]
fn check_operation(answer: &Answer, limit: usize) {
    assert!(bytes(answer) <= limit, "{} > {limit}", bytes(answer));
    let facts = &answer.facts;
    assert!(
        facts["job_id"].is_string() && facts["state"].is_string(),
        "{facts}"
    );
    assert!(
        facts["state"] != "running" || facts["next"].is_u64(),
        "{facts}"
    );
}
