//! What passed, failed and was skipped, and why.

#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

/// The outcome of one suite.
#[derive(Default)]
pub(crate) struct Row {
    pub(crate) suite: String,
    pub(crate) passed: usize,
    pub(crate) failures: Vec<String>,
    pub(crate) skips: Vec<String>,
}

impl Report {
    pub(crate) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    pub(crate) fn failed(&self) -> usize {
        self.rows.iter().map(|row| row.failures.len()).sum()
    }

    pub(crate) fn print(&self) {
        let width = self.rows.iter().map(|row| row.suite.chars().count()).max().unwrap_or(0);
        println!("\n{:<width$}  passed  failed  skipped", "suite");
        for Row { suite, passed, failures, skips } in &self.rows {
            println!("{suite:<width$}  {passed:>6}  {:>6}  {:>7}", failures.len(), skips.len());
        }
        for row in &self.rows {
            for reason in &row.failures {
                println!("failed: {}: {reason}", row.suite);
            }
            for reason in &row.skips {
                println!("skipped: {}: {reason}", row.suite);
            }
        }
        let passed: usize = self.rows.iter().map(|row| row.passed).sum();
        let skipped: usize = self.rows.iter().map(|row| row.skips.len()).sum();
        println!("\n{passed} passed, {} failed, {skipped} skipped", self.failed());
    }
}

impl Row {
    pub(crate) fn of(suite: impl Into<String>) -> Self {
        Self { suite: suite.into(), ..Self::default() }
    }

    pub(crate) fn failing(mut self, reason: impl Into<String>) -> Self {
        self.failures.push(reason.into());
        self
    }

    pub(crate) fn skipping(mut self, reason: impl Into<String>) -> Self {
        self.skips.push(reason.into());
        self
    }
}
