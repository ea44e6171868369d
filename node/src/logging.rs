//! What the daemon says while it runs: to stderr, filtered by `TOWNMESH_LOG`.

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// The form of the daemon's log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Sends log lines to stderr. A second call in one process changes nothing.
pub fn init(format: LogFormat) {
    // libp2p and its helpers report every failed dial, which is normal life here; and what a peer does wrong they say
    // once each time, so that a hostile peer could fill the disk. Offenders are counted and named by `net` instead.
    let quiet = "info,libp2p=error,libp2p_gossipsub=off,libp2p_swarm=off,yamux=off,quinn=off,quinn_proto=off";
    let filter = std::env::var("TOWNMESH_LOG").ok().and_then(|text| EnvFilter::try_new(text).ok());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|| EnvFilter::new(quiet)))
        .with_ansi(false)
        .with_writer(std::io::stderr);
    let _already_set = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}
