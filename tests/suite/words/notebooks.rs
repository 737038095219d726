//! Errors of working on notebooks.

use smart_colab::browser::{NotColab, TabError};
use smart_colab::colab::ColabError;
use smart_colab::document::{DocumentError, Refusal, Unreadable};
use smart_colab::jupyter::JupyterError;

use super::{faults, text, unreachable};

#[test]
fn faults_of_notebooks_on_the_runtime_are_worded_by_each_face() {
    let path = || text("/content/a.ipynb");
    let unreadable = |why| DocumentError::Unreadable { path: path(), why };
    let refused = |why| DocumentError::Refused { path: path(), why };
    let page = faults(&[
        &DocumentError::NoneOpen,
        &DocumentError::InTab,
        &DocumentError::Missing { path: path() },
        &DocumentError::Name {
            path: text("a.txt"),
        },
        &unreadable(Unreadable::Empty),
        &unreadable(Unreadable::NotUtf8),
        &unreadable(Unreadable::MergeConflict),
        &unreadable(Unreadable::NotJson {
            line: 3,
            what: "a colon is missing",
        }),
        &unreadable(Unreadable::NoNotebook),
        &unreadable(Unreadable::OtherFormat { major: 2 }),
        &unreadable(Unreadable::TooLarge { bytes: 9, most: 8 }),
        &refused(Refusal::NoTarget),
        &refused(Refusal::NoIndex { index: 7, count: 3 }),
        &refused(Refusal::NoId {
            id: text("a1"),
            count: 3,
        }),
        &refused(Refusal::SharedId {
            id: text("a1"),
            indices: vec![0, 2],
        }),
        &refused(Refusal::Changed {
            index: 1,
            version: text("0a1b2c3d"),
            source_text: text("x = 2"),
        }),
        &refused(Refusal::NoSource { index: 1 }),
        &refused(Refusal::NotCode { index: 1 }),
        &refused(Refusal::NoOutputs { index: 1 }),
        &DocumentError::NotPython {
            path: path(),
            language: text("R"),
        },
        &DocumentError::OldFormat { path: path() },
        &DocumentError::Server {
            path: path(),
            why: JupyterError::Refused(text("500 Internal Server Error")),
        },
        &DocumentError::Contended { path: path() },
        &DocumentError::BusyElsewhere { path: path() },
        &DocumentError::Runtime(unreachable()),
    ]);
    insta::assert_snapshot!(page);
}

#[test]
fn faults_of_tabs_of_colab_are_worded_by_each_face() {
    let tool = || text("run_code_cell");
    let port = |port| TabError::NoPort {
        port,
        error: text("address in use"),
    };
    let page = faults(&[
        &TabError::NotColab(NotColab(text("https://example.org"))),
        &port(0),
        &port(8765),
        &TabError::NotConnected,
        &TabError::Gone { tool: tool() },
        &TabError::Silent { tool: tool() },
        &TabError::Cancelled { tool: tool() },
        &TabError::Refused {
            tool: tool(),
            said: text("no such cell"),
        },
        &TabError::NoTool {
            tool: text("x"),
            known: vec![tool()],
        },
        &TabError::Odd {
            tool: tool(),
            said: text("[]"),
        },
        &TabError::Running,
    ]);
    insta::assert_snapshot!(page);
}

#[test]
fn faults_of_colabs_machines_are_worded_by_each_face() {
    let page = faults(&[
        &ColabError::SignedOut,
        &ColabError::BadSignIn {
            path: text("sign-in.json"),
            why: text("it is not the sign-in of a person"),
        },
        &ColabError::SignInEnded(text("invalid_grant")),
        &ColabError::ScopeMissing(text("SCOPE_NOT_PERMITTED")),
        &ColabError::NotConfirmed(text("access_denied")),
        &ColabError::NotEntitled(text("A100")),
        &ColabError::TooMany,
        &ColabError::NoneFree(text("a GPU")),
        &ColabError::AtLimit,
        &ColabError::Denied,
        &ColabError::Closed,
        &ColabError::CostUnknown,
        &ColabError::Captcha,
        &ColabError::Unreachable(
            text("colab.research.google.com"),
            text("connection refused"),
        ),
        &ColabError::TimedOut(text("colab.research.google.com")),
        &ColabError::Refused {
            service: text("Colab"),
            status: 500,
            said: text("a page"),
        },
        &ColabError::Odd(text("a machine without a name")),
        &ColabError::Unanswered(Box::new(ColabError::TimedOut(text(
            "colab.research.google.com",
        )))),
        &ColabError::Disk {
            path: text("machines"),
            why: text("read-only file system"),
        },
        &ColabError::Gone(text("gpu-t4-s-1a2b")),
        &ColabError::Unknown(text("gpu-t4-s-1a2b")),
    ]);
    insta::assert_snapshot!(page);
}
