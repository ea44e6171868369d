//! Serving pulls from the store, a few at a time, as fast as each peer takes the pages.

use engine::{ServePlan, serve_page};
use net::StreamId;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use store::Store;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// Pulls that are served at once; each holds one page in memory.
const AT_ONCE_MAX: usize = 8;

/// Pulls that may wait for their turn; the streams of more are closed, and the peer asks again.
const WAITING_MAX: usize = 128;

/// Serves pulls.
pub(super) struct Serving {
    store: Arc<Store>,
    turns: Arc<Semaphore>,
    open: Arc<AtomicUsize>,
    tasks: TaskTracker,
}

impl Serving {
    pub(super) fn new(store: Arc<Store>, tasks: TaskTracker) -> Serving {
        Serving { store, turns: Arc::new(Semaphore::new(AT_ONCE_MAX)), open: Arc::default(), tasks }
    }

    /// Begins to serve a stream.
    pub(super) fn start(&self, runtime: &Handle, net: net::Handle, stream: StreamId, plan: ServePlan) {
        let open = Open(self.open.clone());
        if self.open.fetch_add(1, Ordering::Relaxed) >= AT_ONCE_MAX + WAITING_MAX {
            tracing::warn!("too many pulls wait: one is closed");
            return;
        }
        // Taken over at once, so that the network does not give it up while it waits for its turn.
        let sender = match net.serve(stream) {
            Ok(sender) => sender,
            Err(err) => return tracing::debug!(%err, "a pull is gone"),
        };
        let (store, turns) = (self.store.clone(), self.turns.clone());
        self.tasks.spawn_on(
            async move {
                let _open = open;
                let Ok(_turn) = turns.acquire_owned().await else { return };
                if let Err(reason) = pages(store, sender, plan).await {
                    tracing::debug!(%reason, "a pull ended early");
                }
            },
            runtime,
        );
    }
}

/// Counts one open pull; dropped, it counts no longer.
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn pages(store: Arc<Store>, sender: net::FrameSender, mut plan: ServePlan) -> Result<(), String> {
    loop {
        let store = store.clone();
        let read = tokio::task::spawn_blocking(move || {
            let page = serve_page(&*store, &mut plan);
            (page, plan)
        });
        let (page, rest) = read.await.map_err(|err| err.to_string())?;
        plan = rest;
        match page.map_err(|err| err.to_string())? {
            Some(frame) => sender.send(frame).await.map_err(|err| err.to_string())?,
            None => return sender.finish().await.map_err(|err| err.to_string()),
        }
    }
}
