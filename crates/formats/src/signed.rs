//! What is signed or sealed: events with their cards, charters and ops, attestations, wrapped keys.
//!
//! Secrets are fixed and public: golden files and seeds are made with them.

use crate::{Form, Format};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::{Checkpoint, Op};
use identity::{
    AgentCard, Attestation, Charter, CharterChain, Event, HostCard, NostrKey, SpaceKey, kinds, open, seal, unwrap_key,
    wrap_key,
};
use proto::limits::EVENT_BYTES_MAX;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use types::{KeyId, PubKey, UnixSecs};

pub(crate) const FORMATS: &[Format] = &[
    Format::limited("event/any", EVENT_BYTES_MAX, event),
    Format::limited("event/host-card", EVENT_BYTES_MAX, host_card),
    Format::limited("event/agent-card", EVENT_BYTES_MAX, agent_card),
    Format::limited("event/charter", EVENT_BYTES_MAX, charter_event),
    Format::limited("event/op", EVENT_BYTES_MAX, op_event),
    Format::limited("event/work-step", EVENT_BYTES_MAX, work_step),
    Format::new("signed/draft", draft),
    Format::limited("charter/body", EVENT_BYTES_MAX, charter_body),
    Format::limited("op/body", EVENT_BYTES_MAX, op_body),
    Format::new("checkpoint/body", checkpoint_body),
    Format::limited("attestation/json", 1_024, attestation),
    Format::limited("seal/content", 100_000, sealed),
    Format::limited("seal/wrapped-key", 512, wrapped_key),
];

/// The key that signs and the space key that seals in golden files and seeds.
pub(crate) fn signer() -> NostrKey {
    NostrKey::generate([1; 32])
}

fn space_key() -> SpaceKey {
    SpaceKey::from_bytes([2; 32])
}

/// A step of slung work, as the engine understands it.
fn work_step(bytes: &[u8]) -> Result<Form, String> {
    let value = engine::describe_step(bytes).ok_or("no step of slung work")?;
    Ok(Form { value, bytes: bytes.to_vec() })
}

fn checkpoint_body(bytes: &[u8]) -> Result<Form, String> {
    let body = Checkpoint::decode(bytes).map_err(text)?;
    let value = json!({"charter": body.charter, "heads": hex::encode(body.heads), "manifest": hex::encode(body.manifest),
        "parts": body.parts, "bytes": body.bytes, "beads": body.beads, "ops": body.ops,
        "digest": hex::encode(body.digest), "state_digest": hex::encode(body.state_digest)});
    Ok(Form { value, bytes: body.encode() })
}

fn keys(id: &KeyId) -> Option<SpaceKey> {
    Some(space_key()).filter(|key| key.id() == *id)
}

fn text(err: impl ToString) -> String {
    err.to_string()
}

fn describe_event(event: &Event) -> Value {
    json!({
        "id": event.id(),
        "pubkey": event.pubkey(),
        "created_at": event.created_at().0,
        "kind": event.kind(),
        "tags": event.tags(),
        "content": event.content(),
        "sig": hex::encode(event.sig()),
    })
}

fn event(bytes: &[u8]) -> Result<Form, String> {
    let event = Event::verify(bytes).map_err(text)?;
    Ok(Form { value: describe_event(&event), bytes: event.to_json() })
}

fn describe_host_card(card: &HostCard) -> Value {
    json!({
        "npub": card.npub,
        "peer_id": card.peer_id,
        "name": card.name,
        "capabilities": card.capabilities,
        "issued": card.issued.0,
        "expires": card.expires.0,
        "owner": card.owner,
    })
}

/// Cards are read as at the second when they were issued: a golden file does not expire.
fn host_card(bytes: &[u8]) -> Result<Form, String> {
    let event = Event::verify(bytes).map_err(text)?;
    let card = HostCard::verify(&event, event.created_at()).map_err(text)?;
    Ok(Form { value: describe_host_card(&card), bytes: event.to_json() })
}

fn agent_card(bytes: &[u8]) -> Result<Form, String> {
    let event = Event::verify(bytes).map_err(text)?;
    let card = AgentCard::verify(&event, event.created_at()).map_err(text)?;
    let value = json!({
        "npub": card.npub,
        "address": card.address.to_string(),
        "attested_by": card.attested_by,
        "issued": card.issued.0,
        "expires": card.expires.0,
    });
    Ok(Form { value, bytes: event.to_json() })
}

/// The body's own JSON is its description: names and values are what the format is.
fn describe_charter(charter: &Charter) -> Result<Value, String> {
    serde_json::from_slice(&charter.encode()).map_err(text)
}

fn charter_event(bytes: &[u8]) -> Result<Form, String> {
    let event = Event::verify(bytes).map_err(text)?;
    let chain = CharterChain::genesis(&event, &keys).map_err(text)?;
    let charter = Charter::read(&event, &keys).map_err(text)?;
    let value = json!({"space": chain.space(), "h": chain.h(), "body": describe_charter(&charter)?});
    Ok(Form { value, bytes: event.to_json() })
}

fn charter_body(bytes: &[u8]) -> Result<Form, String> {
    let charter = Charter::decode(bytes).map_err(text)?;
    Ok(Form { value: describe_charter(&charter)?, bytes: charter.encode() })
}

fn describe_op(op: &Op) -> Value {
    let writes: Vec<Value> = op.writes.iter().map(describe_write).collect();
    json!({
        "host": op.writer.host,
        "incarnation": op.writer.incarnation,
        "seq": op.seq,
        "prev": op.prev,
        "hlc": op.hlc.packed(),
        "charter": op.charter,
        "actor": op.actor,
        "writes": writes,
    })
}

fn describe_write(write: &beads::Write) -> Value {
    let dot = |dot: &types::Dot| json!([dot.writer.host, dot.writer.incarnation, dot.seq, dot.tag]);
    json!({
        "id": write.id.as_str(),
        "birth": write.birth.to_string(),
        "unit": write.unit.to_string(),
        "value": write.value,
        "replaces": write.replaces.iter().map(dot).collect::<Vec<_>>(),
        "baseline": write.baseline.as_ref().map(|b| json!([b.updated_at.0, b.ancestors])),
    })
}

fn op_body(bytes: &[u8]) -> Result<Form, String> {
    let op = Op::decode(signer().public(), bytes).map_err(text)?;
    Ok(Form { value: describe_op(&op), bytes: op.encode() })
}

fn op_event(bytes: &[u8]) -> Result<Form, String> {
    let event = Event::verify(bytes).map_err(text)?;
    if event.kind() != kinds::BEAD_OP {
        return Err("no op".to_owned());
    }
    let h = event.tag("h").ok_or("no h tag")?;
    let body = open(&space_key(), &event.pubkey(), event.kind(), h, event.content(), EVENT_BYTES_MAX).map_err(text)?;
    let op = Op::decode(event.pubkey(), &body).map_err(text)?;
    Ok(Form { value: describe_op(&op), bytes: event.to_json() })
}

/// An event before it is signed: this way anything that an author may sign is tried, and not only what a signature
/// happens to fit.
#[derive(Serialize, Deserialize)]
struct Draft {
    kind: u16,
    created_at: u64,
    tags: Vec<Vec<String>>,
    content: String,
}

fn draft(bytes: &[u8]) -> Result<Form, String> {
    let draft: Draft = serde_json::from_slice(bytes).map_err(text)?;
    let (kind, at, tags) = (draft.kind, UnixSecs(draft.created_at), draft.tags.clone());
    let event = signer().sign(kind, at, tags, draft.content.clone(), [3; 32]);
    // Whoever signs is free to make what nobody accepts.
    let event = Event::verify(&event.to_json()).map_err(text)?;
    let again = Event::verify(&event.to_json()).map_err(text)?;
    assert!(again == event, "an event that is another one after it was sent: {}", describe_event(&event));
    let value = json!({
        "event": describe_event(&event),
        "host_card": HostCard::verify(&event, at).ok().map(|card| describe_host_card(&card)),
        "agent_card": AgentCard::verify(&event, at).is_ok(),
        "charter": CharterChain::genesis(&event, &keys).is_ok(),
        "op": op_event(&event.to_json()).is_ok(),
        "attestations": event.tags().iter().filter(|tag| Attestation::from_tag(tag).is_ok()).count(),
    });
    Ok(Form { value, bytes: serde_json::to_vec(&draft).map_err(text)? })
}

fn attestation(bytes: &[u8]) -> Result<Form, String> {
    let json = std::str::from_utf8(bytes).map_err(text)?;
    let attestation = Attestation::from_json(json).map_err(text)?;
    let value = json!({"owner": attestation.owner, "conditions": attestation.conditions.to_string()});
    Ok(Form { value, bytes: attestation.to_json().into_bytes() })
}

fn sealed(bytes: &[u8]) -> Result<Form, String> {
    let sealed = std::str::from_utf8(bytes).map_err(text)?;
    let (key, author, h) = (space_key(), PubKey([5; 32]), "00");
    let plain = open(&key, &author, kinds::BEAD_OP, h, sealed, EVENT_BYTES_MAX).map_err(text)?;
    let raw = STANDARD.decode(sealed).map_err(text)?;
    let nonce = raw.get(1..25).and_then(|nonce| nonce.try_into().ok()).ok_or("no nonce")?;
    let again = seal(&key, &author, kinds::BEAD_OP, h, &plain, nonce);
    Ok(Form { value: json!(hex::encode(plain)), bytes: again.into_bytes() })
}

fn wrapped_key(bytes: &[u8]) -> Result<Form, String> {
    let wrapped = std::str::from_utf8(bytes).map_err(text)?;
    let to = NostrKey::generate([4; 32]);
    let key = unwrap_key(wrapped, &signer().public(), &to).map_err(text)?;
    let again = wrap_key(&key, &to.public(), &signer(), [6; 32]).map_err(text)?;
    Ok(Form { value: json!({"id": key.id()}), bytes: again.into_bytes() })
}
