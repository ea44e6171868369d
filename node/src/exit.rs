//! Exit codes: the part of the command line that scripts branch on. Stable.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// The node, or the operation, says no; or merged with conflicts.
    No = 1,
    /// Wrong usage or unusable input; nothing was changed.
    Input = 2,
    /// No daemon is running, or the node cannot be reached.
    Unreachable = 3,
    /// It took too long; what was asked may still happen.
    Timeout = 4,
    /// The store or the disk failed.
    Store = 5,
    /// A defect in townmesh.
    Internal = 70,
}

impl Exit {
    /// Every exit code with its meaning, for the help text and the documentation.
    pub const ALL: [(Exit, &'static str); 7] = [
        (Exit::Ok, "done"),
        (Exit::No, "the operation says no, or merged with conflicts"),
        (Exit::Input, "bad usage or bad input; nothing was changed"),
        (Exit::Unreachable, "no daemon is running, or it cannot be reached"),
        (Exit::Timeout, "took too long; what was asked may still happen"),
        (Exit::Store, "the store or the disk failed"),
        (Exit::Internal, "a defect in townmesh"),
    ];

    /// The exit code that an error code of the local API ends a command with.
    pub fn of_code(code: &str) -> Exit {
        match code {
            "usage" | "bad_params" | "bad_input" | "unknown_method" | "bad_config" | "file_too_large" => Exit::Input,
            "not_running" | "unreachable" | "not_initialised" | "cancelled" => Exit::Unreachable,
            "timeout" => Exit::Timeout,
            "store" | "store_read_only" | "store_newer" | "store_foreign" | "disk" => Exit::Store,
            "internal" => Exit::Internal,
            _ if code.starts_with("bad_") => Exit::Input,
            _ => Exit::No,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_as_documented() {
        let doc = include_str!("../../docs/operations.md");
        for (exit, meaning) in Exit::ALL {
            let row = format!("| {} | {meaning} |", exit as u8);
            assert!(doc.contains(&row), "docs/operations.md lacks the row {row}");
        }
        assert_eq!(Exit::of_code("not_running"), Exit::Unreachable);
        assert_eq!(Exit::of_code("bad_ticket"), Exit::Input);
        assert_eq!(Exit::of_code("store_read_only"), Exit::Store);
        assert_eq!(Exit::of_code("unknown_space"), Exit::No);
    }
}
