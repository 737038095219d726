//! Kernel Gateways: alone, and behind a Jupyter Server that gets its kernels there, and keeps its own notebooks.

use std::fs;

use serde_json::{Value, json};
use smart_colab::base::secret::Secret;
use smart_colab::edge::settings::{Endpoint, Kind};
use smart_colab::jupyter::Server;
use url::Url;

use super::{bridge, run, succeeded};
use crate::support::home::Home;
use crate::support::jupyter::{Jupyter, TOKEN};
use crate::support::lab_tab::Tab;
use crate::support::stdio::{Answer, Bridge};

const LINES: &str = "for i in range(50_000): print(f'{i:099}')";
/// As no program of today writes it.
const OWN: &str = "\u{feff}{\r\n\t\"cells\": [\r\n\t\t{\"cell_type\": \"code\", \"source\": \"import os\\nprint(os.path.exists('here'))\", \"metadata\": {\"n\": NaN, \"x\": 1.50}, \"outputs\": [], \"execution_count\": null},\r\n\t\t{\"cell_type\": \"raw\", \"source\": \"\\u00e9\", \"metadata\": { }}\r\n\t],\r\n\t\"metadata\": { },\r\n\t\"nbformat\": 4, \"nbformat_minor\": 4\r\n}";

#[test]
fn a_kernel_gateway_is_a_runtime_directly_and_behind_a_server_whose_notebooks_are_its_own() {
    let gateway = Jupyter::kernel_gateway();
    let url = format!("--gateway-url={}", gateway.url());
    let token = format!("--GatewayClient.auth_token={TOKEN}");
    let server = Jupyter::server("/", &[&url, &token]);
    for jupyter in [&gateway, &server] {
        let home = Home::new();
        let mut bridge = bridge(&home, &jupyter.setting());
        assert_eq!(run(&mut bridge, "print(6 * 7)").text, "42\n");
        let ran = run(&mut bridge, LINES);
        succeeded(&ran);
        let log = fs::read_to_string(ran.fact("log")).unwrap();
        assert_eq!(log.len(), 5_000_000);
        assert!(log.lines().zip(0..).all(|(line, i)| line.parse() == Ok(i)));
        // Code runs beside the gateway; so do notebooks where there is nothing else.
        fs::write(gateway.root().join("here"), "").unwrap();
        if jupyter.root() == server.root() {
            own_notebooks(&mut bridge, &server);
            let home = Home::new();
            created_by_two(&mut bridge, &mut super::bridge(&home, &server.setting()));
        } else {
            let created = json!({"notebook": "gateway.ipynb", "create": true});
            bridge.call("open_notebook", created).succeeded();
            assert!(gateway.root().join("gateway.ipynb").is_file());
        }
        assert!(bridge.leave().status.success());
    }
    let marks = |root: fs::ReadDir| {
        root.flatten()
            .any(|one| one.path().extension().is_some_and(|ending| ending == "tmp"))
    };
    assert!(!marks(fs::read_dir(gateway.root()).unwrap()));

    // With collaboration, its rooms are used.
    let lab = Jupyter::lab(&[&url, &token]);
    let home = Home::new();
    let mut bridge = bridge(&home, &lab.setting());
    let created = json!({"notebook": "live.ipynb", "create": true});
    let created = bridge.call("open_notebook", created);
    assert_eq!(created.facts["created"], true, "{created:?}");
    assert!(lab.root().join("live.ipynb").is_file());
    let mut tab = Tab::open(&lab, "live.ipynb");
    let code = "import os\nprint(os.path.exists('here'))";
    bridge
        .call("add_code_cell", json!({"code": code}))
        .succeeded();
    tab.until(|cells| cells.last().is_some_and(|cell| cell["source"] == code));
    bridge.call("run_cells", json!({})).succeeded();
    tab.until(|cells| {
        cells
            .last()
            .is_some_and(|cell| cell["outputs"][0]["text"] == "True\n")
    });
    assert_eq!(list(&mut bridge), ["live.ipynb"]);

    // Deleted while a tab has it open: that has all of it.
    fs::remove_file(lab.root().join("live.ipynb")).unwrap();
    let gone = bridge.call("add_code_cell", json!({"code": "2"}));
    assert!(gone.fact("warning").contains("was deleted"), "{gone:?}");
    let create = json!({"notebook": "live.ipynb", "create": true});
    let again = bridge.call("open_notebook", create);
    assert_eq!(
        (&again.facts["cells"], &again.facts["created"]),
        (&gone.facts["cells"], &json!(true))
    );
    let added = bridge.call("add_code_cell", json!({"code": "3"}));
    assert_eq!(added.facts["warning"], Value::Null, "{added:?}");
    let text = fs::read_to_string(lab.root().join("live.ipynb")).unwrap();
    assert!(
        text.contains("os.path.exists") && text.contains("\"3\""),
        "{text}"
    );
}

fn list(bridge: &mut Bridge) -> Vec<String> {
    let list = bridge.call("open_notebook", json!({}));
    list.succeeded();
    let name = |row: &Value| row["notebook"].as_str().unwrap().to_owned();
    let mut names: Vec<_> = list.rows().iter().map(name).collect();
    names.sort_unstable();
    names
}

/// Works on notebooks of a server without rooms.
fn own_notebooks(bridge: &mut Bridge, server: &Jupyter) {
    let path = server.root().join("deep/own é.ipynb");
    fs::create_dir(server.root().join("deep")).unwrap();
    fs::write(&path, OWN).unwrap();
    fs::write(server.root().join("top.ipynb"), OWN).unwrap();
    assert_eq!(list(bridge), ["deep/own é.ipynb", "top.ipynb"]);
    let missing = bridge.call("open_notebook", json!({"notebook": "here.ipynb"}));
    missing.refused("not_found");
    let opened = bridge.call("open_notebook", json!({"notebook": "/deep/own é.ipynb"}));
    assert_eq!(opened.fact("notebook"), "deep/own é.ipynb");

    // Not a byte beside the edited source changes.
    let update = |bridge: &mut Bridge, content: &str, more: Value| {
        let mut arguments = json!({"cell_index": 1, "content": content});
        let all = arguments.as_object_mut().unwrap();
        all.extend(more.as_object().unwrap().clone());
        bridge.call("update_cell", arguments)
    };
    let first = update(bridge, "ü", json!({}));
    first.succeeded();
    assert_eq!(first.facts["warning"], Value::Null, "{first:?}");
    let after = OWN.replace("\\u00e9", "\\u00fc");
    assert_eq!(fs::read_to_string(&path).unwrap(), after);

    // What another writer has changed meanwhile is not overwritten.
    fs::write(&path, after.replace("\\u00fc", "theirs")).unwrap();
    let stale = update(bridge, "ours", json!({"expect": first.fact("version")}));
    stale.refused("cell_changed");
    assert!(stale.fact("error").contains("theirs"), "{stale:?}");
    assert!(fs::read_to_string(&path).unwrap().contains("theirs"));

    // Its code runs beside the gateway, and its outputs are here.
    bridge
        .call("run_code_cell", json!({"cell_index": 0}))
        .succeeded();
    let text = fs::read_to_string(&path).unwrap();
    assert!(
        text.contains("\"True\\n\"") && text.contains("\"x\": 1.50"),
        "{text}"
    );

    // A tab is connected to its kernel.
    let kernel = server.open("deep/own é.ipynb");
    let endpoint = Endpoint {
        kind: Kind::Jupyter,
        url: Url::parse(&server.url()).unwrap(),
        token: Secret::new(TOKEN),
    };
    let tokio = tokio::runtime::Runtime::new().unwrap();
    let client = Server::new(&endpoint).unwrap();
    let tab = tokio.block_on(client.open(&kernel, "tab", "kernel_info_request"));
    let watched = update(bridge, "again", json!({}));
    assert!(
        watched.fact("warning").contains("reload it there"),
        "{watched:?}"
    );
    drop(tab);

    // Deleted while it is open.
    fs::remove_file(&path).unwrap();
    let gone = update(bridge, "gone", json!({}));
    gone.refused("not_found");
    assert!(gone.fact("hint").contains("create: true"), "{gone:?}");
    assert!(!path.exists());
}

/// Two create one notebook at once.
fn created_by_two(one: &mut Bridge, other: &mut Bridge) {
    other.call("open_notebook", json!({})).succeeded();
    let create = json!({"notebook": "made/for it/new.ipynb", "create": true});
    let begun = one.begin_call("open_notebook", create.clone());
    let second = other.call("open_notebook", create.clone());
    for answer in [Answer::of(&one.answer(begun)), second] {
        assert_eq!(answer.facts["cells"], 0, "{answer:?}");
    }
    one.call("add_code_cell", json!({"code": "1"})).succeeded();
    let again = other.call("open_notebook", create);
    assert_eq!(
        (&again.facts["created"], &again.facts["cells"]),
        (&json!(false), &json!(1))
    );
}

#[test]
fn a_gateway_that_was_restarted_behind_its_server_is_used_again() {
    let (mut gateway, home) = (Jupyter::kernel_gateway(), Home::new());
    let url = format!("--gateway-url={}", gateway.url());
    let token = format!("--GatewayClient.auth_token={TOKEN}");
    let server = Jupyter::server("/", &[&url, &token]);
    let mut bridge = bridge(&home, &server.setting());
    succeeded(&run(&mut bridge, "x = 1"));
    gateway.kill();
    gateway.restart(TOKEN);
    // The server may still know the kernels that are gone, and the executor has ended with them.
    let again = (0..10).find_map(|_| {
        let answer = run(&mut bridge, "print('again')");
        (!answer.is_error).then_some(answer)
    });
    assert_eq!(again.expect("no way back").text, "again\n");
}
