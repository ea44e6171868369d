use crate::harness::{Node, Transport, options, pair, within};
use net::{AddressError, Error, Event, Stopped};
use std::time::Duration;
use types::PeerId;

#[tokio::test(flavor = "multi_thread")]
async fn connect_measure_disconnect() {
    for transport in Transport::BOTH {
        let mut a = Node::start(1, transport).await;
        let mut b = Node::start(2, transport).await;
        assert_eq!(a.handle.listen_addresses(), [a.address.clone()]);
        a.handle.dial(Some(b.id()), vec![b.address.clone()]).await.unwrap();
        assert_eq!(a.connected(b.id()).await, (transport.name(), true));
        assert_eq!(b.connected(a.id()).await, (transport.name(), false));
        let (other, micros) = a
            .wait("rtt", |event| match event {
                Event::Rtt { peer, micros } => Ok((peer, micros)),
                other => Err(other),
            })
            .await;
        assert_eq!(other, b.id());
        assert!((1..5_000_000).contains(&micros), "{micros}");
        a.handle.disconnect(b.id()).await.unwrap();
        a.disconnected(b.id()).await;
        b.disconnected(a.id()).await;
        // Again, by address alone, and the other way round.
        b.handle.dial(None, vec![format!("{}/p2p/{}", a.address, a.id())]).await.unwrap();
        b.connected(a.id()).await;
        a.connected(b.id()).await;
        // A node that stops says goodbye.
        let id = b.id();
        b.stop().await;
        a.disconnected(id).await;
        a.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dials_to_nobody_or_to_somebody_else_fail_and_are_counted() {
    let mut a = Node::start(1, Transport::Tcp).await;
    let b = Node::start(2, Transport::Tcp).await;
    let wrong = PeerId::from_ed25519([9; 32]);
    a.handle.dial(Some(wrong), vec![b.address.clone()]).await.unwrap();
    within("a failed dial", async {
        while a.handle.counters().dials_failed == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let long = a.handle.dial(None, vec!["/ip4".repeat(1000)]).await;
    assert!(matches!(long, Err(AddressError::TooLong { .. })), "{long:?}");
    let junk = a.handle.try_dial(None, vec!["nonsense".into()]);
    assert!(matches!(junk, Err(AddressError::Malformed { .. })), "{junk:?}");
    let many = a.handle.dial(None, vec![b.address.clone(); 33]).await;
    assert_eq!(many, Err(AddressError::Count { count: 33, max: 32 }));
    assert_eq!(a.handle.dial(None, vec![]).await, Err(AddressError::Count { count: 0, max: 32 }));
    assert!(!a.drain().iter().any(|event| matches!(event, Event::Connected { .. })));
    let handle = a.handle.clone();
    a.stop().await;
    assert_eq!(handle.disconnect(wrong).await, Err(Stopped::Stopped));
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_settings_are_typed_errors() {
    let start = |listen: &str| {
        let mut options = options(1, Transport::Tcp);
        options.listen = vec![listen.into()];
        net::spawn(options, tokio_util::sync::CancellationToken::new()).err()
    };
    assert!(matches!(start("nonsense"), Some(Error::Address(AddressError::Malformed { .. }))));
    assert!(matches!(start("/ip4/127.0.0.1/sctp/1"), Some(Error::Listen { .. })));
    // TCP would share the port: libp2p listens with SO_REUSEPORT.
    let taken = Node::start(2, Transport::Quic).await;
    assert!(matches!(start(&taken.address), Some(Error::Listen { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn both_dial_at_once() {
    for round in 0..6u8 {
        let transport = Transport::BOTH[usize::from(round % 2)];
        let mut a = Node::start(10 + round, transport).await;
        let mut b = Node::start(20 + round, transport).await;
        let (to_b, to_a) = (vec![b.address.clone()], vec![a.address.clone()]);
        let (one, two) = tokio::join!(a.handle.dial(Some(b.id()), to_b), b.handle.dial(Some(a.id()), to_a));
        one.and(two).unwrap();
        // Dials that meet half-way may both fail (neither end answers); whoever dials tries again, as the engine does.
        for _ in 0..10 {
            let both = async {
                a.connected(b.id()).await;
                b.connected(a.id()).await;
            };
            if tokio::time::timeout(Duration::from_secs(3), both).await.is_ok() {
                break;
            }
            drop(a.handle.dial(Some(b.id()), vec![b.address.clone()]).await);
        }
        // One connection or two: questions go both ways, and both learn of the end once.
        for (from, to) in [(&a, &b), (&b, &a)] {
            from.handle.request(to.id(), 1, b"?".to_vec()).await.unwrap();
        }
        for node in [&mut a, &mut b] {
            let id = node
                .wait("a question", |event| if let Event::Request { id, .. } = event { Ok(id) } else { Err(event) })
                .await;
            node.handle.respond(id, b"!".to_vec()).await.unwrap();
        }
        for node in [&mut a, &mut b] {
            let result = node.wait("an answer", |event| match event {
                Event::Response { result, .. } => Ok(result),
                other => Err(other),
            });
            assert_eq!(result.await, Ok(b"!".to_vec()));
        }
        let id = b.id();
        b.stop().await;
        a.disconnected(id).await;
        let rest = a.drain();
        let twice = |event: &Event| matches!(event, Event::Connected { .. } | Event::Disconnected { .. });
        assert!(!rest.iter().any(twice), "{rest:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_close_unless_kept() {
    let quick = |key| {
        let mut options = options(key, Transport::Tcp);
        options.limits.idle = Duration::from_millis(300);
        options
    };
    let mut a = Node::with(quick(1)).await;
    let mut b = Node::with(quick(2)).await;
    let mut c = Node::with(quick(3)).await;
    a.handle.keep(b.id(), true).await.unwrap();
    b.handle.keep(a.id(), true).await.unwrap();
    a.dial(&mut b).await;
    a.dial(&mut c).await;
    a.disconnected(c.id()).await;
    let early = a.drain();
    assert!(!early.iter().any(|event| matches!(event, Event::Disconnected { .. })), "{early:?}");
    a.handle.keep(b.id(), false).await.unwrap();
    b.handle.keep(a.id(), false).await.unwrap();
    a.disconnected(b.id()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_sleeps_learns_the_truth_when_it_wakes() {
    let mut sleepy = options(1, Transport::Tcp);
    sleepy.limits.events = 1;
    let mut a = Node::with(sleepy).await;
    let mut b = Node::start(2, Transport::Tcp).await;
    for _ in 0..4 {
        b.handle.dial(Some(a.id()), vec![a.address.clone()]).await.unwrap();
        b.connected(a.id()).await;
        b.handle.disconnect(a.id()).await.unwrap();
        b.disconnected(a.id()).await;
    }
    b.handle.dial(Some(a.id()), vec![a.address.clone()]).await.unwrap();
    b.connected(a.id()).await;
    // The reader was told of the first, and now of the last; what came between is one gap.
    b.handle.request(a.id(), 7, b"awake?".to_vec()).await.unwrap();
    let (mut connected, mut turns) = (false, 0);
    a.wait("the request", |event| match event {
        Event::Connected { .. } => {
            assert!(!connected);
            (connected, turns) = (true, turns + 1);
            Err(event)
        }
        Event::Disconnected { .. } => {
            assert!(connected);
            connected = false;
            Err(event)
        }
        Event::Request { .. } => Ok(()),
        other => Err(other),
    })
    .await;
    assert!(connected && turns <= 4, "{turns}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_ends_what_is_under_way() {
    let (mut a, mut b) = pair(Transport::Quic).await;
    a.handle.pull(b.id(), 1, b"all".to_vec()).await.unwrap();
    a.handle.request(b.id(), 2, b"?".to_vec()).await.unwrap();
    b.wait("the request", |event| if matches!(event, Event::Request { .. }) { Ok(()) } else { Err(event) }).await;
    let (id, start) = (b.id(), std::time::Instant::now());
    b.stop().await;
    assert!(start.elapsed() < Duration::from_secs(5));
    a.disconnected(id).await;
    let answer = a
        .wait("the answer", |event| if let Event::Response { result, .. } = event { Ok(result) } else { Err(event) })
        .await;
    assert!(answer.is_err(), "{answer:?}");
    let end = a
        .wait("the end", |event| if let Event::PullEnd { result, .. } = event { Ok(result) } else { Err(event) })
        .await;
    assert!(end.is_err(), "{end:?}");
}
