//! Aggregations of a server's sources.

use std::time::Duration;

use serde_json::Value;

use crate::{
    Result,
    http::{Connection, request},
    password::text,
    server::Server,
};

/// Aggregates the source with this name, and waits until that has succeeded.
pub async fn read_accounts(server: &Server, source: &str) -> Result<()> {
    let task = begin_reading(server, source).await?;
    loop {
        if let Some(status) = reading(server, &task).await? {
            return match text(&status, "completionStatus").as_str() {
                "SUCCESS" => Ok(()),
                _ => Err(format!("the accounts of {source} were not read: {status}").into()),
            };
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Starts an aggregation of the source with this name; returns the id of the task.
pub async fn begin_reading(server: &Server, source: &str) -> Result<String> {
    let mut connection = Connection::open(&server.address).await?;
    let headers = server.headers();
    let path = format!("/v3/sources?filters=name+eq+%22{}%22", source.replace(' ', "+"));
    let sources = connection.ask(&request("GET", &path, &headers, "")).await?;
    let sources: Vec<Value> = serde_json::from_str(&sources.body)?;
    let named = sources.iter().find(|one| text(one, "name") == source);
    let id = named.map(|one| text(one, "id")).ok_or_else(|| format!("no source {source}"))?;
    let path = format!("/v2024/sources/{id}/load-accounts");
    let authorization = format!("Authorization: Bearer {}\r\n", server.token);
    let task = connection.ask(&request("POST", &path, &authorization, "")).await?;
    let task: Value = serde_json::from_str(&task.body)?;
    Ok(task.get("task").map(|task| text(task, "id")).ok_or("no task")?)
}

/// The status of an aggregation task, or `None` while it is running.
pub async fn reading(server: &Server, task: &str) -> Result<Option<Value>> {
    let mut connection = Connection::open(&server.address).await?;
    let path = format!("/v2024/task-status/{task}");
    let status = connection.ask(&request("GET", &path, &server.headers(), "")).await?;
    let status: Value = serde_json::from_str(&status.body)?;
    let is_completed = status.get("completed").is_some_and(|completed| !completed.is_null());
    Ok(is_completed.then_some(status))
}
