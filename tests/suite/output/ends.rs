//! Code with unusual endings: exits, exceptions that are hard to show, help with a pager.

use serde_json::json;

use super::Client;

#[test]
fn a_call_that_exits_reports_lost_variables_and_the_next_has_a_fresh_process() {
    let mut client = Client::of("exits");
    client.run("mine = 1").succeeded();
    for exit in [
        "exit()",
        "quit()",
        "import asyncio\nasyncio.get_event_loop().stop()",
    ] {
        let answer = client.run(&format!("print('said')\n{exit}"));
        answer.succeeded();
        assert_eq!(answer.text, "said\n");
        assert_eq!(answer.facts["variables_lost"], true, "{}", answer.facts);
        let notes = answer.facts["notes"].to_string();
        assert!(notes.contains("all variables are gone"), "{notes}");
        let next = client.run("print('mine' in globals())\nmine = 1");
        next.succeeded();
        assert_eq!(next.text, "False\n");
        assert!(next.facts["variables_lost"].is_null(), "{}", next.facts);
    }
    let answer = client.run("exit()\nprint('on')");
    answer.succeeded();
    assert_eq!(answer.text, "");
    let notes = answer.facts["notes"].to_string();
    assert!(notes.contains("skips the rest of its cell"), "{notes}");
    let answer = client.run("try:\n    exit()\nfinally:\n    1 / 0");
    answer.refused("python_error");
    assert!(answer.fact("error").contains("ZeroDivisionError"));
    assert!(answer.facts["notes"].to_string().contains("gone"));
}

#[test]
fn every_exception_is_shown_with_its_name_and_the_users_lines() {
    let mut client = Client::of("odd-exceptions");
    let group = "raise ExceptionGroup('both', [ValueError('first'), ExceptionGroup('in', [KeyError('deep')])])";
    let unspeakable =
        "class Odd(Exception):\n    def __str__(self):\n        raise RuntimeError\nraise Odd";
    let handled = "def handler(shell, kind, value, tb, tb_offset=None):\n    print('handled')\n\
        get_ipython().set_custom_exc((OSError,), handler)\nraise OSError('mine')";
    for (code, error, shown) in [
        (group, "ExceptionGroup: both", "ValueError: first"),
        (group, "KeyError: 'deep'", "KeyError: 'deep'"),
        ("%nosuchmagic", "UsageError: Line magic", "%nosuchmagic"),
        (unspeakable, "Odd: ", "raise Odd"),
        (
            "raise ValueError(10**5000)",
            "ValueError: ",
            "raise ValueError",
        ),
        (
            "raise ValueError('a\\ud83db')",
            "ValueError: a\u{fffd}b",
            "a\u{fffd}b",
        ),
        (handled, "OSError: mine", "handled"),
    ] {
        let answer = client.run(code);
        answer.refused("python_error");
        assert!(answer.fact("error").contains(error), "{}", answer.facts);
        assert!(!answer.text.contains("|\n\n"), "{}", answer.text);
        assert!(answer.text.contains(shown), "{}", answer.text);
        assert!(!answer.text.contains("IPython/"), "{}", answer.text);
        assert!(!answer.text.contains("_smart_colab"), "{}", answer.text);
    }
}

#[test]
fn help_and_loaded_code_are_shown_as_text_and_exported() {
    let mut client = Client::of("pager");
    let answer =
        client.run("def f():\n    return 41 + 1\n\nprint('before')\nlen?\nf??\nprint('after')");
    answer.succeeded();
    let places = [
        "before",
        "Return the number of items",
        "return 41 + 1",
        "after",
    ]
    .map(|part| answer.text.find(part).expect(part));
    assert!(places.is_sorted(), "{}", answer.text);
    assert!(!answer.text.contains('\u{1b}'), "{:?}", answer.text);
    let exported = client
        .bridge
        .call("export_notebook", json!({"session": "pager"}));
    let notebook = std::fs::read_to_string(exported.fact("path")).unwrap();
    assert!(
        notebook.contains("Return the number of items"),
        "{notebook}"
    );
}

#[test]
fn an_exception_that_a_magic_swallows_is_noted() {
    let mut client = Client::of("outlived");
    client
        .run("open('bad.py', 'w').write('raise ValueError(\"from script\")\\n')")
        .succeeded();
    for code in ["%run bad.py", "%%capture\nraise ValueError('from script')"] {
        let answer = client.run(code);
        answer.succeeded();
        let notes = answer.facts["notes"].to_string();
        assert!(notes.contains("ValueError: from script"), "{code}: {notes}");
        assert!(answer.text.contains("ValueError: from script"));
    }
    let handled = client.run("try:\n    1 / 0\nexcept ZeroDivisionError:\n    print('handled')");
    handled.succeeded();
    assert!(handled.facts["notes"].is_null(), "{}", handled.facts);
}
