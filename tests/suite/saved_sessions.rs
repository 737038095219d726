//! A session's variables outlive its runtime: saved there, brought home, and loaded on another one.

use serde_json::json;

use crate::support::executor::{Executor, TOKEN};
use crate::support::home::Home;

const DEFINED: &str = "scale = 3\ndef work(x): return x * scale\nclass Point:\n    def __init__(self, x): self.x = x\npoint = Point(7)\n\
    works = (n for n in range(3))\nrows = [{'point': point}]";

#[test]
fn a_session_goes_home_and_lives_on_another_runtime() {
    let home = Home::new();
    let mut first = Executor::start();
    let mut bridge = first.bridge(&home, &[]);
    let ran = bridge.call("run_code_quick", json!({"code": DEFINED, "session": "lab"}));
    ran.succeeded();
    let empty = bridge.call("save_session", json!({"names": []}));
    empty.refused("invalid_argument");
    let folder = bridge.call("save_session", json!({"path": ""}));
    folder.refused("invalid_argument");
    assert!(!folder.text.contains("traceback"), "{folder:?}");
    let nothing = bridge.call(
        "save_session",
        json!({"session": "lab", "names": ["works"]}),
    );
    nothing.refused("not_saved");
    let saved = bridge.call("save_session", json!({"session": "lab"}));
    saved.succeeded();
    assert!(saved.text.contains("works"), "{saved:?}");
    let failed = "not saved: a generator is unfinished work";
    assert!(saved.text.contains(failed), "{saved:?}");
    assert!(saved.text.contains("5 variables saved in"), "{saved:?}");
    let path = json!({"remote_path": "saved_sessions/lab.zip", "local_filename": "lab.zip"});
    let brought = bridge.call("download_from_colab", path);
    assert!(!brought.is_error, "{brought:?}");
    first.kill();
    drop(bridge);

    let second = Executor::start();
    let mut bridge = second.bridge(&home, &[]);
    let none = bridge.call("load_session", json!({"path": "lab.zip"}));
    none.refused("not_found");
    let said = format!(
        "there is no file {}",
        second.root().join("lab.zip").display()
    );
    assert!(none.text.contains(&said), "{none:?}");
    let sent = bridge.call("upload_to_colab", json!({"local_path": "lab.zip"}));
    assert!(!sent.is_error, "{sent:?}");
    let loaded = bridge.call("load_session", json!({"path": "lab.zip"}));
    loaded.succeeded();
    assert!(
        loaded.text.contains("5 variables loaded, 0 not"),
        "{loaded:?}"
    );
    let used = "scale = 10\nprint(work(2), rows[0]['point'] is point, type(point) is Point)";
    let used = bridge.call("run_code_quick", json!({"code": used}));
    assert_eq!(used.text, "20 True True\n");
    let taken = json!({"path": "lab.zip", "names": ["scale"]});
    let taken = bridge.call("load_session", taken);
    taken.refused("not_loaded");
    assert!(taken.text.contains("overwrite"), "{taken:?}");
    let over = json!({"path": "lab.zip", "names": ["scale"], "overwrite": true});
    bridge.call("load_session", over).succeeded();
    let printed = bridge.call("run_code_quick", json!({"code": "print(scale)"}));
    assert_eq!(printed.text, "3\n");
    assert!(!home.everything().contains(TOKEN));
}
