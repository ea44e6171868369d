//! The attacking process: it repeats one attack, or all of them, until its time is over.

use super::link::Link;
use super::{ATTACKS, insiders, strangers};
use crate::random::Random;
use anyhow::{Context as _, Result, bail};
use identity::{HostCard, HostKey, Ticket};
use libp2p::Multiaddr;
use libp2p::identity::Keypair;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use types::UnixSecs;

/// Attempts of one attack that run at once; half-open and held connections need more to hurt.
const AT_ONCE: usize = 8;
/// An identity has few connections; some attacks need two.
const AT_ONCE_INSIDE: usize = 3;
const AT_ONCE_IDLE: usize = 200;
/// A refused attacker waits so long before it tries again: it has other things to do than to burn its own processor.
const PAUSE: Duration = Duration::from_millis(20);

/// One attempt under way.
pub(super) type Aim = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// Whom to attack, and whose keys were stolen.
pub(super) struct Victim {
    pub(super) addrs: Vec<Multiaddr>,
    pub(super) h: String,
    insiders: Vec<String>,
    topic: Mutex<Option<String>>,
}

impl Victim {
    /// The topic of the space, once somebody was told.
    pub(super) fn topic(&self) -> Option<String> {
        self.topic.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn learn(&self, topic: &str) {
        *self.topic.lock().unwrap_or_else(PoisonError::into_inner) = Some(topic.to_owned());
    }
}

/// What one attempt has at hand.
pub(super) struct Attempt {
    pub(super) aim: Arc<Victim>,
    pub(super) random: Random,
    /// Which of the stolen identities is its own: one is refused everywhere after its first attack.
    number: usize,
    held: Vec<libp2p::core::muxing::SubstreamBox>,
}

impl Attempt {
    pub(super) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(len + 8);
        while out.len() < len {
            out.extend(self.random.next().to_le_bytes());
        }
        out.truncate(len);
        out
    }

    pub(super) fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        seed.copy_from_slice(&self.bytes(32));
        seed
    }

    /// A new identity.
    pub(super) fn key(&mut self) -> Keypair {
        Keypair::generate_ed25519()
    }

    /// A connection of a new identity.
    pub(super) async fn stranger(&mut self) -> io::Result<Link> {
        let key = self.key();
        Link::dial(&self.aim.addrs, &key, &mut self.random).await
    }

    /// A new host with a good card.
    pub(super) fn host(&mut self) -> (Keypair, Vec<u8>) {
        let host = HostKey::generate(self.seed(), self.seed());
        self.present(&host)
    }

    /// The stolen identity.
    pub(super) fn insider(&mut self) -> io::Result<(Keypair, Vec<u8>)> {
        let stolen = &self.aim.insiders;
        let text = stolen.get(self.number % stolen.len().max(1)).ok_or(io::ErrorKind::NotFound)?;
        let host = HostKey::decode(text).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(self.present(&host))
    }

    fn present(&mut self, host: &HostKey) -> (Keypair, Vec<u8>) {
        let now = u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or_default();
        let card = HostCard::issue(host, "guest", &[], UnixSecs(now), UnixSecs(now + 3600), None, self.seed());
        let mut secret = host.peer_secret();
        // A host key is always one; a new one would only make the attack that of a stranger.
        let key = Keypair::ed25519_from_bytes(secret.as_mut_slice()).unwrap_or_else(|_| Keypair::generate_ed25519());
        (key, card.to_json())
    }

    /// Keeps a stream open and unread.
    pub(super) fn hold(&mut self, stream: libp2p::core::muxing::SubstreamBox) {
        self.held.push(stream);
    }
}

fn begin(name: &str, attempt: Attempt) -> Option<Aim> {
    if name.starts_with("in-") { insiders::begin(name, attempt) } else { strangers::begin(name, attempt) }
}

/// Attacks for so long and tells how many attempts ended, how many of them the victim cut short, and how many bytes were
/// sent into streams.
///
/// # Errors
/// When the ticket or the key cannot be read, or there is no such attack.
pub fn attack(name: &str, ticket: &str, insiders: &[PathBuf], time: Duration, seed: u64) -> Result<[u64; 3]> {
    let ticket = Ticket::decode(ticket).context("ticket")?;
    let addrs: Vec<Multiaddr> = ticket.addrs.iter().filter_map(|text| text.parse().ok()).collect();
    let insiders =
        insiders.iter().map(std::fs::read_to_string).collect::<Result<_, _>>().context("an insider's key")?;
    let victim = Arc::new(Victim { addrs, h: ticket.h, insiders, topic: Mutex::default() });
    let names: Vec<&'static str> = ATTACKS.iter().copied().filter(|known| name == "all" || name == *known).collect();
    if names.is_empty() {
        bail!("no attack is called {name:?}; there are {}, and all", ATTACKS.join(", "));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(run(&names, &victim, Instant::now() + time, seed));
    runtime.shutdown_background();
    Ok([result.0, result.1, super::speak::sent()])
}

async fn run(names: &[&'static str], victim: &Arc<Victim>, until: Instant, seed: u64) -> (u64, u64) {
    let mut tasks = tokio::task::JoinSet::new();
    for (at, name) in names.iter().copied().enumerate() {
        let idle = matches!(name, "holds" | "half-open");
        let many = match name {
            _ if idle => AT_ONCE_IDLE,
            _ if name.starts_with("in-") => AT_ONCE_INSIDE,
            _ => AT_ONCE,
        };
        let many = if names.len() > 1 { many.div_ceil(4) } else { many };
        let number = ATTACKS.iter().filter(|other| other.starts_with("in-")).position(|other| *other == name);
        let number = number.unwrap_or_default();
        for n in 0..many {
            let mut random = Random::new(seed ^ ((at as u64) << 32) ^ ((n as u64) << 8));
            let victim = victim.clone();
            tasks.spawn(async move {
                let (mut ended, mut failed) = (0u64, 0u64);
                while Instant::now() < until {
                    let random = Random::new(random.next());
                    let attempt = Attempt { aim: victim.clone(), random, number, held: Vec::new() };
                    let Some(attempt) = begin(name, attempt) else { break };
                    match tokio::time::timeout_at(until.into(), attempt).await {
                        Ok(Ok(())) => ended += 1,
                        Ok(Err(_)) => {
                            (ended, failed) = (ended + 1, failed + 1);
                            tokio::time::sleep(PAUSE).await;
                        }
                        Err(_) => {}
                    }
                }
                (ended, failed)
            });
        }
    }
    let mut sum = (0, 0);
    while let Some(done) = tasks.join_next().await {
        if let Ok((ended, failed)) = done {
            sum = (sum.0 + ended, sum.1 + failed);
        }
    }
    sum
}
