//! Sources: the connected systems.

pub mod aggregation;
mod change;
mod creator;
mod list;
pub mod reach;
pub mod room;
pub mod seen;
mod tasks;
mod update;

pub use self::{
    aggregation::aggregate,
    change::{NewSource, create, ensure_identity_now, insert, prepare, remove},
    creator::create_for,
    list::{Check, check, keep_health, list, one, seen},
    tasks::{task, tasks},
    update::{Update, prepare_update, update},
};
