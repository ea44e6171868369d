//! Founding a space, and what is told of spaces.

use super::Space;
use crate::command::SpaceRef;
use crate::desk::Answer;
use crate::engine::{Cx, Engine};
use crate::entropy::draw;
use crate::error::ApiError;
use crate::records::{charter, space::SpaceRecord};
use identity::{Charter, CharterChain, KeyEntry, Member, OwnerKey, Role, SpaceKey, Visibility};
use serde_json::{Map, Value, json};
use types::{EventId, KeyId, MeshId, Table};

/// Longest name of a space in bytes.
const NAME_LEN_MAX: usize = 64;

/// The code and hint for what only the owner's machine can do.
fn no_owner(what: &str) -> ApiError {
    ApiError::new("no_owner_key", format!("{what} needs the owner's key, which is not on this machine"))
        .hint("run this on the machine where the space was made")
}

impl Engine {
    /// The owner's key, if it is here and this space is the owner's.
    pub(super) fn as_owner(&self, space: &Space, what: &str) -> Result<&OwnerKey, ApiError> {
        let owner = self.owner.as_ref().ok_or_else(|| no_owner(what))?;
        if space.charter.may_extend(&owner.npub()) {
            return Ok(owner);
        }
        Err(ApiError::new("not_the_owner", format!("\"{}\" belongs to another owner", space.record.name)))
    }

    pub(crate) fn space_new(&mut self, cx: &mut Cx<'_>, name: &str, public: bool) -> Answer {
        self.writable()?;
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if name.is_empty() || name.len() > NAME_LEN_MAX || name.starts_with(['.', '-']) || !name.chars().all(good) {
            return Err(ApiError::new("bad_name", "a space's name has letters, digits, '.', '_' and '-'"));
        }
        if self.spaces.values().any(|s| s.record.name == name) {
            return Err(
                ApiError::new("name_taken", format!("there is a space \"{name}\" already")).hint("townmesh space ls")
            );
        }
        let Some(owner) = &self.owner else { return Err(no_owner("a new space")) };
        let key = (!public).then(|| SpaceKey::from_bytes(draw(cx.entropy)));
        let me = Member {
            npub: self.me,
            peer_id: self.peer_id,
            name: self.name.clone(),
            owner: owner.npub(),
            roles: vec![Role::Maintainer, Role::Coordinator],
            unknown: Map::new(),
        };
        let charter = Charter {
            n: 1,
            prev: Vec::new(),
            name: name.to_owned(),
            mesh: self.mesh(cx),
            visibility: if public { Visibility::Public } else { Visibility::Private },
            members: vec![me],
            coordinator: Some(self.me),
            successors: Vec::new(),
            witnesses: Vec::new(),
            policy: Map::new(),
            keys: key.iter().map(|k| KeyEntry { id: k.id() }).collect(),
            current_key: key.as_ref().map(SpaceKey::id),
            next_owner: owner.commitment(),
            removed: Vec::new(),
            unknown: Map::new(),
        };
        let nonce = draw(cx.entropy);
        let sealed = key.as_ref().map(|k| (k, k, nonce));
        let internal = |e: &dyn std::fmt::Display| ApiError::new("internal", format!("founding a space: {e}"));
        let event =
            charter.sign(owner.nostr(), cx.now.secs(), sealed, None, draw(cx.entropy)).map_err(|e| internal(&e))?;
        let keys = |id: &KeyId| key.clone().filter(|k| k.id() == *id);
        let chain = CharterChain::genesis(&event, &keys).map_err(|e| internal(&e))?;
        let id = chain.space();
        let record = SpaceRecord { name: name.to_owned(), public, keys: key.iter().map(|k| *k.as_bytes()).collect() };
        cx.txn.put(Table::Charters, charter::key(&id, &event.id()), event.to_json());
        cx.txn.put_record(Table::Spaces, id.0.to_vec(), &record);
        self.open_space(cx, id, record, chain)?;
        Ok(Some(json!({"name": name, "id": id, "public": public})))
    }

    /// The mesh of this node's spaces; a new one for the first.
    fn mesh(&self, cx: &mut Cx<'_>) -> MeshId {
        let known = self.spaces.values().next().map(|s| s.charter.mesh());
        known.unwrap_or_else(|| MeshId(draw(cx.entropy)))
    }

    pub(crate) fn space_ls(&mut self, cx: &mut Cx<'_>) -> Answer {
        let ids: Vec<_> = self.spaces.keys().copied().collect();
        let mut lines = Vec::new();
        for id in ids {
            let mut line = self.space_line(cx, &id)?;
            line["workspaces"] =
                self.workspaces.values().filter(|w| w.space == id).map(|w| Value::from(w.record.dir.clone())).collect();
            lines.push(line);
        }
        Ok(Some(json!({ "spaces": lines })))
    }

    pub(crate) fn space_show(&mut self, cx: &mut Cx<'_>, at: &SpaceRef) -> Answer {
        let id = self.resolve_space(at)?;
        let mut line = self.space_line(cx, &id)?;
        let Some(space) = self.spaces.get(&id) else { return Ok(Some(line)) };
        let members = space.charter.members().map(|m| {
            let roles: Vec<String> = m.roles.iter().map(ToString::to_string).collect();
            json!({"name": m.name, "npub": m.npub.npub(), "peer_id": m.peer_id, "roles": roles,
                "connected": m.peer_id == self.peer_id || self.peers.is_greeted(&m.peer_id)})
        });
        line["members"] = members.collect();
        line["charter"] = json!({"head": space.charter.head(), "versions": space.charter.len(),
            "concurrent": space.charter.heads().len(),
            "owner": space.charter.owner().npub(), "mesh": space.charter.mesh(),
            "coordinator": space.charter.coordinator().map(|c| c.npub())});
        line["writers"] = json!(space.ends.len());
        line["forked_writers"] = json!(space.ends.values().filter(|t| t.forked()).count());
        line["missing"] = json!(missing_count(space));
        line["checkpoint"] = json!({
            "newest": space.checkpoints.newest.as_ref().map(|newest| json!({"id": newest.id, "ops": newest.ops})),
            "base": space.checkpoints.base.as_ref().map(|base| EventId(base.id)),
            "history_missing": space.checkpoints.history_missing(),
            "history_days": space.charter.current().policy.get(crate::checkpoint::HISTORY_DAYS)});
        let workspaces = self.workspaces.values().filter(|w| w.space == id).map(|w| {
            let broken: Vec<Value> = w.broken.iter().map(|(line, why)| json!({"line": line, "error": why})).collect();
            json!({"dir": w.record.dir, "kind": w.kind, "in_step": w.base.is_some() && w.flight.is_none() && w.dirty.is_empty(),
                "broken_lines": broken, "repeated_lines": w.repeated, "failed": w.trouble(),
                "vanished_lines": w.record.question})
        });
        line["workspaces"] = workspaces.collect();
        Ok(Some(line))
    }
}

/// Ops that some peer has told of and that are not here yet.
fn missing_count(space: &Space) -> u64 {
    let mut missing = 0;
    let mut tops = std::collections::BTreeMap::new();
    for tip in space.peer_heads.values().flatten() {
        let top = tops.entry(tip.writer).or_insert(0u64);
        *top = (*top).max(tip.seq);
    }
    for (writer, top) in tops {
        missing += top.saturating_sub(space.ends.get(&writer).map_or(0, crate::records::tips::Tips::top));
    }
    missing
}
