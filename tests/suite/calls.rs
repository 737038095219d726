//! A call's time: its budget, its progress, and code that outlives it.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::executor::{Executor, TOKEN, until_there};
use crate::support::home::Home;
use crate::support::stdio::{Answer, Bridge, PATIENCE};

/// Code that prints until it is released, so that no test depends on the machine's speed.
pub(crate) struct Held {
    session: String,
    folder: PathBuf,
}

impl Held {
    pub(crate) fn new(session: &str) -> Self {
        let folder = Executor::shared().root().join(session);
        std::fs::create_dir_all(&folder).unwrap();
        Self {
            session: session.to_owned(),
            folder,
        }
    }

    /// Prints a first line, then numbers until released, then a last line; an interrupt leaves a file.
    pub(crate) fn code(&self) -> String {
        let folder = self.folder.display();
        format!(
            "import pathlib, time\nhere = pathlib.Path(r'{folder}')\nprint('first', flush=True)\n(here / 'begun').touch()\n\
            count = 0\ntry:\n    while not (here / 'go').exists():\n        print(count, flush=True)\n        count += 1\n        \
            time.sleep(0.05)\nexcept KeyboardInterrupt:\n    (here / 'interrupted').touch()\n    raise\nprint('last')"
        )
    }

    pub(crate) fn session(&self) -> &str {
        &self.session
    }

    pub(crate) fn arguments(&self) -> Value {
        json!({"code": self.code(), "session": self.session})
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn release(&self) {
        std::fs::write(self.file("go"), "").unwrap();
    }

    pub(crate) fn assert_whole(text: &str) {
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("first"), "{text}");
        assert_eq!(lines.next_back(), Some("last"), "{text}");
        for (at, line) in lines.enumerate() {
            assert_eq!(line, at.to_string(), "lost or repeated: {text}");
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = std::fs::write(self.file("go"), "");
    }
}

/// Starts a bridge with a short call budget and warms up the session's kernel.
pub(crate) fn start_with_short_budget(home: &Home, session: &str) -> Bridge {
    let mut bridge = Executor::shared().bridge(home, &[("SMART_COLAB_CALL_BUDGET_SEC", "5")]);
    bridge.warm(session);
    bridge
}

/// Reads from `after` to the job's end, call by call.
pub(crate) fn read_on(bridge: &mut Bridge, job: &str, mut after: Value) -> String {
    let end = Instant::now() + PATIENCE;
    let mut text = String::new();
    loop {
        let answer = bridge.call("get_output", json!({"job_id": job, "after": after}));
        text.push_str(&answer.text);
        after = answer.facts["next"].clone();
        if answer.facts["state"] != "running" && after.is_null() {
            answer.succeeded();
            return text;
        }
        assert!(Instant::now() < end, "no end of {}", answer.facts);
    }
}

#[track_caller]
pub(crate) fn assert_running(answer: &Answer) {
    assert!(!answer.is_error, "{}", answer.whole);
    assert_eq!(answer.fact("state"), "running");
    assert!(answer.facts["next"].is_u64(), "{}", answer.facts);
    assert!(answer.fact("hint").contains("get_output"));
}

#[test]
fn a_call_answers_within_its_budget_and_its_code_keeps_running() {
    let (home, held) = (Home::new(), Held::new("outliving"));
    let mut bridge = start_with_short_budget(&home, "outliving");
    let answer = bridge.call("run_code_quick", held.arguments());
    assert_running(&answer);
    let job = answer.fact("job_id").to_owned();
    let mut text = answer.text.clone();

    let waited = json!({"job_id": job, "after": answer.facts["next"]});
    let answer = bridge.call("get_output", waited);
    assert_running(&answer);
    text.push_str(&answer.text);
    let at_once = json!({"job_id": job, "after": answer.facts["next"], "wait_sec": 0});
    let answer = bridge.call("get_output", at_once);
    assert_running(&answer);
    text.push_str(&answer.text);

    held.release();
    text.push_str(&read_on(&mut bridge, &job, answer.facts["next"].clone()));
    Held::assert_whole(&text);

    let whole = bridge.call("get_output", json!({"job_id": job}));
    assert_eq!(whole.text, text, "without `after` it shows everything");
}

#[test]
fn code_outlives_the_bridge_and_the_next_bridge_reads_its_output() {
    let (home, held) = (Home::new(), Held::new("abandoned"));
    let mut bridge = start_with_short_budget(&home, "abandoned");
    let answer = bridge.call("run_code_long", held.arguments());
    assert_running(&answer);
    let left = bridge.leave();
    assert_eq!(left.status.code(), Some(0), "{}", left.stderr);

    held.release();
    let mut bridge = start_with_short_budget(&home, "abandoned");
    let rest = read_on(
        &mut bridge,
        answer.fact("job_id"),
        answer.facts["next"].clone(),
    );
    Held::assert_whole(&(answer.text + &rest));
}

/// Far more than a reply holds, printed between two calls.
#[test]
fn a_chatty_job_is_followed_without_repetition_and_its_log_has_all() {
    let (home, held) = (Home::new(), Held::new("chatty"));
    let code = format!(
        "{}\nfor i in range(20_000):\n    print('number', i)",
        held.code()
    );
    let mut bridge = start_with_short_budget(&home, "chatty");
    let answer = bridge.call("run_code_quick", json!({"code": code, "session": "chatty"}));
    assert_running(&answer);
    held.release();
    let (job, next) = (answer.fact("job_id"), answer.facts["next"].clone());
    let rest = read_on(&mut bridge, job, next);
    let (mut text, mut from) = (String::new(), json!(0));
    while !from.is_null() {
        from = json!({"job_id": job, "from_byte": from});
        let part = bridge.call("get_output", from);
        (text, from) = (text + &part.text, part.facts["next_byte"].clone());
    }
    let new = text.strip_prefix(answer.text.as_str()).unwrap();
    assert!(new.starts_with(rest.lines().next().unwrap()), "{rest}");
    assert!(rest.ends_with("number 19999\n"), "{rest}");
    let (held_part, numbers) = text.split_at(text.find("number").unwrap());
    Held::assert_whole(held_part);
    let expected: String = (0..20_000).map(|i| format!("number {i}\n")).collect();
    assert!(
        numbers == expected,
        "{} of {}",
        numbers.len(),
        expected.len()
    );
}

#[test]
fn a_second_job_waits_its_turn() {
    let (home, held) = (Home::new(), Held::new("queue"));
    let mut bridge = start_with_short_budget(&home, "queue");
    assert_running(&bridge.call("run_code_quick", held.arguments()));
    let second = json!({"code": "'second'", "session": "queue"});
    let answer = bridge.call("run_code_quick", second);
    assert!(!answer.is_error, "{}", answer.whole);
    assert_eq!(answer.fact("state"), "queued");
    assert_eq!(answer.facts["queue_position"], 1);
    let elsewhere = json!({"code": "'elsewhere'", "session": "queue-2"});
    let mut patient = Executor::shared().bridge(&home, &[]);
    let other = patient.call("run_code_quick", elsewhere);
    assert_eq!(other.text.trim_end(), "'elsewhere'", "sessions do not wait");
    held.release();
    let job = answer.fact("job_id").to_owned();
    let text = read_on(&mut patient, &job, json!(0));
    assert_eq!(text.trim_end(), "'second'");
}

pub(crate) fn progress(token: &'static str) -> impl Fn(&Value) -> bool {
    move |message| {
        message["method"] == "notifications/progress" && message["params"]["progressToken"] == token
    }
}

#[test]
fn progress_is_sent_only_on_request_and_only_grows() {
    let (home, held) = (Home::new(), Held::new("progress"));
    let mut bridge = Executor::shared().bridge(&home, &[]);
    bridge.call(
        "run_code_quick",
        json!({"code": "1", "session": "progress"}),
    );
    assert_eq!(
        bridge.heard,
        Vec::<Value>::new(),
        "no progress was requested"
    );

    let id = bridge.begin(
        "tools/call",
        json!({
            "name": "run_code_quick",
            "arguments": held.arguments(),
            "_meta": {"progressToken": "mine"},
        }),
    );
    for least in [0, 10, 20] {
        bridge.until_heard(|message| {
            let line = message["params"]["message"].as_str().unwrap_or_default();
            progress("mine")(message) && line.parse::<u64>().is_ok_and(|number| number > least)
        });
    }
    held.release();
    Held::assert_whole(&Answer::of(&bridge.answer(id)).text);
    let amounts: Vec<f64> = bridge
        .heard
        .iter()
        .map(|message| {
            assert!(progress("mine")(message), "{message}");
            message["params"]["progress"].as_f64().unwrap()
        })
        .collect();
    assert!(amounts.len() > 1, "{amounts:?}");
    assert!(
        amounts.windows(2).all(|pair| pair[0] < pair[1]),
        "{amounts:?}"
    );
    let heard = bridge.heard.len();
    assert_eq!(bridge.request("ping", json!({})), json!({}));
    assert_eq!(bridge.heard.len(), heard, "no progress after the answer");
}

#[test]
fn progress_shows_whole_lines_and_a_prompt_without_a_newline() {
    let (home, held) = (Home::new(), Held::new("whole-lines"));
    let mut bridge = Executor::shared().bridge(&home, &[]);
    let go = held.file("go").display().to_string();
    let code = format!(
        "import pathlib, sys, time\n\
        for n in range(100):\n    for part in ('one ', 'whole ', 'line\\n'):\n        print(part, end='', flush=True)\n        \
        time.sleep(0.01)\n\
        for n in range(100):\n    for part in ('\\r', f'{{n:3}}%|', '####|'):\n        print(part, end='', flush=True)\n        \
        time.sleep(0.01)\n\
        print('\\nPassword?', end=' ', flush=True)\n\
        while not pathlib.Path(r'{go}').exists():\n    time.sleep(0.01)"
    );
    let id = bridge.begin(
        "tools/call",
        json!({
            "name": "run_code_quick",
            "arguments": {"code": code, "session": "whole-lines"},
            "_meta": {"progressToken": "lines"},
        }),
    );
    let said = |message: &Value| message["params"]["message"].as_str().unwrap().to_owned();
    bridge.until_heard(|message| said(message) == "Password?");
    held.release();
    Answer::of(&bridge.answer(id)).succeeded();
    for message in bridge.heard.iter().map(said) {
        let is_bar = message.len() <= 9 && message.ends_with("%|####|");
        let is_known = ["running", "queued", "one whole line", "Password?"].contains(&&*message);
        assert!(is_bar || is_known, "{message:?}");
    }
}

#[test]
fn calls_run_concurrently() {
    let (home, held) = (Home::new(), Held::new("side"));
    let mut bridge = Executor::shared().bridge(&home, &[]);
    let id = bridge.begin_call("run_code_quick", held.arguments());
    until_there(&held.file("begun"));
    let report = bridge.call("check_colab_connection", json!({}));
    assert_eq!(report.facts["status"], "connected");
    let variables = bridge.call("list_colab_variables", json!({"session": "side"}));
    assert!(variables.facts["source"].is_null(), "{}", variables.facts);
    let named = |variable: &Value| variable["name"] == "count";
    assert!(variables.rows().iter().any(named));
    let cleanup = bridge.call("cleanup_colab", json!({"session": "side"}));
    cleanup.refused("busy");
    assert_eq!(cleanup.facts["retryable"], true);
    held.release();
    Held::assert_whole(&Answer::of(&bridge.answer(id)).text);
}

/// No answer, log or file on this side contains the token, and logs at ordinary levels contain no code.
#[test]
fn the_token_appears_in_no_message_log_or_file() {
    let marker = "marker_of_the_code";
    // At these levels rmcp would log whole messages, connect_colab's arguments included.
    let of_messages = "rmcp=trace,rmcp::service=trace";
    for (detail, code_is_logged) in [
        ("trace", None),
        (of_messages, Some(false)),
        ("", Some(false)),
    ] {
        let home = Home::new();
        let executor = Executor::shared();
        let mut bridge = executor.bridge(&home, &[("SMART_COLAB_LOG", detail)]);
        for code in ["1 / 0", "for i in range(9000): print('all of it')"] {
            let code = format!("{marker} = 1\n{code}");
            let arguments = json!({"code": code, "session": "secret"});
            bridge.call("run_code_quick", arguments);
        }
        for tool in ["check_colab_connection", "probe_colab_environment"] {
            bridge.call(tool, json!({}));
        }
        let left = bridge.leave();
        let logs = left.stderr.clone() + &text_of(&home.folder("data/logs"));
        if code_is_logged == Some(false) {
            assert!(!logs.contains(marker), "{logs}");
        } else {
            assert!(logs.len() > 1_000, "nothing was traced: {logs}");
        }
        let said = left.stdout + &left.stderr + &home.everything() + &executor.stderr();
        let at = said.find(TOKEN);
        let around = at.map(|at| &said[at.saturating_sub(200)..at]);
        assert_eq!(around, None);
        assert!(!executor.stderr().contains(marker));
    }
}

fn text_of(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let texts = entries.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
    texts.collect()
}

#[test]
fn code_keeps_running_when_its_client_disconnects() {
    let home = Home::new();
    let held = Held::new("left");
    let mut bridge = Executor::shared().bridge(&home, &[]);
    let code = format!("{}\n(here / 'done').touch()", held.code());
    bridge.begin_call(
        "run_code_long",
        json!({"code": code, "session": held.session}),
    );
    until_there(&held.file("begun"));
    bridge.leave();
    held.release();
    until_there(&held.file("done"));
    assert!(!held.file("interrupted").exists());
}
