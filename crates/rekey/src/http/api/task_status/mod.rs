//! `/task-status` (docs/contract.md#tasks), and the JSON form of a job.

use serde_json::{Value, json};

use crate::{
    model::{job::Job, level::Level, time::Micros},
    source::aggregation::{AGGREGATION, TASK_NAME},
};

pub(super) mod get;
pub(super) mod list;

const LEVELS: &[Level] = &[
    Level::OrgAdmin,
    Level::Helpdesk,
    Level::CertAdmin,
    Level::ReportAdmin,
    Level::RoleAdmin,
    Level::RoleSubadmin,
    Level::SourceAdmin,
    Level::SourceSubadmin,
];

/// The names of a task's result attributes, for clients that find the numbers by name.
pub(super) fn returns() -> Value {
    let label = |label: &str, name: &str| json!({ "name": label, "displayLabel": label, "attributeName": name });
    json!([
        label("TASK_OUT_ACCOUNT_AGGREGATION_TOTAL", "total"),
        label("TASK_OUT_ACCOUNT_AGGREGATION_CREATED", "created"),
        label("TASK_OUT_ACCOUNT_AGGREGATION_UPDATED", "updated"),
        label("TASK_OUT_ACCOUNT_AGGREGATION_DELETED", "deleted"),
    ])
}

/// A job as JSON, with every member that the SDKs require.
fn wire(job: &Job) -> Value {
    let time = |at: Option<Micros>| at.map(Micros::rfc3339);
    let (name, description) = if job.kind == AGGREGATION {
        (TASK_NAME, "Aggregates from the specified application")
    } else {
        (job.kind.as_str(), "")
    };
    let progress = match (job.launched, job.completed) {
        (_, Some(_)) => None,
        (Some(_), None) => Some("Reading accounts"),
        (None, None) => Some("Waiting"),
    };
    let messages = job.messages.0.iter().map(|message| {
        let text = message.full();
        json!({
            "type": if job.completion_status.as_deref() == Some("WARNING") { "WARN" } else { "ERROR" },
            "key": text,
            "localizedText": { "locale": "en-US", "message": text },
            "parameters": [],
        })
    });
    let mut attributes = job.result.0.clone();
    attributes.insert("appId".into(), json!(job.source_id));
    json!({
        "id": job.id,
        "type": "QUARTZ",
        "uniqueName": format!("{name} {}", job.id),
        "description": description,
        "parentName": name,
        "launcher": job.launcher,
        "target": job.source_id.as_ref().map(|id| {
            json!({ "id": id, "type": "APPLICATION" })
        }),
        "created": job.created.rfc3339(),
        "modified": time(job.completed.or(job.launched)),
        "launched": time(job.launched),
        "completed": time(job.completed),
        "completionStatus": job.completion_status,
        "messages": messages.collect::<Vec<_>>(),
        "returns": returns(),
        "attributes": attributes,
        "progress": progress,
        "percentComplete": if job.completed.is_some() { 100 } else { 0 },
    })
}
