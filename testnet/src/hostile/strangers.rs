//! Attacks of peers that nobody knows.

use super::link::{Link, soon};
use super::speak::{self, GOSSIP, PROTOCOLS, ask, framed, open, prefixed, select, send, subscribe};
use super::worker::{Aim, Attempt};
use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use proto::wire::{self, request::Body};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Connects and leaves at once.
pub(super) async fn connects(mut at: Attempt) -> io::Result<()> {
    at.stranger().await.map(drop)
}

/// Connects and stays, saying nothing, until it is thrown out.
pub(super) async fn holds(mut at: Attempt) -> io::Result<()> {
    let mut link = at.stranger().await?;
    link.closed().await;
    Ok(())
}

/// Many connections of one identity.
pub(super) async fn doubles(mut at: Attempt) -> io::Result<()> {
    let key = at.key();
    let mut links = Vec::new();
    for _ in 0..32 {
        links.push(Link::dial(&at.aim.addrs, &key, &mut at.random).await?);
    }
    soon(async {
        links[0].closed().await;
        Ok(())
    })
    .await
}

/// Begins to connect and never goes on.
pub(super) async fn half_open(mut at: Attempt) -> io::Result<()> {
    let tcp = |address: &Multiaddr| {
        let mut parts = address.iter();
        match (parts.next(), parts.next()) {
            (Some(Protocol::Ip4(ip)), Some(Protocol::Tcp(port))) => Some((ip, port)),
            _ => None,
        }
    };
    let address = at.aim.addrs.iter().find_map(tcp).ok_or(io::ErrorKind::NotFound)?;
    let mut socket = tokio::net::TcpStream::connect(address).await?;
    let header = prefixed(b"/multistream/1.0.0\n");
    let noise = [header.clone(), prefixed(b"/noise\n")].concat();
    match at.random.below(4) {
        0 => {}
        1 => socket.write_all(&header).await?,
        2 => socket.write_all(&noise).await?,
        // The length of a noise message that never comes.
        _ => socket.write_all(&[noise, vec![0xff, 0xff], at.bytes(1000)].concat()).await?,
    }
    let mut sink = Vec::new();
    // Until it is thrown out.
    let ended = tokio::time::timeout(Duration::from_secs(20), socket.read_to_end(&mut sink)).await;
    ended.map(drop).map_err(|_| io::ErrorKind::TimedOut.into())
}

/// Opens as many streams as it can, of every protocol, and reads none.
pub(super) async fn streams(mut at: Attempt) -> io::Result<()> {
    let link = at.stranger().await?;
    let mut unread = Vec::new();
    for _ in 0..2_000 {
        let mut stream = link.open().await?;
        let protocol = PROTOCOLS[at.random.below(PROTOCOLS.len())];
        let wish = [prefixed(b"/multistream/1.0.0\n"), prefixed(format!("{protocol}\n").as_bytes())].concat();
        let said = match at.random.below(3) {
            0 => Vec::new(),
            1 => wish,
            _ => [wish, at.bytes(4_000)].concat(),
        };
        send(&mut stream, &said).await?;
        unread.push(stream);
    }
    Ok(())
}

/// Declares huge lengths and lets the bytes drip.
pub(super) async fn lengths(mut at: Attempt) -> io::Result<()> {
    let link = at.stranger().await?;
    let mut dripping = Vec::new();
    for protocol in PROTOCOLS {
        for length in [vec![0xff, 0xff, 0xff, 0xfe], vec![0, 0x3f, 0xff, 0xff], speak::varint(u64::MAX >> 1)] {
            let Ok(mut stream) = open(&link, protocol).await else { continue };
            if send(&mut stream, &length).await.is_ok() {
                dripping.push(stream);
            }
        }
    }
    // In the choice of a protocol, too.
    let mut stream = link.open().await?;
    send(&mut stream, &[0xff, 0xff, 0x7f]).await?;
    dripping.push(stream);
    for _ in 0..40 {
        let mut alive = false;
        for stream in &mut dripping {
            alive |= send(stream, b"x").await.is_ok();
        }
        if !alive {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// Bytes without a meaning, in frames that have one.
pub(super) async fn garbage(mut at: Attempt) -> io::Result<()> {
    let link = at.stranger().await?;
    for _ in 0..50 {
        for protocol in PROTOCOLS {
            let Ok(mut stream) = open(&link, protocol).await else { continue };
            let junk = at.bytes(2_000);
            send(&mut stream, &if at.random.below(2) == 0 { framed(&junk) } else { prefixed(&junk) }).await?;
        }
    }
    Ok(())
}

/// Gossip by somebody who is in no space.
pub(super) async fn gossip(mut at: Attempt) -> io::Result<()> {
    let link = at.stranger().await?;
    let mut stream = open(&link, GOSSIP).await?;
    let topics: Vec<String> = (0..200).map(|_| at.random.next().to_string()).collect();
    loop {
        send(&mut stream, &subscribe(&topics, true)).await?;
        let data = at.bytes(proto::limits::GOSSIP_BYTES_MAX);
        send(&mut stream, &speak::publish(&topics[0], &data)).await?;
    }
}

/// Guesses tickets, with a good card.
pub(super) async fn joins(mut at: Attempt) -> io::Result<()> {
    let (key, card) = at.host();
    let link = Link::dial(&at.aim.addrs, &key, &mut at.random).await?;
    for _ in 0..200 {
        let (ticket, proof) = (at.bytes(16), at.bytes(32));
        let name = "x".repeat(at.random.below(30_000));
        ask(&link, Body::Join(wire::Join { h: at.aim.h.clone(), ticket, proof, card: card.clone(), name })).await?;
    }
    Ok(())
}

/// Says hello, with a good card, and asks what only members may.
pub(super) async fn hellos(mut at: Attempt) -> io::Result<()> {
    let (key, card) = at.host();
    let link = Link::dial(&at.aim.addrs, &key, &mut at.random).await?;
    for _ in 0..200 {
        let addrs = vec!["/ip4/192.0.2.1/tcp/1".repeat(100); 100];
        ask(&link, Body::Hello(wire::Hello { version: 1, card: card.clone(), addrs, ..Default::default() })).await?;
        ask(&link, Body::Charter(wire::CharterQuery { h: at.aim.h.clone() })).await?;
        let mut pull = open(&link, proto::names::PULL).await?;
        let want = wire::PullRequest { h: at.aim.h.clone(), ranges: Vec::new(), ..Default::default() };
        send(&mut pull, &framed(&proto::encode(&want))).await?;
    }
    Ok(())
}

/// Pings as fast as the connection carries them.
pub(super) async fn pings(mut at: Attempt) -> io::Result<()> {
    let link = at.stranger().await?;
    let stream = open(&link, "/ipfs/ping/1.0.0").await?;
    let (mut from, mut to) = stream.split();
    let balls = at.bytes(32 * 512);
    let mut sink = vec![0; 64 * 1024];
    let throw = async {
        loop {
            to.write_all(&balls).await?;
            to.flush().await?;
        }
    };
    let catch = async {
        while from.read(&mut sink).await? > 0 {}
        Ok(())
    };
    let ended: io::Result<()> = tokio::select! { end = throw => end, end = catch => end };
    ended
}

/// Says who it is, again and again and at great length.
pub(super) async fn identifies(mut at: Attempt) -> io::Result<()> {
    let link = at.stranger().await?;
    for round in 0..500 {
        let mut stream = link.open().await?;
        soon(select(&mut stream, "/ipfs/id/push/1.0.0")).await?;
        let agent = "a".repeat(if round % 2 == 0 { 3_000 } else { 3_000_000 });
        let address = "/ip4/192.0.2.1/tcp/1".parse::<Multiaddr>().map_err(io::Error::other)?;
        let addrs: Vec<u8> = (0..50).flat_map(|_| speak::field(2, &address.to_vec())).collect();
        let _refused = send(&mut stream, &prefixed(&[speak::field(6, agent.as_bytes()), addrs].concat())).await;
        // And asks who the other is.
        let mut other = open(&link, "/ipfs/id/1.0.0").await?;
        let mut sink = Vec::new();
        soon(futures::AsyncReadExt::read_to_end(&mut other, &mut sink)).await?;
    }
    Ok(())
}

/// The attacks of strangers, by name.
pub(super) fn begin(name: &str, at: Attempt) -> Option<Aim> {
    Some(match name {
        "connects" => Box::pin(connects(at)),
        "holds" => Box::pin(holds(at)),
        "doubles" => Box::pin(doubles(at)),
        "half-open" => Box::pin(half_open(at)),
        "streams" => Box::pin(streams(at)),
        "lengths" => Box::pin(lengths(at)),
        "garbage" => Box::pin(garbage(at)),
        "gossip" => Box::pin(gossip(at)),
        "joins" => Box::pin(joins(at)),
        "hellos" => Box::pin(hellos(at)),
        "pings" => Box::pin(pings(at)),
        "identifies" => Box::pin(identifies(at)),
        _ => return None,
    })
}
