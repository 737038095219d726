//! Code in the kernels of notebooks that a person has open.

use serde_json::json;

use super::{bridge, finish, run, succeeded};
use crate::support::home::Home;
use crate::support::jupyter::Jupyter;

#[test]
fn code_runs_in_the_kernel_of_an_open_notebook_and_leaves_it_alive() {
    let (server, home) = (Jupyter::server("/", &[]), Home::new());
    let mut bridge = bridge(&home, &server.setting());
    let unknown = json!({"code": "1", "session": "notebook:analysis.ipynb"});
    let refused = bridge.call("run_code_quick", unknown);
    refused.refused("not_found");
    let hint = refused.fact("hint");
    assert!(hint.contains("open the notebook there"), "{hint}");

    let kernel = server.open("work/analysis.ipynb");
    let mut in_kernel = |session: &str, code: &str| {
        let answer = bridge.call("run_code_quick", json!({"code": code, "session": session}));
        finish(&mut bridge, answer)
    };
    succeeded(&in_kernel(&format!("kernel:{kernel}"), "theirs = 41"));
    let ran = in_kernel("notebook:analysis.ipynb", "print(theirs + 1)");
    assert_eq!(ran.text, "42\n", "{ran:?}");
    let ran = in_kernel("notebook:work/analysis.ipynb", "1/0");
    assert_eq!(ran.facts["state"], "failed", "{ran:?}");
    assert!(run(&mut bridge, "theirs").text.contains("NameError"));

    let session = json!({"session": "notebook:analysis.ipynb"});
    let variables = bridge.call("list_colab_variables", session.clone());
    assert!(variables.text.contains("theirs"), "{variables:?}");
    let refused = bridge.call("restart_session", session);
    assert!(refused.fact("hint").contains("Jupyter"), "{refused:?}");
    let other = bridge.call(
        "run_code_quick",
        json!({"code": "1", "session": "notebook:other.ipynb"}),
    );
    assert!(
        other.fact("hint").contains("work/analysis.ipynb"),
        "{other:?}"
    );

    // The bridge and the executor end: the kernel is the person's.
    assert!(bridge.leave().status.success());
    assert_eq!(server.kernels(), [kernel]);
}
