//! The one table of known fields: what each is, how it is merged, what counts as empty.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::LazyLock;

/// How a field is merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The bead's id.
    Id,
    /// A multi-value register of its own.
    Register,
    /// A member of the lifecycle unit.
    Lifecycle,
    /// A member of the compaction unit.
    Compaction,
    /// The earliest wins.
    Min,
    /// The latest wins.
    Max,
    /// An observed-remove set.
    Labels,
    /// A map from target to register.
    Dependencies,
    /// A grow-only map.
    Comments,
    /// Computed by whoever writes the file: dropped when read.
    Derived,
}

/// What type of value a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A string.
    Text,
    /// A whole number of 64 bits.
    Int,
    /// True or false.
    Bool,
    /// An RFC 3339 string, compared as an instant.
    Time,
    /// Any JSON, compared by value.
    Json,
    /// An array whose order and repetitions mean nothing.
    Set,
}

/// Which values are the same as an absent field. `null` always is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zero {
    /// Only `null`.
    Null,
    /// The empty string, `false`, 0 or the empty array: what Go's `omitempty` leaves out.
    Empty,
    /// An absent field reads as 0, and 0 is a value.
    Reads0,
}

/// One known field of a bead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name in a line.
    pub name: &'static str,
    /// How it is merged.
    pub rule: Rule,
    /// What it holds.
    pub kind: Kind,
    /// What counts as absent.
    pub zero: Zero,
}

const fn f(name: &'static str, rule: Rule, kind: Kind, zero: Zero) -> Field {
    Field { name, rule, kind, zero }
}

const fn text(name: &'static str) -> Field {
    f(name, Rule::Register, Kind::Text, Zero::Empty)
}

const fn time(name: &'static str) -> Field {
    f(name, Rule::Register, Kind::Time, Zero::Empty)
}

const fn flag(name: &'static str) -> Field {
    f(name, Rule::Register, Kind::Bool, Zero::Empty)
}

const fn life(name: &'static str, kind: Kind) -> Field {
    f(name, Rule::Lifecycle, kind, Zero::Empty)
}

const fn compact(name: &'static str, kind: Kind) -> Field {
    f(name, Rule::Compaction, kind, Zero::Empty)
}

const fn derived(name: &'static str) -> Field {
    f(name, Rule::Derived, Kind::Json, Zero::Null)
}

/// In the order in which bd writes them (its struct order), then the fields that only older files have.
static FIELDS: &[Field] = &[
    derived("_type"),
    f("id", Rule::Id, Kind::Text, Zero::Null),
    text("title"),
    text("description"),
    text("design"),
    text("acceptance_criteria"),
    text("notes"),
    text("spec_id"),
    life("status", Kind::Text),
    f("priority", Rule::Register, Kind::Int, Zero::Reads0),
    text("issue_type"),
    text("assignee"),
    text("owner"),
    f("estimated_minutes", Rule::Register, Kind::Int, Zero::Null),
    f("created_at", Rule::Min, Kind::Time, Zero::Empty),
    text("created_by"),
    f("updated_at", Rule::Max, Kind::Time, Zero::Empty),
    life("started_at", Kind::Time),
    life("closed_at", Kind::Time),
    life("close_reason", Kind::Text),
    life("closed_by_session", Kind::Text),
    time("due_at"),
    time("defer_until"),
    time("lease_expires_at"),
    time("heartbeat_at"),
    text("external_ref"),
    text("source_system"),
    f("metadata", Rule::Register, Kind::Json, Zero::Null),
    compact("compaction_level", Kind::Int),
    compact("compacted_at", Kind::Time),
    compact("compacted_at_commit", Kind::Text),
    compact("original_size", Kind::Int),
    f("labels", Rule::Labels, Kind::Set, Zero::Empty),
    f("dependencies", Rule::Dependencies, Kind::Set, Zero::Empty),
    f("comments", Rule::Comments, Kind::Set, Zero::Empty),
    text("sender"),
    flag("ephemeral"),
    flag("no_history"),
    text("wisp_type"),
    flag("pinned"),
    flag("is_template"),
    f("bonded_from", Rule::Register, Kind::Json, Zero::Empty),
    text("mol_type"),
    text("work_type"),
    text("source_formula"),
    text("source_location"),
    text("await_type"),
    text("await_id"),
    f("timeout", Rule::Register, Kind::Int, Zero::Empty),
    f("waiters", Rule::Register, Kind::Set, Zero::Empty),
    text("event_kind"),
    text("actor"),
    text("target"),
    f("payload", Rule::Register, Kind::Json, Zero::Empty),
    life("deleted_at", Kind::Time),
    life("deleted_by", Kind::Text),
    life("delete_reason", Kind::Text),
    life("original_type", Kind::Text),
    text("hook_bead"),
    text("role_bead"),
    text("agent_state"),
    time("last_activity"),
    text("role_type"),
    text("rig"),
    text("holder"),
    f("creator", Rule::Register, Kind::Json, Zero::Empty),
    f("validations", Rule::Register, Kind::Json, Zero::Empty),
    f("quality_score", Rule::Register, Kind::Json, Zero::Null),
    flag("crystallizes"),
    text("source_repo"),
    flag("wisp"),
    derived("content_hash"),
    derived("dependency_count"),
    derived("dependent_count"),
    derived("comment_count"),
];

static BY_NAME: LazyLock<HashMap<&'static str, &'static Field>> =
    LazyLock::new(|| FIELDS.iter().map(|f| (f.name, f)).collect());

/// Every known field, in the order in which they are written.
pub fn fields() -> &'static [Field] {
    FIELDS
}

/// The known field of this name.
pub fn field(name: &str) -> Option<&'static Field> {
    BY_NAME.get(name).copied()
}

fn rule_text(field: &Field) -> &'static str {
    match field.rule {
        Rule::Id => "names the bead",
        Rule::Register => "register",
        Rule::Lifecycle => "part of the register `lifecycle`",
        Rule::Compaction => "part of the register `compaction`",
        Rule::Min => "earliest wins, never conflicts",
        Rule::Max => "latest wins, never conflicts",
        Rule::Labels => "set; a label stays if somebody added it who had not seen its removal",
        Rule::Dependencies => "a register per target, see below",
        Rule::Comments => "grow-only, see below",
        Rule::Derived => "derived: dropped when read",
    }
}

fn kind_text(field: &Field) -> &'static str {
    match field.kind {
        Kind::Text => "text",
        Kind::Int => "whole number",
        Kind::Bool => "true or false",
        Kind::Time => "time (an instant; any offset)",
        Kind::Json => "JSON, by value",
        Kind::Set => "array, as a set",
    }
}

fn zero_text(field: &Field) -> &'static str {
    match (field.zero, field.kind) {
        (Zero::Reads0, _) => "absent reads as 0",
        (Zero::Null, _) => "`null`",
        (Zero::Empty, Kind::Text | Kind::Time) => "`null`, `\"\"`",
        (Zero::Empty, Kind::Int) => "`null`, 0",
        (Zero::Empty, Kind::Bool) => "`null`, false",
        (Zero::Empty, Kind::Set) => "`null`, `[]`",
        (Zero::Empty, Kind::Json) => "`null`, `\"\"`, `[]`",
    }
}

/// What stands above and below the table in `docs/fields.md`.
const HEAD: &str = "# Fields of a bead and how they are merged\n
Generated from the table in `crates/beads/src/fields.rs`; a test says how to renew it.\n
A *register* keeps every value that nobody replaced. One is shown: an edit before what an import brought, then the
later one by hybrid logical clock (for imports: by the line's `updated_at`), then the larger dot. The others are listed
as conflict until somebody who saw them decides. Values that are equal never conflict.\n
| field | rule | value | same as absent |\n|---|---|---|---|\n";

const TAIL: &str = "
Every other field is kept to the letter and is a register of its own: any JSON, compared by value, `null` is absent.
`parent` is derived when it is a text in a line of bd's export wrapper (`_type` or one of the counts is there), else an
unknown field.\n
**Numbers** are equal by value (`1`, `1.0`). **Imports** that have no value for a unit make no claim: another import's
value is shown and nothing conflicts.\n
**Dependencies**: one edge per target, as in bd. What is compared is `type`, `metadata` (JSON in a string: by value; `\"\"`
and `\"{}\"` are absent), `thread_id` and unknown members. `created_at` and `created_by` accompany the edge: of equal edges
the earliest shows both, and they never conflict. `issue_id` is the bead's own and written anew. Removing is a value
(absent), so that a removal and a concurrent change conflict.\n
**Comments**: one is known by author, UTC second and text and never goes away; unknown members are a register. Ids of
comments belong to a database: they are not shared, and a line that is written anew keeps those it had.\n
**Lines** may repeat a label, an edge or a comment: of edges and comments the last one counts.\n";

/// The text of `docs/fields.md`.
pub fn fields_markdown() -> String {
    let mut out = HEAD.to_owned();
    for field in FIELDS {
        // SAFETY: writing into a String cannot fail.
        let _ = writeln!(
            out,
            "| `{}` | {} | {} | {} |",
            field.name,
            rule_text(field),
            if field.rule == Rule::Derived { "" } else { kind_text(field) },
            if field.rule == Rule::Derived || field.rule == Rule::Id { "" } else { zero_text(field) }
        );
    }
    out.push_str(TAIL);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_there_once() {
        let mut names: Vec<_> = FIELDS.iter().map(|f| f.name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|w| w[0] != w[1]));
        assert_eq!(field("status").map(|f| f.rule), Some(Rule::Lifecycle));
        assert_eq!(field("no such field"), None);
    }
}
