//! Lines and files of text: tickets, key files, beads files, the local API.

use crate::{Form, Format};
use bech32::{Bech32m, Hrp};
use engine::Command;
use identity::{AgentKey, HostKey, KEY_FILE_BYTES_MAX, OwnerKey, TICKET_CHARS_MAX, Ticket};
use proto::limits::LINE_BYTES_MAX;
use serde_json::{Value, json};

pub(crate) const FORMATS: &[Format] = &[
    Format::new("ticket/line", ticket),
    Format::new("ticket/content", ticket_content),
    Format::limited("keyfile/host", KEY_FILE_BYTES_MAX, host_key),
    Format::limited("keyfile/owner", KEY_FILE_BYTES_MAX, owner_key),
    Format::limited("keyfile/agent", KEY_FILE_BYTES_MAX, agent_key),
    Format::limited("line/bead", LINE_BYTES_MAX, bead_line),
    Format::new("control/request", control_request),
    Format::new("control/response", control_response),
    Format::new("control/command", control_command),
];

fn error(err: impl ToString) -> String {
    err.to_string()
}

fn utf8(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(error)
}

fn ticket(bytes: &[u8]) -> Result<Form, String> {
    let text = utf8(bytes)?;
    let ticket = Ticket::decode(text).map_err(error)?;
    assert!(text.trim().len() <= TICKET_CHARS_MAX, "a ticket of {} characters", text.len());
    let value = json!({
        "mesh": ticket.mesh,
        "space": ticket.space,
        "h": ticket.h,
        "name": ticket.name,
        "role": ticket.role.to_string(),
        "peer_id": ticket.peer_id,
        "npub": ticket.npub,
        "addrs": ticket.addrs,
        "secret": hex::encode(ticket.secret.as_bytes()),
        "expires": ticket.expires.0,
    });
    Ok(Form { value, bytes: ticket.encode().map_err(error)?.into_bytes() })
}

/// What is behind a ticket's checksum, which would keep a fuzzer out.
fn ticket_content(bytes: &[u8]) -> Result<Form, String> {
    let hrp = Hrp::parse("tmesh").map_err(error)?;
    let line = bech32::encode::<Bech32m>(hrp, bytes).map_err(error)?;
    let form = ticket(line.as_bytes())?;
    let (_, content) = bech32::decode(utf8(&form.bytes)?).map_err(error)?;
    Ok(Form { value: form.value, bytes: content })
}

fn host_key(bytes: &[u8]) -> Result<Form, String> {
    let key = HostKey::decode(utf8(bytes)?).map_err(error)?;
    Ok(Form { value: json!({"peer_id": key.peer_id(), "npub": key.npub()}), bytes: key.encode().as_bytes().to_vec() })
}

fn owner_key(bytes: &[u8]) -> Result<Form, String> {
    let key = OwnerKey::decode(utf8(bytes)?).map_err(error)?;
    let value = json!({"npub": key.npub(), "commitment": hex::encode(key.commitment().0)});
    Ok(Form { value, bytes: key.encode().as_bytes().to_vec() })
}

fn agent_key(bytes: &[u8]) -> Result<Form, String> {
    let key = AgentKey::decode(utf8(bytes)?).map_err(error)?;
    Ok(Form { value: json!({"npub": key.npub()}), bytes: key.encode().as_bytes().to_vec() })
}

/// Beads are described by their units; lines of other kinds are passed through as they are.
fn bead_line(bytes: &[u8]) -> Result<Form, String> {
    let line = utf8(bytes)?;
    let (kind, text) = match beads::parse_line(line).map_err(error)? {
        beads::Parsed::Issue(bead) => {
            let units = bead.units().into_iter().map(|(unit, value)| (unit.to_string(), value));
            let value = json!({"id": bead.get("id").cloned(), "units": units.collect::<serde_json::Map<_, _>>()});
            return Ok(Form { value, bytes: bead.to_line().into_bytes() });
        }
        beads::Parsed::Memory(text) => ("memory", text),
        beads::Parsed::Header(text) => ("header", text),
        beads::Parsed::Other(text) => ("other", text),
        beads::Parsed::Blank => ("blank", line.to_owned()),
    };
    Ok(Form { value: json!({kind: text}), bytes: text.into_bytes() })
}

fn control_request(bytes: &[u8]) -> Result<Form, String> {
    let request = control::Request::from_line(bytes).map_err(error)?;
    let value = json!({"id": request.id, "method": request.method, "params": request.params});
    Ok(Form { value, bytes: request.to_line().map_err(error)? })
}

fn control_response(bytes: &[u8]) -> Result<Form, String> {
    let response = control::Response::from_line(bytes).map_err(error)?;
    let err = response.error.as_ref().map(|e| json!({"code": e.code, "message": e.message, "hints": e.hints}));
    let value = json!({"id": response.id, "progress": response.progress, "result": response.result, "error": err});
    Ok(Form { value, bytes: response.to_line() })
}

/// A method with its parameters, as the daemon puts them together.
fn control_command(bytes: &[u8]) -> Result<Form, String> {
    let command: Command = serde_json::from_slice(bytes).map_err(error)?;
    let value: Value = serde_json::to_value(&command).map_err(error)?;
    Ok(Form { bytes: serde_json::to_vec(&value).map_err(error)?, value })
}
