//! The lists of variables, files, jobs and checkpoints: what they show, and how much.

use std::fs;

use serde_json::{Value, json};

use crate::support::executor::Executor;
use crate::support::home::Home;
use crate::support::stdio::{Answer, Bridge};

/// Of a reply to a client that is not known.
const CLIENT_BYTES: usize = 10_000;

fn bridge(home: &Home) -> Bridge {
    Executor::shared().bridge(home, &[])
}

#[track_caller]
fn run(bridge: &mut Bridge, session: &str, code: &str) -> Answer {
    let answer = bridge.call("run_code_quick", json!({"code": code, "session": session}));
    answer.succeeded();
    answer
}

/// Characters of all that a model sees.
fn characters(list: &Answer) -> usize {
    let blocks = list.whole["content"].as_array().unwrap();
    let texts = blocks.iter().map(|block| block["text"].as_str().unwrap());
    texts.map(|text| text.chars().count()).sum()
}

fn names(list: &Answer) -> Vec<String> {
    let rows = list.rows();
    let names = rows.iter().map(|row| row["name"].as_str().unwrap());
    names.map(str::to_owned).collect()
}

#[test]
fn a_list_is_a_line_of_facts_and_a_table_in_text_alone() {
    let home = Home::new();
    let mut bridge = bridge(&home);
    run(
        &mut bridge,
        "main",
        "kept_in_main = open('kept.txt', 'w').write('1')",
    );
    let kept = json!({"code": "1", "checkpoint_name": "shape"});
    bridge.call("run_code_long", kept).succeeded();
    for (tool, arguments) in [
        ("list_colab_files", json!({})),
        ("list_colab_variables", json!({})),
        ("list_jobs", json!({})),
        ("list_checkpoints", json!({})),
    ] {
        let list = bridge.call(tool, arguments);
        assert!(!list.is_error, "{}", list.whole);
        // A client that shows structured content hides the text beside it.
        assert!(list.whole.get("structuredContent").is_none(), "{tool}");
        let [facts, table] = list.whole["content"].as_array().unwrap().as_slice() else {
            panic!("{tool}: {}", list.whole);
        };
        assert!(facts["text"].as_str().unwrap().starts_with('{'), "{tool}");
        assert!(table["text"].as_str().unwrap().contains('\t'), "{tool}");
        assert!(!list.whole.to_string().contains("null"), "{}", list.whole);
        assert!(!list.rows().is_empty(), "{tool}");
    }
}

#[test]
fn variables_are_listed_with_type_shape_and_length_the_largest_first() {
    let home = Home::new();
    let mut bridge = bridge(&home);
    let code = "import numpy, os\ngrid = numpy.zeros((3, 4))\nword = 'würfel' * 1000\n_hidden = 1\n\
        class Holder: pass\nholder = Holder(); holder.parts = [numpy.ones(1_000_000)]";
    run(&mut bridge, "variables", code);
    let arguments = json!({"session": "variables"});
    let list = bridge.call("list_colab_variables", arguments.clone());
    assert!(!list.is_error, "{}", list.whole);
    assert_eq!(names(&list), ["holder", "word", "grid"]);
    assert_eq!(list.facts["total"], 3);
    let [holder, word, grid] = list.rows().try_into().unwrap();
    assert!(holder["bytes"].as_u64().unwrap() > 8_000_000, "{holder}");
    assert_eq!(
        (&word["type"], &word["shape"]),
        (&json!("str"), &json!(6_000))
    );
    assert_eq!(
        (&grid["type"], &grid["shape"]),
        (&json!("ndarray"), &json!("3x4"))
    );
    assert_eq!(grid["value"], "dtype=float64");
    let value = |list: &Answer| list.rows()[0]["value"].as_str().unwrap().chars().count();
    let named = bridge.call(
        "list_colab_variables",
        json!({"session": "variables", "name": "w*"}),
    );
    assert_eq!(
        (names(&named), value(&named)),
        (vec!["word".to_owned()], 200)
    );

    let cleanup = bridge.call("cleanup_colab", arguments.clone());
    assert!(!cleanup.is_error, "{}", cleanup.whole);
    let cleared = cleanup.facts["cleared_variables"].as_array().unwrap();
    assert!(cleared.contains(&json!("grid")), "{}", cleanup.facts);
    let list = bridge.call("list_colab_variables", arguments);
    assert_eq!((list.rows().len(), &list.facts["total"]), (0, &json!(0)));
}

#[test]
fn of_300_variables_all_are_named_within_9_000_characters() {
    let home = Home::new();
    let mut bridge = bridge(&home);
    let code = "import numpy\nfor _i in range(300): globals()[f'result_{_i:03}'] = numpy.full(_i + 1, 0.5) if _i % 2 else f'text {_i} ' * 50";
    run(&mut bridge, "many-variables", code);
    let mut list = |more: Value| {
        let mut arguments = json!({"session": "many-variables"});
        arguments
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        bridge.call("list_colab_variables", arguments)
    };
    let whole = list(json!({}));
    assert!(characters(&whole) <= 9_000, "{}", characters(&whole));
    assert!(whole.rows().len() > 60, "{}", whole.text);
    let named = |number: &i32| whole.text.contains(&format!("result_{number:03}"));
    assert_eq!((0..300).filter(named).count(), 300, "{}", whole.text);
    assert_eq!(whole.facts["total"], 300);

    let few = list(json!({"top": 2}));
    assert_eq!(names(&few), ["result_299", "result_297"]);
    assert!(characters(&few) < 500, "{}", few.text);
    // More than the client's room is left out and counted.
    let most = list(json!({"top": 300}));
    let shown = most.rows().len();
    assert!(
        most.whole.to_string().len() <= CLIENT_BYTES,
        "{}",
        most.whole
    );
    assert!((80..300).contains(&shown), "{shown}");
    let left = format!("\n[{} smaller ones]", 300 - shown);
    assert!(most.text.ends_with(&left), "{}", most.text);
    assert!(
        most.fact("hint").contains(&format!("the {shown} largest")),
        "{}",
        most.facts
    );
    let none = list(json!({"name": "Result*"}));
    assert_eq!(none.rows().len(), 0);
    assert!(
        none.fact("hint").contains("matches Result*"),
        "{}",
        none.facts
    );
    let mut roomy = Executor::shared().bridge_of("claude-code", &home, &[]);
    let all = roomy.call(
        "list_colab_variables",
        json!({"session": "many-variables", "top": 300}),
    );
    assert_eq!((all.rows().len(), &all.facts["hint"]), (300, &Value::Null));
    let some = list(json!({"name": "result_00?"}));
    assert_eq!((some.rows().len(), &some.facts["total"]), (10, &json!(10)));
}

#[test]
fn files_are_listed_page_by_page_and_by_pattern() {
    let home = Home::new();
    let mut bridge = bridge(&home);
    let folder = Executor::shared().root().join("many");
    fs::create_dir_all(folder.join("inner")).unwrap();
    let names_there = ["a.txt", "b ü.txt", "c#%.txt", "d&e=f.txt", "inner/"];
    for name in &names_there[..4] {
        fs::write(folder.join(name), "four").unwrap();
    }
    let (mut found, mut rows, mut cursor) = (Vec::new(), Vec::new(), Value::Null);
    loop {
        let page = bridge.call(
            "list_colab_files",
            json!({"path": "many", "top": 2, "cursor": cursor}),
        );
        assert!(!page.is_error, "{}", page.whole);
        assert_eq!(page.facts["total"], 5, "{}", page.facts);
        assert!(page.rows().len() <= 2);
        found.extend(names(&page));
        rows.extend(page.rows());
        cursor = page.facts["next_cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(found, names_there);
    assert_eq!(rows[0]["bytes"], 4);
    assert!(rows[0]["modified"].is_string() && rows[4]["bytes"].is_null());
    let some = bridge.call(
        "list_colab_files",
        json!({"path": "many", "name": "*.txt", "top": 3}),
    );
    assert_eq!(
        (names(&some), &some.facts["total"]),
        (found[..3].to_vec(), &json!(4))
    );

    // A name in an answer can be used in the next call.
    let inner = json!({"path": format!("many/{}", found[4])});
    let page = bridge.call("list_colab_files", inner);
    assert_eq!(
        (page.rows().len(), page.is_error),
        (0, false),
        "{}",
        page.whole
    );
    let missing = bridge.call("list_colab_files", json!({"path": "no/such/folder"}));
    missing.refused("not_found");
    let foreign = json!({"path": "many", "cursor": "not one of yours"});
    let answer = bridge.call("list_colab_files", foreign);
    assert!(
        answer.fact("hint").contains("next_cursor"),
        "{}",
        answer.facts
    );
    let unmatched = json!({"path": "many", "name": "*.TXT"});
    let answer = bridge.call("list_colab_files", unmatched);
    assert!(
        answer.fact("hint").contains("matches *.TXT"),
        "{}",
        answer.facts
    );
}

#[test]
fn a_page_of_files_has_at_most_9_000_characters_however_long_their_names() {
    let home = Home::new();
    let mut bridge = bridge(&home);
    let root = Executor::shared().root();
    for (folder, end) in [
        ("short-names", ""),
        ("long-names", "-日本-of-a-training-with-a-long-name"),
    ] {
        fs::create_dir_all(root.join(folder)).unwrap();
        for number in 0..200 {
            let name = format!("epoch_{number:03}_loss{end}.ckpt");
            fs::write(root.join(folder).join(name), "x".repeat(number)).unwrap();
        }
        let (mut count, mut cursor) = (0, Value::Null);
        loop {
            let page = bridge.call(
                "list_colab_files",
                json!({"path": folder, "cursor": cursor}),
            );
            assert!(characters(&page) <= 9_000, "{}", characters(&page));
            count += page.rows().len();
            cursor = page.facts["next_cursor"].clone();
            if cursor.is_null() {
                break;
            }
            assert!(!end.is_empty(), "200 files of usual names are one page");
        }
        assert_eq!(count, 200, "{folder}");
    }
    let (mut count, mut cursor) = (0, Value::Null);
    while count < 200 {
        let arguments = json!({"path": "long-names", "cursor": cursor, "top": 200});
        let page = bridge.call("list_colab_files", arguments);
        assert!(
            page.whole.to_string().len() <= CLIENT_BYTES,
            "{}",
            page.whole
        );
        let rows = page.rows().len();
        assert!(rows > 0 && rows < 200, "{rows}");
        count += rows;
        cursor = page.facts["next_cursor"].clone();
        let said = page.facts["hint"].as_str().unwrap_or_default();
        assert_eq!(
            said.contains(&format!("room for {rows} rows")),
            !cursor.is_null(),
            "{said}"
        );
    }
    assert_eq!((count, cursor), (200, Value::Null));
}

#[test]
fn of_100_jobs_each_has_its_telling_line_within_8_000_characters() {
    let home = Home::new();
    let mut bridge = bridge(&home);
    for number in 0..100 {
        let code = format!(
            "import time\n# part {number}\nEPOCHS = 3\ntotal = sum(x * {number} for x in range(1000) if x % 7 == 0 or x % 11 == 0 or x % 13 == 0)"
        );
        run(&mut bridge, "many-jobs", &code);
    }
    let mut list = |top: u64| bridge.call("list_jobs", json!({"session": "many-jobs", "top": top}));
    let whole = list(100);
    assert!(characters(&whole) <= 8_000, "{}", characters(&whole));
    let rows = whole.rows();
    assert_eq!(rows.len(), 100);
    for row in &rows {
        assert!(
            row["code"].as_str().unwrap().starts_with("total = sum(x"),
            "{row}"
        );
        assert!(
            row["job_id"].as_str().unwrap().len() == 36 && row["state"] == "succeeded",
            "{row}"
        );
    }
    let few = list(5);
    assert_eq!(few.rows().len(), 5);
    assert!(
        few.rows()[0]["code"].as_str().unwrap().chars().count() == 80,
        "{}",
        few.text
    );
    for number in 0..30 {
        run(&mut bridge, "many-jobs", &format!("more_of_it = {number}"));
    }
    let arguments = json!({"session": "many-jobs", "top": 200});
    let most = bridge.call("list_jobs", arguments);
    assert!(
        most.whole.to_string().len() <= CLIENT_BYTES,
        "{}",
        most.whole
    );
    let shown = most.rows().len();
    assert!(shown >= 80, "{shown}");
    assert_eq!(
        (&most.facts["shown"], &most.facts["left_out"]),
        (&json!(shown), &json!(130 - shown))
    );
    assert!(
        most.fact("suggestion").contains("state or session"),
        "{}",
        most.facts
    );
}
