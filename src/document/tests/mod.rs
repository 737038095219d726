//! Notebooks as several programs write them, and edits of them.

mod any_edits;
mod reading;

use serde_json::json;

use super::edit::{Edit, Target};
use super::error::Refusal;
use super::nbformat::Notebook;
use super::trail::Trail;

/// As nbformat writes: `json.dump(…, indent=1, sort_keys=True, ensure_ascii=False)`.
const NBFORMAT: &str = "{\n \"cells\": [\n  {\n   \"cell_type\": \"markdown\",\n   \"id\": \"a1\",\n   \"metadata\": {},\n   \"source\": [\n    \"# Tïtle\\n\",\n    \"text\"\n   ]\n  },\n  {\n   \"cell_type\": \"code\",\n   \"execution_count\": 7,\n   \"id\": \"b2\",\n   \"metadata\": {\n    \"p\": NaN,\n    \"n\": 1.0e3\n   },\n   \"outputs\": [\n    {\n     \"name\": \"stdout\",\n     \"output_type\": \"stream\",\n     \"text\": [\n      \"1\\n\"\n     ]\n    }\n   ],\n   \"source\": [\n    \"x = 1\"\n   ]\n  },\n  {\n   \"cell_type\": \"raw\",\n   \"id\": \"c3\",\n   \"metadata\": {},\n   \"source\": []\n  }\n ],\n \"metadata\": {\n  \"kernelspec\": {\n   \"name\": \"python3\"\n  }\n },\n \"nbformat\": 4,\n \"nbformat_minor\": 5\n}\n";
/// As Colab writes: indented by 2, ids in the metadata, names in another order, no line end at the end.
const COLAB: &str = "{\n  \"nbformat\": 4,\n  \"nbformat_minor\": 0,\n  \"metadata\": {\n    \"colab\": {\n      \"provenance\": []\n    }\n  },\n  \"cells\": [\n    {\n      \"cell_type\": \"code\",\n      \"source\": [\n        \"print(1)\"\n      ],\n      \"metadata\": {\n        \"id\": \"Zk1\"\n      },\n      \"execution_count\": null,\n      \"outputs\": []\n    }\n  ]\n}";
/// Minified, sources as one text, escaped beyond ASCII, a byte order mark.
const MINIFIED: &str = "\u{feff}{\"cells\":[{\"cell_type\":\"markdown\",\"id\":\"m\",\"metadata\":{},\"source\":\"\\u00e9 \\ud83d\\ude80\"},{\"attachments\":{\"a.png\":{\"image/png\":\"QUJD\"}},\"cell_type\":\"markdown\",\"id\":\"n\",\"metadata\":{},\"source\":\"![a](attachment:a.png)\"}],\"metadata\":{},\"nbformat\":4,\"nbformat_minor\":5}";
/// nbformat 3, with Python's separators.
const OLD: &str = "{\"metadata\": {\"name\": \"\"}, \"nbformat\": 3, \"nbformat_minor\": 0, \"worksheets\": [{\"cells\": [{\"cell_type\": \"heading\", \"level\": 1, \"metadata\": {}, \"source\": [\"H\"]}, {\"cell_type\": \"code\", \"collapsed\": false, \"input\": [\"print 1\"], \"language\": \"python\", \"metadata\": {}, \"outputs\": [], \"prompt_number\": 2}], \"metadata\": {}}]}";
/// No cells, no ids, lines of four spaces.
const EMPTY: &str = "{\n    \"cells\": [],\n    \"metadata\": {},\n    \"nbformat\": 4,\n    \"nbformat_minor\": 4\n}\n";

fn shapes() -> Vec<String> {
    let shapes = [NBFORMAT, COLAB, MINIFIED, OLD, EMPTY].map(str::to_owned);
    let windows = NBFORMAT.replace('\n', "\r\n");
    shapes.into_iter().chain([windows]).collect()
}

fn notebook(text: &str) -> Notebook {
    Notebook::parse(text.as_bytes().to_vec()).unwrap()
}

fn at(index: usize) -> Target {
    Target {
        id: None,
        index: Some(index),
    }
}

fn id(id: &str) -> Target {
    Target {
        id: Some(id.to_owned()),
        index: None,
    }
}

fn update(cell: Target, source: &str) -> Edit {
    Edit::Update {
        cell,
        expect: None,
        source: source.to_owned(),
    }
}

fn insert(index: usize, kind: &'static str, source: &str) -> Edit {
    Edit::Insert {
        index: Some(index),
        kind,
        source: source.to_owned(),
        id: "new1".to_owned(),
        tags: &[],
    }
}

fn edited(text: &str, edit: &Edit) -> String {
    notebook(text).edited(edit).unwrap().text
}

/// The bytes of every cell.
fn cells(text: &str) -> Vec<String> {
    let notebook = notebook(text);
    let cells = notebook.cells().iter();
    cells
        .map(|cell| notebook.text[cell.span.clone()].to_owned())
        .collect()
}

/// What is not in cells, without the separators between them.
fn around(text: &str) -> (String, String) {
    let notebook = notebook(text);
    let (first, last) = (
        &notebook.sheets[0],
        &notebook.sheets[notebook.sheets.len() - 1],
    );
    (
        notebook.text[..=first.start].to_owned(),
        notebook.text[last.end - 1..].to_owned(),
    )
}

#[test]
fn an_update_changes_nothing_but_the_source() {
    let text = edited(NBFORMAT, &update(id("b2"), "y = 'é'\nz"));
    let expected = NBFORMAT.replace("    \"x = 1\"\n", "    \"y = 'é'\\n\",\n    \"z\"\n");
    assert_eq!(text, expected);
    let text = edited(MINIFIED, &update(id("m"), "ü\n🚀"));
    assert_eq!(
        text,
        MINIFIED.replace("\\u00e9 \\ud83d\\ude80", "\\u00fc\\n\\ud83d\\ude80")
    );
    let text = edited(OLD, &update(at(1), "print 2"));
    assert_eq!(text, OLD.replace("print 1", "print 2"));
    let windows = NBFORMAT.replace('\n', "\r\n");
    let text = edited(&windows, &update(id("b2"), "y\nz"));
    assert_eq!(
        text,
        windows.replace("    \"x = 1\"\r\n", "    \"y\\n\",\r\n    \"z\"\r\n")
    );
    assert_eq!(edited(NBFORMAT, &update(id("c3"), "")), NBFORMAT);
}

#[test]
fn new_cells_look_like_the_others() {
    let text = edited(NBFORMAT, &insert(1, "code", "a\nb"));
    let cell = "  {\n   \"cell_type\": \"code\",\n   \"execution_count\": null,\n   \"id\": \"new1\",\n   \"metadata\": {},\n   \"outputs\": [],\n   \"source\": [\n    \"a\\n\",\n    \"b\"\n   ]\n  },\n";
    let second = NBFORMAT.find("  {\n   \"cell_type\": \"code\"").unwrap();
    assert_eq!(
        text,
        format!("{}{cell}{}", &NBFORMAT[..second], &NBFORMAT[second..])
    );

    let text = edited(COLAB, &insert(1, "markdown", "m"));
    let cell = ",\n    {\n      \"cell_type\": \"markdown\",\n      \"metadata\": {\n        \"id\": \"new1\"\n      },\n      \"source\": [\n        \"m\"\n      ]\n    }\n  ]\n}";
    assert_eq!(
        text,
        COLAB.strip_suffix("\n  ]\n}").unwrap().to_owned() + cell
    );

    let text = edited(EMPTY, &insert(0, "code", "a"));
    let cell = "[\n        {\n            \"cell_type\": \"code\",\n            \"execution_count\": null,\n            \"metadata\": {},\n            \"outputs\": [],\n            \"source\": [\n                \"a\"\n            ]\n        }\n    ]";
    assert_eq!(text, EMPTY.replace("[]", cell));

    let text = edited(OLD, &insert(0, "code", "a"));
    let cell = "{\"cell_type\": \"code\", \"collapsed\": false, \"input\": [\"a\"], \"language\": \"python\", \"metadata\": {}, \"outputs\": []}, ";
    assert_eq!(
        text,
        OLD.replace(
            "[{\"cell_type\": \"heading\"",
            &format!("[{cell}{{\"cell_type\": \"heading\"")
        )
    );

    let text = edited(MINIFIED, &insert(2, "markdown", "é"));
    let cell =
        ",{\"cell_type\":\"markdown\",\"id\":\"new1\",\"metadata\":{},\"source\":\"\\u00e9\"}]";
    assert_eq!(
        text,
        MINIFIED.replace("}],\"metadata\"", &format!("}}{cell},\"metadata\""))
    );
}

#[test]
fn outputs_replace_those_of_the_cell_alone() {
    let outputs = vec![json!({"output_type": "stream", "name": "stdout", "text": "é\n"})];
    let edit = Edit::Outputs {
        cell: id("b2"),
        expect: None,
        outputs,
        execution_count: Some(8),
        trail: Trail::default(),
    };
    let text = edited(NBFORMAT, &edit);
    let (before, after) = (cells(NBFORMAT), cells(&text));
    assert_eq!(
        (&after[0], &after[2], after.len()),
        (&before[0], &before[2], 3)
    );
    let expected = before[1].replace("\"execution_count\": 7", "\"execution_count\": 8");
    assert!(after[1].starts_with(expected.split_once("\"outputs\"").unwrap().0));
    assert!(
        after[1].contains("\"é\\n\"")
            && after[1].ends_with(expected.split_once("    }\n   ],").unwrap().1)
    );
    let refused = notebook(NBFORMAT).edited(&Edit::Outputs {
        cell: id("a1"),
        expect: None,
        outputs: Vec::new(),
        execution_count: None,
        trail: Trail::default(),
    });
    assert!(matches!(refused, Err(Refusal::NoOutputs { index: 0 })));
    let bare = "{\"nbformat\": 4, \"cells\": [{\"cell_type\": \"code\", \"source\": \"\"}]}";
    let edit = Edit::Outputs {
        cell: at(0),
        expect: None,
        outputs: Vec::new(),
        execution_count: None,
        trail: Trail::default(),
    };
    assert_eq!(
        edited(bare, &edit),
        bare.replace("\"\"}", "\"\", \"execution_count\": null, \"outputs\": []}")
    );
}

#[test]
fn deleting_and_moving_keep_the_bytes_of_cells() {
    for text in shapes()
        .iter()
        .filter(|text| notebook(text).cells().len() > 1)
    {
        let before = cells(text);
        for index in 0..before.len() {
            let after = edited(
                text,
                &Edit::Delete {
                    cell: at(index),
                    expect: None,
                },
            );
            let mut expected = before.clone();
            expected.remove(index);
            assert_eq!((cells(&after), around(&after)), (expected, around(text)));
            for to in 0..before.len() {
                let after = edited(
                    text,
                    &Edit::Move {
                        cell: at(index),
                        expect: None,
                        to,
                    },
                );
                let mut expected = before.clone();
                let moved = expected.remove(index);
                expected.insert(to, moved);
                assert_eq!((cells(&after), after.len()), (expected, text.len()));
            }
        }
    }
    let alone = edited(
        COLAB,
        &Edit::Delete {
            cell: id("Zk1"),
            expect: None,
        },
    );
    assert!(alone.ends_with("  \"cells\": []\n}"), "{alone}");
}

#[test]
fn a_cell_that_has_changed_is_not_edited() {
    let notebook = notebook(NBFORMAT);
    let version = notebook.cells()[1].version();
    assert_eq!(notebook.find(&id("b2"), Some(&version)), Ok(1));
    let both = |index| Target {
        index: Some(index),
        ..id("b2")
    };
    assert_eq!(notebook.find(&both(1), None), Ok(1));
    let contradiction = notebook.find(&both(0), None);
    assert!(matches!(
        contradiction,
        Err(Refusal::Contradiction {
            found: 1,
            index: 0,
            ..
        })
    ));
    let Err(Refusal::Changed {
        index: 1,
        version: now,
        source_text,
    }) = notebook.find(&id("b2"), Some("00000000"))
    else {
        panic!("not refused");
    };
    assert_eq!((now, source_text), (version, "x = 1".to_owned()));
    assert!(matches!(
        notebook.find(&id("zz"), None),
        Err(Refusal::NoId { count: 3, .. })
    ));
    assert!(matches!(
        notebook.find(&at(3), None),
        Err(Refusal::NoIndex { index: 3, count: 3 })
    ));
    assert_eq!(
        notebook.find(&Target::default(), None),
        Err(Refusal::NoTarget)
    );
}

#[test]
fn of_cells_with_the_same_id_the_index_decides() {
    let twice = NBFORMAT.replace("\"c3\"", "\"b2\"");
    let notebook = notebook(&twice);
    let Err(Refusal::SharedId { indices, .. }) = notebook.find(&id("b2"), None) else {
        panic!("not refused");
    };
    assert_eq!(indices, [1, 2]);
    assert_eq!(
        notebook.find(
            &Target {
                index: Some(2),
                ..id("b2")
            },
            None
        ),
        Ok(2)
    );
    assert_eq!(
        notebook.pinned(2).0,
        Target {
            index: Some(2),
            ..id("b2")
        }
    );
}

#[test]
fn an_edit_whose_answer_was_lost_is_found_to_be_made() {
    for text in [NBFORMAT, COLAB, EMPTY] {
        let add = insert(0, "code", "added = 1");
        assert_eq!(notebook(text).has(&add), None);
        let after = notebook(&edited(text, &add));
        assert_eq!(after.has(&add), Some(Some(0)));
    }
    let gone = Edit::Delete {
        cell: id("b2"),
        expect: None,
    };
    assert_eq!(notebook(NBFORMAT).has(&gone), None);
    assert_eq!(notebook(&edited(NBFORMAT, &gone)).has(&gone), Some(None));
    let change = update(id("b2"), "y");
    assert_eq!(notebook(NBFORMAT).has(&change), None);
    assert_eq!(
        notebook(&edited(NBFORMAT, &change)).has(&change),
        Some(Some(1))
    );
}
