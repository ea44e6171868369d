//! Samples of the steps of slung work.

use crate::samples::{Part, signer};
use identity::kinds;
use serde_json::json;
use types::UnixSecs;

/// A step of slung work with this body.
fn step(body: serde_json::Value) -> Vec<u8> {
    let tags = vec![vec!["v".to_owned(), "1".to_owned()], vec!["h".to_owned(), "ab".to_owned()]];
    signer().sign(kinds::GRANT, UnixSecs(1_800_000_000), tags, body.to_string(), [9; 32]).to_json()
}

pub fn steps() -> Part {
    vec![
        (
            "event/work-step/offer",
            step(json!({"v": 1, "s": "offer", "b": "app-1", "n": "0011223344556677",
            "t": "server:app", "k": "a key", "l": 90_000, "rig": "app"})),
        ),
        (
            "event/work-step/grant",
            step(json!({"v": 1, "s": "grant", "b": "app-1", "n": "0011223344556677", "f": [2, 3],
            "o": hex::encode([1; 32]), "c": hex::encode([2; 32]), "p": hex::encode([3; 32]),
            "w": hex::encode([4; 32]), "l": 90_000, "base": "5".repeat(40)})),
        ),
        (
            "event/work-step/capped-grant",
            step(json!({"v": 1, "s": "grant", "b": "app-1", "n": "0011223344556677", "f": [2, 4],
            "o": hex::encode([1; 32]), "c": hex::encode([2; 32]), "w": hex::encode([4; 32]), "l": 90_000,
            "cap": {"tokens": 200_000, "money_micros": null}})),
        ),
        (
            "event/work-step/convoy-offer",
            step(json!({"v": 1, "s": "offer", "b": "app-1", "n": "0011223344556677",
            "t": "any", "k": "a key", "l": 90_000, "cv": "app-c1", "cap": {"tokens": null, "money_micros": 2_500_000}})),
        ),
        (
            "event/work-step/accept",
            step(json!({"v": 1, "s": "accept", "b": "app-1", "n": "0011223344556677",
            "g": hex::encode([5; 32]), "f": [2, 3], "r": "max", "rig": "app"})),
        ),
        (
            "event/work-step/usage",
            step(json!({"v": 1, "s": "usage", "b": "app-1", "n": "0011223344556677", "g": hex::encode([5; 32]),
            "f": [2, 3], "u": {"tokens_in": 1_000, "tokens_out": 200, "money_micros": 30_000}, "why": "half of it"})),
        ),
        (
            "event/work-step/review",
            step(json!({"v": 1, "s": "review", "b": "app-1", "n": "0011223344556677",
            "g": hex::encode([5; 32]), "f": [2, 3], "of": hex::encode([7; 32]), "ok": true, "why": "good work"})),
        ),
        (
            "event/work-step/result",
            step(json!({"v": 1, "s": "result", "b": "app-1", "n": "0011223344556677",
            "g": hex::encode([5; 32]), "f": [2, 3], "out": "done", "commit": "6".repeat(40),
            "branch": "refs/townmesh/app-1/2.3", "why": "all tests pass"})),
        ),
        (
            "event/work-step/verdict",
            step(json!({"v": 1, "s": "verdict", "b": "app-1", "n": "0011223344556677",
            "g": hex::encode([5; 32]), "f": [2, 3], "of": hex::encode([7; 32]), "ok": true, "why": "accepted"})),
        ),
    ]
}
