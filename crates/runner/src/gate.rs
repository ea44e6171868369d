//! The gate between starting a program and running it.
//!
//! A node that is killed leaves its programs running, and finds them again by the note about them. A note can only be
//! written when the process is there, so there is a time in which a program would run unnoted. It does not run then:
//! what is started is a shell that waits at the gate for one line on its standard input. If the node is killed before
//! it has written the note, the line never comes, the pipe ends, and the shell ends with it. A shell's `read` takes
//! byte by byte from a pipe, so the program finds what comes after the line.
//!
//! The same shell opens descriptor 3 for reports, and 4 for a sandbox to say which process it is: nobody can do that for
//! a program from outside without `unsafe`.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

/// What opens the gate; the program's own input comes after it.
pub(crate) const GO: &[u8] = b"go\n";

/// Exit code of a gate that was never opened.
const SHUT: &str = "125";

/// The descriptor on which a sandbox says which process it is. It closes it itself.
pub(crate) const INFO: &str = "4";

/// `$1` is the file for descriptor 3, `$2` the one for 4 or nothing, the rest the program and its arguments: nothing of
/// it is ever read as shell.
fn script() -> String {
    format!(
        r#"IFS= read -r go && [ "$go" = go ] || exit {SHUT}
exec 3>>"$1" || exit {SHUT}
if [ -n "$2" ]; then exec {INFO}>"$2" || exit {SHUT}; fi
shift 2
exec "$@""#
    )
}

/// The command that waits, and then becomes the program.
pub(crate) fn command(
    report: &Path,
    info: Option<&Path>,
    program: &Path,
    arguments: impl IntoIterator<Item = OsString>,
) -> Command {
    let mut command = Command::new("/bin/sh");
    let info = info.unwrap_or(Path::new(""));
    command.arg("-c").arg(script()).arg("sh").arg(report).arg(info).arg(program).args(arguments);
    command
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::{GO, command};
    use std::io::Write as _;
    use std::path::Path;
    use std::process::Stdio;

    /// What a program that copies its input says, and what it wrote to descriptor 3.
    fn run(input: &[u8]) -> (Option<i32>, String, String) {
        let dir = tempfile::tempdir().unwrap();
        let report = dir.path().join("a report \"$(touch x)");
        let arguments = ["-c".into(), "echo three >&3; exec cat".into()];
        let mut command = command(&report, None, Path::new("/bin/sh"), arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        // It may have ended before it read anything.
        let _ = child.stdin.take().unwrap().write_all(input);
        let output = child.wait_with_output().unwrap();
        let report = std::fs::read_to_string(&report).unwrap_or_default();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), report)
    }

    #[test]
    fn nothing_runs_before_the_gate_is_opened() {
        assert_eq!(run(b""), (Some(125), String::new(), String::new()), "the node was killed");
        assert_eq!(run(b"go"), (Some(125), String::new(), String::new()), "in the middle of a line");
        assert_eq!(run(b"{}\n"), (Some(125), String::new(), String::new()));
    }

    #[test]
    fn the_program_finds_what_comes_after() {
        let input = [GO, b"go\n{\"id\":\"a\"}\n\\n"].concat();
        assert_eq!(run(&input), (Some(0), "go\n{\"id\":\"a\"}\n\\n".to_string(), "three\n".to_string()));
    }
}
