//! Waiting for a condition, never for a time.

use anyhow::{Result, bail};
use std::time::{Duration, Instant};

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Waits until `condition` says `Ok`; an `Err` in the result is what was seen instead.
///
/// # Errors
/// When it does not hold in time, with what was seen last; or what the condition itself failed with.
pub fn wait_until<T>(
    what: &str,
    deadline: Duration,
    mut condition: impl FnMut() -> Result<std::result::Result<T, String>>,
) -> Result<T> {
    let until = Instant::now() + deadline;
    loop {
        match condition()? {
            Ok(value) => return Ok(value),
            Err(seen) if Instant::now() >= until => bail!("after {deadline:?} still not: {what}; last seen: {seen}"),
            Err(_) => std::thread::sleep(LOOK),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_seen_state_is_told() {
        let err = wait_until::<()>("x", Duration::ZERO, || Ok(Err("y".to_owned()))).unwrap_err().to_string();
        assert!(err.contains("not: x") && err.contains("seen: y"), "{err}");
        let mut left = 3;
        let count = || {
            left -= 1;
            Ok(if left == 0 { Ok("done") } else { Err("more".to_owned()) })
        };
        assert_eq!(wait_until("x", Duration::from_secs(5), count).unwrap(), "done");
    }
}
