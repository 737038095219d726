//! The way through a Jupyter Server: its network breaks, its helper kernel ends, and the server itself; on a machine of Colab also the proxy's tokens.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use tokio::task::block_in_place;
use tokio::time::{sleep, timeout};

use super::network::{FAULT_PATIENCE, follow};
use super::{Caller, MIN_BUDGET, PATIENCE, Reader, assert_same_lines, scaled, until};
use crate::colab_machines::{REFRESH_TOKEN, colab as run_colab, said, sign_in};
use crate::support::cable::{Break, Cable, Fault, Way};
use crate::support::chance::Chance;
use crate::support::fake_colab::FakeColab;
use crate::support::home::Home;
use crate::support::jupyter::{Jupyter, TOKEN};

const LINES: usize = 1_200;

/// Prints its lines, the last ones after most harm is done. Each harm adds a byte to the file `struck`.
const CODE: &str = "
import os, time
with open('ran', 'a') as ran: ran.write('x')
for number in range(LINES):
    while os.path.getsize('struck') < number * HARMS // LINES - 4: time.sleep(0.02)
    print(f'{number:05}', 'y' * (number % 60), flush=True)
    time.sleep(0.004)
";

/// Notes each line after printing it, and then runs for `REST` seconds.
const ENDLESS: &str = "
import time
with open('ran', 'a') as ran: ran.write('y')
for number in range(LINES):
    print(f'{number:05}', 'y' * (number % 60), flush=True)
    with open('printed', 'a') as printed: printed.write('x')
    time.sleep(0.004)
time.sleep(REST)
";

fn expected() -> String {
    let line = |number: usize| format!("{number:05} {}\n", "y".repeat(number % 60));
    (0..LINES).map(line).collect()
}

#[derive(Debug)]
enum Harm {
    Wire(Fault),
    HelperRestarts,
    HelperEnds,
    /// All tokens of the machine's proxy, and with `drops` the connections that they opened.
    TokensExpire {
        drops: bool,
    },
}

/// Most end a connection, the first while the code is sent. One that is left half open is noticed after up to 25 seconds.
fn harms(chance: &mut Chance, half_open: u64, is_colab: bool) -> Vec<Harm> {
    let at = |chance: &mut Chance, what| {
        let way = [Way::ToExecutor, Way::ToBridge][usize::from(chance.within(0..3) > 0)];
        Harm::Wire(Fault::At(way, chance.bytes(), what))
    };
    let mut harms = vec![at(chance, Break::Cut)];
    for _ in 0..scaled(1, 10) {
        harms.extend((0..6).map(|_| at(chance, Break::Cut)));
        harms.extend((0..3).map(|_| at(chance, Break::Reset)));
        harms.extend((0..2).map(|_| {
            let time = chance.millis(20..800);
            at(chance, Break::Delay(time))
        }));
        harms.push(Harm::Wire(Fault::Refuse(chance.millis(50..800))));
        harms.push(Harm::Wire(Fault::Silence(chance.millis(100..800))));
        harms.extend([Harm::HelperRestarts, Harm::HelperEnds]);
        if is_colab {
            harms.extend([true, true, false].map(|drops| Harm::TokensExpire { drops }));
        }
    }
    harms.extend((0..half_open).map(|_| at(chance, Break::Swallow)));
    chance.shuffle(&mut harms[1..]);
    harms
}

/// Below the path of a hub, which is the harder case; the long form has both.
#[tokio::test(flavor = "multi_thread")]
async fn a_jupyter_server_that_breaks_loses_no_line_and_causes_no_second_run() {
    for round in 0..scaled(1, 6) {
        let base = if round % 2 == 0 { "/user/bob/" } else { "/" };
        let rig = Rig::of(Jupyter::server(base, &[]), None);
        survive(Chance::of("jupyter", round), rig, scaled(1, 5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_the_kernels_of_a_gateway_loses_no_line_and_causes_no_second_run() {
    for round in 0..scaled(1, 3) {
        let gateway = Jupyter::kernel_gateway();
        let url = format!("--gateway-url={}", gateway.url());
        let token = format!("--GatewayClient.auth_token={TOKEN}");
        let server = Jupyter::server("/", &[&url, &token]);
        let rig = Rig::of(server, Some(gateway));
        survive(Chance::of("gateway", round), rig, scaled(0, 5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_of_colab_that_breaks_loses_no_line_and_causes_no_second_run() {
    for round in 0..scaled(1, 3) {
        let rig = Rig::of(Jupyter::server("/", &[]), None).behind_colab();
        survive(Chance::of("colab", round), rig, scaled(1, 5)).await;
    }
}

/// With a gateway, code runs there and outlives the server.
async fn survive(mut chance: Chance, mut rig: Rig, half_open: u64) {
    let caller = Caller::start_at(&rig.home, &rig.setting, MIN_BUDGET).await;
    break_the_way(&mut chance, &caller, &mut rig, half_open).await;

    let Rig {
        server,
        root,
        gateway,
        ..
    } = &mut rig;
    // Without a gateway the executor ends with its server.
    let rest = if gateway.is_some() { "0" } else { "600" };
    let code = ENDLESS
        .replace("LINES", &LINES.to_string())
        .replace("REST", rest);
    let mut reader = caller.run(&code, "main", 600).await;
    until("lines", || noted(root) > 0).await;
    sleep(chance.millis(0..1_000)).await;
    block_in_place(|| {
        server.kill();
        server.restart(TOKEN);
    });
    while reader.end.is_none() {
        reader.read_page(&caller, None).await;
    }
    let state = &reader.end.as_ref().unwrap()["state"];
    assert_eq!(
        state,
        if gateway.is_some() {
            "succeeded"
        } else {
            "lost"
        }
    );
    assert!(expected().starts_with(&reader.text), "{}", reader.text);
    let (read, printed) = (reader.text.lines().count(), noted(root));
    assert!(read >= printed, "{read} of {printed} lines");
    assert_eq!(fs::read_to_string(root.join("ran")).unwrap(), "xy");
    let after = caller.quick("print('after')", "main").await;
    after.assert_read("after\n");
    caller.client.leave().await;
    if let Some(colab) = &rig.colab {
        let state = block_in_place(|| colab.state());
        assert_eq!(state["faults"], json!([]));
    }
}

async fn break_the_way(chance: &mut Chance, caller: &Caller, rig: &mut Rig, half_open: u64) {
    let root = rig.root.clone();
    fs::write(root.join("struck"), "").unwrap();
    let (harms, mut pauses) = (
        harms(chance, half_open, rig.colab.is_some()),
        chance.branch(),
    );
    let code = CODE
        .replace("HARMS", &harms.len().to_string())
        .replace("LINES", &LINES.to_string());
    let is_over = AtomicBool::new(false);
    let breaking = async {
        let struck = File::options().append(true).open(root.join("struck"));
        let mut struck = struck.unwrap();
        for harm in harms {
            let done = timeout(PATIENCE, rig.strike(&harm)).await;
            done.unwrap_or_else(|_| panic!("{harm:?} never struck"));
            struck.write_all(b"x").unwrap();
            sleep(pauses.millis(0..150)).await;
        }
        is_over.store(true, Ordering::Relaxed);
    };
    let expected = expected();
    let reading = async {
        let first = caller.run(&code, "main", 600).await;
        let job = first.job.clone();
        let second = Reader::of(&job);
        tokio::join!(
            follow(caller, first, chance.branch(), &is_over, &expected),
            follow(caller, second, chance.branch(), &is_over, &expected),
        );
        job
    };
    let (job, ()) = tokio::join!(reading, breaking);
    assert_eq!(fs::read_to_string(root.join("ran")).unwrap(), "x");
    let whole = caller.call("get_output", json!({"job_id": job})).await;
    let kept = whole.facts["log"].as_str().unwrap();
    assert_same_lines(&fs::read_to_string(kept).unwrap(), &expected);
}

/// A bridge's home and setting, the server, the cable to it, and the folder in which code runs.
struct Rig {
    home: Home,
    setting: String,
    server: Jupyter,
    gateway: Option<Jupyter>,
    /// Between the cable and the bridge.
    colab: Option<FakeColab>,
    cable: Cable,
    root: PathBuf,
}

impl Rig {
    fn of(server: Jupyter, gateway: Option<Jupyter>) -> Self {
        let cable = Cable::to(server.address());
        let (direct, through) = (server.address().to_string(), cable.address().to_string());
        Self {
            home: Home::new(),
            setting: server.setting().replace(&direct, &through),
            root: gateway.as_ref().unwrap_or(&server).root(),
            cable,
            server,
            gateway,
            colab: None,
        }
    }

    /// The server is that of an assigned machine.
    fn behind_colab(mut self) -> Self {
        let colab = FakeColab::over(&[format!("http://{}", self.cable.address())], TOKEN);
        // Also renewed all the time.
        colab.set(&json!({"proxy_token_sec": 6}));
        sign_in(&self.home, REFRESH_TOKEN);
        let name = said(&run_colab(&self.home, &colab, &["up", "--no-start"]));
        self.setting = format!("colab:{}", name.trim());
        self.colab = Some(colab);
        self
    }

    async fn strike(&mut self, harm: &Harm) {
        let (method, action) = match harm {
            Harm::Wire(fault) => return self.cable.strike(*fault, FAULT_PATIENCE).await,
            Harm::HelperRestarts => ("POST", "/restart"),
            Harm::HelperEnds => ("DELETE", ""),
            Harm::TokensExpire { drops } => {
                let colab = self.colab.as_ref().unwrap();
                let knobs = match drops {
                    true => json!({"expire": true, "drop": true}),
                    false => json!({"expire": true}),
                };
                block_in_place(|| colab.set(&knobs));
                return;
            }
        };
        loop {
            // It may be starting, or gone since its id was recorded.
            let answer = self.helper().and_then(|helper| {
                let route = format!("api/kernels/{helper}{action}");
                block_in_place(|| self.server.ask(method, &route))
            });
            if answer.is_some_and(|(status, _)| matches!(status, 200 | 204)) {
                return;
            }
            sleep(FAULT_PATIENCE).await;
        }
    }

    /// The kernel that the bridge recorded as its helper.
    fn helper(&self) -> Option<String> {
        let servers = fs::read_dir(self.home.folder("data/jupyter")).ok()?;
        let file = servers.flatten().next()?.path().join("0.kernel");
        fs::read_to_string(file).ok()
    }
}

/// How many lines were surely printed.
fn noted(root: &Path) -> usize {
    fs::metadata(root.join("printed")).map_or(0, |file| file.len().try_into().unwrap())
}
