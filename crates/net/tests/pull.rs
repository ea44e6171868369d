use crate::harness::{Node, Transport, options, pair, within};
use net::{Event, FrameSender, PullError, StreamId};
use proto::limits::{FRAME_BYTES_MAX, PULLS_PER_PEER_MAX};
use std::collections::HashSet;
use std::time::Duration;

async fn asked(node: &mut Node) -> (StreamId, Vec<u8>) {
    node.wait("a pull", |event| match event {
        Event::PullRequested { stream, body, .. } => Ok((stream, body)),
        other => Err(other),
    })
    .await
}

async fn serve(node: &mut Node) -> FrameSender {
    let (stream, _) = asked(node).await;
    node.handle.serve(stream).unwrap()
}

async fn next(node: &mut Node) -> (u64, Result<Vec<u8>, Result<(), PullError>>) {
    node.wait("a frame", |event| match event {
        Event::PullFrame { id, body } => Ok((id, Ok(body))),
        Event::PullEnd { id, result } => Ok((id, Err(result))),
        other => Err(other),
    })
    .await
}

fn frame(n: u32) -> Vec<u8> {
    let mut body = vec![n as u8; 4096];
    body[..4].copy_from_slice(&n.to_be_bytes());
    body
}

/// Sends frames until one cannot be sent for half a second, or all are sent; gives back the next number.
async fn send_until_it_stalls(to: &FrameSender, from: u32, until: u32) -> u32 {
    for n in from..until {
        // A send that is given up has sent nothing.
        if tokio::time::timeout(Duration::from_millis(500), to.send(frame(n))).await.is_err() {
            return n;
        }
    }
    until
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_frames_to_a_slow_reader() {
    const FRAMES: u32 = 10_000;
    for transport in Transport::BOTH {
        let mut small = options(1, transport);
        small.limits.events = 4;
        let mut a = Node::with(small).await;
        let mut b = Node::start(2, transport).await;
        a.dial(&mut b).await;
        a.handle.pull(b.id(), 77, b"everything".to_vec()).await.unwrap();
        let (stream, body) = asked(&mut b).await;
        assert_eq!(body, b"everything");
        let to = b.handle.serve(stream).unwrap();
        assert_eq!(b.handle.serve(stream).unwrap_err(), PullError::NoSuchStream);
        // Nobody reads: the sender comes to a halt long before the end.
        let stalled = within("stalling", send_until_it_stalls(&to, 0, FRAMES)).await;
        assert!(stalled < FRAMES, "{transport:?}: {stalled} frames went nowhere");
        let server = tokio::spawn(async move {
            for n in stalled..FRAMES {
                to.send(frame(n)).await.unwrap();
            }
            to.finish().await.unwrap();
        });
        for n in 0..FRAMES {
            assert_eq!(next(&mut a).await, (77, Ok(frame(n))));
        }
        assert_eq!(next(&mut a).await, (77, Err(Ok(()))));
        server.await.unwrap();
        assert_eq!(b.handle.counters().pulls_broken, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_of_every_size_and_the_limit() {
    let (mut a, mut b) = pair(Transport::Quic).await;
    a.handle.pull(b.id(), 1, vec![]).await.unwrap();
    let to = serve(&mut b).await;
    let over = FRAME_BYTES_MAX + 1;
    assert_eq!(to.send(vec![0; over]).await, Err(PullError::TooLarge { len: over, max: FRAME_BYTES_MAX }));
    for len in [0, 1, 65_536, FRAME_BYTES_MAX] {
        to.send(vec![1; len]).await.unwrap();
        assert!(next(&mut a).await == (1, Ok(vec![1; len])), "{len}");
    }
    to.finish().await.unwrap();
    assert_eq!(next(&mut a).await, (1, Err(Ok(()))));
    a.handle.pull(b.id(), 2, vec![0; over]).await.unwrap();
    assert_eq!(next(&mut a).await, (2, Err(Err(PullError::TooLarge { len: over, max: FRAME_BYTES_MAX }))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_is_never_taken_for_the_end() {
    for transport in Transport::BOTH {
        let (mut a, mut b) = pair(transport).await;
        // The server drops its sender.
        a.handle.pull(b.id(), 1, vec![]).await.unwrap();
        let to = serve(&mut b).await;
        to.send(frame(0)).await.unwrap();
        assert_eq!(next(&mut a).await, (1, Ok(frame(0))));
        drop(to);
        let (id, end) = next(&mut a).await;
        assert!(id == 1 && matches!(end, Err(Err(PullError::Cut(_)))), "{transport:?} {end:?}");
        // The connection closes.
        a.handle.pull(b.id(), 2, vec![]).await.unwrap();
        let to = serve(&mut b).await;
        to.send(frame(0)).await.unwrap();
        assert_eq!(next(&mut a).await, (2, Ok(frame(0))));
        b.handle.disconnect(a.id()).await.unwrap();
        let (id, end) = next(&mut a).await;
        assert!(id == 2 && matches!(end, Err(Err(PullError::Cut(_)))), "{transport:?} {end:?}");
        // The server notices too.
        within("the sender's error", async { while to.send(frame(1)).await.is_ok() {} }).await;
        a.disconnected(b.id()).await;
        a.handle.pull(b.id(), 3, vec![]).await.unwrap();
        assert_eq!(next(&mut a).await, (3, Err(Err(PullError::NotConnected))));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stands_still_is_left() {
    let mut hasty = options(1, Transport::Tcp);
    hasty.limits.stall_timeout = Duration::from_millis(300);
    let mut a = Node::with(hasty).await;
    let mut b = Node::start(2, Transport::Tcp).await;
    a.dial(&mut b).await;
    a.handle.pull(b.id(), 1, vec![]).await.unwrap();
    let to = serve(&mut b).await;
    assert_eq!(next(&mut a).await, (1, Err(Err(PullError::Timeout("the next frame")))));
    within("the sender's error", async { while to.send(frame(1)).await.is_ok() {} }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pulls_beyond_the_limit_wait_and_beyond_the_queue_fail() {
    let (mut a, mut b) = pair(Transport::Tcp).await;
    for id in 0..40 {
        a.handle.pull(b.id(), id, vec![]).await.unwrap();
    }
    let mut over = HashSet::new();
    for _ in 32..40 {
        let (id, end) = next(&mut a).await;
        assert_eq!(end, Err(Err(PullError::Busy)));
        over.insert(id);
    }
    assert_eq!(over, (32..40).collect());
    let mut first = Vec::new();
    for _ in 0..PULLS_PER_PEER_MAX {
        first.push(serve(&mut b).await);
    }
    for to in first {
        to.finish().await.unwrap();
    }
    let server = tokio::spawn(async move {
        for _ in PULLS_PER_PEER_MAX..32 {
            let (stream, _) = asked(&mut b).await;
            b.handle.serve(stream).unwrap().finish().await.unwrap();
        }
        b
    });
    for _ in 0..32 {
        let (id, end) = next(&mut a).await;
        assert!(id < 32 && end == Err(Ok(())), "{id} {end:?}");
    }
    let b = server.await.unwrap();
    assert_eq!(b.handle.counters().pulls_refused, 0);
}
