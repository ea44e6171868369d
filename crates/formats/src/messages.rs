//! What goes over streams: the wire messages and their frames.

use crate::frames::{END, read_frame, write_frame};
use crate::{Form, Format};
use futures::executor::block_on;
use futures::io::Cursor;
use proto::limits::{FRAME_BYTES_MAX, GOSSIP_BYTES_MAX, RPC_BYTES_MAX};
use proto::wire::{self, request, response};
use serde_json::{Value, json};

pub(crate) const FORMATS: &[Format] = &[
    Format::limited("wire/request", RPC_BYTES_MAX, message::<wire::Request, RPC_BYTES_MAX>),
    Format::limited("wire/response", RPC_BYTES_MAX, message::<wire::Response, RPC_BYTES_MAX>),
    Format::limited("wire/gossip", GOSSIP_BYTES_MAX, message::<wire::Gossip, GOSSIP_BYTES_MAX>),
    Format::limited("wire/pull-request", FRAME_BYTES_MAX, message::<wire::PullRequest, FRAME_BYTES_MAX>),
    Format::limited("wire/pull-page", FRAME_BYTES_MAX, message::<wire::PullPage, FRAME_BYTES_MAX>),
    Format::limited("wire/checkpoint-manifest", FRAME_BYTES_MAX, message::<wire::CheckpointManifest, FRAME_BYTES_MAX>),
    Format::new("frame/stream", stream),
];

fn message<M: prost::Message + Default + Describe, const MAX: usize>(bytes: &[u8]) -> Result<Form, String> {
    let message: M = proto::decode(bytes, MAX).map_err(|err| err.to_string())?;
    Ok(Form { value: message.describe(), bytes: proto::encode(&message) })
}

/// Frames up to the proper end; what comes behind it is not read.
fn stream(bytes: &[u8]) -> Result<Form, String> {
    block_on(async {
        let (mut io, mut written, mut frames) = (Cursor::new(bytes), Vec::new(), Vec::new());
        while let Some(frame) = read_frame(&mut io, FRAME_BYTES_MAX).await.map_err(|err| err.to_string())? {
            write_frame(&mut written, &frame).await.map_err(|err| err.to_string())?;
            frames.push(json!(hex::encode(frame)));
        }
        written.extend(END.to_be_bytes());
        Ok(Form { value: Value::Array(frames), bytes: written })
    })
}

/// A message as JSON.
trait Describe {
    fn describe(&self) -> Value;
}

impl Describe for Vec<u8> {
    fn describe(&self) -> Value {
        json!(hex::encode(self))
    }
}

impl<T: Describe> Describe for Vec<T> {
    fn describe(&self) -> Value {
        self.iter().map(Describe::describe).collect()
    }
}

impl<T: Describe> Describe for Option<T> {
    fn describe(&self) -> Value {
        self.as_ref().map(Describe::describe).unwrap_or_default()
    }
}

macro_rules! plain {
    ($($kind:ty),*) => { $(impl Describe for $kind {
        fn describe(&self) -> Value {
            json!(self)
        }
    })* };
}

plain!(String, u32, u64, bool);

macro_rules! describe {
    ($($name:ident { $($field:ident),* })*) => { $(impl Describe for wire::$name {
        fn describe(&self) -> Value {
            json!({ $(stringify!($field): self.$field.describe()),* })
        }
    })* };
}

describe! {
    Refusal { code, message }
    Hello { version, card, capabilities, addrs, now_ms }
    Heads { h, tips, charter, digest, state_digest, checkpoint }
    Tip { host, incarnation, seq, id }
    Join { h, ticket, proof, card, name }
    Welcome { charter, wrapped_keys, attestation, cards, space_name }
    CharterQuery { h }
    CharterChain { h, events }
    HostsQuery { h }
    Hosts { cards, addrs }
    HostAddrs { peer, addrs }
    Gossip { events }
    PullRequest { h, ranges, checkpoint, part }
    Range { host, incarnation, from, to }
    PullPage { events, last, refusal, parts, floors }
    CheckpointManifest { tips, parts }
    Work { h, ops, renew, room, rig, used }
    Used { grant, tokens_in, tokens_out, money_micros, note, progress }
    WorkAnswer { ops, renewed, ended, slots_free }
    LogQuery { h, grants, from }
    LogPart { run, bytes, next, ended }
}

impl Describe for wire::Request {
    fn describe(&self) -> Value {
        match &self.body {
            None => Value::Null,
            Some(request::Body::Hello(it)) => json!({"hello": it.describe()}),
            Some(request::Body::Heads(it)) => json!({"heads": it.describe()}),
            Some(request::Body::Join(it)) => json!({"join": it.describe()}),
            Some(request::Body::Charter(it)) => json!({"charter": it.describe()}),
            Some(request::Body::Hosts(it)) => json!({"hosts": it.describe()}),
            Some(request::Body::Work(it)) => json!({"work": it.describe()}),
            Some(request::Body::Log(it)) => json!({"log": it.describe()}),
        }
    }
}

impl Describe for wire::Response {
    fn describe(&self) -> Value {
        match &self.body {
            None => Value::Null,
            Some(response::Body::Refusal(it)) => json!({"refusal": it.describe()}),
            Some(response::Body::Hello(it)) => json!({"hello": it.describe()}),
            Some(response::Body::Heads(it)) => json!({"heads": it.describe()}),
            Some(response::Body::Welcome(it)) => json!({"welcome": it.describe()}),
            Some(response::Body::Charter(it)) => json!({"charter": it.describe()}),
            Some(response::Body::Hosts(it)) => json!({"hosts": it.describe()}),
            Some(response::Body::Work(it)) => json!({"work": it.describe()}),
            Some(response::Body::Log(it)) => json!({"log": it.describe()}),
        }
    }
}
