//! Tests that need a whole rekey: one binary, one file per subject.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::needless_pass_by_value,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic and says what it skipped"
)]

mod accounts;
mod apply;
mod at_once;
mod attempts;
mod audit;
mod authorization;
mod change_states;
mod claims;
mod cli;
mod connections;
mod contract;
mod correlation;
mod directory;
mod doctor;
mod endpoints;
mod erasure;
mod front_door;
mod jobs;
mod layers;
mod limits;
mod lists;
mod metrics;
mod oauth;
mod owners;
mod password_change;
mod people;
mod quiet;
mod reference;
mod schema;
mod sealed;
mod sign_in;
mod sign_in_ends;
mod site;
mod source_attacks;
mod source_reach;
mod source_rules;
mod sources;
mod starvation;
mod statements;
mod strangers;
#[cfg(feature = "otlp")]
mod traces;
mod unkeepable;
mod upgrade;
