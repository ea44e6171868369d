//! Kept states: what was written is read, and anything else is refused.

use crate::world::Host;
use beads::{BEAD_STATE_VERSION, BeadState, DecodeError, Shadow};
use proptest::prelude::*;

fn state() -> BeadState {
    let mut host = Host::new(1);
    host.import(1, r#""title":"t","created_at":"2025-01-01T00:00:00Z","labels":["l"],"x":{"y":1.50}"#);
    host.set(2, "status", "closed");
    let delete = beads::delete_write(&host.shown(), serde_json::Map::new());
    host.write(3, vec![delete]);
    host.state
}

#[test]
fn other_versions_and_cut_bytes_are_refused() {
    let bytes = state().encode();
    assert_eq!(BeadState::decode(&bytes), Ok(state()));
    assert_eq!(BeadState::decode(&[]), Err(DecodeError::Version(None)));
    assert_eq!(BeadState::decode(&[BEAD_STATE_VERSION + 1]), Err(DecodeError::Version(Some(BEAD_STATE_VERSION + 1))));
    for cut in 1..bytes.len() {
        assert!(BeadState::decode(&bytes[..cut]).is_err(), "{cut}");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(matches!(BeadState::decode(&longer), Err(DecodeError::Malformed(_))));
}

proptest! {
    #[test]
    fn changed_bytes_never_panic(at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut bytes = state().encode();
        let at = at.index(bytes.len());
        bytes[at] = to;
        if let Ok(state) = BeadState::decode(&bytes) {
            let _ = state.contribution();
            prop_assert_eq!(BeadState::decode(&state.encode()), Ok(state));
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = BeadState::decode(&bytes);
        bytes.insert(0, BEAD_STATE_VERSION);
        let _ = BeadState::decode(&bytes);
        let _ = Shadow::decode(&bytes);
    }
}
