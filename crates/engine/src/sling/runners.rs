//! Who works on this host, and who is chosen among hosts.

use super::At;
use super::transcript::Offer;
use crate::engine::{Cx, Engine};
use std::collections::BTreeMap;
use types::{Address, PubKey, SpaceId};

/// Who is meant by a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// Whoever has room.
    Any,
    /// A host; perhaps one of its runners.
    Host { name: String, runner: Option<String> },
}

impl Target {
    /// Reads `any`, or `<host>[:<rig>[/<role>/<name>]]`; the rig is in the offer's terms.
    pub(super) fn parse(text: &str) -> Option<(Target, String)> {
        if text.is_empty() || text == "any" {
            return Some((Target::Any, String::new()));
        }
        let address: Address = text.parse().ok()?;
        let rig = address.path.first().cloned().unwrap_or_default();
        let runner = address.path.get(2).cloned();
        Some((Target::Host { name: address.host, runner }, rig))
    }
}

impl Engine {
    /// How many of its slots each runner uses.
    fn used(&self) -> BTreeMap<&str, u32> {
        let mut used = BTreeMap::new();
        for hook in self.sling.hooks.values().filter(|hook| !hook.record.done && hook.record.prepared.is_none()) {
            *used.entry(hook.record.runner.as_str()).or_insert(0) += 1;
        }
        used
    }

    /// A runner for a rig that has room; with a name in the target, only that one.
    pub(super) fn free_runner(&self, rig: &str, target: &str) -> Option<String> {
        let named = match Target::parse(target) {
            Some((Target::Host { runner, .. }, _)) => runner,
            _ => None,
        };
        let used = self.used();
        let fits = |name: &&String| named.as_ref().is_none_or(|named| named == *name);
        let free = |name: &String, slots: u32| used.get(name.as_str()).copied().unwrap_or(0) < slots;
        self.sling
            .runners
            .iter()
            .filter(|(name, runner)| fits(name) && serves(&runner.rig, rig) && free(name, runner.slots))
            .map(|(name, _)| name.clone())
            .next()
    }

    /// How many more beads this host would take for a rig.
    pub(super) fn slots_free(&self, rig: &str) -> u32 {
        let used = self.used();
        let runners = self.sling.runners.iter().filter(|(_, runner)| serves(&runner.rig, rig));
        runners.map(|(name, runner)| runner.slots.saturating_sub(used.get(name.as_str()).copied().unwrap_or(0))).sum()
    }

    /// Who gets a bead, of those who can be reached and are not left in peace.
    pub(super) fn choose(&mut self, cx: &mut Cx<'_>, at: &At, offer: &Offer) -> Option<PubKey> {
        let (target, _) = Target::parse(&offer.target)?;
        let paused = self.sling.desks.get(at).map(|desk| desk.paused.clone()).unwrap_or_default();
        let rig = offer.terms.rig.clone();
        match target {
            Target::Host { name, .. } => {
                let npub = self.member_named(&at.0, &name).filter(|npub| !paused.contains_key(npub))?;
                let here = npub == self.me && self.free_runner(&rig, &offer.target).is_some();
                (here || npub != self.me && self.takes_work(&at.0, &npub)).then_some(npub)
            }
            Target::Any => {
                let members: Vec<PubKey> = self.spaces.get(&at.0)?.charter.members().map(|m| m.npub).collect();
                let mut best: Option<(u32, PubKey)> = None;
                for npub in members.into_iter().filter(|npub| !paused.contains_key(npub)) {
                    let slots = if npub == self.me {
                        self.slots_free(&rig)
                    } else if self.takes_work(&at.0, &npub) {
                        self.room_at(cx, at.0, npub, &rig).unwrap_or(0)
                    } else {
                        0
                    };
                    if slots > 0 && best.is_none_or(|(most, _)| slots > most) {
                        best = Some((slots, npub));
                    }
                }
                let chosen = best.map(|(_, npub)| npub)?;
                self.less_room(&chosen);
                Some(chosen)
            }
        }
    }

    /// Whether a host is there, and may write down that it takes work.
    fn takes_work(&self, space: &SpaceId, npub: &PubKey) -> bool {
        let writes = self.spaces.get(space).is_some_and(|space| space.charter.may_write(npub));
        writes && self.peer_of(npub).is_some_and(|peer| !self.peers.lacks(&peer, proto::names::WORK))
    }
}

/// Whether a runner for one rig works for another; empty means any.
fn serves(runner: &str, wanted: &str) -> bool {
    runner.is_empty() || wanted.is_empty() || runner == wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        let host =
            |name: &str, runner: Option<&str>| Target::Host { name: name.into(), runner: runner.map(Into::into) };
        assert_eq!(Target::parse(""), Some((Target::Any, String::new())));
        assert_eq!(Target::parse("any"), Some((Target::Any, String::new())));
        assert_eq!(Target::parse("server"), Some((host("server", None), String::new())));
        assert_eq!(Target::parse("server:app"), Some((host("server", None), "app".into())));
        assert_eq!(Target::parse("server:app/crew/max"), Some((host("server", Some("max")), "app".into())));
        for bad in ["../x", "a b", "a\nb", "-x", "server:$(id)", "a;b"] {
            assert_eq!(Target::parse(bad), None, "{bad:?}");
        }
    }
}
