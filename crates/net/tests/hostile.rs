//! Peers that break the rules, made of plain libp2p.

use crate::harness::{Node, Transport, options, within};
use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, StreamExt as _};
use libp2p::identity::Keypair;
use libp2p::request_response::{self, Codec, Message, ProtocolSupport};
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, StreamProtocol, Swarm, SwarmBuilder, noise, tcp, yamux};
use net::{Event, PullError, RequestError};
use proto::limits::{FRAME_BYTES_MAX, PULLS_PER_PEER_MAX, RPC_BYTES_MAX, STRANGER_RPC_BYTES_MAX};
use proto::names;
use std::io;
use std::time::Duration;
use types::PeerId;

/// Writes whatever it is told, and reads until the other side is done.
#[derive(Clone, Default)]
struct Raw;

impl Codec for Raw {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Vec<u8>;

    async fn read_request<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Vec<u8>> {
        let mut len = [0; 4];
        io.read_exact(&mut len).await?;
        let mut body = Vec::new();
        io.take(u64::from(u32::from_be_bytes(len))).read_to_end(&mut body).await?;
        Ok(body)
    }

    async fn read_response<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        io.read_to_end(&mut body).await?;
        Ok(body)
    }

    async fn write_request<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        body: Vec<u8>,
    ) -> io::Result<()> {
        io.write_all(&body).await
    }

    async fn write_response<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        body: Vec<u8>,
    ) -> io::Result<()> {
        io.write_all(&body).await
    }
}

type RawSwarm = Swarm<request_response::Behaviour<Raw>>;

fn raw(key: Keypair, protocol: &'static str) -> RawSwarm {
    let protocols = [(StreamProtocol::new(protocol), ProtocolSupport::Full)];
    let config = request_response::Config::default().with_request_timeout(Duration::from_secs(20));
    SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_quic()
        .with_behaviour(|_| request_response::Behaviour::new(protocols, config))
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(60)))
        .build()
}

fn id_of(swarm: &RawSwarm) -> PeerId {
    PeerId::from_bytes(&swarm.local_peer_id().to_bytes()).unwrap()
}

/// Connects a raw peer to a node.
async fn intrude(node: &mut Node, protocol: &'static str) -> (RawSwarm, libp2p::PeerId) {
    let mut swarm = raw(Keypair::generate_ed25519(), protocol);
    swarm.dial(node.address.parse::<Multiaddr>().unwrap()).unwrap();
    let peer = within("dialling", async {
        loop {
            if let SwarmEvent::ConnectionEstablished { peer_id, .. } = swarm.select_next_some().await {
                return peer_id;
            }
        }
    })
    .await;
    node.connected(id_of(&swarm)).await;
    (swarm, peer)
}

/// Runs the raw peer until its question failed or was answered.
async fn outcome(swarm: &mut RawSwarm) -> Result<Vec<u8>, String> {
    within("an outcome", async {
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::Behaviour(request_response::Event::Message {
                    message: Message::Response { response, .. },
                    ..
                }) => return Ok(response),
                SwarmEvent::Behaviour(request_response::Event::OutboundFailure { error, .. }) => {
                    return Err(error.to_string());
                }
                _ => {}
            }
        }
    })
    .await
}

fn header(len: usize) -> Vec<u8> {
    u32::try_from(len).unwrap().to_be_bytes().to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn oversize_questions_are_refused_unread() {
    for transport in Transport::BOTH {
        let mut node = Node::start(1, transport).await;
        let (mut swarm, peer) = intrude(&mut node, names::RPC).await;
        let mut body = header(RPC_BYTES_MAX + 1);
        body.resize(RPC_BYTES_MAX + 5, 0);
        swarm.behaviour_mut().send_request(&peer, body);
        // No answer comes, as nothing was asked.
        assert_ne!(outcome(&mut swarm).await.map(|body| !body.is_empty()), Ok(true));
        within("the counter", async {
            while node.handle.counters().requests_broken == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        // It goes on as if nothing had happened: one that keeps the rules is heard.
        swarm.behaviour_mut().send_request(&peer, [header(2), b"hi".to_vec()].concat());
        let mut swarm = std::pin::pin!(outcome(&mut swarm));
        let id = tokio::select! {
            _ = &mut swarm => panic!("answered before it was asked"),
            id = node.wait("the question", |event| match event {
                Event::Request { id, body, .. } => { assert_eq!(body, b"hi"); Ok(id) }
                other => Err(other),
            }) => id,
        };
        node.handle.respond(id, b"ho".to_vec()).await.unwrap();
        assert_eq!(swarm.await, Ok([header(2), b"ho".to_vec()].concat()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn oversize_and_broken_answers_are_errors() {
    let mut node = Node::start(1, Transport::Tcp).await;
    let (mut swarm, _) = intrude(&mut node, names::RPC).await;
    let peer = id_of(&swarm);
    let answers = [header(RPC_BYTES_MAX + 1), [header(100), vec![1; 99]].concat(), vec![0, 0]];
    for n in 0..answers.len() as u64 {
        node.handle.request(peer, n, vec![]).await.unwrap();
    }
    let mut answers = answers.into_iter();
    let liar = tokio::spawn(async move {
        loop {
            if let SwarmEvent::Behaviour(request_response::Event::Message {
                message: Message::Request { channel, .. },
                ..
            }) = swarm.select_next_some().await
            {
                swarm.behaviour_mut().send_response(channel, answers.next().unwrap()).unwrap();
            }
        }
    });
    let mut errors = Vec::new();
    for _ in 0..3 {
        let error = node.wait("an error", |event| match event {
            Event::Response { result, .. } => Ok(result.unwrap_err()),
            other => Err(other),
        });
        errors.push(error.await);
    }
    liar.abort();
    let too_large = |error: &&RequestError| **error == RequestError::TooLarge { max: RPC_BYTES_MAX };
    assert_eq!(errors.iter().filter(too_large).count(), 1, "{errors:?}");
    assert_eq!(errors.iter().filter(|error| matches!(error, RequestError::Stream(_))).count(), 2, "{errors:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn oversize_frames_are_refused_on_both_sides() {
    for transport in Transport::BOTH {
        let mut node = Node::start(1, transport).await;
        let (mut swarm, to) = intrude(&mut node, names::PULL).await;
        let peer = id_of(&swarm);
        // As the one who asks.
        swarm.behaviour_mut().send_request(&to, header(FRAME_BYTES_MAX + 1));
        assert_ne!(outcome(&mut swarm).await.map(|body| !body.is_empty()), Ok(true));
        within("the counter", async {
            while node.handle.counters().pulls_broken == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        // As the one who serves.
        node.handle.pull(peer, 5, b"give".to_vec()).await.unwrap();
        let liar = tokio::spawn(async move {
            loop {
                if let SwarmEvent::Behaviour(request_response::Event::Message {
                    message: Message::Request { request, channel, .. },
                    ..
                }) = swarm.select_next_some().await
                {
                    assert_eq!(request, b"give");
                    let body = [header(1), vec![1], header(FRAME_BYTES_MAX + 1), vec![0; 100]].concat();
                    swarm.behaviour_mut().send_response(channel, body).unwrap();
                }
            }
        });
        let mut frames = 0;
        let end = node.wait("the end", |event| match event {
            Event::PullFrame { .. } => {
                frames += 1;
                Err(event)
            }
            Event::PullEnd { id: 5, result } => Ok(result),
            other => Err(other),
        });
        let (len, max) = (FRAME_BYTES_MAX + 1, FRAME_BYTES_MAX);
        assert_eq!(end.await, Err(PullError::TooLarge { len, max }));
        assert_eq!(frames, 1);
        liar.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_has_only_so_many_pulls() {
    let mut node = Node::start(1, Transport::Tcp).await;
    let (mut swarm, to) = intrude(&mut node, names::PULL).await;
    for _ in 0..PULLS_PER_PEER_MAX + 3 {
        swarm.behaviour_mut().send_request(&to, header(0));
    }
    let driver = tokio::spawn(async move {
        loop {
            swarm.select_next_some().await;
        }
    });
    for _ in 0..PULLS_PER_PEER_MAX {
        node.wait("a pull", |event| if matches!(event, Event::PullRequested { .. }) { Ok(()) } else { Err(event) })
            .await;
    }
    within("the counter", async {
        while node.handle.counters().pulls_refused < 3 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(!node.drain().iter().any(|event| matches!(event, Event::PullRequested { .. })));
    driver.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_with_another_kind_of_key_is_refused() {
    for transport in Transport::BOTH {
        let mut node = Node::start(1, transport).await;
        let mut swarm = raw(Keypair::generate_secp256k1(), names::RPC);
        swarm.dial(node.address.parse::<Multiaddr>().unwrap()).unwrap();
        within("the refusal", async {
            loop {
                match swarm.select_next_some().await {
                    SwarmEvent::ConnectionClosed { .. } | SwarmEvent::OutgoingConnectionError { .. } => return,
                    _ => {}
                }
            }
        })
        .await;
        assert_eq!(node.handle.counters().foreign_keys, 1, "{transport:?}");
        assert!(!node.drain().iter().any(|event| matches!(event, Event::Connected { .. })));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_answers_no_ping_is_left() {
    let mut options = options(1, Transport::Tcp);
    options.limits.ping = Duration::from_millis(200);
    let mut node = Node::with(options).await;
    // It speaks the protocol, and never answers.
    let (mut swarm, _) = intrude(&mut node, "/ipfs/ping/1.0.0").await;
    let peer = id_of(&swarm);
    let driver = tokio::spawn(async move {
        loop {
            swarm.select_next_some().await;
        }
    });
    node.disconnected(peer).await;
    assert_eq!(node.handle.counters().pings_lost, 1);
    driver.abort();
}

/// Waits until a counter is at least this high.
async fn counted(node: &Node, what: &str, least: u64, counter: impl Fn(net::Counters) -> u64) {
    within(what, async {
        while counter(node.handle.counters()) < least {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

fn guarded(key: u8, transport: Transport) -> net::Options {
    let mut options = options(key, transport);
    options.guarded = true;
    options
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_may_ask_a_little_and_nothing_else() {
    for transport in Transport::BOTH {
        let mut node = Node::with(guarded(1, transport)).await;
        // No pull stream.
        let (mut puller, peer) = intrude(&mut node, names::PULL).await;
        puller.behaviour_mut().send_request(&peer, header(0));
        assert_ne!(outcome(&mut puller).await.map(|body| !body.is_empty()), Ok(true));
        counted(&node, "the refused pull", 1, |c| c.pulls_refused).await;
        // One small question, answered.
        let (mut asker, peer) = intrude(&mut node, names::RPC).await;
        let stranger = id_of(&asker);
        asker.behaviour_mut().send_request(&peer, [header(2), b"hi".to_vec()].concat());
        {
            let mut answer = std::pin::pin!(outcome(&mut asker));
            let id = tokio::select! {
                early = &mut answer => panic!("answered before it was asked: {early:?}"),
                id = node.wait("the question", |event| match event {
                    Event::Request { id, peer, .. } if peer == stranger => Ok(id),
                    other => Err(other),
                }) => id,
            };
            node.handle.respond(id, b"ho".to_vec()).await.unwrap();
            assert_eq!(answer.await, Ok([header(2), b"ho".to_vec()].concat()));
        }
        // No large one.
        let mut large = header(STRANGER_RPC_BYTES_MAX + 1);
        large.resize(STRANGER_RPC_BYTES_MAX + 5, 0);
        asker.behaviour_mut().send_request(&peer, large);
        assert_ne!(outcome(&mut asker).await.map(|body| !body.is_empty()), Ok(true));
        counted(&node, "the refused question", 1, |c| c.requests_broken).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_that_asks_in_a_loop_is_refused_for_a_while() {
    let mut node = Node::with(guarded(1, Transport::Tcp)).await;
    let (mut swarm, peer) = intrude(&mut node, names::RPC).await;
    let stranger = id_of(&swarm);
    let driver = tokio::spawn(async move {
        loop {
            swarm.behaviour_mut().send_request(&peer, [header(2), b"hi".to_vec()].concat());
            while let Some(event) = futures::FutureExt::now_or_never(swarm.select_next_some()) {
                if let SwarmEvent::ConnectionClosed { .. } = event {
                    return swarm;
                }
            }
            tokio::task::yield_now().await;
        }
    });
    within("the ban", async {
        loop {
            let asked = node.wait("a question or the end", |event| match event {
                Event::Request { id, .. } => Ok(Some(id)),
                Event::Disconnected { peer } if peer == stranger => Ok(None),
                other => Err(other),
            });
            match asked.await {
                Some(id) => node.handle.respond(id, b"no".to_vec()).await.unwrap(),
                None => return,
            }
        }
    })
    .await;
    let mut swarm = within("the end", driver).await.unwrap();
    let counters = node.handle.counters();
    assert!(counters.banned == 1 && counters.over_rate > 0, "{counters:?}");
    // And it does not get in again.
    swarm.dial(node.address.parse::<Multiaddr>().unwrap()).unwrap();
    let refused = counters.connections_refused;
    let driver = tokio::spawn(async move {
        loop {
            swarm.select_next_some().await;
        }
    });
    counted(&node, "the refusal", refused + 1, |c| c.connections_refused).await;
    driver.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_hears_no_gossip_until_it_is_a_member() {
    for transport in Transport::BOTH {
        let mut a = Node::with(guarded(1, transport)).await;
        let mut b = Node::with(guarded(2, transport)).await;
        for node in [&a, &b] {
            node.handle.subscribe("space".into()).await.unwrap();
        }
        a.dial(&mut b).await;
        for n in 0..20u8 {
            a.handle.publish("space".into(), vec![n]).await.unwrap();
        }
        // Later commands are carried out after these.
        counted(&a, "the publishing", 20, |c| c.published_to_nobody).await;
        // They let each other in at different times, on the connection that stands.
        a.handle.keep(b.id(), true).await.unwrap();
        a.handle.request(b.id(), 1, b"in between".to_vec()).await.unwrap();
        b.wait("a question", |event| if let Event::Request { .. } = event { Ok(()) } else { Err(event) }).await;
        b.handle.keep(a.id(), true).await.unwrap();
        for (from, to) in [(1u8, 2u8), (2, 1)] {
            within("gossip among members", async {
                for n in 0u64.. {
                    let (from, to) = if from == 1 { (&a, &mut b) } else { (&b, &mut a) };
                    from.handle.publish("space".into(), n.to_be_bytes().to_vec()).await.unwrap();
                    let heard = to.wait("gossip", |event| match event {
                        Event::Gossip { data, .. } => Ok(data),
                        other => Err(other),
                    });
                    if let Ok(data) = tokio::time::timeout(Duration::from_millis(100), heard).await {
                        assert_eq!(data.len(), 8, "nothing of before");
                        return;
                    }
                }
            })
            .await;
            println!("{from} to {to}: heard");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_have_a_limit_in_total_and_per_stranger() {
    let mut few = options(1, Transport::Tcp);
    few.limits.connections_max = 2;
    let mut node = Node::with(few).await;
    let one = intrude(&mut node, names::RPC).await;
    let two = intrude(&mut node, names::RPC).await;
    let mut third = raw(Keypair::generate_ed25519(), names::RPC);
    third.dial(node.address.parse::<Multiaddr>().unwrap()).unwrap();
    let failed = node.handle.counters().inbound_failed;
    let driver = tokio::spawn(async move {
        loop {
            third.select_next_some().await;
        }
    });
    counted(&node, "the refusal", failed + 1, |c| c.inbound_failed).await;
    let peers = node.drain().into_iter().filter(|event| matches!(event, Event::Connected { .. })).count();
    assert_eq!(peers, 0, "the third was let in");
    driver.abort();
    drop((one, two));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_connection_is_taken_while_memory_is_short() {
    let mut poor = options(1, Transport::Tcp);
    poor.limits.memory_bytes_max = 1;
    let mut node = Node::with(poor).await;
    let mut swarm = raw(Keypair::generate_ed25519(), names::RPC);
    swarm.dial(node.address.parse::<Multiaddr>().unwrap()).unwrap();
    let driver = tokio::spawn(async move {
        loop {
            swarm.select_next_some().await;
        }
    });
    counted(&node, "the refusal", 1, |c| c.inbound_failed).await;
    assert!(!node.drain().iter().any(|event| matches!(event, Event::Connected { .. })));
    driver.abort();
}
