//! The text of a scrape: what was counted, and what is looked up only now.

use prometheus_client::{
    encoding::{
        EncodeLabelSet,
        text::{encode_eof, encode_registry},
    },
    metrics::{family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use super::process;
use crate::{App, Error, store::Tx};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Source {
    source_id: String,
    source_kind: String,
}

/// Everything, as Prometheus reads it. Fails where the store cannot be read, as a scrape should.
pub async fn text(app: &App) -> Result<String, Error> {
    let queue = app.store.read(|tx: &mut Tx<'_>| tx.queue_health()).await?;
    let mut now = Registry::with_prefix("rekey");
    let mut gauge = |name: &str, help: &str, unit: Option<Unit>, value: i64| {
        let gauge: Gauge = Gauge::default();
        gauge.set(value);
        match unit {
            None => now.register(name, help, gauge),
            Some(unit) => now.register_with_unit(name, help, unit, gauge),
        }
    };
    gauge("queue_depth", "Password changes that have not ended, in the store", None, queue.depth);
    let text = "Age of the oldest password change that has not ended";
    gauge("queue_oldest", text, Some(Unit::Seconds), queue.oldest.unwrap_or(0) / 1_000_000);
    let text = "Password changes that have not ended 30 s after their deadline";
    gauge("requests_stuck", text, None, queue.stuck.unwrap_or(0));
    let breakers = Family::<Source, Gauge>::default();
    for (source_id, source_kind, open) in app.links.breakers() {
        breakers.get_or_create(&Source { source_id, source_kind }).set(open.into());
    }
    let text = "Whether a source is left alone after failures, on this node";
    now.register("breaker_open", text, breakers);
    let mut process = Registry::default();
    process::register(&mut process);

    let mut text = String::new();
    let unwritten = |_| Error::Internal("the metrics cannot be written".into());
    for registry in [&app.metrics().registry, &now, &process] {
        encode_registry(&mut text, registry).map_err(unwritten)?;
    }
    encode_eof(&mut text).map_err(unwritten)?;
    Ok(text)
}
