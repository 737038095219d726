//! The commands of the terminal: their streams and exit codes, and what Ctrl-C does; `files`: those that they copy and write; `questions`: code that asks.

mod files;
#[cfg(unix)]
mod questions;

use std::fs;
use std::io::{BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::support::executor::Executor;
use crate::support::home::Home;
use crate::support::proxy::{Fault, Proxy};

/// A local address that refuses connections.
const DEAD_URL: &str = "http://127.0.0.1:9/#t0ken";
/// A picture of one pixel.
const PIXEL: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// A command of a user who is connected to `line`.
fn command(home: &Home, line: &str, arguments: &[&str]) -> Command {
    let mut command = home.program(&[("COLAB_URL", line)]);
    command.args(arguments);
    command
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Runs a command to its end, and checks its exit code.
#[track_caller]
fn ended(home: &Home, line: &str, arguments: &[&str], code: i32) -> Output {
    let output = command(home, line, arguments).output().unwrap();
    assert_eq!(
        output.status.code(),
        Some(code),
        "{arguments:?}: {output:?}"
    );
    output
}

/// The same with `--json`.
#[track_caller]
fn facts(home: &Home, line: &str, arguments: &[&str], code: i32) -> Value {
    let arguments = [arguments, &["--json"]].concat();
    let output = ended(home, line, &arguments, code);
    let facts: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(facts["success"], code == 0, "{facts}");
    facts
}

fn started(
    home: &Home,
    line: &str,
    arguments: &[&str],
) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut command = command(home, line, arguments);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    (child, stdout)
}

fn line_of(stdout: &mut impl std::io::BufRead) -> String {
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    line
}

/// Python that waits until `path` exists, but not for ever.
fn wait_for(path: &Path) -> String {
    format!(
        "import os, time\nfor _ in range(3000):\n    if os.path.exists({:?}): break\n    time.sleep(0.02)\n",
        path.to_str().unwrap()
    )
}

#[test]
fn run_shows_output_on_its_own_streams_and_ends_as_the_code_does() {
    let (executor, home) = (Executor::shared(), Home::new());
    let line = executor.line();
    let script = "#!/usr/bin/env python\nimport sys\nprint(sys.argv[1:], end='')\nprint('aside', file=sys.stderr)\n\
        if __name__ == '__main__':\n    value = 41\n";
    fs::write(home.folder("a.py"), script).unwrap();
    let args = ["run", "--session", "commands"];
    let run = |more: &[&str], code| ended(&home, &line, &[&args, more].concat(), code);

    let output = run(&["a.py", "--", "--epochs", "é 3"], 0);
    assert_eq!(said(&output.stdout), "['--epochs', 'é 3']");
    assert_eq!(said(&output.stderr), "aside\n");
    // A script without arguments gets none of earlier ones, and its lines stay where they are.
    let script = "from __future__ import annotations\nimport sys\nprint(sys.argv, __file__)\n1 / 0";
    fs::write(home.folder("b.py"), script).unwrap();
    let output = run(&["b.py"], 1);
    assert_eq!(said(&output.stdout), "['b.py'] b.py\n");
    assert!(said(&output.stderr).contains("line 4"), "{output:?}");
    let output = run(&["-c", "%%bash\necho \"in bash\""], 0);
    assert_eq!(said(&output.stdout), "in bash\n");
    #[cfg(target_os = "linux")]
    {
        let mut full = command(&home, &line, &[&args, &["-c", "print(1)"][..]].concat());
        full.stdout(fs::File::options().write(true).open("/dev/full").unwrap());
        let output = full.output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let stderr = said(&output.stderr);
        for words in ["stdout cannot be written", "smart-colab logs "] {
            assert!(stderr.contains(words), "{stderr}");
        }
    }
    // In the same session, by the value of the last expression; its picture is kept, and named.
    let code = format!(
        "import base64\nfrom IPython.display import Image, display\nprint('before')\ndisplay(Image(base64.b64decode('{PIXEL}')))\nvalue + 1"
    );
    let output = run(&["-c", &code], 0);
    assert_eq!(said(&output.stdout), "before\n42\n");
    let stderr = said(&output.stderr);
    let path = stderr.trim().strip_prefix("[image/png kept as ").unwrap();
    assert!(
        fs::read(path.trim_end_matches(']'))
            .unwrap()
            .starts_with(b"\x89PNG"),
        "{stderr}"
    );

    let output = run(&["-c", "print('x')\nvalue / 0"], 1);
    assert_eq!(said(&output.stdout), "x\n");
    let stderr = said(&output.stderr);
    assert!(
        stderr.contains("ZeroDivisionError") && stderr.contains("line 2"),
        "{stderr}"
    );
    assert!(
        !stderr.contains('\u{1b}'),
        "colours are for terminals alone: {stderr}"
    );
    let output = run(&["-c", "import sys; sys.exit(3)"], 3);
    assert_eq!(said(&output.stderr), "");
    assert_eq!(
        said(&run(&["-c", "import sys; sys.exit('no data')"], 1).stderr),
        "no data\n"
    );
    let output = run(
        &["-c", "import time; time.sleep(60)", "--timeout", "1"],
        124,
    );
    assert!(
        said(&output.stderr).contains("exceeded its timeout"),
        "{output:?}"
    );

    let failed = facts(
        &home,
        &line,
        &[&args, &["-c", "print('x'); 1 / 0"][..]].concat(),
        1,
    );
    assert_eq!(
        (&failed["stdout"], &failed["code"]),
        (&"x\n".into(), &"python_error".into())
    );
    assert_eq!(
        (&failed["state"], &failed["exit_code"]),
        (&"failed".into(), &1.into())
    );

    let mut child = command(&home, &line, &[&args, &["-"][..]].concat());
    let child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"print(value)").unwrap();
    assert_eq!(said(&child.wait_with_output().unwrap().stdout), "41\n");
}

#[test]
fn what_cannot_be_run_is_refused_before_anything_is_sent() {
    let home = Home::new();
    fs::write(home.folder("a.ipynb"), "{}").unwrap();
    fs::write(home.folder("binary.py"), [0xff, 0xfe]).unwrap();
    for (arguments, code, words) in [
        (&["run", "nowhere.py"][..], 2, "nowhere.py cannot be read"),
        (&["run", "binary.py"], 2, "not UTF-8"),
        (&["run", "."], 2, "cannot be read"),
        (&["run", "-c", " "], 2, "no code"),
        (&["run", "-c", "1", "--timeout", "13h"], 2, "12 h"),
        (
            &["run", "-c", "1", "--detach", "--local"],
            2,
            "cannot be detached",
        ),
        (&["run", "a.ipynb", "--detach"], 2, "cannot be detached"),
        (&["run", "nowhere.ipynb"], 2, "nowhere.ipynb cannot be read"),
        (&["put", "nowhere"], 2, "nowhere cannot be read"),
        (&["logs"], 2, "no job was sent"),
        (&["jobs", "-n", "0"], 2, "'0'"),
        (
            &["run", "-c", "%%bash\nls", "--", "x"],
            2,
            "takes no arguments",
        ),
        (&["run", "-c", "1"], 125, "The code did not run."),
    ] {
        let output = ended(&home, DEAD_URL, arguments, code);
        let stderr = said(&output.stderr);
        assert!(stderr.contains(words), "{arguments:?}: {stderr}");
        assert_eq!(said(&output.stdout), "");
    }
    let wrong = facts(&home, "foo", &["run", "-c", "1"], 2);
    assert!(wrong["error"].as_str().unwrap().contains("COLAB_URL"));
    let wrong = facts(&home, DEAD_URL, &["connect", "foo"], 2);
    assert_eq!(wrong["code"], "invalid_argument");
    let none = home.program(&[]).args(["run", "-c", "1"]).output().unwrap();
    assert_eq!(none.status.code(), Some(125));
    assert!(
        said(&none.stderr).contains("smart-colab connect"),
        "{none:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn code_whose_reply_is_lost_runs_once_and_is_shown() {
    let (executor, home) = (Executor::shared(), Home::new());
    let proxy = Proxy::to(executor.address());
    let line = executor
        .line()
        .replace(&executor.url, &format!("http://{}", proxy.address()));
    proxy.on("PUT /jobs/", 2, Fault::LoseReply);
    let ran = home.folder("ran");
    let code = format!(
        "with open({:?}, 'a') as file: print('x', file=file)\nprint('shown')",
        ran.to_str().unwrap()
    );
    let output = tokio::task::spawn_blocking(move || {
        let output = ended(
            &home,
            &line,
            &["run", "--session", "commands", "-c", &code],
            0,
        );
        (output, fs::read_to_string(ran).unwrap())
    });
    let (output, ran) = output.await.unwrap();
    assert_eq!(
        (said(&output.stdout).as_str(), ran.as_str()),
        ("shown\n", "x\n")
    );
    assert_eq!(proxy.seen("PUT /jobs/").len(), 3);
}

#[test]
fn detached_code_is_listed_followed_and_searched() {
    let (executor, home) = (Executor::shared(), Home::new());
    let line = executor.line();
    let go = home.folder("go");
    let code = format!(
        "print('loss 1\\nepoch', flush=True)\n{}print('loss 2')",
        wait_for(&go)
    );
    let output = ended(
        &home,
        &line,
        &["run", "--detach", "--session", "commands", "-c", &code],
        0,
    );
    let id = said(&output.stdout).trim().to_owned();
    assert!(said(&output.stderr).contains(&format!("smart-colab logs -f {id}")));

    let listed = facts(&home, &line, &["jobs", "--session", "commands"], 0);
    let row = listed["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["job_id"] == *id)
        .unwrap();
    assert!(
        ["running", "queued"].contains(&row["state"].as_str().unwrap()),
        "{row}"
    );
    let (mut child, mut stdout) = started(&home, &line, &["logs", "-f", "--grep", "^loss"]);
    assert_eq!(
        line_of(&mut stdout),
        "loss 1\n",
        "it comes while the code runs"
    );
    let so_far = ended(&home, &line, &["logs", &id], 0);
    assert_eq!(said(&so_far.stdout), "loss 1\nepoch\n");
    fs::write(&go, "").unwrap();
    assert_eq!(line_of(&mut stdout), "loss 2\n");
    assert_eq!(line_of(&mut stdout), "");
    assert!(child.wait().unwrap().success());

    let whole = facts(&home, &line, &["logs", &id], 0);
    assert_eq!(
        (&whole["stdout"], &whole["state"]),
        (&"loss 1\nepoch\nloss 2\n".into(), &"succeeded".into())
    );
    let table = said(&ended(&home, &line, &["jobs"], 0).stdout);
    assert!(table.starts_with("ID ") && table.contains(&id), "{table}");
    let whole = ended(&home, &line, &["logs", &id[..23], "--grep", "2"], 0);
    assert_eq!(said(&whole.stdout), "loss 2\n");
    let stopped = facts(&home, &line, &["stop", &id], 0);
    assert_eq!(stopped["state"], "succeeded");
    let gone = ended(
        &home,
        &line,
        &["logs", "01930000-0000-7000-8000-000000000000"],
        1,
    );
    assert!(said(&gone.stderr).contains("knows no job"), "{gone:?}");
    // Without the runtime, the list is this computer's, with the place.
    let alone = facts(&home, DEAD_URL, &["jobs"], 125);
    assert_eq!(alone["jobs"][0]["job_id"], *id);
    assert_eq!(alone["jobs"][0]["place"], executor.url);
    assert_eq!(alone["code"], "connection_failed");
}

/// Presses Ctrl-C in the terminal of `child`.
#[cfg(unix)]
fn press(child: &Child) {
    let pid = child.id().to_string();
    let status = Command::new("kill").args(["-INT", &pid]).status();
    assert!(status.unwrap().success());
}

#[cfg(unix)]
#[test]
fn ctrl_c_interrupts_the_code_and_a_second_one_leaves_it_running() {
    let (executor, home) = (Executor::shared(), Home::new());
    let line = executor.line();
    let args = ["run", "--session", "commands-ctrl-c", "-c"];
    let code = "import time\ntry:\n    print('begun', flush=True)\n    time.sleep(60)\nfinally: print('tidied')";
    let (mut child, mut stdout) = started(&home, &line, &[&args[..], &[code]].concat());
    assert_eq!(line_of(&mut stdout), "begun\n");
    press(&child);
    assert_eq!(line_of(&mut stdout), "tidied\n");
    assert_eq!(child.wait().unwrap().code(), Some(130));

    let go = home.folder("go");
    let code = format!(
        "import time\nprint('begun', flush=True)\ntry: time.sleep(60)\nexcept KeyboardInterrupt: print('asked', flush=True)\n{}print('done')",
        wait_for(&go)
    );
    let (mut child, mut stdout) = started(&home, &line, &[&args[..], &[&code]].concat());
    assert_eq!(line_of(&mut stdout), "begun\n");
    press(&child);
    assert_eq!(line_of(&mut stdout), "asked\n");
    press(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let mut stderr = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    assert!(
        stderr.contains("the code runs on") && stderr.contains("smart-colab logs -f"),
        "{stderr}"
    );
    fs::write(&go, "").unwrap();
    let output = ended(&home, &line, &["logs", "-f"], 0);
    assert_eq!(said(&output.stdout), "begun\nasked\ndone\n");
}
