//! Nodes for tests. Everything waits for an event, with a deadline.

use net::{Event, GossipOptions, Handle, Limits, Options};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use types::PeerId;
use zeroize::Zeroizing;

/// No wait in these tests may take longer.
pub const DEADLINE: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Tcp,
    Quic,
}

impl Transport {
    pub const BOTH: [Transport; 2] = [Transport::Tcp, Transport::Quic];

    pub fn name(self) -> &'static str {
        match self {
            Transport::Tcp => "tcp",
            Transport::Quic => "quic",
        }
    }

    pub fn listen(self) -> String {
        match self {
            Transport::Tcp => "/ip4/127.0.0.1/tcp/0".into(),
            Transport::Quic => "/ip4/127.0.0.1/udp/0/quic-v1".into(),
        }
    }
}

pub struct Node {
    pub handle: Handle,
    pub events: mpsc::Receiver<Event>,
    pub cancel: CancellationToken,
    pub join: JoinHandle<()>,
    pub address: String,
    seen: VecDeque<Event>,
}

pub fn options(key: u8, transport: Transport) -> Options {
    let mut options = Options::new(Zeroizing::new([key; 32]));
    options.listen = vec![transport.listen()];
    options.mdns = false;
    options.gossip = GossipOptions::default();
    options.guarded = false;
    options.limits = Limits::default();
    options
}

pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(done) => done,
        Err(_) => panic!("{what}: not within {DEADLINE:?}"),
    }
}

impl Node {
    pub async fn start(key: u8, transport: Transport) -> Node {
        Node::with(options(key, transport)).await
    }

    pub async fn with(options: Options) -> Node {
        let cancel = CancellationToken::new();
        let (handle, events, join) = net::spawn(options, cancel.clone()).unwrap();
        let mut node = Node { handle, events, cancel, join, address: String::new(), seen: VecDeque::new() };
        node.address = node
            .wait("listening", |event| match event {
                Event::Listening(address) => Ok(address),
                other => Err(other),
            })
            .await;
        node
    }

    pub fn id(&self) -> PeerId {
        self.handle.peer_id()
    }

    /// The first event, seen already or to come, that `pick` takes. Others stay for later.
    pub async fn wait<T>(&mut self, what: &str, mut pick: impl FnMut(Event) -> Result<T, Event>) -> T {
        let mut others = VecDeque::new();
        while let Some(event) = self.seen.pop_front() {
            match pick(event) {
                Ok(found) => {
                    others.append(&mut self.seen);
                    self.seen = others;
                    return found;
                }
                Err(event) => others.push_back(event),
            }
        }
        self.seen = others;
        within(what, async {
            loop {
                let event = self.events.recv().await.unwrap_or_else(|| panic!("{what}: the network stopped"));
                match pick(event) {
                    Ok(found) => return found,
                    Err(event) => self.seen.push_back(event),
                }
            }
        })
        .await
    }

    /// Everything seen and not taken yet, plus what is there without waiting.
    pub fn drain(&mut self) -> Vec<Event> {
        while let Ok(event) = self.events.try_recv() {
            self.seen.push_back(event);
        }
        self.seen.drain(..).collect()
    }

    pub async fn connected(&mut self, to: PeerId) -> (&'static str, bool) {
        self.wait("connected", |event| match event {
            Event::Connected { peer, transport, outbound, .. } if peer == to => Ok((transport, outbound)),
            other => Err(other),
        })
        .await
    }

    pub async fn disconnected(&mut self, from: PeerId) {
        self.wait("disconnected", |event| match event {
            Event::Disconnected { peer } if peer == from => Ok(()),
            other => Err(other),
        })
        .await;
    }

    pub async fn dial(&mut self, other: &mut Node) {
        self.handle.dial(Some(other.id()), vec![other.address.clone()]).await.unwrap();
        self.connected(other.id()).await;
        other.connected(self.id()).await;
    }

    pub async fn stop(self) {
        self.cancel.cancel();
        within("stopping", self.join).await.unwrap();
    }
}

pub async fn pair(transport: Transport) -> (Node, Node) {
    let mut a = Node::start(1, transport).await;
    let mut b = Node::start(2, transport).await;
    a.dial(&mut b).await;
    (a, b)
}
