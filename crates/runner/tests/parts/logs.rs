//! What programs say is bounded, and can be read meanwhile.

use super::support::{Host, PATIENCE, end_of};
use runner::{End, LogError};
use std::time::Instant;

#[tokio::test]
async fn a_flood_is_bounded_and_does_not_hold_the_program_up() {
    let host = Host::with(|options| options.log_bytes_max = 1024 * 1024);
    let began = Instant::now();
    let script = "echo the first; head -c 104857600 /dev/zero; echo; echo the last; exit 1";
    let end = host.end(host.job(script)).await;
    assert!(began.elapsed() < PATIENCE);
    assert!(matches!(&end, End::Failed { code: Some(1), reason } if reason.ends_with("the last")), "{end:?}");
    let log = std::fs::read(host.own("logs/ab12.log")).unwrap();
    assert!((900_000..=1024 * 1024).contains(&log.len()), "{}", log.len());
    let text = String::from_utf8_lossy(&log);
    assert!(text.starts_with("the first\n"));
    assert!(text.contains("bytes are left out here"));
    assert!(text.ends_with("the last\ntownmesh: exit status: 1\n"), "{}", &text[text.len() - 100..]);
    // Running again does not make it grow.
    host.end(host.job(script)).await;
    assert!(std::fs::metadata(host.own("logs/ab12.log")).unwrap().len() <= 1024 * 1024);
}

#[tokio::test]
async fn nothing_is_left_out_of_what_fits() {
    let host = Host::with(|options| options.log_bytes_max = 64 * 1024);
    // More than three quarters of the limit, less than all of it.
    let end = host.end(host.job("seq 1 12000")).await;
    assert_eq!(end, End::Done { commit: None, branch: None });
    let wanted: String = (1..=12000).map(|n| format!("{n}\n")).collect();
    assert!(wanted.len() > 64 * 1024 * 3 / 4 && wanted.len() < 64 * 1024);
    assert_eq!(host.log(), wanted);
}

#[tokio::test]
async fn a_log_is_read_part_by_part_while_it_grows() {
    let host = Host::new();
    let go = host.dir.path().join("go");
    let script = format!("printf 123456789; while ! [ -e '{}' ]; do sleep 0.01; done; printf abc", go.display());
    let running = host.start(host.job(&script));
    host.said("123456789").await;
    let part = host.runners.read_log("ab12", 2, 4).unwrap();
    assert_eq!((part.bytes.as_slice(), part.next, part.ended), (b"3456".as_slice(), 6, false));
    let part = host.runners.read_log("ab12", 6, 1000).unwrap();
    assert_eq!((part.bytes.as_slice(), part.next, part.ended), (b"789".as_slice(), 9, false));
    let part = host.runners.read_log("ab12", 9, 1000).unwrap();
    assert_eq!((part.bytes.as_slice(), part.next, part.ended), (b"".as_slice(), 9, false));
    std::fs::write(go, "").unwrap();
    assert_eq!(end_of(&running.events().await), End::Done { commit: None, branch: None });
    let part = host.runners.read_log("ab12", 9, 2).unwrap();
    assert_eq!((part.bytes.as_slice(), part.next, part.ended), (b"ab".as_slice(), 11, false));
    let part = host.runners.read_log("ab12", 11, 2).unwrap();
    assert_eq!((part.bytes.as_slice(), part.next, part.ended), (b"c".as_slice(), 12, true));
    let part = host.runners.read_log("ab12", u64::MAX, usize::MAX).unwrap();
    assert_eq!((part.bytes.as_slice(), part.next, part.ended), (b"".as_slice(), u64::MAX, true));
}

#[tokio::test]
async fn only_logs_are_read() {
    let host = Host::new();
    std::fs::write(host.own("secret.log"), "secret").unwrap();
    for id in ["../secret", "", "AB", "ffff", "ab12/../../secret"] {
        assert!(matches!(host.runners.read_log(id, 0, 10), Err(LogError::Unknown)), "{id}");
    }
}

#[tokio::test]
async fn old_logs_go() {
    let host = Host::with(|options| options.logs_max = 3);
    for at in 0..6 {
        let mut job = host.job("echo hello");
        job.id = format!("a{at}");
        host.end(job).await;
    }
    // The last one was begun when the others were counted.
    assert_eq!(std::fs::read_dir(host.own("logs")).unwrap().count(), 4);
    assert!(host.runners.read_log("a5", 0, 10).unwrap().ended);
    assert!(matches!(host.runners.read_log("a0", 0, 10), Err(LogError::Unknown)));
}
