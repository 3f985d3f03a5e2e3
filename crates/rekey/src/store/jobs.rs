//! Jobs: queued work other than password changes.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{
    Asked, Listing, Page, Result, Tx,
    field::{Field, Kind},
    listing::InvalidListing,
};
use crate::model::{
    column::{Json, One},
    id::{JobId, SourceId},
    job::{Job, Message},
    time::Micros,
};

const COLUMNS: &str =
    "id, kind, payload, source_id, launcher, attempt, claimed_by, due, created, launched, completed,
     completion_status, messages, result";

/// A job that is due, unless eight jobs of its source's owner already run on this node. That is
/// half of the jobs that a node runs at once: slow systems of one owner must not occupy all places.
const CLAIMABLE: &str = "completed IS NULL AND due <= $1 AND 8 > (
    SELECT COUNT(*) FROM job other
    JOIN source theirs ON theirs.id = other.source_id
    JOIN source ours ON ours.owner_id = theirs.owner_id
    WHERE ours.id = job.source_id AND other.completed IS NULL AND other.claimed_by = $2 AND other.due > $1)";

impl Tx<'_> {
    /// A job by its id.
    pub fn job(&mut self, id: &JobId) -> Result<Option<Job>> {
        self.maybe(&format!("SELECT {COLUMNS} FROM job WHERE id = $1"), &[id])
    }

    /// The unfinished job of a kind for a source, if there is one. Of several it is the oldest that no
    /// node has claimed: the one under way may have read an older configuration.
    pub fn unfinished_job(&mut self, kind: &str, source: &SourceId) -> Result<Option<Job>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM job WHERE kind = $1 AND source_id = $2 AND completed IS NULL
             ORDER BY CASE WHEN claimed_by IS NULL THEN 0 ELSE 1 END, created LIMIT 1"
        );
        self.maybe(&sql, &[&kind, source])
    }

    /// The jobs that a listing requests.
    pub fn jobs_page(&mut self, listing: &Listing) -> Result<Page<Job>> {
        self.page(COLUMNS, "job", listing)
    }

    /// Adds a job.
    pub fn insert_job(&mut self, job: &Job) -> Result<()> {
        let sql = "INSERT INTO job (id, kind, payload, source_id, launcher, attempt, due, created, messages, result)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        let Job {
            id,
            kind,
            payload,
            source_id,
            launcher,
            attempt,
            due,
            created,
            messages,
            result,
            ..
        } = job;
        self.run_one(
            sql,
            &[id, kind, payload, source_id, launcher, attempt, due, created, messages, result],
        )
    }

    /// Whether a job may be claimed by `node`.
    pub fn is_job_due(&mut self, node: &str) -> Result<bool> {
        let now = self.now()?;
        let sql = format!("SELECT id AS value FROM job WHERE {CLAIMABLE} LIMIT 1");
        Ok(self.maybe::<One<JobId>>(&sql, &[&now, &node])?.is_some())
    }

    /// Claims the job that has waited longest, with a lease of `lease`. Jobs of an owner that
    /// already has the maximum number of jobs on `node` are skipped.
    pub fn claim_job(&mut self, node: &str, lease: Duration) -> Result<Option<Job>> {
        let now = self.now()?;
        let sql = format!("SELECT id AS value FROM job WHERE {CLAIMABLE} ORDER BY due, id LIMIT 1");
        let Some(One(id)) = self.maybe::<One<JobId>>(&sql, &[&now, &node])? else {
            return Ok(None);
        };
        let sql = "UPDATE job SET claimed_by = $2, attempt = attempt + 1, due = $3, launched = coalesce(launched, $4)
                   WHERE id = $1 AND completed IS NULL AND due <= $4";
        let claimed = self.run(sql, &[&id, &node, &now.plus(lease), &now])?;
        // None if another node has claimed it first.
        if claimed == 0 { Ok(None) } else { self.job(&id) }
    }

    /// Extends a claim and stores the counts so far; `Error::Rows(0)` if the claim was lost.
    pub fn renew_job(
        &mut self,
        job: &Job,
        lease: Duration,
        result: &Map<String, Value>,
    ) -> Result<()> {
        let until = self.now()?.plus(lease);
        let sql = "UPDATE job SET due = $4, result = $5
                   WHERE id = $1 AND claimed_by = $2 AND attempt = $3 AND completed IS NULL";
        self.run_one(sql, &[&job.id, &job.claimed_by, &job.attempt, &until, &Json(result.clone())])
    }

    /// Ends a job; `Error::Rows(0)` if its claim was lost.
    pub fn end_job(
        &mut self,
        job: &Job,
        status: &str,
        messages: &[Message],
        result: &Map<String, Value>,
    ) -> Result<()> {
        let now = self.now()?;
        let sql =
            "UPDATE job SET completed = $4, completion_status = $5, messages = $6, result = $7
                   WHERE id = $1 AND claimed_by = $2 AND attempt = $3 AND completed IS NULL";
        let (messages, result) = (Json(messages.to_vec()), Json(result.clone()));
        self.run_one(
            sql,
            &[&job.id, &job.claimed_by, &job.attempt, &now, &status, &messages, &result],
        )
    }

    /// Deletes up to `limit` jobs that ended before `before`. Returns their number.
    pub fn remove_ended_jobs(&mut self, before: Micros, limit: i64) -> Result<u64> {
        let sql = "DELETE FROM job WHERE id IN (SELECT id FROM job WHERE completed < $1 LIMIT $2)";
        self.run(sql, &[&before, &limit])
    }
}

impl Listing {
    /// A listing of jobs (docs/contract.md#tasks).
    pub fn of_jobs(asked: &Asked) -> std::result::Result<Self, InvalidListing> {
        let fields = [
            Field::new("id", "id", Kind::Id).filter("eq in"),
            Field::new("sourceId", "source_id", Kind::Id).filter("eq in"),
            Field::new("completionStatus", "completion_status", Kind::Text).filter("eq in isnull"),
            Field::new("type", "'QUARTZ'", Kind::Text).filter("eq in"),
            Field::new("launcher", "launcher", Kind::Text).filter("eq in"),
            Field::new("created", "created", Kind::Time).sort(),
        ];
        Self::new(&fields, asked, "created DESC")
    }
}
