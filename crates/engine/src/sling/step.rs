//! One step of the transcript of slung work: an event (kind 8732) that one of the two ends signed.
//!
//! JSON in the clear: a bead keeps it inside a sealed op, and two grants that contradict each other are a proof that
//! anybody can check without the space's key.

use beads::{BeadId, Birth, Unit, WorkStep, Write};
use identity::{Event, HostKey, kinds};
use serde::{Deserialize, Serialize};
use types::{EventId, Fence, Limit, PubKey, UnixSecs, Usage};

/// Version of the body.
pub(crate) const STEP_VERSION: u32 = 1;

/// Longest text in a step, in bytes: reasons and summaries.
pub(crate) const TEXT_BYTES_MAX: usize = 2_000;

/// Longest target, key, branch or commit, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 256;

/// The least and the longest lease, in milliseconds.
pub(crate) const LEASE_MS_MIN: u64 = 100;
pub(crate) const LEASE_MS_MAX: u64 = 24 * 3600 * 1000;

/// What is to be done and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    /// How long a renewal lasts, in milliseconds.
    pub(crate) lease_ms: u64,
    /// The commit to begin at.
    pub(crate) base: Option<String>,
    /// Whose runners; empty: any.
    pub(crate) rig: String,
    /// How much may be used: of an offer in all its attempts, of a grant in that one.
    pub(crate) cap: Limit,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    /// The work is done.
    Done,
    /// Not now: to be tried again.
    Later,
    /// It cannot be done like this.
    Failed,
    /// It was told to stop, or took too long.
    Stopped,
}

impl Ended {
    const ALL: [(Ended, &str); 4] =
        [(Ended::Done, "done"), (Ended::Later, "later"), (Ended::Failed, "failed"), (Ended::Stopped, "stopped")];

    pub(crate) fn name(self) -> &'static str {
        Ended::ALL.iter().find(|(ended, _)| *ended == self).map_or("", |(_, name)| name)
    }

    fn parse(text: &str) -> Option<Ended> {
        Ended::ALL.iter().find(|(_, name)| *name == text).map(|(ended, _)| *ended)
    }
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// How it ended.
    pub ended: Ended,
    /// The commit with what was made, a whole id.
    pub commit: Option<String>,
    /// Where the commit can be found.
    pub branch: Option<String>,
    /// For people, at most 2,000 bytes; longer ones are cut.
    pub text: String,
}

/// What a step says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Say {
    /// Somebody wants a bead worked on.
    Offer { target: String, key: String, convoy: String, terms: Terms },
    /// The coordinator gives a bead to a worker.
    Grant { offer: EventId, charter: EventId, prev: Option<EventId>, worker: PubKey, terms: Terms },
    /// The worker takes it; who works there, and for which rig.
    Accept { runner: String, rig: String },
    /// The worker does not.
    Decline { why: String },
    /// What the worker used under this grant so far, and what it says of it.
    Usage { used: Usage, note: String },
    /// The worker's result.
    Result(Outcome),
    /// What the coordinator makes of a result.
    Verdict { of: EventId, good: bool, why: String },
    /// What a person makes of a result that waits for one.
    Review { of: EventId, good: bool, why: String },
    /// The coordinator ends a grant; with `offer` also what was offered.
    Cancel { offer: Option<EventId>, why: String },
}

/// A verified step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) id: EventId,
    pub(crate) by: PubKey,
    pub(crate) at: UnixSecs,
    pub(crate) bead: BeadId,
    pub(crate) birth: Birth,
    /// Of the grant that it belongs to; an offer and the end of one have none.
    pub(crate) grant: Option<(EventId, Fence)>,
    pub(crate) say: Say,
}

#[derive(Default, Serialize, Deserialize)]
struct Body {
    v: u32,
    s: String,
    b: String,
    n: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    g: Option<EventId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    f: Option<(u64, u64)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    o: Option<EventId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    c: Option<EventId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    p: Option<EventId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    w: Option<PubKey>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    of: Option<EventId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    l: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rig: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    t: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    k: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    out: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    commit: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    branch: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ok: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cap: Option<Limit>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cv: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    r: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    u: Option<Usage>,
}

impl Body {
    fn terms(&mut self, terms: &Terms) {
        self.l = Some(terms.lease_ms);
        self.base.clone_from(&terms.base);
        self.rig = filled(&terms.rig);
        self.cap = Some(terms.cap).filter(|cap| !cap.is_none());
    }

    fn read_terms(&mut self) -> Option<Terms> {
        let lease_ms = self.l.filter(|ms| (LEASE_MS_MIN..=LEASE_MS_MAX).contains(ms))?;
        let rig = name(self.rig.take().unwrap_or_default())?;
        let cap = self.cap.unwrap_or_default();
        Some(Terms { lease_ms, base: optional(self.base.take(), commit)?, rig, cap })
    }
}

fn filled(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

/// A text for people, cut to what fits.
pub(crate) fn text(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars().filter(|c| !c.is_control() || *c == '\n') {
        if out.len() + c.len_utf8() > TEXT_BYTES_MAX {
            break;
        }
        out.push(c);
    }
    out
}

/// A name: short, and without control characters.
pub(crate) fn name(text: String) -> Option<String> {
    (text.len() <= NAME_BYTES_MAX && !text.chars().any(char::is_control)).then_some(text)
}

/// A commit's id.
pub(crate) fn commit(text: String) -> Option<String> {
    let good = matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit());
    good.then_some(text)
}

fn optional(value: Option<String>, check: impl Fn(String) -> Option<String>) -> Option<Option<String>> {
    match value {
        None => Some(None),
        Some(value) => check(value).map(Some),
    }
}

/// What a step is about.
pub(crate) struct About<'a> {
    pub(crate) h: &'a str,
    pub(crate) bead: &'a BeadId,
    pub(crate) birth: Birth,
    /// The grant that it belongs to. Of a grant itself only the fence counts.
    pub(crate) grant: Option<(EventId, Fence)>,
}

/// Signs a step.
pub(crate) fn sign(host: &HostKey, about: &About<'_>, say: &Say, now: UnixSecs, nonce: [u8; 32]) -> Event {
    let mut body = Body { v: STEP_VERSION, b: about.bead.to_string(), n: about.birth.to_string(), ..Body::default() };
    if let Some((grant, fence)) = about.grant {
        body.g = Some(grant).filter(|_| !matches!(say, Say::Grant { .. }));
        body.f = Some((fence.epoch, fence.n));
    }
    let kind = match say {
        Say::Offer { target, key, convoy, terms } => {
            body.t = Some(target.clone());
            body.k = Some(key.clone());
            body.cv = filled(convoy);
            body.terms(terms);
            "offer"
        }
        Say::Grant { offer, charter, prev, worker, terms } => {
            body.o = Some(*offer);
            body.c = Some(*charter);
            body.p = *prev;
            body.w = Some(*worker);
            body.terms(terms);
            "grant"
        }
        Say::Accept { runner, rig } => {
            body.r = filled(runner);
            body.rig = filled(rig);
            "accept"
        }
        Say::Usage { used, note } => {
            body.u = Some(*used);
            body.why = Some(text(note));
            "usage"
        }
        Say::Review { of, good, why } => {
            body.of = Some(*of);
            body.ok = Some(*good);
            body.why = Some(text(why));
            "review"
        }
        Say::Decline { why } => {
            body.why = Some(text(why));
            "decline"
        }
        Say::Result(outcome) => {
            body.out = Some(outcome.ended.name().to_owned());
            body.commit.clone_from(&outcome.commit);
            body.branch.clone_from(&outcome.branch);
            body.why = Some(text(&outcome.text));
            "result"
        }
        Say::Verdict { of, good, why } => {
            body.of = Some(*of);
            body.ok = Some(*good);
            body.why = Some(text(why));
            "verdict"
        }
        Say::Cancel { offer, why } => {
            body.o = *offer;
            body.why = Some(text(why));
            "cancel"
        }
    };
    body.s = kind.to_owned();
    // SAFETY of the default: a body of strings and numbers is always JSON; an empty content is no step.
    let content = serde_json::to_string(&body).unwrap_or_default();
    let tags = vec![vec!["v".to_owned(), STEP_VERSION.to_string()], vec!["h".to_owned(), about.h.to_owned()]];
    host.nostr().sign(kinds::GRANT, now, tags, content, nonce)
}

/// The write that keeps a step in its bead.
pub(crate) fn write(event: &Event, about: &About<'_>) -> Write {
    let step = WorkStep {
        event: String::from_utf8_lossy(&event.to_json()).into_owned(),
        fence: about.grant.map(|(_, fence)| fence),
    };
    Write {
        id: about.bead.clone(),
        birth: about.birth,
        unit: WorkStep::unit(&event.id()),
        value: Some(step.to_value()),
        replaces: Vec::new(),
        baseline: None,
    }
}

/// Reads and verifies a step of a space as a bead keeps it. `None`: it is none, and counts nowhere.
pub(crate) fn read(h: &str, bead: &BeadId, kept: &WorkStep) -> Option<Step> {
    let event = Event::verify(kept.event.as_bytes()).ok()?;
    if event.kind() != kinds::GRANT || event.tag("h") != Some(h) {
        return None;
    }
    let mut body: Body = serde_json::from_str(event.content()).ok()?;
    if body.v != STEP_VERSION || body.b != bead.as_str() {
        return None;
    }
    let fence = body.f.map(|(epoch, n)| Fence { epoch, n });
    if fence != kept.fence {
        return None;
    }
    let birth: Birth = body.n.parse().ok()?;
    let why = || name_or_text(body.why.clone());
    let say = match body.s.as_str() {
        "offer" => Say::Offer {
            target: name(body.t.take()?)?,
            key: name(body.k.take()?)?,
            convoy: name(body.cv.take().unwrap_or_default())?,
            terms: body.read_terms()?,
        },
        "grant" => {
            Say::Grant { offer: body.o?, charter: body.c?, prev: body.p, worker: body.w?, terms: body.read_terms()? }
        }
        "accept" => Say::Accept {
            runner: name(body.r.take().unwrap_or_default())?,
            rig: name(body.rig.take().unwrap_or_default())?,
        },
        "usage" => Say::Usage { used: body.u?, note: why()? },
        "review" => Say::Review { of: body.of?, good: body.ok?, why: why()? },
        "decline" => Say::Decline { why: why()? },
        "result" => Say::Result(Outcome {
            ended: Ended::parse(body.out.as_deref()?)?,
            commit: optional(body.commit.take(), commit)?,
            branch: optional(body.branch.take(), name)?,
            text: why()?,
        }),
        "verdict" => Say::Verdict { of: body.of?, good: body.ok?, why: why()? },
        "cancel" => Say::Cancel { offer: body.o, why: why()? },
        _ => return None,
    };
    let grant = match (&say, fence) {
        (Say::Offer { .. }, None) => None,
        (Say::Cancel { offer: Some(_), .. }, None) if body.g.is_none() => None,
        (Say::Offer { .. }, _) | (_, None) => return None,
        (Say::Grant { .. }, Some(fence)) => Some((event.id(), fence)),
        (_, Some(fence)) => Some((body.g?, fence)),
    };
    Some(Step { id: event.id(), by: event.pubkey(), at: event.created_at(), bead: bead.clone(), birth, grant, say })
}

/// What a signed step says, whatever the space: for whoever looks at an event by itself. `None`: it is no valid step.
pub fn describe_step(event: &[u8]) -> Option<serde_json::Value> {
    let signed = Event::verify(event).ok()?;
    let body: Body = serde_json::from_str(signed.content()).ok()?;
    let fence = body.f.map(|(epoch, n)| Fence { epoch, n });
    let kept = WorkStep { event: String::from_utf8(event.to_vec()).ok()?, fence };
    let step = read(signed.tag("h")?, &body.b.parse().ok()?, &kept)?;
    Some(serde_json::json!({"id": step.id, "by": step.by, "at": step.at.0, "bead": step.bead.as_str(),
        "birth": step.birth.to_string(), "grant": step.grant.map(|(id, _)| id),
        "fence": step.grant.map(|(_, fence)| fence.to_string()), "says": format!("{:?}", step.say)}))
}

fn name_or_text(value: Option<String>) -> Option<String> {
    let value = value.unwrap_or_default();
    (value.len() <= TEXT_BYTES_MAX).then_some(value)
}

/// Whether a write keeps a step.
pub(crate) fn is_step(write: &Write) -> bool {
    matches!(write.unit, Unit::Work(_))
}
