//! Pipelines that are wrong on purpose: each must break a promise within the seeds.

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// After a lost answer it is forgotten that a write may have happened.
    BlindRepeat,
    /// The name that a system gives an account is all that is kept of it.
    NoStableIds,
    /// Each node judges leases by its own clock.
    NodeLease,
    /// The order of acceptance is the time on the clock of the node that accepted.
    NodeOrder,
    /// Nothing is looked at once more after a write was left behind.
    NoSettleCheck,
}

/// Every one of them.
pub const CONTROLS: &[Control] = &[
    Control::BlindRepeat,
    Control::NoSettleCheck,
    Control::NoStableIds,
    Control::NodeLease,
    Control::NodeOrder,
];

impl Control {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::BlindRepeat => "blind-repeat",
            Self::NoSettleCheck => "no-settle-check",
            Self::NoStableIds => "no-stable-ids",
            Self::NodeLease => "node-lease",
            Self::NodeOrder => "node-order",
        }
    }

    /// Finds it by its name.
    pub fn parse(name: &str) -> Option<Self> {
        CONTROLS.iter().copied().find(|control| control.name() == name)
    }

    /// What the store does by itself, so that everything else stays as it is.
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
            // The audit row is the last thing that accepting writes.
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
