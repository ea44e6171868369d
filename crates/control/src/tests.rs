use super::*;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// A server that answers `echo`, `fail`, `drop`, `hold` and tells progress for `slow`.
fn serve(path: &Path, cancel: &CancellationToken) -> Server {
    let (server, calls) = Server::bind(path, cancel.clone()).unwrap();
    tokio::spawn(answer(calls));
    server
}

async fn answer(mut calls: mpsc::Receiver<Call>) {
    let mut held = Vec::new();
    while let Some(call) = calls.recv().await {
        match call.method.as_str() {
            "echo" => call.reply.done(Ok(call.params)),
            "slow" => {
                call.reply.progress(json!(1));
                call.reply.progress(json!(2));
                call.reply.done(Ok(json!("done")));
            }
            "fail" => {
                let hints = vec!["try again".to_owned()];
                call.reply.done(Err(ApiError { code: "nope".into(), message: "no".into(), hints }));
            }
            "hold" => held.push(call.reply),
            _ => drop(call.reply),
        }
    }
}

async fn blocking<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::time::timeout(Duration::from_secs(60), tokio::task::spawn_blocking(f)).await.unwrap().unwrap()
}

#[tokio::test]
async fn calls_have_results_progress_and_typed_errors() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let cancel = CancellationToken::new();
    let _server = serve(&path, &cancel);
    blocking(move || {
        let mut client = Client::connect(&path).unwrap();
        assert_eq!(client.call("echo", json!({"a": [1, 2]}), |_| ()).unwrap(), json!({"a": [1, 2]}));
        let mut seen = Vec::new();
        assert_eq!(client.call("slow", Value::Null, |p| seen.push(p)).unwrap(), json!("done"));
        assert_eq!(seen, [json!(1), json!(2)]);
        match client.call("fail", Value::Null, |_| ()) {
            Err(ClientError::Api(err)) => assert_eq!((err.code.as_str(), err.hints.len()), ("nope", 1)),
            other => panic!("{other:?}"),
        }
        match client.call("drop", Value::Null, |_| ()) {
            Err(ClientError::Api(err)) => assert_eq!(err.code, "cancelled"),
            other => panic!("{other:?}"),
        }
        let large = json!("x".repeat(8 << 20));
        assert_eq!(client.call("echo", large.clone(), |_| ()).unwrap(), large);
    })
    .await;
}

#[tokio::test]
async fn the_socket_is_private_and_a_dead_daemons_is_replaced() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    assert!(matches!(Client::connect(&path), Err(ClientError::NotRunning { .. })));
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let cancel = CancellationToken::new();
    let server = serve(&path, &cancel);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(matches!(Server::bind(&path, cancel.clone()), Err(BindError::InUse { .. })));
    drop(server);
    assert!(!path.exists());
    let long = dir.path().join("x".repeat(120));
    assert!(matches!(Server::bind(&long, cancel), Err(BindError::PathTooLong { .. })));
}

/// What a raw connection gets back for these bytes, until the daemon closes it or falls silent.
fn raw(path: &Path, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn hostile_callers_get_answers_and_harm_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let cancel = CancellationToken::new();
    let _server = serve(&path, &cancel);
    blocking(move || {
        assert!(raw(&path, b"soup\n").contains("malformed_request"));
        assert!(raw(&path, b"{\"id\":1}\n").contains("malformed_request"));
        assert_eq!(raw(&path, b"{\"id\":1,\"method\":\"ec"), "");
        assert_eq!(raw(&path, b"\xff\xfe"), "");
        let mut many = Vec::new();
        for id in 0..CALLS_MAX + 5 {
            many.extend(format!("{{\"id\":{id},\"method\":\"hold\"}}\n").bytes());
        }
        assert_eq!(raw_lines(&path, &many, 5).matches("too_many_calls").count(), 5);
        let mut huge = vec![b'x'; proto::limits::CONTROL_BYTES_MAX + 2];
        huge.push(b'\n');
        assert!(raw(&path, &huge).contains("request_too_large"));
        let crowd: Vec<_> = (0..CONNECTIONS_MAX * 4).map(|_| UnixStream::connect(&path)).collect();
        drop(crowd);
        let echo = (0..200).find_map(|_| Client::connect(&path).ok()?.call("echo", json!(1), |_| ()).ok());
        assert_eq!(echo, Some(json!(1)));
    })
    .await;
}

/// The first `lines` lines that come back.
fn raw_lines(path: &Path, bytes: &[u8], lines: usize) -> String {
    use std::io::{BufRead, BufReader};
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(bytes).unwrap();
    let mut reader = BufReader::new(stream);
    let mut all = String::new();
    for _ in 0..lines {
        reader.read_line(&mut all).unwrap();
    }
    all
}
