//! Attacks of a member whose keys were stolen.

use super::link::{Link, soon};
use super::speak::{self, GOSSIP, agree, ask, framed, open, publish, read_prefixed, send, subscribe};
use super::worker::{Aim, Attempt};
use futures::AsyncReadExt as _;
use identity::{Event, NostrKey, kinds};
use proto::limits::{EVENT_BYTES_MAX, FRAME_BYTES_MAX, GOSSIP_BYTES_MAX, TIPS_MAX};
use proto::wire::{self, request::Body};
use std::io;
use std::time::Duration;
use types::UnixSecs;

/// A connection of the stolen identity, after its hello.
async fn greeted(at: &mut Attempt) -> io::Result<Link> {
    let (key, card) = at.insider()?;
    let link = Link::dial(&at.aim.addrs, &key, &mut at.random).await?;
    let hello = wire::Hello { version: 1, card, ..Default::default() };
    ask(&link, Body::Hello(hello)).await?;
    Ok(link)
}

/// A gossip stream to the victim, and the topics that the victim named.
async fn gossiping(at: &mut Attempt) -> io::Result<(Link, futures::io::WriteHalf<Stream>, String)> {
    let mut link = greeted(at).await?;
    let known = at.aim.topic();
    let topic = match known {
        Some(topic) => topic,
        None => {
            let (topic, unread) = soon(told_topic(&mut link)).await?;
            at.hold(unread);
            at.aim.learn(&topic);
            topic
        }
    };
    let stream = open(&link, GOSSIP).await?;
    let (_, mut to) = stream.split();
    soon(async { futures::AsyncWriteExt::write_all(&mut to, &subscribe(std::slice::from_ref(&topic), true)).await })
        .await?;
    Ok((link, to, topic))
}

/// The topic that the victim names on the first connection to a peer. No more is read of that stream: what the victim
/// sends from then on waits.
async fn told_topic(link: &mut Link) -> io::Result<(String, Stream)> {
    loop {
        let mut stream = link.inbound.recv().await.ok_or(io::ErrorKind::NotConnected)?;
        if !agree(&mut stream).await?.starts_with("/meshsub") {
            continue;
        }
        // Other messages may come first.
        while let Ok(told) = read_prefixed(&mut stream).await {
            if let Some(topic) = topic_in(&told) {
                return Ok((topic, stream));
            }
        }
    }
}

type Stream = libp2p::core::muxing::SubstreamBox;

/// The first topic in a subscription.
fn topic_in(rpc: &[u8]) -> Option<String> {
    // RPC.subscriptions = 1 { subscribe = 1, topic = 2 }: all short enough for one-byte lengths or two.
    let text = rpc.windows(2).position(|w| w[0] == 0x12 && w[1] > 8)?;
    let len = usize::from(rpc[text + 1]);
    let topic = rpc.get(text + 2..text + 2 + len)?;
    String::from_utf8(topic.to_vec()).ok()
}

async fn say(to: &mut futures::io::WriteHalf<Stream>, bytes: &[u8]) -> io::Result<()> {
    speak::note_sent(bytes.len());
    soon(async {
        futures::AsyncWriteExt::write_all(to, bytes).await?;
        futures::AsyncWriteExt::flush(to).await
    })
    .await
}

fn envelope(events: Vec<Vec<u8>>) -> Vec<u8> {
    proto::encode(&wire::Gossip { events })
}

/// Publishes what `make` makes, as fast as it is taken.
async fn flood(mut at: Attempt, mut make: impl FnMut(&mut Attempt) -> Vec<u8>) -> io::Result<()> {
    let (_link, mut to, topic) = gossiping(&mut at).await?;
    loop {
        let data = make(&mut at);
        say(&mut to, &publish(&topic, &data)).await?;
    }
}

/// Gossip that is no message.
pub(super) async fn garbage(at: Attempt) -> io::Result<()> {
    flood(at, |at| at.bytes(400)).await
}

/// The largest messages, each another.
pub(super) async fn huge(at: Attempt) -> io::Result<()> {
    flood(at, |at| at.bytes(GOSSIP_BYTES_MAX)).await
}

/// Messages that are larger than any may be.
pub(super) async fn oversize(at: Attempt) -> io::Result<()> {
    flood(at, |at| at.bytes(GOSSIP_BYTES_MAX * 4)).await
}

fn op(at: &mut Attempt, content: String) -> Event {
    let key = NostrKey::generate(at.seed());
    let tags = vec![vec!["v".to_owned(), "1".to_owned()], vec!["h".to_owned(), at.aim.h.clone()]];
    let created = UnixSecs(u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or_default());
    key.sign(kinds::BEAD_OP, created, tags, content, at.seed())
}

/// Events with good signatures by people who are no members.
pub(super) async fn strangers(at: Attempt) -> io::Result<()> {
    flood(at, |at| envelope((0..20).map(|n| op(at, format!("{n}")).to_json()).collect())).await
}

/// Events whose signatures are not good.
pub(super) async fn forged(at: Attempt) -> io::Result<()> {
    flood(at, |at| {
        let content = "x".repeat(at.random.below(EVENT_BYTES_MAX / 20));
        let good = String::from_utf8_lossy(&op(at, content).to_json()).into_owned();
        let Some(sig) = good.find("\"sig\":\"") else { return Vec::new() };
        let (head, tail) = good.split_at(sig + 8);
        envelope(vec![format!("{head}0{}", &tail[1..]).into_bytes(); 10])
    })
    .await
}

/// Good events that everybody has, in ever new arrangements.
pub(super) async fn replays(mut at: Attempt) -> io::Result<()> {
    let events = fetch(&mut at).await?;
    if events.is_empty() {
        return Err(io::ErrorKind::NotFound.into());
    }
    flood(at, move |at| {
        let junk = at.bytes(8);
        let mut some: Vec<_> = (0..4).map(|_| events[at.random.below(events.len())].clone()).collect();
        some.push(junk);
        envelope(some)
    })
    .await
}

async fn heads(link: &Link, h: &str, tips: Vec<wire::Tip>) -> io::Result<wire::Heads> {
    let ours = wire::Heads {
        h: h.to_owned(),
        tips,
        charter: vec![0; 32],
        digest: Vec::new(),
        state_digest: Vec::new(),
        ..Default::default()
    };
    let answer = ask(link, Body::Heads(ours)).await?;
    match proto::decode::<wire::Response>(&answer, answer.len()).map_err(io::Error::other)?.body {
        Some(wire::response::Body::Heads(heads)) => Ok(heads),
        _ => Err(io::ErrorKind::PermissionDenied.into()),
    }
}

fn want(h: &str, tips: &[wire::Tip]) -> Vec<u8> {
    let range = |tip: &wire::Tip| wire::Range { host: tip.host.clone(), incarnation: tip.incarnation, from: 1, to: 0 };
    let ranges = tips.iter().cycle().take(500.min(tips.len() * 500)).map(range).collect();
    framed(&proto::encode(&wire::PullRequest { h: h.to_owned(), ranges, ..Default::default() }))
}

/// Some events that the victim has.
async fn fetch(at: &mut Attempt) -> io::Result<Vec<Vec<u8>>> {
    let link = greeted(at).await?;
    let told = heads(&link, &at.aim.h, Vec::new()).await?;
    let mut pull = open(&link, proto::names::PULL).await?;
    send(&mut pull, &want(&at.aim.h, &told.tips)).await?;
    soon(async {
        let mut len = [0; 4];
        pull.read_exact(&mut len).await?;
        let mut page = vec![0; (u32::from_be_bytes(len) as usize).min(FRAME_BYTES_MAX)];
        pull.read_exact(&mut page).await?;
        let page: wire::PullPage = proto::decode(&page, FRAME_BYTES_MAX).map_err(io::Error::other)?;
        Ok(page.events)
    })
    .await
}

/// Thousands of topics, taken and left.
pub(super) async fn topics(mut at: Attempt) -> io::Result<()> {
    let (_link, mut to, topic) = gossiping(&mut at).await?;
    loop {
        let topics: Vec<String> = (0..90).map(|_| at.random.next().to_string()).collect();
        say(&mut to, &subscribe(&topics, true)).await?;
        say(&mut to, &subscribe(&topics, false)).await?;
        let own = std::slice::from_ref(&topic);
        say(&mut to, &[subscribe(own, false), subscribe(own, true)].concat()).await?;
    }
}

/// Offers and wishes of messages that do not exist.
pub(super) async fn controls(mut at: Attempt) -> io::Result<()> {
    let (_link, mut to, topic) = gossiping(&mut at).await?;
    loop {
        let ids: Vec<_> = (0..200).map(|_| at.bytes(20)).collect();
        say(&mut to, &speak::control(&topic, &ids)).await?;
    }
}

/// Tells of thousands of ops that do not exist, in a loop, and serves pulls that never end.
pub(super) async fn lies(mut at: Attempt) -> io::Result<()> {
    let mut link = greeted(&mut at).await?;
    let h = at.aim.h.clone();
    let server = async {
        let mut serving = Vec::new();
        while let Some(mut stream) = link.inbound.recv().await {
            serving.push(tokio::spawn(async move {
                if soon(agree(&mut stream)).await.is_ok_and(|protocol| protocol == proto::names::PULL) {
                    let page = framed(&proto::encode(&wire::PullPage {
                        events: vec![vec![b'x'; 1000]],
                        ..wire::PullPage::default()
                    }));
                    while send(&mut stream, &page).await.is_ok() {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
            }));
        }
        serving.iter().for_each(tokio::task::JoinHandle::abort);
    };
    let (key, card) = at.insider()?;
    let teller = async {
        let link = Link::dial(&at.aim.addrs, &key, &mut at.random.clone()).await?;
        ask(&link, Body::Hello(wire::Hello { version: 1, card, ..Default::default() })).await?;
        loop {
            let tip = |_| wire::Tip { host: at.bytes(32), incarnation: 1, seq: u64::MAX >> 1, id: at.bytes(32) };
            let tips = (0..TIPS_MAX / 4).map(tip).collect();
            heads(&link, &h, tips).await?;
        }
    };
    tokio::select! { () = server => Ok(()), told = teller => told }
}

/// Asks the dearest questions in a loop.
pub(super) async fn questions(mut at: Attempt) -> io::Result<()> {
    let link = greeted(&mut at).await?;
    let h = at.aim.h.clone();
    loop {
        heads(&link, &h, Vec::new()).await?;
        ask(&link, Body::Charter(wire::CharterQuery { h: h.clone() })).await?;
        ask(&link, Body::Hosts(wire::HostsQuery { h: h.clone() })).await?;
    }
}

/// Pulls everything, many times, and never reads a page.
pub(super) async fn pulls(mut at: Attempt) -> io::Result<()> {
    let link = greeted(&mut at).await?;
    let told = heads(&link, &at.aim.h, Vec::new()).await?;
    let question = want(&at.aim.h, &told.tips);
    let mut unread = Vec::new();
    for _ in 0..100 {
        let Ok(mut pull) = open(&link, proto::names::PULL).await else { break };
        send(&mut pull, &question).await?;
        unread.push(pull);
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    Ok(())
}

/// The attacks of the insider, by name.
pub(super) fn begin(name: &str, at: Attempt) -> Option<Aim> {
    Some(match name {
        "in-garbage" => Box::pin(garbage(at)),
        "in-huge" => Box::pin(huge(at)),
        "in-oversize" => Box::pin(oversize(at)),
        "in-strangers" => Box::pin(strangers(at)),
        "in-forged" => Box::pin(forged(at)),
        "in-replays" => Box::pin(replays(at)),
        "in-topics" => Box::pin(topics(at)),
        "in-controls" => Box::pin(controls(at)),
        "in-lies" => Box::pin(lies(at)),
        "in-questions" => Box::pin(questions(at)),
        "in-pulls" => Box::pin(pulls(at)),
        _ => return None,
    })
}
