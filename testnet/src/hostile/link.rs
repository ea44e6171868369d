//! A raw connection: streams are opened and taken as they come, and every byte in them is up to the attacker.

use crate::random::Random;
use futures::future::poll_fn;
use libp2p::core::muxing::{StreamMuxerBox, StreamMuxerExt as _, SubstreamBox};
use libp2p::core::transport::{Boxed, DialOpts, PortUse, Transport as _};
use libp2p::core::{Endpoint, upgrade::Version};
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId, noise, quic, tcp, yamux};
use std::io;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// How long setting up a connection, or a stream, may take before the attacker tries something else.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

type Wish = oneshot::Sender<SubstreamBox>;

/// One connection.
pub(super) struct Link {
    wishes: mpsc::Sender<Wish>,
    /// Streams that the victim opened.
    pub(super) inbound: mpsc::Receiver<SubstreamBox>,
    driver: JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

fn failed(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}

fn transport(address: &Multiaddr, key: &Keypair) -> io::Result<Boxed<(PeerId, StreamMuxerBox)>> {
    if address.iter().any(|part| matches!(part, Protocol::QuicV1)) {
        let quic = quic::tokio::Transport::new(quic::Config::new(key));
        return Ok(quic.map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer))).boxed());
    }
    let noise = noise::Config::new(key).map_err(failed)?;
    let tcp = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true));
    Ok(tcp.upgrade(Version::V1).authenticate(noise).multiplex(yamux::Config::default()).boxed())
}

/// Gives up after [`PATIENCE`].
pub(super) async fn soon<T>(what: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(PATIENCE, what).await.map_err(failed)?
}

impl Link {
    /// Connects, at one of the addresses.
    pub(super) async fn dial(addrs: &[Multiaddr], key: &Keypair, random: &mut Random) -> io::Result<Link> {
        let address = addrs.get(random.below(addrs.len())).ok_or_else(|| failed("no address"))?;
        let mut transport = transport(address, key)?;
        let opts = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };
        let dial = transport.dial(address.clone(), opts).map_err(failed)?;
        let (_, muxer) = soon(async { dial.await.map_err(failed) }).await?;
        let (wishes, wished) = mpsc::channel(64);
        let (streams, inbound) = mpsc::channel(64);
        let driver = tokio::spawn(async move {
            drive(muxer, wished, streams).await;
            drop(transport);
        });
        Ok(Link { wishes, inbound, driver })
    }

    /// Opens a stream; nothing is said in it yet.
    pub(super) async fn open(&self) -> io::Result<SubstreamBox> {
        let (wish, stream) = oneshot::channel();
        self.wishes.send(wish).await.map_err(failed)?;
        soon(async { stream.await.map_err(failed) }).await
    }

    /// Waits until the other side closes.
    pub(super) async fn closed(&mut self) {
        while self.inbound.recv().await.is_some() {}
    }
}

/// Moves the connection on until it ends.
async fn drive(mut muxer: StreamMuxerBox, mut wished: mpsc::Receiver<Wish>, streams: mpsc::Sender<SubstreamBox>) {
    let mut wish: Option<Wish> = None;
    poll_fn(|cx| {
        loop {
            if let Poll::Ready(Err(_)) = muxer.poll_unpin(cx) {
                return Poll::Ready(());
            }
            match muxer.poll_inbound_unpin(cx) {
                // More than fit are dropped, which resets them.
                Poll::Ready(Ok(stream)) => {
                    drop(streams.try_send(stream));
                    continue;
                }
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => {}
            }
            if wish.is_none() {
                match wished.poll_recv(cx) {
                    Poll::Ready(Some(next)) => wish = Some(next),
                    Poll::Ready(None) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
            match muxer.poll_outbound_unpin(cx) {
                Poll::Ready(Ok(stream)) => {
                    if let Some(wish) = wish.take() {
                        drop(wish.send(stream));
                    }
                }
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
}
