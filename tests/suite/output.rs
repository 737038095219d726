//! The answer that a model gets for code it ran, with the real program, executor and kernel.

mod advice;
mod displays;
mod ends;
mod long;
mod searching;

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use crate::support::executor::Executor;
use crate::support::home::Home;
use crate::support::stdio::{Answer, Bridge};

/// With the line that counts the omitted ones.
const MAX_TEXT_CHARS: usize = 12_100;
/// Its replies have room for so many.
const CLIENT: &str = "claude-ai";

/// The byte of the log at which a hint says to read on.
fn hinted_byte(hint: &str) -> usize {
    let behind = hint.split("from_byte ").nth(1).unwrap();
    behind.split(' ').next().unwrap().parse().unwrap()
}

/// A client with a session of its own.
struct Client {
    bridge: Bridge,
    session: &'static str,
    home: Home,
}

impl Client {
    fn of(session: &'static str) -> Self {
        let home = Home::new();
        let bridge = Executor::shared().bridge_of(CLIENT, &home, &[]);
        Self {
            bridge,
            session,
            home,
        }
    }

    fn run(&mut self, code: &str) -> Answer {
        let arguments = json!({"code": code, "session": self.session});
        self.bridge.call("run_code_quick", arguments)
    }

    /// Reads a finished job's whole output, page by page.
    fn read(&mut self, job: &str) -> String {
        let mut read = String::new();
        let mut from = json!(0);
        while !from.is_null() {
            let page = json!({"job_id": job, "from_byte": from, "max_chars": 40_000});
            let page = self.bridge.call("get_output", page);
            page.succeeded();
            assert!(page.text.chars().count() <= 40_000);
            assert_eq!(page.facts["from_byte"], read.len());
            read.push_str(&page.text);
            from = page.facts["next_byte"].clone();
        }
        read
    }
}

fn file(link: &str) -> PathBuf {
    Url::parse(link).unwrap().to_file_path().unwrap()
}

#[test]
fn an_answer_is_one_line_of_facts_then_output_then_value() {
    let mut client = Client::of("first");
    let answer = client.run("x = 21\nprint('hello')\nx * 2");
    answer.succeeded();
    assert_eq!(answer.text.trim_end(), "hello\n42");
    assert_eq!(answer.fact("state"), "succeeded");
    assert_eq!(answer.fact("session"), "first");
    assert!(Uuid::parse_str(answer.fact("job_id")).is_ok());
    for number in ["execution_time_sec", "memory_after_gb"] {
        assert!(answer.facts[number].is_number(), "{}", answer.facts);
    }
    assert!(answer.whole.get("structuredContent").is_none());
    let blocks = answer.whole["content"].as_array().unwrap();
    let facts = blocks[0]["text"].as_str().unwrap();
    assert_eq!(facts.lines().count(), 1, "{facts}");

    assert_eq!(client.run("x + 1").text.trim_end(), "22", "variables stay");
    let quiet = client.run("y = 1");
    quiet.succeeded();
    assert_eq!(quiet.text, "");
    let answer = client.run("import sys\nprint('to stderr', file=sys.stderr)\n!echo shell\nawait __import__('asyncio').sleep(0, 'awaited')");
    for part in ["to stderr", "shell", "awaited"] {
        assert!(answer.text.contains(part), "{}", answer.text);
    }
}

#[test]
fn an_exception_is_an_error_with_the_users_frames() {
    let mut client = Client::of("exception");
    let code = "print('before')\ndef deepest():\n    raise ValueError('no good')\ndeepest()";
    let answer = client.run(code);
    answer.refused("python_error");
    assert_eq!(answer.fact("state"), "failed");
    assert_eq!(answer.facts["retryable"], false);
    for part in ["before", "deepest()", "raise ValueError", "no good"] {
        assert!(answer.text.contains(part), "{}", answer.text);
    }
    assert!(!answer.text.contains('\u{1b}'), "{:?}", answer.text);
    assert!(answer.fact("error").contains("no good"), "{}", answer.facts);

    let answer = client.run("this is no Python");
    answer.refused("python_error");
    assert!(answer.text.contains("SyntaxError"), "{}", answer.text);
}

#[test]
fn a_table_is_shown_as_text() {
    let code = "class Table:\n    def __repr__(self): return '   a  b\\n0  1  2'\n    \
        def _repr_html_(self): return '<table><tr><td>1</td></tr></table>'\n\
        display(Table())\nTable()";
    let answer = Client::of("table").run(code);
    answer.succeeded();
    assert_eq!(answer.text.trim_end(), "   a  b\n0  1  2\n   a  b\n0  1  2");
}

#[test]
fn a_plot_is_shown_and_saved() {
    let mut client = Client::of("plot");
    let code = "import matplotlib.pyplot as plt\nplt.plot([1, 2, 4])\nplt.show()";
    let answer = client.run(code);
    answer.succeeded();
    let [(data, mime)] = answer.pictures.as_slice() else {
        panic!("{}", answer.whole);
    };
    assert_eq!(mime, "image/png");
    let shown = STANDARD.decode(data).unwrap();
    let [link] = answer.links.as_slice() else {
        panic!("{:?}", answer.links);
    };
    let kept = file(link);
    assert!(kept.starts_with(client.home.folder("results")), "{link}");
    assert_eq!(
        std::fs::read(kept).unwrap(),
        shown,
        "a small picture is shown unchanged"
    );
    assert!(!answer.text.contains(&data[..40]), "the text has no base64");

    let code = "from IPython.display import Image, SVG, display\nimport io\n\
        figure = plt.figure(figsize=(30, 12), dpi=100)\nplt.plot([1, 2, 4])\nbuffer = io.BytesIO()\n\
        figure.savefig(buffer, format='png')\nplt.close(figure)\ndisplay(Image(buffer.getvalue()))\n\
        display(SVG('<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"30\" height=\"20\"><g/></svg>'))";
    let answer = client.run(code);
    answer.succeeded();
    let [(data, _), (drawn, _)] = answer.pictures.as_slice() else {
        panic!("{}", answer.text);
    };
    let drawn = image::load_from_memory(&STANDARD.decode(drawn).unwrap()).unwrap();
    assert_eq!((drawn.width(), drawn.height()), (30, 20));
    let shown = image::load_from_memory(&STANDARD.decode(data).unwrap()).unwrap();
    assert_eq!((shown.width(), shown.height()), (1200, 480));
    let [picture, drawing] = answer.links.as_slice() else {
        panic!("{:?}", answer.links);
    };
    assert_eq!(
        image::image_dimensions(file(picture)).unwrap(),
        (3000, 1200)
    );
    let drawing = std::fs::read_to_string(file(drawing)).unwrap();
    assert!(drawing.contains("<svg"), "{drawing}");
}

#[test]
fn long_output_shows_its_ends_and_is_kept_whole() {
    let mut client = Client::of("large");
    let answer = client.run("for i in range(30_000):\n    print(f'line {i}: ü')");
    answer.succeeded();
    let length = answer.text.chars().count();
    assert!(length <= MAX_TEXT_CHARS, "{length} characters");
    assert!(length > MAX_TEXT_CHARS / 2, "{length} characters");
    assert!(answer.text.starts_with("line 0: ü\nline 1: ü\n"));
    assert!(answer.text.ends_with("line 29998: ü\nline 29999: ü\n"));
    let whole: String = (0..30_000).map(|i| format!("line {i}: ü\n")).collect();
    let left_out = answer.facts["left_out_characters"].as_u64().unwrap();
    assert!(
        answer.text.contains(&left_out.to_string()),
        "the text has the count"
    );
    let log = PathBuf::from(answer.fact("log"));
    assert!(log.starts_with(client.home.folder("results").join("logs")));
    assert!(answer.links.iter().any(|link| file(link) == log));
    assert_eq!(std::fs::read_to_string(log).unwrap(), whole);

    assert!(client.read(answer.fact("job_id")) == whole);
}

#[test]
fn get_output_without_a_wait_reads_everything_so_far() {
    let mut client = Client::of("look");
    let code =
        "for i in range(4_000):\n    print('x' * 999, flush=True)\nraise ValueError('the end')";
    let id = client.run(code).fact("job_id").to_owned();
    let look = json!({"job_id": id, "wait_sec": 0});
    let answer = client.bridge.call("get_output", look);
    answer.shows_failure("python_error");
    assert!(answer.text.trim_end().ends_with("ValueError: the end"));
    assert!(answer.facts["next"].is_null(), "{}", answer.facts);
}

#[test]
fn a_line_without_a_newline_is_kept_whole() {
    let mut client = Client::of("endless");
    for length in [11_000, 60_000, 300_000] {
        let code = format!("import sys\n_ = sys.stdout.write('x' * {length})");
        let answer = client.run(&code);
        answer.succeeded();
        assert!(answer.text.chars().count() <= MAX_TEXT_CHARS);
        let whole = "x".repeat(length);
        if length > MAX_TEXT_CHARS {
            let log = std::fs::read_to_string(answer.fact("log")).unwrap();
            assert!(log == whole, "{length}: {}", log.len());
        } else {
            assert!(answer.text == whole, "{length}");
        }
        let read = client.read(answer.fact("job_id"));
        assert!(read == whole, "{length}: {}", read.len());
    }
}

#[test]
fn text_is_what_a_terminal_would_show() {
    let code = r"import sys
print('\x1b[1;31mred\x1b[0m', flush=True)
for percent in (10, 50, 100):
    print(f'\r{percent:3}%', end='', flush=True)
print()
print('abc\bX')
print('\x1b]0;title\x07über 日本 🚀')
print('plain', file=sys.stderr)";
    let answer = Client::of("terminal").run(code);
    answer.succeeded();
    assert_eq!(answer.text, "red\n100%\nabX\nüber 日本 🚀\nplain\n");
}

#[test]
fn input_fails_at_once_and_says_why() {
    let answer = Client::of("input").run("name = input('Your name? ')");
    answer.refused("python_error");
    assert!(answer.fact("hint").contains("put the value in the code"));
    assert!(
        answer.fact("error").to_lowercase().contains("input"),
        "{}",
        answer.facts
    );
}

#[test]
fn sessions_do_not_share_variables() {
    let mut one = Client::of("apart-1");
    let mut two = Client::of("apart-2");
    one.run("x = 'of one'").succeeded();
    two.run("x").refused("python_error");
    two.run("x = 'of two'").succeeded();
    assert_eq!(one.run("x").text.trim_end(), "'of one'");
}

#[test]
fn a_kernel_that_dies_under_its_code_is_reported() {
    let mut client = Client::of("ending");
    client.run("x = 1").succeeded();
    let answer = client.run("print('last words', flush=True)\nimport os\nos._exit(1)");
    answer.refused("kernel_died");
    assert_eq!(answer.facts["variables_lost"], true, "{}", answer.facts);
    let answer = client.run("'x' in globals()");
    assert_eq!(answer.text.trim_end(), "False", "{}", answer.whole);
}

#[test]
fn code_that_times_out_is_stopped() {
    let mut client = Client::of("timeout");
    let arguments = json!({
        "code": "print('begun', flush=True)\nimport time\ntime.sleep(600)",
        "timeout_sec": "1",
        "session": client.session,
    });
    let answer = client.bridge.call("run_code_long", arguments);
    answer.refused("timed_out");
    assert_eq!(answer.fact("state"), "timed_out");
    assert!(answer.text.contains("begun"), "{}", answer.text);
    client.run("1").succeeded();
}

#[test]
fn invalid_arguments_are_named() {
    let mut client = Client::of("wrong");
    for (tool, arguments, named) in [
        ("run_code_quick", json!({}), "code"),
        ("run_code_quick", json!({"code": "  \n"}), "code"),
        ("run_code_quick", json!({"code": 1}), "code"),
        (
            "run_code_quick",
            json!({"code": "1", "session": "no spaces"}),
            "session",
        ),
        (
            "run_code_long",
            json!({"code": "1", "timeout_sec": 0}),
            "timeout_sec",
        ),
        (
            "run_code_long",
            json!({"code": "1", "timeout_sec": 43_201}),
            "timeout_sec",
        ),
        (
            "run_code_long",
            json!({"code": "1", "timeout_sec": "soon"}),
            "integer",
        ),
        ("list_colab_files", json!({"top": 0}), "top"),
        ("list_colab_files", json!({"top": 1_001}), "top"),
        ("list_colab_variables", json!({"top": 501}), "top"),
        ("list_checkpoints", json!({"top": 501}), "top"),
        ("get_output", json!({"job_id": "a/b"}), "job_id"),
        (
            "cleanup_colab",
            json!({"temp_files": "perhaps"}),
            "temp_files",
        ),
    ] {
        let answer = client.bridge.call(tool, arguments.clone());
        answer.refused("invalid_argument");
        let said = answer.fact("error");
        assert!(said.contains(named), "{tool} {arguments}: {said}");
    }
    let id = Uuid::now_v7().to_string();
    let answer = client.bridge.call("get_output", json!({"job_id": id}));
    answer.refused("not_found");
    let params = json!({"name": "no_such_tool", "arguments": {}});
    let answer = client.bridge.request("tools/call", params);
    assert!(answer["error"]["code"].is_number(), "{answer}");
}

#[test]
fn a_threads_output_after_the_end_is_shown_by_a_later_get_output() {
    let mut client = Client::of("late");
    let code = "import os, threading, time\ndef speak():\n    while not os.path.exists('late-go'): time.sleep(0.02)\n    print('late words', flush=True)\n\
        threading.Thread(target=speak).start()\nprint('early words')";
    let answer = client.run(code);
    answer.succeeded();
    assert_eq!(answer.text, "early words\n");
    std::fs::write(Executor::shared().root().join("late-go"), "").unwrap();
    let job = json!({"job_id": answer.facts["job_id"]});
    let end = std::time::Instant::now() + crate::support::stdio::PATIENCE;
    loop {
        let again = client.bridge.call("get_output", job.clone());
        again.succeeded();
        assert!(again.text.starts_with("early words\n"), "{}", again.text);
        if again.text.ends_with("late words\n") {
            assert!(
                again.text.contains("after the code finished"),
                "{}",
                again.text
            );
            break;
        }
        assert!(std::time::Instant::now() < end, "{}", again.text);
    }
}

#[test]
fn code_that_is_too_long_is_refused() {
    let mut client = Client::of("long-code");
    for mebibytes in [9, 20] {
        let code = format!("#{}\n1", "x".repeat(mebibytes << 20));
        let answer = client.run(&code);
        answer.refused("invalid_argument");
        assert!(
            answer.fact("error").contains("larger than"),
            "{}",
            answer.facts
        );
    }
    // Code at the limit runs.
    let code = format!("#{}\n1", "x".repeat(7 << 20));
    assert_eq!(client.run(&code).text.trim_end(), "1");
    assert_eq!(
        client.bridge.request("ping", json!({})),
        Value::Object(serde_json::Map::new())
    );
}
