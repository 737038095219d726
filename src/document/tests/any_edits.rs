//! Random edits.

use proptest::prelude::*;
use serde_json::json;

use super::{around, at, cells, insert, notebook, shapes, update};
use crate::document::edit::Edit;
use crate::document::nbformat::is_json;
use crate::document::trail::Trail;

fn any_edit() -> impl Strategy<Value = (usize, usize, usize, String)> {
    (
        0..5_usize,
        0..9_usize,
        0..9_usize,
        "[a-z\"\\\\é🚀\u{1}\u{7f}\n]{0,12}",
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn edits_keep_the_bytes_of_all_other_cells(shape in 0..6_usize, edits in prop::collection::vec(any_edit(), 1..8)) {
        let mut text = shapes()[shape].clone();
        for (number, (kind, cell, to, source)) in edits.into_iter().enumerate() {
            let (before, whole) = (cells(&text), around(&text));
            let count = before.len();
            let edit = match kind {
                _ if count == 0 => insert(0, "code", &source),
                0 => Edit::Insert { index: Some(to % (count + 1)), kind: "markdown", source: source.clone(), id: format!("id{number}"), tags: &[] },
                1 => update(at(cell % count), &source),
                2 => Edit::Delete { cell: at(cell % count), expect: None },
                3 => Edit::Move { cell: at(cell % count), expect: None, to: to % count },
                _ => Edit::Outputs {
                    cell: at(cell % count),
                    expect: None,
                    outputs: vec![json!({"output_type": "stream", "name": "stdout", "text": source})],
                    execution_count: Some(1),
                    trail: Trail::default(),
                },
            };
            let Ok(done) = notebook(&text).edited(&edit) else {
                let shows = matches!(edit, Edit::Outputs { .. });
                prop_assert!(shows);
                continue;
            };
            text = done.text;
            prop_assert!(is_json(&text));
            let mut expected = before;
            let mut after = cells(&text);
            match &edit {
                Edit::Insert { .. } => { let new = after.remove(done.index.unwrap()); prop_assert!(is_json(&new)); }
                Edit::Update { .. } | Edit::Outputs { .. } => { after.remove(done.index.unwrap()); expected.remove(done.index.unwrap()); }
                Edit::Delete { .. } => { expected.remove(cell % count); }
                Edit::Move { .. } => { let moved = expected.remove(cell % count); expected.insert(to % count, moved); }
            }
            prop_assert_eq!(after, expected);
            prop_assert_eq!(around(&text), whole);
            if let (Edit::Insert { source, .. } | Edit::Update { source, .. }, Some(index)) = (&edit, done.index) {
                let edited = notebook(&text);
                prop_assert_eq!(&edited.cells()[index].source, source);
            }
        }
    }
}
