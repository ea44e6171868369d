//! What programs say about themselves.

use super::support::{Host, end_of, note, reports_of};
use runner::{End, Event, REPORT_BYTES_MAX, REPORT_LINE_BYTES_MAX, REPORT_LINES_MAX, Report, ReportError, Skipped};

const DONE: End = End::Done { commit: None, branch: None };

fn skipped_of(events: &[Event]) -> Option<Skipped> {
    let skipped = |event: &Event| if let Event::Skipped(skipped) = event { Some(*skipped) } else { None };
    events.iter().find_map(skipped)
}

#[tokio::test]
async fn reports_come_while_the_program_runs() {
    let host = Host::new();
    let script = r#"
        echo '{"note":"begins"}' >&3
        echo '{"progress":50}' >> "$TOWNMESH_REPORT"
        while ! [ -e go ]; do sleep 0.01; done
        rm go
        echo '{"usage":{"tokens_in":1000,"tokens_out":20,"money_micros":345,"tokens_cached":3}}' >&3
        echo '{"usage":{"tokens_out":5}}' >&3
        printf '{"note":"a last word without an end of line"}' >&3"#;
    let mut running = host.start(host.job(script));
    let worktree = running.started().await;
    assert_eq!(running.next().await, Some(Event::Report(note("begins"))));
    assert_eq!(running.next().await, Some(Event::Report(Report::Progress { percent: 50 })));
    std::fs::write(worktree.join("go"), "").unwrap();
    let events = running.events().await;
    let usage = |tokens_in, tokens_out, money_micros| Report::Usage { tokens_in, tokens_out, money_micros };
    let last = note("a last word without an end of line");
    assert_eq!(reports_of(&events), [usage(1000, 20, 345), usage(0, 5, 0), last]);
    assert_eq!((end_of(&events), skipped_of(&events)), (DONE, None));
}

#[tokio::test]
async fn malformed_lines_are_counted_and_skipped() {
    let host = Host::new();
    let script = r#"
        echo 'nonsense' >&3
        echo '{"note":1}' >&3
        echo '{"progress":101}' >&3
        echo '{"progress":-1}' >&3
        echo '{"usage":{"tokens_in":-1}}' >&3
        echo '{"note":"a","progress":1}' >&3
        echo '{"unknown":1}' >&3
        echo '[]' >&3
        printf '\377\n' >&3
        echo >&3
        printf '{"note":"fi\\u001b[31mne\\n\\u202edone"}\n' >&3"#;
    let events = host.run(host.job(script)).await;
    assert_eq!(reports_of(&events), [note("fine / done")]);
    assert_eq!(skipped_of(&events), Some(Skipped { lines: 9, first: ReportError::Malformed }));
}

#[tokio::test]
async fn a_line_has_its_limit() {
    let host = Host::new();
    let room = REPORT_LINE_BYTES_MAX - r#"{"note":""}"#.len();
    let script = format!(
        r#"line() {{ printf '{{"note":"'; head -c $1 /dev/zero | tr '\0' x; printf '"}}\n'; }}
        line {room} >&3; line {} >&3; line 300000 >&3; echo '{{"progress":1}}' >&3"#,
        room + 1
    );
    let events = host.run(host.job(&script)).await;
    assert_eq!(reports_of(&events), [note(&"x".repeat(room)), Report::Progress { percent: 1 }]);
    assert_eq!(skipped_of(&events), Some(Skipped { lines: 2, first: ReportError::LineTooLong }));
}

#[tokio::test]
async fn too_many_lines_are_not_taken() {
    let host = Host::new();
    let events = host.run(host.job("yes '{\"progress\":1}' | head -n 100000 >&3")).await;
    assert_eq!(reports_of(&events).len() as u64, REPORT_LINES_MAX);
    assert_eq!(skipped_of(&events), Some(Skipped { lines: 1, first: ReportError::TooManyLines }));
    assert_eq!(end_of(&events), DONE);
}

#[tokio::test]
async fn a_flood_of_reports_is_neither_taken_nor_kept() {
    let host = Host::new();
    let script = r#"
        head -c 50000000 /dev/zero >&3
        echo '{"note":"too late"}' >&3
        echo ready
        cat > /dev/null
        while ! [ -e go ]; do sleep 0.01; done"#;
    let mut running = host.start(host.job(script));
    let worktree = running.started().await;
    host.said("ready").await;
    let report = host.own("aside/ab12/report");
    super::support::wait_for("an empty file", || report.metadata().unwrap().len() == 0).await;
    std::fs::write(worktree.join("go"), "").unwrap();
    let events = running.events().await;
    assert_eq!(reports_of(&events), []);
    assert_eq!(skipped_of(&events), Some(Skipped { lines: 1, first: ReportError::TooManyBytes }));
    assert_eq!(REPORT_BYTES_MAX, 4 * 1024 * 1024);
}

#[tokio::test]
async fn the_file_is_the_programs_to_spoil() {
    let host = Host::new();
    // Closes its descriptor, and writes by name.
    let script = r#"exec 3>&-; echo '{"note":"by name"}' >> "$TOWNMESH_REPORT""#;
    let events = host.run(host.job(script)).await;
    assert_eq!((reports_of(&events), end_of(&events)), (vec![note("by name")], DONE));
    // Cuts it off after it was read, and goes on.
    let script = r#"
        echo '{"note":"something rather long to begin with"}' >&3
        while ! [ -e go ]; do sleep 0.01; done
        rm go
        : > "$TOWNMESH_REPORT"
        echo '{"note":"anew"}' >&3"#;
    let mut running = host.start(host.job(script));
    let worktree = running.started().await;
    assert_eq!(running.next().await, Some(Event::Report(note("something rather long to begin with"))));
    std::fs::write(worktree.join("go"), "").unwrap();
    assert_eq!(reports_of(&running.events().await), [note("anew")]);
    // Puts something else in its place: nobody reads that.
    let secret = host.dir.path().join("secret");
    std::fs::write(&secret, "{\"note\":\"secret\"}\n").unwrap();
    let script = format!(r#"rm "$TOWNMESH_REPORT"; ln -s '{}' "$TOWNMESH_REPORT""#, secret.display());
    let events = host.run(host.job(&script)).await;
    assert_eq!((reports_of(&events), end_of(&events)), (vec![], DONE));
    host.assert_clean();
}

#[tokio::test]
async fn a_program_does_not_wait_for_a_slow_reader() {
    let host = Host::new();
    let script = "yes '{\"progress\":1}' | head -n 5000 >&3; echo ready";
    let mut running = host.start(host.job(script));
    running.started().await;
    host.said("ready").await;
    let events = running.events().await;
    assert_eq!((reports_of(&events).len(), end_of(&events)), (5000, DONE));
}
