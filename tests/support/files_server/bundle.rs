//! Many small files in one reply.

use std::io::Write as _;
use std::net::{Shutdown, TcpStream};

use serde_json::{Value, json};

use super::{Shared, modified_at, send_bytes, sha256};

const MAX_FILE_BYTES: usize = 1 << 20;
const MAX_NAMES: usize = 1000;

pub(super) fn send(mut stream: &TcpStream, shared: &Shared, request: &Value) -> Option<()> {
    let folder = request["path"].as_str()?.trim_end_matches('/');
    let names = request["names"].as_array()?;
    assert!(names.len() <= MAX_NAMES, "{} names", names.len());
    let (mut body, mut ends) = (Vec::new(), Vec::new());
    let mut state = shared.state.lock().unwrap();
    for name in names {
        let name = name.as_str()?;
        let path = format!("{folder}/{name}");
        let missing = |code| json!({"name": name, "code": code, "detail": format!("{code}!")});
        let there = state.files.get(&path).cloned();
        let there = there.filter(|_| !state.faults.vanished.contains(&path));
        let line = match &there {
            None => missing("not_found"),
            Some(_) if state.faults.unreadable.contains(&path) => missing("invalid_argument"),
            Some((bytes, _)) if bytes.len() > MAX_FILE_BYTES => missing("too_large"),
            Some((bytes, version)) => {
                let is_lie = state.faults.wrong_digests > 0;
                state.faults.wrong_digests = state.faults.wrong_digests.saturating_sub(1);
                let digest = if is_lie {
                    "0".repeat(64)
                } else {
                    sha256(bytes)
                };
                json!({"name": name, "size": bytes.len(), "sha256": digest, "modified_at": modified_at(*version)})
            }
        };
        body.extend_from_slice(format!("{line}\n").as_bytes());
        if let Some((bytes, _)) = there.filter(|_| line.get("size").is_some()) {
            body.extend_from_slice(&bytes);
        }
        ends.push((body.len(), path));
    }
    body.extend_from_slice(b"{\"end\":true}\n");
    let cut = (!state.faults.cuts.is_empty()).then(|| state.faults.cuts.remove(0));
    drop(state);
    let length = body.len();
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nX-Smart-Colab-Api: 2\r\n\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    body.truncate(cut.unwrap_or(length));
    let path_at = |at: usize| {
        let owner = ends.iter().find(|(end, _)| at < *end);
        owner.map_or_else(String::new, |(_, path)| path.clone())
    };
    send_bytes(stream, shared, &body, &path_at)?;
    if cut.is_some() {
        let _ = stream.shutdown(Shutdown::Both);
        return None;
    }
    Some(())
}
