//! Single values: the tenant's id, the dictionary.

use super::{Result, Tx};
use crate::model::column::One;

impl Tx<'_> {
    /// A setting's value.
    pub fn setting(&mut self, name: &str) -> Result<Option<String>> {
        let value: Option<One<String>> =
            self.maybe("SELECT value FROM setting WHERE name = $1", &[&name])?;
        Ok(value.map(|One(value)| value))
    }

    /// Keeps a setting.
    pub fn set_setting(&mut self, name: &str, value: &str) -> Result<()> {
        let sql = "INSERT INTO setting (name, value) VALUES ($1, $2)
                   ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        self.run_one(sql, &[&name, &value])
    }

    /// Keeps `new` in the place of `old`; whether that was still there.
    pub fn replace_setting(&mut self, name: &str, old: &str, new: &str) -> Result<bool> {
        let sql = "UPDATE setting SET value = $3 WHERE name = $1 AND value = $2";
        Ok(self.run(sql, &[&name, &old, &new])? == 1)
    }

    /// Keeps `proposal` unless there is a value, and returns the one that is there: nodes that
    /// start at once agree.
    pub fn settle_setting(&mut self, name: &str, proposal: &str) -> Result<String> {
        let sql = "INSERT INTO setting (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
        self.run(sql, &[&name, &proposal])?;
        let One(value) = self.one("SELECT value FROM setting WHERE name = $1", &[&name])?;
        Ok(value)
    }
}
