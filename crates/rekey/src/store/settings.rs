//! Single values, such as the tenant's id and the password dictionary.

use super::{Result, Tx};
use crate::model::column::One;

impl Tx<'_> {
    /// A setting's value.
    pub fn setting(&mut self, name: &str) -> Result<Option<String>> {
        let value: Option<One<String>> =
            self.maybe("SELECT value FROM setting WHERE name = $1", &[&name])?;
        Ok(value.map(|One(value)| value))
    }

    /// Stores a setting.
    pub fn set_setting(&mut self, name: &str, value: &str) -> Result<()> {
        let sql = "INSERT INTO setting (name, value) VALUES ($1, $2)
                   ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        self.run_one(sql, &[&name, &value])
    }

    /// Replaces `old` by `new`. Returns false if the value is no longer `old`.
    pub fn replace_setting(&mut self, name: &str, old: &str, new: &str) -> Result<bool> {
        let sql = "UPDATE setting SET value = $3 WHERE name = $1 AND value = $2";
        Ok(self.run(sql, &[&name, &old, &new])? == 1)
    }

    /// Stores `proposal` unless the setting has a value, and returns the stored value: nodes that
    /// start at the same time agree on one.
    pub fn settle_setting(&mut self, name: &str, proposal: &str) -> Result<String> {
        let sql = "INSERT INTO setting (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
        self.run(sql, &[&name, &proposal])?;
        let One(value) = self.one("SELECT value FROM setting WHERE name = $1", &[&name])?;
        Ok(value)
    }
}
