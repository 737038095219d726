//! A notebook that a person has open in JupyterLab, in a browser.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{check, connect, printed, source_of};
use crate::support::chromium::Chromium;
use crate::support::home::Home;
use crate::support::jupyter::{Jupyter, TOKEN};
use crate::support::stdio::{Bridge, PATIENCE};

/// Changes what it has shown in every way, while that is in the page.
const CHANGES: &str = "import time
from IPython.display import HTML, display
for n in range(20): print(f'\\r{n}%', end='', flush=True); time.sleep(0.05)
shown = display(HTML('<b>one</b>'), display_id=True); time.sleep(0.4)
print('between'); time.sleep(0.4)
shown.update(HTML('<b>two</b>')); time.sleep(0.4)
for part in range(4):
    for n in range(5_000): print(part, n)
    time.sleep(0.4)";

/// Prints what time it is, again and again.
const CLOCK: &str = "import os, time\nprint('begun')\nwhile not os.path.exists('go'): print(time.time()); time.sleep(0.3)\nprint('ended')";

#[test]
#[ignore = "needs Chromium"]
fn what_the_tools_do_appears_in_the_page_while_a_person_types_there() {
    let (server, home, chromium) = (Jupyter::lab(&[]), Home::new(), Chromium::start());
    let mut bridge = connect(&home, &server.url());
    let mut call = |tool: &str, arguments: Value| {
        let answer = Bridge::call(&mut bridge, tool, arguments);
        assert!(!answer.is_error, "{answer:?}");
        answer
    };
    call(
        "open_notebook",
        json!({"notebook": "page.ipynb", "create": true}),
    );
    call("run_code_quick", json!({"code": "pass"}));
    let address = format!("{}/lab/tree/page.ipynb?token={TOKEN}", server.url());
    let mut page = chromium.open(&address);
    let typed: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    let typed = typed.join(" ");
    page.order(&json!({"cell": 0, "type": typed}));
    page.until(|cells| cells[0]["source"] != "");

    let added = call("add_code_cell", json!({"code": "x = 1"}));
    let id = added.fact("cell_id");
    page.until(|cells| cells.len() == 2 && cells[1]["source"] == "x = 1");
    call("update_cell", json!({"cell_id": id, "content": CLOCK}));
    page.until(|cells| cells[1]["source"] == CLOCK);
    call("move_cell", json!({"cell_id": id, "cell_index": 0}));
    page.until(|cells| cells[0]["source"] == CLOCK);
    call("run_code_cell", json!({"cell_id": id, "wait_sec": 0}));
    page.until(|cells| cells[0]["prompt"] == "[*]:" && lines(&cells[0])[0] == "begun");
    page.until_seen(|page| {
        page.people == [json!("test (smart-colab)")] && page.cells[0]["cursors"] == 1
    });
    // How long a line takes from the code to the page.
    let mut delays = Vec::new();
    while delays.len() < 10 {
        let count = lines(&page.cells[0]).len();
        page.until(|cells| lines(&cells[0]).len() > count);
        let printed: f64 = lines(&page.cells[0]).last().unwrap().parse().unwrap();
        delays.push(page.at.unwrap() - printed);
    }
    eprintln!("seconds from the code to the page: {delays:.3?}");
    fs::write(server.root().join("go"), "").unwrap();
    page.until(|cells| {
        cells[0]["prompt"] == "[1]:" && lines(&cells[0]).last() == Some(&"ended".to_owned())
    });

    // However often it was changed, the page shows what is in the file.
    let added = call("add_code_cell", json!({"code": CHANGES}));
    call("run_code_cell", json!({"cell_id": added.fact("cell_id")}));
    let file = server.root().join("page.ipynb");
    let notebook = saved(&file, |cells| {
        cells
            .get(2)
            .is_some_and(|cell| shown(cell).ends_with("34999"))
    });
    let expected = shown(&notebook["cells"][2]);
    assert!(expected.starts_with("19%twobetween0001"), "{expected}");
    page.until(|cells| {
        let outputs = cells.get(2).and_then(|cell| cell["outputs"].as_str());
        outputs.is_some_and(|outputs| squeezed(outputs) == expected)
    });

    page.until(|cells| cells[1]["source"] == *typed);
    call("add_text_cell", json!({"content": "end"}));
    page.until_seen(|page| page.people.is_empty());
    let notebook = saved(&file, |cells| {
        cells.last().map(source_of).as_deref() == Some("end")
    });
    assert_eq!(notebook["cells"][1]["source"], json!([typed]));
    assert_eq!(notebook["cells"][0]["execution_count"], 1);
}

fn lines(cell: &Value) -> Vec<String> {
    let text = cell["outputs"].as_str().unwrap();
    text.trim_end().split('\n').map(str::to_owned).collect()
}

/// Waits until the server has saved a notebook that suits: for long outputs it takes a while.
fn saved(file: &Path, suits: impl Fn(&[Value]) -> bool) -> Value {
    let end = Instant::now() + PATIENCE;
    loop {
        let notebook = check(file);
        if suits(notebook["cells"].as_array().unwrap()) {
            return notebook;
        }
        assert!(Instant::now() < end, "it is not saved");
        sleep(Duration::from_millis(100));
    }
}

/// What a page shows of a cell of a file, without spaces.
fn shown(cell: &Value) -> String {
    let text = |output: &Value| match output["output_type"].as_str() {
        Some("stream") => printed(&json!({"outputs": [output]})),
        _ => {
            let html = &output["data"]["text/html"];
            printed(&json!({"outputs": [{"text": html}]}))
                .replace("<b>", "")
                .replace("</b>", "")
        }
    };
    let texts = cell["outputs"].as_array().unwrap().iter().map(text);
    squeezed(&texts.collect::<String>())
}

fn squeezed(text: &str) -> String {
    text.split_whitespace().collect()
}
