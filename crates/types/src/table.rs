//! The names of the stored record kinds. Key layouts and value codecs live in `engine::records`,
//! one file per kind; `store` keeps one RocksDB column family per table.

/// A kind of stored record. The numbers are stable: they never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// Single values of the node: format version, own incarnation, clock.
    Meta = 1,
    /// Charter versions of every space.
    Charters = 2,
    /// Space keys and local settings of a space.
    Spaces = 3,
    /// Op events, as received.
    Ops = 4,
    /// The newest ops of each writer's chain.
    Tips = 5,
    /// Folded state per bead id.
    Beads = 6,
    /// Per-space counters and digests.
    Totals = 7,
    /// What each workspace was last shown, per bead.
    Shadows = 8,
    /// Workspaces and the file generations they went through.
    Workspaces = 9,
    /// Known hosts: cards, addresses, when seen.
    Hosts = 10,
    /// Tickets this node gave out.
    Tickets = 11,
    /// Ops that wait (for a charter, a predecessor or a clock), bounded per space.
    Waiting = 12,
    /// Proofs of misbehaviour: forks, contradicting signatures.
    Evidence = 13,
    /// Checkpoints and their parts, and from where on ops are held one by one.
    Checkpoints = 14,
    /// Slung work: beads with an open offer, work that this host has taken, its runners.
    Work = 15,
}

impl Table {
    /// Every table.
    pub const ALL: [Table; 15] = [
        Table::Meta,
        Table::Charters,
        Table::Spaces,
        Table::Ops,
        Table::Tips,
        Table::Beads,
        Table::Totals,
        Table::Shadows,
        Table::Workspaces,
        Table::Hosts,
        Table::Tickets,
        Table::Waiting,
        Table::Evidence,
        Table::Checkpoints,
        Table::Work,
    ];

    /// The stable name of the table, used as the column family's name.
    pub fn name(self) -> &'static str {
        match self {
            Table::Meta => "meta",
            Table::Charters => "charters",
            Table::Spaces => "spaces",
            Table::Ops => "ops",
            Table::Tips => "tips",
            Table::Beads => "beads",
            Table::Totals => "totals",
            Table::Shadows => "shadows",
            Table::Workspaces => "workspaces",
            Table::Hosts => "hosts",
            Table::Tickets => "tickets",
            Table::Waiting => "waiting",
            Table::Evidence => "evidence",
            Table::Checkpoints => "checkpoints",
            Table::Work => "work",
        }
    }
}
