use crate::harness::{Node, Transport, options, within};
use net::{Event, Verdict};
use proto::limits::GOSSIP_BYTES_MAX;
use std::time::Duration;

const TOPIC: &str = "space";

/// Publishes numbered messages until the other node has one of them, and judges it. Gossip promises nothing before
/// the mesh stands, so repeating is how its use looks.
async fn until_heard(from: &Node, to: &mut Node, what: &str) -> Vec<u8> {
    within(what, async {
        for n in 0u32.. {
            let data = format!("{what} {n}").into_bytes();
            from.handle.publish(TOPIC.into(), data).await.unwrap();
            let heard = to.wait(what, |event| match event {
                Event::Gossip { data, message, .. } if data.starts_with(what.as_bytes()) => Ok((data, message)),
                other => Err(other),
            });
            if let Ok((data, message)) = tokio::time::timeout(Duration::from_millis(200), heard).await {
                to.handle.verdict(message, Verdict::Accept).await.unwrap();
                return data;
            }
        }
        unreachable!()
    })
    .await
}

async fn subscribe(nodes: &[&Node]) {
    for node in nodes {
        node.handle.subscribe(TOPIC.into()).await.unwrap();
    }
}

async fn heard(node: &mut Node, want: &[u8]) -> net::MessageRef {
    node.wait("a message", |event| match event {
        Event::Gossip { data, message, topic, .. } if data == want && topic == TOPIC => Ok(message),
        other => Err(other),
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn accepted_messages_travel_on_and_rejected_ones_stay() {
    for transport in Transport::BOTH {
        // A line: what C hears, B passed on.
        let mut a = Node::start(1, transport).await;
        let mut b = Node::start(2, transport).await;
        let mut c = Node::start(3, transport).await;
        subscribe(&[&a, &b, &c]).await;
        a.dial(&mut b).await;
        b.dial(&mut c).await;
        until_heard(&a, &mut b, "warm a-b").await;
        until_heard(&b, &mut c, "warm b-c").await;
        for (round, verdict) in [Verdict::Reject, Verdict::Ignore, Verdict::Accept].into_iter().enumerate() {
            let data = format!("round {round}").into_bytes();
            a.handle.publish(TOPIC.into(), data.clone()).await.unwrap();
            let message = heard(&mut b, &data).await;
            b.handle.verdict(message, verdict).await.unwrap();
        }
        heard(&mut c, b"round 2").await;
        let others = c.drain();
        let wrong = |event: &Event| matches!(event, Event::Gossip { data, .. } if data.starts_with(b"round"));
        assert!(!others.iter().any(wrong), "{others:?}");
        assert_eq!(b.handle.counters().gossip_rejected, 1);
        // The largest message passes, a larger one does not leave.
        let large = vec![5; GOSSIP_BYTES_MAX];
        a.handle.publish(TOPIC.into(), large.clone()).await.unwrap();
        heard(&mut b, &large).await;
        a.handle.publish(TOPIC.into(), vec![5; GOSSIP_BYTES_MAX + 1]).await.unwrap();
        a.handle.publish(TOPIC.into(), large).await.unwrap();
        within("the counters", async {
            while a.handle.counters().published_twice == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(a.handle.counters().publish_failed, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn publishing_to_nobody_is_a_counter() {
    let a = Node::start(1, Transport::Tcp).await;
    a.handle.publish(TOPIC.into(), b"alone".to_vec()).await.unwrap();
    let mut off = options(2, Transport::Tcp);
    off.gossip.enabled = false;
    let b = Node::with(off).await;
    subscribe(&[&b]).await;
    b.handle.publish(TOPIC.into(), b"off".to_vec()).await.unwrap();
    within("the counters", async {
        while a.handle.counters().published_to_nobody + b.handle.counters().published_to_nobody < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn injected_losses_and_a_sleeping_reader_drop_and_count() {
    let mut lossy = options(2, Transport::Tcp);
    lossy.gossip.loss = 1.0;
    let mut sleepy = options(3, Transport::Tcp);
    sleepy.limits.events = 1;
    sleepy.limits.gossip_waiting = 2;
    let mut a = Node::start(1, Transport::Tcp).await;
    let (mut b, mut c) = (Node::with(lossy).await, Node::with(sleepy).await);
    subscribe(&[&a, &b, &c]).await;
    a.dial(&mut b).await;
    a.dial(&mut c).await;
    let mut pace = tokio::time::interval(Duration::from_millis(5));
    within("drops", async {
        for n in 0u32.. {
            a.handle.publish(TOPIC.into(), n.to_be_bytes().to_vec()).await.unwrap();
            let (b, c) = (b.handle.counters(), c.handle.counters());
            if b.gossip_injected_losses >= 5 && c.gossip_dropped >= 5 {
                return;
            }
            if n % 1000 == 999 {
                println!("{:?}\n{b:?}\n{c:?}", a.handle.counters());
            }
            pace.tick().await;
        }
    })
    .await;
    assert!(!b.drain().iter().any(|event| matches!(event, Event::Gossip { .. })));
    // The sleeper wakes and hears again.
    c.drain();
    until_heard(&a, &mut c, "awake").await;
}

/// A node in a runtime of its own, which can vanish without a goodbye.
fn start_apart(key: u8, transport: Transport) -> (tokio::runtime::Runtime, Node) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let node = runtime.block_on(Node::start(key, transport));
    (runtime, node)
}

fn restart(transport: Transport) {
    let main = tokio::runtime::Runtime::new().unwrap();
    let mut a = main.block_on(Node::start(1, transport));
    let (apart, mut b) = start_apart(2, transport);
    main.block_on(async {
        subscribe(&[&a, &b]).await;
        b.dial(&mut a).await;
        until_heard(&a, &mut b, "before, to b").await;
        until_heard(&b, &mut a, "before, to a").await;
    });
    // No goodbye: over QUIC, A holds the dead connection for ten seconds.
    apart.shutdown_background();
    let (apart, mut again) = start_apart(2, transport);
    main.block_on(async {
        subscribe(&[&again]).await;
        again.handle.dial(Some(a.id()), vec![a.address.clone()]).await.unwrap();
        again.connected(a.id()).await;
        until_heard(&again, &mut a, "after, to a").await;
        until_heard(&a, &mut again, "after, to b").await;
    });
    println!("{transport:?}: {:?}\n{:?}", a.handle.counters(), again.handle.counters());
    apart.shutdown_background();
}

#[test]
fn a_node_that_restarts_with_its_key_hears_and_is_heard_again_tcp() {
    restart(Transport::Tcp);
}

#[test]
fn a_node_that_restarts_with_its_key_hears_and_is_heard_again_quic() {
    restart(Transport::Quic);
}
