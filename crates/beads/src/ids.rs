//! Ids of new beads, as bd makes them.

use sha2::{Digest, Sha256};

const ALPHABET: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// Bytes of the hash behind an id of 3 to 8 characters.
const HASH_BYTES: [usize; 6] = [2, 3, 4, 4, 5, 5];

/// Most top-level beads for an id of 3 to 7 characters, so that a collision stays unlikely (1 in 4).
const BEADS_MAX: [usize; 5] = [163, 983, 5_898, 35_389, 212_339];

/// Tries per length.
const NONCES: u32 = 10;

/// The id of a new top-level bead: `prefix-` and 3 to 8 characters of a hash over what it is about.
///
/// `existing` is how many top-level beads there are: more of them make longer ids. `None` when every candidate is
/// taken.
pub fn make_id(
    prefix: &str,
    title: &str,
    description: &str,
    actor: &str,
    created_unix_nanos: u64,
    existing: usize,
    taken: &dyn Fn(&str) -> bool,
) -> Option<String> {
    let shortest = BEADS_MAX.iter().position(|most| existing <= *most).unwrap_or(BEADS_MAX.len());
    for (step, bytes) in HASH_BYTES.iter().enumerate().skip(shortest) {
        for nonce in 0..NONCES {
            let text = format!("{title}|{description}|{actor}|{created_unix_nanos}|{nonce}");
            let hash = Sha256::digest(text.as_bytes());
            let id = format!("{prefix}-{}", base36(&hash[..*bytes], step + 3));
            if !taken(&id) {
                return Some(id);
            }
        }
    }
    None
}

/// The low `len` base-36 digits of a big-endian number, padded with zeros.
fn base36(bytes: &[u8], len: usize) -> String {
    let mut number = bytes.iter().fold(0u64, |n, byte| (n << 8) | u64::from(*byte));
    let mut digits = vec![b'0'; len];
    for digit in digits.iter_mut().rev() {
        *digit = ALPHABET[(number % 36) as usize];
        number /= 36;
    }
    digits.into_iter().map(char::from).collect()
}

/// The prefix that most of these ids have: what stands before the last `-`. The first by name where several are equal.
pub fn common_prefix<'a>(ids: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut counts = std::collections::BTreeMap::new();
    for id in ids {
        if let Some((prefix, _)) = id.rsplit_once('-') {
            *counts.entry(prefix).or_insert(0usize) += 1;
        }
    }
    let most = counts.values().copied().max()?;
    counts.into_iter().find(|(_, n)| *n == most).map(|(prefix, _)| prefix.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_match_bds_vector() {
        // 2024-01-02T03:04:05.006Z
        let nanos = 1_704_164_645_006_000_000;
        let id = |existing| make_id("bd", "Fix login", "Details", "jira-import", nanos, existing, &|_| false).unwrap();
        let made: Vec<String> = [0, 164, 984, 5_899, 35_390, 212_340].into_iter().map(id).collect();
        assert_eq!(made, ["bd-vju", "bd-8d8e", "bd-bi3tk", "bd-8bi3tk", "bd-r5sr6bm", "bd-8r5sr6bm"]);
    }

    #[test]
    fn a_taken_id_is_passed_over_and_the_search_ends() {
        let first = make_id("a", "t", "", "", 0, 0, &|_| false).unwrap();
        let second = make_id("a", "t", "", "", 0, 0, &|id| id == first).unwrap();
        assert_ne!(first, second);
        assert_eq!(make_id("a", "t", "", "", 0, 0, &|_| true), None);
    }

    #[test]
    fn the_commonest_prefix_wins() {
        let ids = ["bd-1", "x-y-2", "x-y-3", "nothing"];
        assert_eq!(common_prefix(ids.into_iter()), Some("x-y".to_owned()));
        assert_eq!(common_prefix(["nothing"].into_iter()), None);
    }
}
