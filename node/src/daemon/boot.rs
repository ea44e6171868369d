//! The one place that turns what the shells report into inputs.

use super::calls::{Calls, error};
use super::inputs::Inputs;
use control::{ApiError, Call};
use engine::{Command, Input, NetInput};
use net::Event;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// Time between two ticks.
const TICK: Duration = Duration::from_millis(100);

/// Ticks until the end.
pub(super) async fn ticks(inputs: Inputs, calls: Calls) {
    let mut clock = tokio::time::interval(TICK);
    clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        clock.tick().await;
        calls.expire();
        // A tick that finds the queue full is not missed: the next one comes soon.
        if let Err(TrySendError::Closed(_)) = inputs.try_send(Input::Tick) {
            return;
        }
    }
}

/// What the network reports, until it ends.
pub(super) async fn network(inputs: Inputs, mut events: mpsc::Receiver<Event>) {
    while let Some(event) = events.recv().await {
        if inputs.send(Input::Net(translate(event))).await.is_err() {
            return;
        }
    }
}

fn translate(event: Event) -> NetInput {
    match event {
        Event::Listening(address) => NetInput::Listening(address),
        // The engine keeps one address per peer: a better path is told like a first one.
        Event::Connected { peer, address, transport, outbound }
        | Event::PathChanged { peer, address, transport, outbound } => {
            NetInput::Connected { peer, address, transport: transport.to_owned(), outbound }
        }
        Event::Disconnected { peer } => NetInput::Disconnected(peer),
        Event::Rtt { peer, micros } => NetInput::Rtt { peer, micros },
        Event::Discovered { peer, addrs } => NetInput::Discovered { peer, addrs },
        Event::Gossip { peer, topic, data, message } => NetInput::Gossip { peer, topic, data, message: message.0 },
        Event::Request { peer, id, body } => NetInput::Asked { peer, inbound: id.0, body },
        Event::Response { id, result } => NetInput::Answered { ask: id, result: result.map_err(|err| err.to_string()) },
        Event::PullRequested { peer, stream, body } => NetInput::PullAsked { peer, stream: stream.0, body },
        Event::PullFrame { id, body } => NetInput::Page { ask: id, body },
        Event::PullEnd { id, result } => NetInput::PullEnded { ask: id, result: result.map_err(|err| err.to_string()) },
    }
}

/// What people and programs on this machine ask for, until the control server ends.
pub(super) async fn api(inputs: Inputs, mut incoming: mpsc::Receiver<Call>, calls: Calls, stop: CancellationToken) {
    while let Some(call) = incoming.recv().await {
        match call.method.as_str() {
            "node.ping" => call.reply.done(Ok(json!({
                "pid": std::process::id(),
                "version": env!("CARGO_PKG_VERSION"),
            }))),
            "node.stop" => {
                call.reply.done(Ok(json!({"stopping": true})));
                stop.cancel();
            }
            _ => match command(&call.method, call.params) {
                Err(err) => call.reply.done(Err(err)),
                Ok(command) => {
                    let id = calls.add(&command, call.reply);
                    if inputs.send(Input::Command { call: id, command }).await.is_err() {
                        return;
                    }
                }
            },
        }
    }
}

/// The command that a call names.
fn command(method: &str, params: Value) -> Result<Command, ApiError> {
    let params = if params.is_null() { json!({}) } else { params };
    // The method has to stand first: the tag decides how the rest is read.
    serde_json::from_value(json!({"method": method, "params": params})).map_err(|err| {
        let text = err.to_string();
        // Told apart by the list of methods that serde adds: an unknown word inside the parameters names others.
        if text.contains("unknown variant") && text.contains("`beads.import`") {
            let short: String = method.chars().take(60).collect();
            return error("unknown_method", format!("no method {short:?}"), &["townmesh --help"]);
        }
        error("bad_params", format!("{method}: {text}"), &[])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::{Choice, SpaceRef};

    #[test]
    fn commands_are_read_and_mistakes_are_told_apart() {
        let at = SpaceRef { space: Some("app".into()), cwd: None };
        let found = command("beads.show", json!({"at": {"space": "app"}, "id": "a-1"})).unwrap();
        assert_eq!(found, Command::Show { at: at.clone(), id: "a-1".into() });
        assert_eq!(command("status", Value::Null).unwrap(), Command::Status {});
        assert_eq!(command("beads.eat", json!({})).unwrap_err().code, "unknown_method");
        assert_eq!(command("", json!(3)).unwrap_err().code, "unknown_method");
        for params in [json!({}), json!({"id": 3}), json!([1]), json!("x")] {
            assert_eq!(command("beads.show", params).unwrap_err().code, "bad_params");
        }
        let choice = json!({"at": {}, "choice": "nonsense"});
        assert_eq!(command("beads.resolve", choice).unwrap_err().code, "bad_params");
    }

    #[test]
    fn every_command_survives_the_way_from_the_client() {
        let at = SpaceRef { space: None, cwd: Some("/x".into()) };
        let commands = [
            Command::Resolve {
                at: at.clone(),
                id: None,
                unit: None,
                choice: Choice::Value(json!({"a": 1.50, "b": [1, null]})),
                baseline: true,
            },
            Command::Import {
                at,
                first_line: u64::MAX,
                lines: vec!["{}".into()],
                ancestors: [("a".to_owned(), [("title".to_owned(), vec![u64::MAX, 0])].into())].into(),
            },
        ];
        for sent in commands {
            let mut value = serde_json::to_value(&sent).unwrap();
            let params = value["params"].take();
            assert_eq!(command(value["method"].as_str().unwrap(), params).unwrap(), sent);
        }
    }
}
