//! A hostile peer: it speaks every protocol wrongly, while an honest pair goes on working and is measured.

mod gauge;
mod insiders;
mod link;
mod run;
mod speak;
mod strangers;
mod worker;

pub use gauge::Cost;
pub use run::{Options, Report, Row, run};
pub use worker::attack;

/// All attacks. Those that begin with `in-` come from a member whose keys were stolen.
pub const ATTACKS: [&str; 23] = [
    "connects",
    "holds",
    "doubles",
    "half-open",
    "streams",
    "lengths",
    "garbage",
    "gossip",
    "joins",
    "hellos",
    "pings",
    "identifies",
    "in-garbage",
    "in-huge",
    "in-oversize",
    "in-strangers",
    "in-forged",
    "in-replays",
    "in-topics",
    "in-controls",
    "in-lies",
    "in-questions",
    "in-pulls",
];
