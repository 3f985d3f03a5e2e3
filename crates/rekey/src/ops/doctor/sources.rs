//! The sources: each must respond, accept rekey's credentials, and have a valid certificate.

use std::time::Duration;

use tokio::time::timeout;

use super::Report;
use crate::{
    App, Error,
    model::{source::Source, time::Micros},
    store::Tx,
};

/// The longest time for a source's response.
const ANSWER: Duration = Duration::from_secs(20);
/// The remaining validity below which a certificate should be renewed.
const SOON: Duration = Duration::from_hours(14 * 24);

pub(super) async fn check(report: &mut Report, app: &App) {
    let sources: Result<Vec<Source>, Error> =
        app.store.read(|tx: &mut Tx<'_>| Ok(tx.sources()?)).await;
    match sources {
        Ok(sources) => {
            for source in &sources {
                one(report, app, source).await;
            }
        }
        Err(error) => report.broke("sources", &error),
    }
}

async fn one(report: &mut Report, app: &App, source: &Source) {
    let subject = format!("source {}", source.name);
    let tested = match app.handles.open(source) {
        Ok(connector) => timeout(ANSWER, connector.test()).await,
        Err(error) => return report.broke(subject, &error),
    };
    match tested {
        Ok(Ok(())) => report.ok(subject.clone(), "it answers and takes rekey's credentials"),
        Ok(Err(fault)) => return report.fail(subject, fault.message),
        Err(_) => {
            let seconds = ANSWER.as_secs();
            return report.fail(subject, format!("it did not answer within {seconds} s: look whether it runs and a firewall lets rekey through"));
        }
    }
    let host = source.connector_attributes.0.get("host").and_then(|host| host.as_str());
    let Some(ends) = host.and_then(rekey_connectors::certificate_end) else { return };
    let ends = Micros(ends.saturating_mul(1_000_000));
    if ends < app.clock.now().plus(SOON) {
        let words = format!("its certificate ends at {}: renew it", ends.rfc3339());
        report.warn(subject, words);
    } else {
        report.ok(subject, format!("its certificate is good until {}", ends.rfc3339()));
    }
}
