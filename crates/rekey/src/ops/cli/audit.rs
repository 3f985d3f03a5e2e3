//! `rekey audit`: exports, proves and verifies the audit trail.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use serde_json::json;

use super::out::{self, say};
use crate::{
    App, Error,
    audit::{
        export, prove,
        verify::{self, Finding, Report},
    },
    model::{audit::ACTOR, time::Micros},
    store::{Audit, Tx},
};

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Print the newest signed checkpoint, to be kept elsewhere.
    Checkpoint {
        /// Print the public key that checkpoints are verified with instead.
        #[arg(long)]
        key: bool,
    },
    /// Print every entry as a line of JSON.
    Export {
        /// Write the files of a tiled transparency log into this folder instead.
        #[arg(long, value_name = "FOLDER")]
        tiles: Option<PathBuf>,
    },
    /// Show the entries of a password change, each with its way to the newest checkpoint.
    Prove {
        /// As set-password answered it.
        #[arg(value_name = "REQUEST_ID")]
        request_id: String,
    },
    /// Look at the whole trail and name what was altered; exit code 0 or 1.
    Verify {
        /// A checkpoint that was kept elsewhere, which the trail must still fit.
        #[arg(long, value_name = "FILE")]
        checkpoint: Option<PathBuf>,
    },
}

impl Command {
    pub(super) async fn run(self, app: &App, json: bool) -> Result<ExitCode, Error> {
        match self {
            Self::Checkpoint { key } => checkpoint(app, key, json).await?,
            Self::Export { tiles: None } => {
                record_export(app).await?;
                export::lines(&app.audit, |line| out::json(&line)).await?;
            }
            Self::Export { tiles: Some(folder) } => tiles(app, &folder, json).await?,
            Self::Prove { request_id } => prove(app, &request_id, json).await?,
            Self::Verify { checkpoint } => return verify(app, checkpoint.as_deref(), json).await,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Records the export: it shows people's actions and addresses, so it is audited itself.
async fn record_export(app: &App) -> Result<(), Error> {
    let deed = |tx: &mut Tx<'_>| {
        let detail = json!({});
        tx.audit(Audit { actor: ACTOR, action: "AUDIT_EXPORT", object: "audit", detail })
    };
    Ok(app.store.write(deed).await?)
}

async fn checkpoint(app: &App, key: bool, json: bool) -> Result<(), Error> {
    let verifier = app.audit.verifier_key();
    if key && !json {
        say!("{verifier}");
        return Ok(());
    }
    let newest = prove::newest(&app.audit).await?;
    if json {
        out::json(&json!({ "entries": newest.size, "checkpoint": newest.note, "key": verifier }));
    } else {
        say!("{}", newest.note.trim_end());
    }
    Ok(())
}

async fn tiles(app: &App, folder: &Path, json: bool) -> Result<(), Error> {
    let entries = export::tiles(&app.audit, folder).await?;
    if json {
        out::json(&json!({ "entries": entries, "folder": folder }));
    } else {
        say!("{entries} entries are in {}", folder.display());
    }
    Ok(())
}

async fn prove(app: &App, id: &str, json: bool) -> Result<(), Error> {
    let proven = prove::prove(&app.audit, id).await?;
    if json {
        let entries: Vec<_> = proven
            .proofs
            .iter()
            .map(|proof| {
                json!({
                    "position": proof.position,
                    "entry": proof.entry,
                    "proof": proof.text(&proven.note),
                })
            })
            .collect();
        out::json(&json!({
            "requestId": id, "entries": entries, "notCovered": proven.uncovered,
            "checkpoint": proven.note, "key": app.audit.verifier_key(),
        }));
        return Ok(());
    }
    for proof in &proven.proofs {
        say!("{}\n", proof.entry);
        say!("{}", proof.text(&proven.note));
    }
    let covered = proven.proofs.len();
    say!("{covered} entries are in the trail: each proof leads to the signed root");
    if proven.uncovered > 0 {
        say!("{} more have no checkpoint yet: try again in ten seconds", proven.uncovered);
    }
    Ok(())
}

async fn verify(app: &App, file: Option<&Path>, json: bool) -> Result<ExitCode, Error> {
    let outside = file.map(fs::read_to_string).transpose().map_err(|error| {
        let file = file.unwrap_or(Path::new("")).display();
        Error::Setup(format!("the checkpoint {file} cannot be read: {error}"))
    })?;
    let report = verify::verify(&app.audit, outside.as_deref()).await?;
    if json {
        out::json(&as_json(&report));
    } else {
        tell(&report);
    }
    Ok(if report.wrong() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell(report: &Report) {
    let Report { entries, waiting, erased, checkpoints, covered, findings, more } = report;
    say!("{entries} entries, {checkpoints} signed checkpoints, the newest over {covered} entries");
    if *waiting > 0 {
        say!("{waiting} more have not been chained yet: a running server does that each second");
    }
    if *erased > 0 {
        say!("{erased} entries hold a name or an address that was erased");
    }
    for finding in findings {
        let Finding { position, seq, at, what } = finding;
        let position = position.map(|position| format!("position {position}"));
        let seq = seq.map(|seq| format!("row {seq}"));
        let place: Vec<_> =
            [position, seq, at.map(Micros::rfc3339)].into_iter().flatten().collect();
        if place.is_empty() {
            say!("{what}");
        } else {
            say!("{}: {what}", place.join(", "));
        }
    }
    if *more > 0 {
        say!("and {more} more");
    }
    match report.wrong() {
        0 => say!("the trail is what rekey wrote"),
        1 => say!("the trail was altered in 1 place"),
        wrong => say!("the trail was altered in {wrong} places"),
    }
}

fn as_json(report: &Report) -> serde_json::Value {
    let findings: Vec<_> = report
        .findings
        .iter()
        .map(|Finding { position, seq, at, what }| {
            json!({ "position": position, "seq": seq, "time": at.map(Micros::rfc3339), "what": what })
        })
        .collect();
    json!({
        "ok": report.wrong() == 0, "entries": report.entries, "notChained": report.waiting,
        "erased": report.erased,
        "checkpoints": report.checkpoints, "covered": report.covered, "wrong": report.wrong(),
        "findings": findings,
    })
}
