//! The cause and the advice that a failed call reports.

use super::Client;

/// Code, its error, and words that its hint has and has not.
type Case = (
    &'static str,
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

fn assert_advice(client: &mut Client, cases: &[Case]) {
    for (code, said, wanted, unwanted) in cases {
        let answer = client.run(code);
        assert!(answer.is_error, "{code}: {}", answer.whole);
        let (error, hint) = (answer.fact("error"), answer.fact("hint"));
        assert!(error.contains(said), "{code}: {error}");
        for word in *wanted {
            assert!(hint.contains(word), "{code}: {hint}");
        }
        for word in *unwanted {
            assert!(!hint.contains(word), "{code}: {hint}");
        }
    }
}

#[test]
fn exits_and_input_prompts_have_their_own_advice() {
    let mut client = Client::of("advice");
    let kept: &[&str] = &["only this cell", "variables are kept"];
    assert_advice(
        &mut client,
        &[
            (
                "import sys; x = 7; sys.exit(0)",
                "SystemExit",
                kept,
                &["mend"],
            ),
            ("raise SystemExit", "SystemExit", kept, &["mend"]),
            ("sys.exit(3)", "SystemExit: 3", kept, &[]),
            ("exit(3)", "SystemExit: 3", kept, &[]),
            ("quit(0)", "SystemExit: 0", kept, &["mend"]),
            ("sys.exit('no data')", "SystemExit: no data", kept, &[]),
            (
                "input('name? ')",
                "",
                &["input()"],
                &["getpass", "debugger"],
            ),
            (
                "import getpass; getpass.getpass()",
                "",
                &["getpass()"],
                &["value in the code"],
            ),
            (
                "import pdb; pdb.set_trace()\n1",
                "",
                &["debugger"],
                &["input()"],
            ),
        ],
    );
    assert_eq!(client.run("x").text.trim(), "7");
}

#[test]
fn an_error_is_named_by_the_first_words_of_its_message() {
    let mut client = Client::of("first-words");
    for (code, error) in [
        ("raise ValueError('\\n\\n  why\\nmore')", "ValueError: why"),
        (
            "raise RuntimeError('\\n' + '-' * 75 + '\\nException encountered at \"In [3]\":\\n…')",
            "RuntimeError: Exception encountered at \"In [3]\":",
        ),
        ("raise KeyError", "KeyError"),
        ("raise ValueError('')", "ValueError"),
        ("raise ValueError(' \\n ')", "ValueError"),
    ] {
        assert_eq!(client.run(code).fact("error"), error);
    }
    let long = client.run("raise ValueError('x' * 5_000_000)");
    assert!(long.fact("error").len() < 1_000);
}

#[test]
fn the_advice_for_a_dead_kernel_fits_the_cause() {
    let mut client = Client::of("deaths");
    let no_memory: &[&str] = &["memory", "less data"];
    let mut cases: Vec<Case> = vec![(
        "import os; os._exit(0)",
        "exit code 0",
        &["os._exit()", "variables are gone"],
        no_memory,
    )];
    if cfg!(unix) {
        let crash: &[&str] = &["faulthandler", "versions", "last call"];
        cases.extend([
            ("import os; os.abort()", "SIGABRT", crash, no_memory),
            (
                "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
                "SIGSEGV",
                crash,
                no_memory,
            ),
            (
                "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
                "SIGTERM",
                &["on purpose"],
                no_memory,
            ),
        ] as [Case; 3]);
    }
    assert_advice(&mut client, &cases);
}
