//! What the store keeps: values behind their version byte, and keys that are read back.

use crate::{Form, Format};
use engine::records::{
    self, bead, checkpoint, host, meta, op, shadow, space, ticket, tips, totals, waiting, work, workspace,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use types::{SpaceId, Table};

pub(crate) const FORMATS: &[Format] = &[
    Format::new("state/bead", state),
    Format::new("state/shadow", kept_shadow),
    Format::new("record/number", value::<u64>),
    Format::new("record/text", value::<String>),
    Format::new("record/generation", value::<engine::Generation>),
    Format::new("record/incarnation", value::<meta::Incarnation>),
    Format::new("record/space", value::<space::SpaceRecord>),
    Format::new("record/host", value::<host::HostRecord>),
    Format::new("record/ticket", value::<ticket::TicketRecord>),
    Format::new("record/tips", value::<tips::Tips>),
    Format::new("record/totals", value::<totals::Totals>),
    Format::new("record/waiting", value::<waiting::WaitingRecord>),
    Format::new("record/shadow", value::<shadow::ShadowRecord>),
    Format::new("record/workspace", value::<workspace::WorkspaceRecord>),
    Format::new("record/checkpoint", value::<checkpoint::Kept>),
    Format::new("record/base", value::<checkpoint::Base>),
    Format::new("record/intent", value::<workspace::Intent>),
    Format::new("record/hook", value::<work::HookRecord>),
    Format::new("record/runner", value::<work::RunnerRecord>),
    Format::new("key/op", op_key),
    Format::new("key/tips", tips_key),
    Format::new("key/bead", bead_key),
    Format::new("key/shadow", shadow_key),
    Format::new("key/workspace", workspace_key),
];

fn value<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<Form, String> {
    let record: T = records::unpack(Table::Meta, bytes).map_err(|err| err.reason)?;
    let value = serde_json::to_value(&record).map_err(|err| err.to_string())?;
    Ok(Form { value, bytes: records::pack(&record) })
}

/// The digests stand for everything that is inside.
fn state(bytes: &[u8]) -> Result<Form, String> {
    let state = beads::BeadState::decode(bytes).map_err(|err| err.to_string())?;
    let share = state.contribution();
    let lines: Vec<String> = state.shown().iter().map(|shown| shown.bead.to_line()).collect();
    let value = json!({
        "id": state.id().as_str(),
        "live": state.live_writes(),
        "beads": share.beads,
        "conflicts": share.conflicts,
        "baseline_conflicts": share.baseline_conflicts,
        "digest": share.digest,
        "state_digest": share.state_digest,
        "shown": lines,
    });
    Ok(Form { value, bytes: state.encode() })
}

fn kept_shadow(bytes: &[u8]) -> Result<Form, String> {
    let shadow = beads::Shadow::decode(bytes).map_err(|err| err.to_string())?;
    let value = serde_json::to_value(&shadow).map_err(|err| err.to_string())?;
    Ok(Form { value, bytes: shadow.encode() })
}

fn space_of(key: &[u8]) -> Result<SpaceId, String> {
    key.get(..32).and_then(|bytes| SpaceId::from_slice(bytes).ok()).ok_or_else(|| "no space".to_owned())
}

fn op_key(bytes: &[u8]) -> Result<Form, String> {
    let (writer, seq, id) = op::parse(bytes).ok_or("no key of an op")?;
    let space = space_of(bytes)?;
    let value = json!({"space": space, "host": writer.host, "incarnation": writer.incarnation, "seq": seq, "id": id});
    Ok(Form { value, bytes: op::key(&space, &writer, seq, &id) })
}

fn tips_key(bytes: &[u8]) -> Result<Form, String> {
    let writer = tips::parse(bytes).ok_or("no key of tips")?;
    let space = space_of(bytes)?;
    let value = json!({"space": space, "host": writer.host, "incarnation": writer.incarnation});
    Ok(Form { value, bytes: tips::key(&space, &writer) })
}

fn bead_key(bytes: &[u8]) -> Result<Form, String> {
    let id = bead::parse(bytes).ok_or("no key of a bead")?;
    let space = space_of(bytes)?;
    Ok(Form { value: json!({"space": space, "id": id}), bytes: bead::key(&space, id) })
}

fn shadow_key(bytes: &[u8]) -> Result<Form, String> {
    let id = shadow::parse(bytes).ok_or("no key of a shadow")?;
    let number = bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes)).ok_or("no workspace")?;
    Ok(Form { value: json!({"workspace": number, "id": id}), bytes: shadow::key(number, id) })
}

fn workspace_key(bytes: &[u8]) -> Result<Form, String> {
    let number = workspace::parse(bytes).ok_or("no key of a workspace")?;
    Ok(Form { value: json!({"workspace": number}), bytes: workspace::key(number) })
}
