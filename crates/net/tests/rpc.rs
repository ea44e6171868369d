use crate::harness::{Node, Transport, options, pair};
use net::{Event, InboundId, RequestError};
use proto::limits::RPC_BYTES_MAX;
use std::collections::HashMap;
use std::time::Duration;

async fn answer(node: &mut Node) -> (u64, Result<Vec<u8>, RequestError>) {
    node.wait("an answer", |event| match event {
        Event::Response { id, result } => Ok((id, result)),
        other => Err(other),
    })
    .await
}

async fn question(node: &mut Node) -> (InboundId, Vec<u8>) {
    node.wait("a question", |event| match event {
        Event::Request { id, body, .. } => Ok((id, body)),
        other => Err(other),
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn ask_and_answer_up_to_the_limit() {
    for transport in Transport::BOTH {
        let (mut a, mut b) = pair(transport).await;
        for len in [0, 5, 70_000, RPC_BYTES_MAX] {
            let body = vec![7; len];
            a.handle.request(b.id(), len as u64, body.clone()).await.unwrap();
            let (id, got) = question(&mut b).await;
            assert!(got == body, "{} of {len} bytes", got.len());
            b.handle.respond(id, got).await.unwrap();
            assert!(answer(&mut a).await == (len as u64, Ok(body)), "{transport:?} {len}");
        }
        let too_large = Err(RequestError::TooLarge { max: RPC_BYTES_MAX });
        a.handle.request(b.id(), 1, vec![0; RPC_BYTES_MAX + 1]).await.unwrap();
        assert_eq!(answer(&mut a).await, (1, too_large.clone()));
        a.handle.request(b.id(), 2, vec![]).await.unwrap();
        let (id, _) = question(&mut b).await;
        b.handle.respond(id, vec![0; RPC_BYTES_MAX + 1]).await.unwrap();
        assert_eq!(answer(&mut a).await, (2, too_large));
        // A second answer to the same question goes nowhere.
        b.handle.respond(id, vec![]).await.unwrap();
        a.handle.request(b.id(), 3, vec![]).await.unwrap();
        question(&mut b).await;
        assert_eq!(b.handle.counters().answers_lost, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_at_once_are_all_answered() {
    for transport in Transport::BOTH {
        let (mut a, mut b) = pair(transport).await;
        for n in 0..200u64 {
            a.handle.request(b.id(), n, n.to_be_bytes().to_vec()).await.unwrap();
        }
        let server = tokio::spawn(async move {
            for _ in 0..200 {
                let (id, body) = question(&mut b).await;
                b.handle.respond(id, body).await.unwrap();
            }
            b
        });
        let mut answers = HashMap::new();
        for _ in 0..200 {
            let (id, result) = answer(&mut a).await;
            assert!(answers.insert(id, result).is_none());
        }
        for (id, result) in answers {
            assert_eq!(result, Ok(id.to_be_bytes().to_vec()));
        }
        drop(server.await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_is_a_timeout_and_absence_an_error() {
    let mut hasty = options(1, Transport::Tcp);
    hasty.limits.request_timeout = Duration::from_millis(400);
    let mut a = Node::with(hasty).await;
    let mut b = Node::start(2, Transport::Tcp).await;
    a.handle.request(b.id(), 1, vec![]).await.unwrap();
    assert_eq!(answer(&mut a).await, (1, Err(RequestError::NotConnected)));
    a.dial(&mut b).await;
    a.handle.request(b.id(), 2, vec![]).await.unwrap();
    assert_eq!(answer(&mut a).await, (2, Err(RequestError::Timeout)));
    let (late, _) = question(&mut b).await;
    b.handle.respond(late, vec![1]).await.unwrap();
    // The late answer disturbs nothing.
    a.handle.request(b.id(), 3, vec![]).await.unwrap();
    let (id, _) = question(&mut b).await;
    b.handle.respond(id, vec![3]).await.unwrap();
    assert_eq!(answer(&mut a).await, (3, Ok(vec![3])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_read_costs_only_answers() {
    let mut lazy = options(2, Transport::Quic);
    lazy.limits.events = 1;
    lazy.limits.requests_waiting = 4;
    let mut b = Node::with(lazy).await;
    let mut hasty = options(1, Transport::Quic);
    hasty.limits.request_timeout = Duration::from_secs(2);
    let mut a = Node::with(hasty).await;
    a.dial(&mut b).await;
    let mut results = Vec::new();
    for n in 0..300 {
        a.handle.request(b.id(), n, vec![]).await.unwrap();
    }
    for _ in 0..300 {
        results.push(answer(&mut a).await.1);
    }
    let count = |error: RequestError| results.iter().filter(|result| **result == Err(error.clone())).count();
    assert_eq!(count(RequestError::Busy) + count(RequestError::Timeout), 300, "{results:?}");
    assert!(count(RequestError::Busy) > 200);
    assert!(b.handle.counters().requests_refused > 200);
    b.drain();
    a.handle.request(b.id(), 999, vec![]).await.unwrap();
    let id = b
        .wait("the new question", |event| match event {
            Event::Request { id, body, .. } if body.is_empty() => Ok(id),
            other => Err(other),
        })
        .await;
    b.handle.respond(id, vec![9]).await.unwrap();
    // Older questions may still wait in front of the new one.
    let server = tokio::spawn(async move {
        while let Some(event) = b.events.recv().await {
            if let Event::Request { id, .. } = event {
                b.handle.respond(id, vec![9]).await.unwrap();
            }
        }
    });
    assert_eq!(answer(&mut a).await, (999, Ok(vec![9])));
    server.abort();
}
