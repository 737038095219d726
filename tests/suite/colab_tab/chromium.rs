//! A page in a real browser, on the origin of Colab.

use std::fs;

use serde_json::json;

use crate::support::chromium::Chromium;
use crate::support::colab_site;
use crate::support::home::Home;
use crate::support::stdio::Bridge;

#[cfg(unix)]
#[test]
#[ignore = "needs Chromium"]
fn a_page_of_colab_is_opened_connects_and_survives_its_reload() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    let site = colab_site::serve();
    let rule = format!("--host-resolver-rules=MAP colab.research.google.com 127.0.0.1:{site}");
    let chromium = Chromium::start_with(&[&rule, "--ignore-certificate-errors"]);
    // The program that opens addresses leaves them to us.
    let (browser, opened) = (home.folder("browser"), home.folder("opened"));
    let script = format!("#!/bin/sh\necho \"$1\" > '{}'\n", opened.display());
    fs::write(&browser, script).unwrap();
    fs::set_permissions(&browser, fs::Permissions::from_mode(0o700)).unwrap();
    let mut bridge = Bridge::greeted(home.program(&[("BROWSER", browser.to_str().unwrap())]));

    let asking = bridge.begin_call("open_colab_browser_connection", json!({}));
    let address = loop {
        match fs::read_to_string(&opened) {
            Ok(text) if text.ends_with('\n') => break text.trim().to_owned(),
            _ => std::thread::sleep(std::time::Duration::from_millis(20)),
        }
    };
    chromium.visit(&address);
    let asked = bridge.answer(asking);
    assert_eq!(asked["structuredContent"]["result"], true, "{asked}");

    bridge
        .call("add_code_cell", json!({"code": "seen"}))
        .succeeded();
    let ran = bridge.call("run_code_cell", json!({"cell_index": 0}));
    assert!(ran.text.contains("ran seen"), "{}", ran.text);
    // The page goes away and comes back, with the token that it has in its address.
    let reload = json!({"name": "reload_page"});
    bridge.heard.clear();
    bridge.call("call_colab_tool", reload).succeeded();
    let shown = loop {
        let shown = bridge.call("get_cells", json!({}));
        let calls = bridge
            .heard
            .iter()
            .filter(|message| message["method"] == "notifications/tools/list_changed");
        if calls.count() >= 2 && !shown.is_error {
            break shown;
        }
    };
    assert!(shown.text.contains("seen"), "{}", shown.text);
}
