//! A tab of Colab as it behaves towards Google's colab-mcp: it dials `localhost` with its origin, drops a connection that does not echo the
//! sub-protocol, speaks first, answers in JSON texts, and runs one cell after the other.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket, client};

pub(crate) const ORIGIN: &str = "https://colab.research.google.com";
/// How often it looks up from the socket.
const TICK: Duration = Duration::from_millis(20);

/// A connected tab; closed when it is dropped.
pub(crate) struct ColabTab {
    stream: TcpStream,
    pub(crate) page: Arc<Mutex<Page>>,
    thread: Option<JoinHandle<Option<Closed>>>,
}

/// With what code and reason the other side has closed the connection.
pub(crate) type Closed = (u16, String);

/// What a tab shows, and how it behaves.
#[derive(Default)]
pub(crate) struct Page {
    pub(crate) cells: Vec<Value>,
    /// Every call of a tool: its name and arguments.
    pub(crate) calls: Vec<(String, Value)>,
    /// The script does not run: a tab in the background. Pings are answered by the browser.
    pub(crate) is_asleep: bool,
    /// Cells that wait run to their end.
    pub(crate) is_released: bool,
    /// It shows no outputs of cells that were run by tools.
    pub(crate) hides_outputs: bool,
    /// What it says in place of its cells.
    pub(crate) odd_answer: Option<Value>,
    /// It reports the progress of each call.
    pub(crate) reports: bool,
    /// It has a tool that interrupts.
    interrupts: bool,
    /// What it sends before its answers.
    news: Vec<Value>,
    made: u64,
    /// Requests of runs, in their order.
    running: VecDeque<(Value, String)>,
    pub(crate) cancelled: Vec<Value>,
}

impl ColabTab {
    /// Opens a tab that is to connect with what the dialog was given: `TOKEN&PORT`.
    pub(crate) fn open(pair: &str) -> Self {
        Self::showing(Page::default(), pair)
    }

    /// The same with a page that behaves so.
    pub(crate) fn showing(page: Page, pair: &str) -> Self {
        let page = Arc::new(Mutex::new(page));
        Self::dial(&[Ipv4Addr::LOCALHOST.into()], ORIGIN, pair, page)
    }

    /// The same where `localhost` is the other family.
    pub(crate) fn open_by_v6(pair: &str) -> Self {
        Self::dial(&[Ipv6Addr::LOCALHOST.into()], ORIGIN, pair, Arc::default())
    }

    /// The same from the other site of Colab, whatever `localhost` is.
    pub(crate) fn open_from_google(pair: &str) -> Self {
        let hosts = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        Self::dial(&hosts, "https://colab.google.com", pair, Arc::default())
    }

    /// Opens the notebook in a new tab or after a reload: the same cells, a new connection.
    pub(crate) fn reopen(page: Arc<Mutex<Page>>, pair: &str) -> Self {
        page.lock().unwrap().running.clear();
        Self::dial(&[Ipv4Addr::LOCALHOST.into()], ORIGIN, pair, page)
    }

    fn dial(hosts: &[IpAddr], origin: &'static str, pair: &str, page: Arc<Mutex<Page>>) -> Self {
        let (token, port) = pair.split_once('&').unwrap();
        let port: u16 = port.parse().unwrap();
        let addresses: Vec<_> = hosts
            .iter()
            .map(|&host| SocketAddr::new(host, port))
            .collect();
        let stream = TcpStream::connect(&*addresses).unwrap();
        let address = format!("ws://localhost:{port}/?access_token={token}");
        let mut request = address.into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("Origin", HeaderValue::from_static(origin));
        headers.insert("Sec-WebSocket-Protocol", HeaderValue::from_static("mcp"));
        let connected = client(request, stream.try_clone().unwrap());
        let (mut socket, answer) = connected.unwrap();
        let echoed = answer.headers().get("Sec-WebSocket-Protocol");
        assert_eq!(echoed.map(HeaderValue::as_bytes), Some(&b"mcp"[..]));
        stream.set_read_timeout(Some(TICK)).unwrap();
        let news = json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"});
        let (shown, text) = (page.clone(), news.to_string());
        let thread = spawn(move || {
            if socket.send(Message::text(text)).is_err() {
                return None;
            }
            serve(&mut socket, &shown)
        });
        Self {
            stream,
            page,
            thread: Some(thread),
        }
    }

    pub(crate) fn page(&self) -> MutexGuard<'_, Page> {
        self.page.lock().unwrap()
    }

    /// Calls of a tool so far.
    pub(crate) fn count(&self, tool: &str) -> usize {
        let page = self.page();
        page.calls.iter().filter(|(name, _)| name == tool).count()
    }

    /// Waits for the other side to close the connection.
    pub(crate) fn closed(mut self) -> Option<Closed> {
        self.thread.take().unwrap().join().unwrap()
    }

    /// Closes the tab. What was on its way is lost.
    pub(crate) fn close(self) -> Arc<Mutex<Page>> {
        self.page.clone()
    }
}

impl Drop for ColabTab {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Serves until the connection ends; returns how the other side closed it.
fn serve(socket: &mut WebSocket<TcpStream>, page: &Mutex<Page>) -> Option<Closed> {
    let mut unread = VecDeque::new();
    loop {
        match socket.read() {
            Ok(Message::Text(text)) => unread.push_back(serde_json::from_str(&text).unwrap()),
            Ok(Message::Close(frame)) => {
                return frame.map(|frame| (frame.code.into(), frame.reason.to_string()));
            }
            Ok(_) => {}
            Err(Error::Io(error))
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return None,
        }
        let mut page = page.lock().unwrap();
        if page.is_asleep {
            continue;
        }
        let mut answers: Vec<Value> = unread
            .drain(..)
            .filter_map(|message| page.answer(&message))
            .collect();
        while let Some(answer) = page.run() {
            answers.push(answer);
        }
        let messages = std::mem::take(&mut page.news).into_iter().chain(answers);
        drop(page);
        for answer in messages {
            if socket.send(Message::text(answer.to_string())).is_err() {
                return None;
            }
        }
    }
}

impl Page {
    pub(crate) fn with_interrupts(interrupts: bool) -> Self {
        Self {
            interrupts,
            ..Self::default()
        }
    }

    fn answer(&mut self, message: &Value) -> Option<Value> {
        let id = &message["id"];
        let result = match message["method"].as_str()? {
            "initialize" => json!({
                "protocolVersion": message["params"]["protocolVersion"],
                "capabilities": {"tools": {"listChanged": true}},
                "serverInfo": {"name": "ColabMCP", "version": "1.0.0"},
            }),
            "tools/list" => json!({"tools": tools(self.interrupts)}),
            "notifications/cancelled" => {
                let id = &message["params"]["requestId"];
                self.cancelled.push(id.clone());
                return None;
            }
            "tools/call" => {
                let params = &message["params"];
                let (name, arguments) = (params["name"].as_str().unwrap(), &params["arguments"]);
                self.calls.push((name.to_owned(), arguments.clone()));
                if self.reports {
                    let token = &params["_meta"]["progressToken"];
                    self.news.push(json!({
                        "jsonrpc": "2.0", "method": "notifications/progress",
                        "params": {"progressToken": token, "progress": 1, "total": 4, "message": format!("{name} is under way")},
                    }));
                }
                if name == "wait_for_ever" {
                    return None;
                }
                if name == "run_code_cell" {
                    let cell = arguments["cellId"].as_str().unwrap().to_owned();
                    self.running.push_back((id.clone(), cell));
                    return None;
                }
                match self.call(name, arguments) {
                    Ok(value) => text(&value, false),
                    Err(said) => text(&json!(said), true),
                }
            }
            _ => return None,
        };
        Some(json!({"jsonrpc": "2.0", "id": id, "result": result}))
    }

    fn call(&mut self, name: &str, arguments: &Value) -> Result<Value, &'static str> {
        let at = arguments["cellIndex"].as_u64().map(|at| at as usize);
        let id = arguments["cellId"].as_str();
        let named = self.cells.iter().position(|cell| cell["id"].as_str() == id);
        let named = named.ok_or("no such cell");
        match name {
            "get_cells" if self.odd_answer.is_some() => Ok(self.odd_answer.clone().unwrap()),
            "get_cells" => {
                let mut cells = self.cells.clone();
                if self.hides_outputs || arguments["includeOutputs"] != true {
                    for cell in &mut cells {
                        cell.as_object_mut().unwrap().remove("outputs");
                    }
                }
                Ok(json!({"cells": cells}))
            }
            "add_code_cell" | "add_text_cell" => {
                self.made += 1;
                let id = format!("made{}", self.made);
                let (kind, source) = match name {
                    "add_code_cell" => ("code", &arguments["code"]),
                    _ => ("markdown", &arguments["content"]),
                };
                let cell = json!({"cell_type": kind, "id": id, "source": [source]});
                self.cells.insert(at.ok_or("cellIndex: Required")?, cell);
                Ok(json!({"newCellId": id}))
            }
            "update_cell" => {
                let cell = &mut self.cells[named?];
                cell["source"] = json!([arguments["content"]]);
                Ok(json!({}))
            }
            "delete_cell" => {
                self.cells.remove(named?);
                Ok(json!({}))
            }
            "move_cell" => {
                let cell = self.cells.remove(named?);
                self.cells.insert(at.ok_or("cellIndex: Required")?, cell);
                Ok(json!({}))
            }
            "get_session_info" => Ok(json!({"gpu": "T4", "asked": arguments})),
            _ => Err("no such tool"),
        }
    }

    /// Runs the cell whose turn it is. Its source is what it prints; one that begins with `wait` takes until it is released, one with `raise` fails.
    fn run(&mut self) -> Option<Value> {
        let (id, cell) = self.running.front()?.clone();
        let cell = self.cells.iter_mut().find(|known| known["id"] == *cell)?;
        let source = cell["source"][0].as_str().unwrap().to_owned();
        if source.starts_with("wait") && !self.is_released {
            return None;
        }
        self.running.pop_front();
        let outputs = if source.starts_with("raise") {
            json!([{"output_type": "error", "ename": "ValueError", "evalue": source, "traceback": ["ValueError: no"]}])
        } else {
            json!([{"output_type": "stream", "name": "stdout", "text": [format!("ran {source}\n")]}])
        };
        cell["outputs"] = outputs.clone();
        let result = text(&json!({"outputs": outputs}), false);
        Some(json!({"jsonrpc": "2.0", "id": id, "result": result}))
    }
}

fn text(value: &Value, is_error: bool) -> Value {
    json!({"content": [{"type": "text", "text": value.to_string()}], "isError": is_error})
}

fn tools(interrupts: bool) -> Vec<Value> {
    let tool = |name: &str, arguments: &[&str]| {
        let properties = arguments.iter().map(|name| ((*name).to_owned(), json!({})));
        let schema =
            json!({"type": "object", "properties": properties.collect::<serde_json::Map<_, _>>()});
        json!({"name": name, "description": format!("Does {name}."), "inputSchema": schema})
    };
    let mut tools = vec![
        tool(
            "get_cells",
            &["cellIndexStart", "cellIndexEnd", "includeOutputs"],
        ),
        tool("add_code_cell", &["code", "cellIndex", "language"]),
        tool("add_text_cell", &["content", "cellIndex"]),
        tool("update_cell", &["cellId", "content"]),
        tool("delete_cell", &["cellId"]),
        tool("move_cell", &["cellId", "cellIndex"]),
        tool("run_code_cell", &["cellId"]),
        tool("get_session_info", &["detail"]),
        tool("wait_for_ever", &[]),
    ];
    if interrupts {
        tools.push(tool("interrupt_runtime", &[]));
    }
    tools
}
