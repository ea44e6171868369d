//! Just enough of the protocols to break their rules: multistream-select, length prefixes, gossipsub's envelope.

use super::link::{Link, soon};
use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use libp2p::core::muxing::SubstreamBox;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

/// Every protocol that a node might speak.
pub(super) const PROTOCOLS: [&str; 7] = [
    proto::names::RPC,
    proto::names::PULL,
    GOSSIP,
    "/ipfs/id/1.0.0",
    "/ipfs/id/push/1.0.0",
    "/ipfs/ping/1.0.0",
    "/nobody/speaks/this/1",
];

pub(super) const GOSSIP: &str = "/meshsub/1.1.0";
const MULTISTREAM: &str = "/multistream/1.0.0";
/// No message that an attacker reads is longer.
const READ_MAX: usize = 1 << 20;

/// A number as protobuf and multistream write it.
pub(super) fn varint(mut number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let byte = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            out.push(byte);
            return out;
        }
        out.push(byte | 0x80);
    }
}

/// Bytes with their length as a varint in front.
pub(super) fn prefixed(body: &[u8]) -> Vec<u8> {
    [varint(body.len() as u64), body.to_vec()].concat()
}

/// Bytes with their length as our own protocols write it.
pub(super) fn framed(body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).unwrap_or(u32::MAX - 2);
    [&len.to_be_bytes(), body].concat()
}

/// A protobuf field of bytes.
pub(super) fn field(number: u64, body: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), prefixed(body)].concat()
}

/// A protobuf field of a number.
fn number(number: u64, value: u64) -> Vec<u8> {
    [varint(number << 3), varint(value)].concat()
}

/// A gossipsub message that subscribes to, or leaves, topics.
pub(super) fn subscribe(topics: &[String], join: bool) -> Vec<u8> {
    let one = |topic: &String| field(1, &[number(1, u64::from(join)), field(2, topic.as_bytes())].concat());
    prefixed(&topics.iter().flat_map(one).collect::<Vec<u8>>())
}

/// A gossipsub message that publishes.
pub(super) fn publish(topic: &str, data: &[u8]) -> Vec<u8> {
    prefixed(&field(2, &[field(2, data), field(4, topic.as_bytes())].concat()))
}

/// A gossipsub message that says it has, wants, or joins things that do not exist.
pub(super) fn control(topic: &str, ids: &[Vec<u8>]) -> Vec<u8> {
    let listed = |at: u64| ids.iter().flat_map(|id| field(at, id)).collect::<Vec<u8>>();
    let ihave = field(1, &[field(1, topic.as_bytes()), listed(2)].concat());
    let iwant = field(2, &listed(1));
    let graft = field(3, &field(1, topic.as_bytes()));
    let prune = field(4, &field(1, topic.as_bytes()));
    prefixed(&field(3, &[ihave, iwant, graft, prune].concat()))
}

async fn read_varint<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<usize> {
    let mut value = 0u64;
    for shift in (0..63).step_by(7) {
        let mut byte = [0];
        stream.read_exact(&mut byte).await?;
        value |= u64::from(byte[0] & 0x7f) << shift;
        if byte[0] & 0x80 == 0 {
            return Ok(usize::try_from(value).unwrap_or(usize::MAX));
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

/// Reads one message with a varint in front.
pub(super) async fn read_prefixed<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Vec<u8>> {
    let len = read_varint(stream).await?;
    if len > READ_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut body = vec![0; len];
    stream.read_exact(&mut body).await?;
    Ok(body)
}

/// Asks for a protocol; fails when it is refused.
pub(super) async fn select<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, protocol: &str) -> io::Result<()> {
    let hello = prefixed(format!("{MULTISTREAM}\n").as_bytes());
    let wish = prefixed(format!("{protocol}\n").as_bytes());
    stream.write_all(&[hello, wish].concat()).await?;
    stream.flush().await?;
    read_prefixed(stream).await?;
    let answer = read_prefixed(stream).await?;
    if answer == format!("{protocol}\n").as_bytes() { Ok(()) } else { Err(io::ErrorKind::Unsupported.into()) }
}

/// Agrees to whatever the victim wants to speak.
pub(super) async fn agree(stream: &mut SubstreamBox) -> io::Result<String> {
    read_prefixed(stream).await?;
    let wish = read_prefixed(stream).await?;
    stream.write_all(&[prefixed(format!("{MULTISTREAM}\n").as_bytes()), prefixed(&wish)].concat()).await?;
    stream.flush().await?;
    Ok(String::from_utf8_lossy(&wish).trim().to_owned())
}

/// Opens a stream that speaks a protocol.
pub(super) async fn open(link: &Link, protocol: &str) -> io::Result<SubstreamBox> {
    let mut stream = link.open().await?;
    soon(select(&mut stream, protocol)).await?;
    Ok(stream)
}

/// Bytes that this process sent into streams: an attack that sent none hurts nobody.
static SENT: AtomicU64 = AtomicU64::new(0);

/// Notes bytes that are sent.
pub(super) fn note_sent(bytes: usize) {
    SENT.fetch_add(bytes as u64, Ordering::Relaxed);
}

/// Bytes sent so far.
pub(super) fn sent() -> u64 {
    SENT.load(Ordering::Relaxed)
}

/// Sends bytes and lets them go.
pub(super) async fn send(stream: &mut SubstreamBox, bytes: &[u8]) -> io::Result<()> {
    note_sent(bytes.len());
    soon(async {
        stream.write_all(bytes).await?;
        stream.flush().await
    })
    .await
}

/// One question on the rpc protocol, and its answer.
pub(super) async fn ask(link: &Link, body: proto::wire::request::Body) -> io::Result<Vec<u8>> {
    let mut stream = open(link, proto::names::RPC).await?;
    let request = proto::encode(&proto::wire::Request { body: Some(body) });
    send(&mut stream, &framed(&request)).await?;
    soon(async {
        let mut len = [0; 4];
        stream.read_exact(&mut len).await?;
        let len = u32::from_be_bytes(len) as usize;
        let mut body = vec![0; if len > 4 * READ_MAX { 0 } else { len }];
        stream.read_exact(&mut body).await?;
        Ok(body)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_are_protobufs() {
        assert_eq!(varint(0), [0]);
        assert_eq!(varint(300), [0xac, 2]);
        assert_eq!(varint(u64::MAX).len(), 10);
        assert_eq!(field(2, b"ab"), [0x12, 2, b'a', b'b']);
    }
}
