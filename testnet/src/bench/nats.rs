//! NATS beside slung work: one request with its reply, over a real `nats-server` on loopback. Nothing in it is signed or
//! kept on a disk: it is what a message through a broker costs here, no more.

use super::sling::PACE;
use crate::latency::Times;
use crate::node::PATIENCE;
use crate::wait_until;
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// Longest message that is read, in bytes: what the server itself allows by default.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// Where requests go.
const SUBJECT: &str = "townmesh.grants";

/// Where replies go.
const INBOX: &str = "_INBOX.townmesh";

/// A server on a port that the system chose. It ends when this is dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; nothing is to be done about that here.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    fn start(program: &Path, dir: &Path) -> Result<(Server, String)> {
        let mut command = Command::new(program);
        command.args(["-a", "127.0.0.1", "-p", "-1", "--ports_file_dir"]).arg(dir);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut server = Server(command.spawn().with_context(|| program.display().to_string())?);
        let address = wait_until("the NATS server says where it listens", PATIENCE, || {
            if let Some(status) = server.0.try_wait()? {
                bail!("{} ended with {status}", program.display());
            }
            Ok(address(dir).ok_or_else(|| "no file with its port".to_owned()))
        })?;
        Ok((server, address))
    }
}

/// The address in the file that the server writes.
fn address(dir: &Path) -> Option<String> {
    let files = std::fs::read_dir(dir).ok()?;
    let file = files.flatten().map(|entry| entry.path()).find(|path| path.extension().is_some_and(|e| e == "ports"))?;
    let said: Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    Some(said["nats"][0].as_str()?.strip_prefix("nats://")?.to_owned())
}

/// A client: NATS's protocol is lines of text.
struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(address: &str) -> Result<Client> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut client = Client(BufReader::new(stream));
        let info = client.line()?;
        ensure!(info.starts_with("INFO "), "no NATS server: {info:?}");
        client.write(b"CONNECT {\"verbose\":false,\"pedantic\":false,\"tls_required\":false}\r\n")?;
        Ok(client)
    }

    fn subscribe(&mut self, subject: &str) -> Result<()> {
        self.write(format!("SUB {subject} 1\r\nPING\r\n").as_bytes())?;
        // The answer comes after the server took the subscription.
        let line = self.line()?;
        ensure!(line == "PONG", "{line}");
        Ok(())
    }

    fn publish(&mut self, subject: &str, reply: &str, payload: &[u8]) -> Result<()> {
        let mut message = format!("PUB {subject} {reply} {}\r\n", payload.len()).into_bytes();
        message.extend_from_slice(payload);
        message.extend_from_slice(b"\r\n");
        self.write(&message)
    }

    /// The next message: where its reply goes, and what it says. `None`: the server is gone.
    fn message(&mut self) -> Result<Option<(String, Vec<u8>)>> {
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(None);
            }
            if line == "PING" {
                self.write(b"PONG\r\n")?;
            } else if let Some(rest) = line.strip_prefix("MSG ") {
                let words: Vec<&str> = rest.split(' ').collect();
                let size: usize = words.last().context("size")?.parse()?;
                ensure!(size <= MESSAGE_BYTES_MAX, "a message of {size} bytes");
                let mut payload = vec![0; size + 2];
                self.0.read_exact(&mut payload)?;
                payload.truncate(size);
                let reply = if words.len() == 4 { words[2] } else { "" };
                return Ok(Some((reply.to_owned(), payload)));
            } else {
                bail!("the NATS server says {line}");
            }
        }
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.0.get_mut().write_all(bytes)?)
    }
}

/// From a request to its reply, between two connections of two threads: `payload` there, and as much back. The first
/// `warm_up` of them are not measured.
///
/// # Errors
/// When the server does not start or a reply does not come.
pub fn nats_requests(program: &Path, payload: &Value, requests: usize, warm_up: usize) -> Result<Times> {
    let dir = tempfile::tempdir()?;
    let (server, address) = Server::start(program, dir.path())?;
    let mut worker = Client::connect(&address)?;
    worker.subscribe(SUBJECT)?;
    let answering = std::thread::spawn(move || -> Result<()> {
        while let Some((reply, asked)) = worker.message()? {
            // Read as JSON and written anew, as who answers a grant does.
            let asked: Value = serde_json::from_slice(&asked)?;
            worker.publish(&reply, "", asked.to_string().as_bytes())?;
        }
        Ok(())
    });
    let mut client = Client::connect(&address)?;
    client.subscribe(INBOX)?;
    let mut times = Vec::with_capacity(requests);
    for at in 0..requests + warm_up {
        std::thread::sleep(PACE);
        let started = Instant::now();
        client.publish(SUBJECT, INBOX, payload.to_string().as_bytes())?;
        let (_, answer) = client.message()?.context("the NATS server is gone")?;
        let answer: Value = serde_json::from_slice(&answer)?;
        if at >= warm_up {
            times.push(started.elapsed());
        }
        ensure!(answer == *payload, "another answer than was asked for");
    }
    drop(server);
    // Killed, a server may close its connections with an error, too.
    let _ended = answering.join().map_err(|_| anyhow::anyhow!("the answering thread panicked"))?;
    Ok(Times::new(times))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_read_from_the_servers_file() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(address(dir.path()), None);
        std::fs::write(dir.path().join("nats-server_1.ports"), "{\"nats\":[\"nats://127.0.0.1:4\"]}").unwrap();
        assert_eq!(address(dir.path()).as_deref(), Some("127.0.0.1:4"));
    }
}
