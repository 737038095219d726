//! What a running cell prints, in the notebook that others have open meanwhile.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{check, connect, printed};
use crate::support::cable::{Cable, Fault};
use crate::support::home::Home;
use crate::support::jupyter::Jupyter;
use crate::support::lab_tab::Tab;
use crate::support::stdio::{Bridge, PATIENCE};

/// Defines `wait`, for a file.
const WAIT: &str =
    "import os, time\ndef wait(name):\n    while not os.path.exists(name): time.sleep(0.02)";

/// A notebook that is open in a tab, too.
struct Shared {
    bridge: Bridge,
    tab: Tab,
    home: Home,
    root: PathBuf,
}

impl Shared {
    fn open(server: &Jupyter, address: &str) -> Self {
        let home = Home::new();
        let mut bridge = connect(&home, address);
        let open = json!({"notebook": "shown.ipynb", "create": true});
        bridge.call("open_notebook", open).succeeded();
        let run = bridge.call("run_code_quick", json!({"code": "pass"}));
        run.succeeded();
        let tab = Tab::open(server, "shown.ipynb");
        let root = server.root();
        Self {
            bridge,
            tab,
            home,
            root,
        }
    }

    /// Runs code in a new cell, and leaves it running; returns the cell's id.
    fn run(&mut self, code: &str) -> String {
        let code = format!("{WAIT}\n{code}");
        let added = self.bridge.call("add_code_cell", json!({"code": code}));
        added.succeeded();
        let cell = added.fact("cell_id").to_owned();
        let run = json!({"cell_id": cell, "wait_sec": 0});
        let run = self.bridge.call("run_code_cell", run);
        assert!(!run.is_error, "{run:?}");
        cell
    }

    /// Waits until the cell, as the tab has it, suits.
    #[track_caller]
    fn until(&mut self, cell: &str, suits: impl Fn(&Value) -> bool) {
        self.tab.until(|cells| {
            let cell = cells.iter().find(|found| found["id"] == cell);
            cell.is_some_and(&suits)
        });
    }

    /// Kills the bridge, and starts another one.
    fn restarted(self, address: &str) -> Self {
        drop(self.bridge);
        let bridge = connect(&self.home, address);
        Self { bridge, ..self }
    }

    /// Waits until the server's cells, as a model reads them, suit: the tab shows what it sends, which may be on its way.
    #[track_caller]
    fn until_received(&mut self, suits: impl Fn(&str) -> bool) {
        let end = Instant::now() + PATIENCE;
        loop {
            let cells = self.bridge.call("get_cells", json!({"from": 1}));
            if suits(&cells.text) {
                return;
            }
            assert!(Instant::now() < end, "{cells:?}");
        }
    }

    fn release(&self, name: &str) {
        fs::write(self.root.join(name), "").unwrap();
    }

    /// Waits until nothing is left to be written into cells.
    fn until_written(&self) {
        let notes = self.home.folder("data").join("cells");
        let end = Instant::now() + PATIENCE;
        while fs::read_dir(&notes).unwrap().next().is_some() {
            assert!(Instant::now() < end, "{notes:?} is not empty");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn is_running(cell: &Value) -> bool {
    cell["execution_state"] == "running"
}

#[test]
fn outputs_appear_in_open_tabs_as_they_come() {
    let server = Jupyter::lab(&[]);
    let mut shared = Shared::open(&server, &server.url());
    let cell = shared.run(
        "print('one'); wait('1'); print('10%', end=''); print('\\r20%'); wait('2')\nfrom IPython.display import display, HTML\nh = display(HTML('<b>1</b>'), display_id=True); wait('3'); h.update(HTML('<b>2</b>')); print('end')\n6 * 7",
    );
    shared.until(&cell, |cell| {
        is_running(cell) && cell["execution_count"] == Value::Null && printed(cell) == "one\n"
    });
    let name = |person: &Value| person["user"]["display_name"] == "test (smart-colab)";
    shared.tab.until_seen(|tab| {
        let person = tab.people.iter().find(|person| name(person));
        person.is_some_and(|person| person["cursors"][0]["head"]["type"]["clock"].is_u64())
    });
    shared.release("1");
    shared.until(&cell, |cell| printed(cell) == "one\n20%\n");
    let other = shared.tab.cells[0]["id"].as_str().unwrap().to_owned();
    shared.tab.type_into(&other, &["typed".to_owned()]);
    shared.release("2");
    let html = |cell: &Value| cell["outputs"][1]["data"]["text/html"].clone();
    shared.until(&cell, |cell| is_running(cell) && html(cell) == "<b>1</b>");
    shared.release("3");
    shared.until(&cell, |cell| {
        cell["execution_state"] == "idle"
            && cell["execution_count"] == 1.0
            && html(cell) == "<b>2</b>"
            && cell["outputs"][2]["text"] == "end\n"
            && cell["outputs"][3]["data"]["text/plain"] == "42"
    });
    shared.until(&other, |cell| cell["source"] == "typed");
    shared.until_written();
    check(&shared.root.join("shown.ipynb"));
    shared.tab.until_seen(|tab| !tab.people.iter().any(name));

    // Output without end is shown in part, its newest too.
    let cell = shared.run("for n in range(40_000): print(n)\nwait('4'); print('last')");
    let is_bounded = |cell: &Value, end: &str| {
        let text = printed(cell);
        text.starts_with("0\n1\n")
            && text.contains("is skipped here (job ")
            && text.ends_with(end)
            && text.len() < 101_000
    };
    shared.until(&cell, |cell| {
        is_running(cell) && is_bounded(cell, "39999\n")
    });
    shared.release("4");
    shared.until(&cell, |cell| {
        !is_running(cell) && is_bounded(cell, "\nlast\n")
    });

    // What a person clears, edits or deletes meanwhile is left alone.
    let cell = shared.run("print('clear' + 'ed'); wait('5'); print('late')");
    shared.until(&cell, |cell| printed(cell) == "cleared\n");
    shared.tab.clear(&cell);
    shared.until_received(|cells| !cells.contains("cleared"));
    shared.release("5");
    shared.until_written();
    shared.until(&cell, |cell| !is_running(cell));
    shared.until(&cell, |cell| cell["outputs"] == json!([]));

    let cell = shared.run("print('edited'); wait('6'); print('late')");
    shared.until(&cell, |cell| printed(cell) == "edited\n");
    shared.tab.type_into(&cell, &["#".to_owned()]);
    shared.until_received(|cells| cells.contains('#'));
    shared.release("6");
    shared.until_written();
    shared.until(&cell, |cell| {
        !is_running(cell) && printed(cell) == "edited\n"
    });

    let cell = shared.run("print('deleted'); wait('7'); print('late')");
    shared.until(&cell, |cell| printed(cell) == "deleted\n");
    shared.tab.delete(&cell);
    shared.until_received(|cells| !cells.contains(&cell));
    shared.release("7");
    shared.until_written();
    shared
        .tab
        .until(|cells| cells.iter().all(|found| found["id"] != *cell));

    // A run of a whole notebook does the same.
    shared
        .bridge
        .call(
            "open_notebook",
            json!({"notebook": "whole.ipynb", "create": true}),
        )
        .succeeded();
    let code = format!("{WAIT}\nprint('whole'); wait('8'); print('end')");
    let added = shared.bridge.call("add_code_cell", json!({"code": code}));
    let cell = added.fact("cell_id").to_owned();
    shared.tab = Tab::open(&server, "whole.ipynb");
    let run = shared.bridge.call(
        "run_notebook",
        json!({"notebook": "whole.ipynb", "wait_sec": 0}),
    );
    assert!(!run.is_error, "{run:?}");
    shared.until(&cell, |cell| is_running(cell) && printed(cell) == "whole\n");
    shared.release("8");
    shared.until(&cell, |cell| {
        !is_running(cell) && printed(cell) == "whole\nend\n"
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn outputs_go_on_in_a_new_connection_and_after_a_death() {
    let starting = tokio::task::spawn_blocking(|| Jupyter::lab(&[]));
    let server = starting.await.unwrap();
    let mut cable = Cable::to(server.address());
    let address = format!("http://{}", cable.address());
    let mut shared = Shared::open(&server, &address);
    let cell = shared.run("print('on' + 'e'); wait('1'); print('two'); wait('2'); print('three'); wait('3'); print('four')");
    shared.until(&cell, |cell| printed(cell) == "one\n");
    cable
        .strike(Fault::Refuse(Duration::from_millis(50)), PATIENCE)
        .await;
    shared.release("1");
    shared.until(&cell, |cell| {
        is_running(cell) && printed(cell) == "one\ntwo\n"
    });

    // A new process shows what follows, but not what was cleared meanwhile.
    let mut shared = shared.restarted(&address);
    shared.release("2");
    shared.until(&cell, |cell| {
        is_running(cell) && printed(cell) == "one\ntwo\nthree\n"
    });
    shared.tab.clear(&cell);
    shared.until_received(|cells| !cells.contains("one"));
    let mut shared = shared.restarted(&address);
    shared.release("3");
    shared.until_written();
    shared.until(&cell, |cell| !is_running(cell) && printed(cell).is_empty());
}
