//! The settings' file. The node's modules are compiled from their place: the node itself would bring libp2p and RocksDB.
#![no_main]
#![allow(dead_code)]

#[path = "../../../node/src/config.rs"]
mod config;
#[path = "../../../node/src/error.rs"]
mod error;
#[path = "../../../node/src/exit.rs"]
mod exit;
#[path = "../../../node/src/home.rs"]
mod home;

use config::Config;
use error::CliError;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(config) = Config::parse(text) else { return };
    assert!(config.listen.len() <= 16 && config.name.len() <= config::NAME_BYTES_MAX);
    let written = config.to_text().expect("what was read can be written");
    assert_eq!(Config::parse(&written).expect("what was written can be read"), config);
});
