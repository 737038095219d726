//! Kernel Gateways: alone, and behind a Jupyter Server that gets its kernels there.

use std::fs;

use serde_json::json;

use super::{bridge, run, succeeded};
use crate::support::home::Home;
use crate::support::jupyter::{Jupyter, TOKEN};

const LINES: &str = "for i in range(50_000): print(f'{i:099}')";

#[test]
fn a_kernel_gateway_is_a_runtime_directly_and_behind_a_server() {
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
        if jupyter.root() == server.root() {
            // The server's files are beside the server, and code runs beside the gateway.
            fs::write(server.root().join("own.ipynb"), "{}").unwrap();
            let own = json!({"notebook": "own.ipynb"});
            bridge.call("open_notebook", own).refused("out_of_reach");
        }
        assert!(bridge.leave().status.success());
    }
}
