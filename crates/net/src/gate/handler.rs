//! One connection's side of the gate.

use either::Either;
use futures::future;
use libp2p::core::upgrade::DeniedUpgrade;
use libp2p::swarm::handler::{
    AddressChange, ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
    ListenUpgradeError, SendWrapper,
};
use libp2p::swarm::{ConnectionHandler, ConnectionHandlerEvent, SubstreamProtocol};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

/// What the gate tells a connection.
pub(crate) enum Order<H: ConnectionHandler> {
    /// The gate is open: this handler begins, in the place of any other.
    Begin(Box<H>),
    /// Something for the handler.
    Inner(H::FromBehaviour),
}

impl<H: ConnectionHandler> fmt::Debug for Order<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Order::Begin(_) => f.write_str("Begin"),
            Order::Inner(inner) => inner.fmt(f),
        }
    }
}

/// What a handler of this kind offers. Cheap to clone.
pub(super) struct Offer<H>(Arc<Mutex<H>>);

impl<H> Clone for Offer<H> {
    fn clone(&self) -> Offer<H> {
        Offer(self.0.clone())
    }
}

impl<H: ConnectionHandler> Offer<H> {
    pub(super) fn of(handler: H) -> Offer<H> {
        Offer(Arc::new(Mutex::new(handler)))
    }

    fn protocol(&self) -> SubstreamProtocol<H::InboundProtocol, H::InboundOpenInfo> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).listen_protocol()
    }
}

type Negotiated<H> =
    FullyNegotiatedInbound<<H as ConnectionHandler>::InboundProtocol, <H as ConnectionHandler>::InboundOpenInfo>;

/// A handler, or none while the gate is shut.
pub(crate) struct GateHandler<H: ConnectionHandler> {
    inner: Option<H>,
    offer: Option<Offer<H>>,
    /// The newest stream that came while the gate was shut.
    held: Option<Negotiated<H>>,
}

impl<H: ConnectionHandler> GateHandler<H> {
    pub(super) fn new(inner: Option<H>, offer: Option<Offer<H>>) -> GateHandler<H> {
        GateHandler { inner, offer, held: None }
    }
}

type Event<'a, H> = ConnectionEvent<
    'a,
    <H as ConnectionHandler>::InboundProtocol,
    <H as ConnectionHandler>::OutboundProtocol,
    <H as ConnectionHandler>::InboundOpenInfo,
    <H as ConnectionHandler>::OutboundOpenInfo,
>;

impl<H: ConnectionHandler> GateHandler<H> {
    /// The event as the handler knows it; none for what only a shut gate sees.
    fn translate(event: Event<'_, Self>) -> Option<Event<'_, H>> {
        Some(match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, info }) => {
                let (future::Either::Left(protocol), Either::Left(info)) = (protocol, info) else { return None };
                ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, info })
            }
            ConnectionEvent::ListenUpgradeError(ListenUpgradeError { info, error }) => {
                let (Either::Left(info), Either::Left(error)) = (info, error) else { return None };
                ConnectionEvent::ListenUpgradeError(ListenUpgradeError { info, error })
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info }) => {
                ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info })
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => {
                ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error })
            }
            ConnectionEvent::AddressChange(AddressChange { new_address }) => {
                ConnectionEvent::AddressChange(AddressChange { new_address })
            }
            ConnectionEvent::LocalProtocolsChange(change) => ConnectionEvent::LocalProtocolsChange(change),
            ConnectionEvent::RemoteProtocolsChange(change) => ConnectionEvent::RemoteProtocolsChange(change),
            _ => return None,
        })
    }
}

impl<H: ConnectionHandler> ConnectionHandler for GateHandler<H> {
    type FromBehaviour = Order<H>;
    type ToBehaviour = H::ToBehaviour;
    type InboundProtocol = Either<SendWrapper<H::InboundProtocol>, SendWrapper<DeniedUpgrade>>;
    type OutboundProtocol = H::OutboundProtocol;
    type InboundOpenInfo = Either<H::InboundOpenInfo, ()>;
    type OutboundOpenInfo = H::OutboundOpenInfo;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol, Self::InboundOpenInfo> {
        match &self.inner {
            Some(inner) => {
                inner.listen_protocol().map_upgrade(|up| Either::Left(SendWrapper(up))).map_info(Either::Left)
            }
            None => match &self.offer {
                Some(offer) => offer.protocol().map_upgrade(|up| Either::Left(SendWrapper(up))).map_info(Either::Left),
                None => SubstreamProtocol::new(Either::Right(SendWrapper(DeniedUpgrade)), Either::Right(())),
            },
        }
    }

    fn connection_keep_alive(&self) -> bool {
        self.inner.as_ref().is_some_and(ConnectionHandler::connection_keep_alive)
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, Self::OutboundOpenInfo, Self::ToBehaviour>> {
        // While the gate is shut only an order changes anything, and the connection polls after each.
        self.inner.as_mut().map_or(Poll::Pending, |inner| inner.poll(cx))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Option<Self::ToBehaviour>> {
        self.inner.as_mut().map_or(Poll::Ready(None), |inner| inner.poll_close(cx))
    }

    fn on_behaviour_event(&mut self, order: Order<H>) {
        match order {
            Order::Begin(mut handler) => {
                if let Some(held) = self.held.take() {
                    handler.on_connection_event(ConnectionEvent::FullyNegotiatedInbound(held));
                }
                self.inner = Some(*handler);
            }
            Order::Inner(event) => {
                if let Some(inner) = &mut self.inner {
                    inner.on_behaviour_event(event);
                }
            }
        }
    }

    fn on_connection_event(&mut self, event: Event<'_, Self>) {
        match (&mut self.inner, Self::translate(event)) {
            (Some(inner), Some(event)) => inner.on_connection_event(event),
            (None, Some(ConnectionEvent::FullyNegotiatedInbound(stream))) => self.held = Some(stream),
            _ => {}
        }
    }
}
