//! What is read of notebooks, and of what is none.

use serde_json::{Value, json};

use super::{NBFORMAT, notebook};
use crate::document::error::Unreadable;
use crate::document::nbformat::Notebook;
use crate::document::session_of;

#[test]
fn what_is_no_notebook_is_named() {
    let parse = |text: &str| Notebook::parse(text.as_bytes().to_vec()).unwrap_err();
    assert_eq!(parse(" \n"), Unreadable::Empty);
    assert_eq!(parse("[]"), Unreadable::NoNotebook);
    assert_eq!(parse("{\"cells\": []}"), Unreadable::NoNotebook);
    assert_eq!(parse("{\"nbformat\": 4}"), Unreadable::NoNotebook);
    assert_eq!(
        parse("{\"nbformat\": 2, \"cells\": []}"),
        Unreadable::OtherFormat { major: 2 }
    );
    assert_eq!(
        parse("{\"nbformat\": 4, \"cells\": [1]}"),
        Unreadable::NoNotebook
    );
    let cut = &NBFORMAT[..NBFORMAT.len() / 2];
    assert!(
        matches!(parse(cut), Unreadable::NotJson { line, .. } if line > 5),
        "{:?}",
        parse(cut)
    );
    let merge = NBFORMAT.replace(
        "   \"source\": []\n",
        "<<<<<<< ours\n   \"source\": []\n=======\n>>>>>>> theirs\n",
    );
    assert_eq!(parse(&merge), Unreadable::MergeConflict);
    assert_eq!(
        Notebook::parse(vec![0xff, 0xfe, b'{', 0]).unwrap_err(),
        Unreadable::NotUtf8
    );
}

#[test]
fn kernels_of_other_languages_are_known() {
    let with = |metadata: Value| {
        let text = json!({"nbformat": 4, "nbformat_minor": 5, "cells": [], "metadata": metadata})
            .to_string();
        notebook(&text).is_python()
    };
    assert!(with(json!({})));
    assert!(with(
        json!({"kernelspec": {"name": "conda-env-x", "language": "python"}})
    ));
    assert!(with(json!({"language_info": {"name": "ipython"}})));
    let empty = json!({"name": "", "display_name": ""});
    assert!(with(json!({"kernelspec": empty, "language_info": empty})));
    assert!(!with(
        json!({"kernelspec": {"name": "ir", "language": "R"}})
    ));
    assert!(!with(json!({"kernelspec": {"name": "ir"}})));
    assert!(!with(
        json!({"kernelspec": {"name": "julia-1.10"}, "language_info": {"name": "julia"}})
    ));
}

#[test]
fn sessions_are_named_after_notebooks() {
    for path in [
        "/content/train.ipynb",
        "/content/Ёлка (1).ipynb",
        "C:\\a\\b.v2.ipynb",
        "/.ipynb",
    ] {
        let name = session_of(path);
        assert!(crate::wire::session::is_name(&name), "{name}");
    }
    assert!(session_of("/content/train.ipynb").starts_with("train-"));
    assert_ne!(
        session_of("/content/a/x.ipynb"),
        session_of("/content/b/x.ipynb")
    );
}
