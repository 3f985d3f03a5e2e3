//! Pipelines that are wrong on purpose: each must break a promise within the seeds.

/// The way in which a pipeline is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// A pipeline that, after a lost answer, forgets that the write may have happened.
    BlindRepeat,
    /// A store that keeps only an account's native identity, without its stable id.
    NoStableIds,
    /// Each node compares leases with its own clock instead of the store's.
    NodeLease,
    /// The order of acceptance follows the clock of the accepting node.
    NodeOrder,
    /// An abandoned write is never rechecked.
    NoSettleCheck,
}

/// All wrong pipelines.
pub const CONTROLS: &[Control] = &[
    Control::BlindRepeat,
    Control::NoSettleCheck,
    Control::NoStableIds,
    Control::NodeLease,
    Control::NodeOrder,
];

impl Control {
    /// The control's name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::BlindRepeat => "blind-repeat",
            Self::NoSettleCheck => "no-settle-check",
            Self::NoStableIds => "no-stable-ids",
            Self::NodeLease => "node-lease",
            Self::NodeOrder => "node-order",
        }
    }

    /// Returns the control that has this name on the command line.
    pub fn parse(name: &str) -> Option<Self> {
        CONTROLS.iter().copied().find(|control| control.name() == name)
    }

    /// The SQL that makes the store misbehave in this control. Triggers leave the code under test
    /// unchanged.
    pub(crate) fn triggers(self) -> &'static [&'static str] {
        match self {
            Self::BlindRepeat => &[
                "CREATE TEMP TRIGGER control_a AFTER UPDATE OF error ON main.password_change_target
                 WHEN new.state = 1 AND new.error IS NOT NULL BEGIN
                     UPDATE password_change_target SET state = 0, announced = NULL
                     WHERE change_seq = new.change_seq AND account_id = new.account_id; END",
                "CREATE TEMP TRIGGER control_b AFTER UPDATE OF attempt ON main.password_change BEGIN
                     UPDATE password_change_target SET state = 0, announced = NULL
                     WHERE change_seq = new.seq AND state = 1; END",
            ],
            Self::NoSettleCheck => &[
                "CREATE TEMP TRIGGER control_a AFTER UPDATE OF state ON main.password_change_target
                 WHEN new.state >= 2 AND new.announced IS NOT NULL BEGIN
                     UPDATE password_change_target SET announced = NULL
                     WHERE change_seq = new.change_seq AND account_id = new.account_id; END",
            ],
            Self::NoStableIds => &["UPDATE main.account SET stable_id = NULL"],
            Self::NodeLease => &[],
            // The trigger fires on the audit row because accepting a change writes that row last.
            Self::NodeOrder => &[
                "CREATE TEMP TRIGGER control_a AFTER INSERT ON main.audit
                 WHEN new.action = 'PasswordsRequestStart' BEGIN
                     UPDATE password_change_target SET change_seq =
                         (SELECT created * 1000 + seq % 1000 FROM password_change WHERE id = new.object)
                     WHERE change_seq = (SELECT seq FROM password_change WHERE id = new.object);
                     UPDATE password_change SET seq = created * 1000 + seq % 1000 WHERE id = new.object; END",
            ],
        }
    }
}
