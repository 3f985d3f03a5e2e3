//! The text of a scrape: the metrics updated as events happen, and those read at the scrape.

use prometheus_client::{
    encoding::{
        EncodeLabelSet,
        text::{encode_eof, encode_registry},
    },
    metrics::{family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use super::{Metrics, process};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Source {
    source_id: String,
    source_kind: String,
}

/// Values that are read at the time of a scrape.
pub struct Current {
    /// The number of changes that have not ended.
    pub depth: i64,
    /// The age of the oldest one, in microseconds.
    pub oldest: i64,
    /// How many of them had a deadline at least 30 s ago.
    pub stuck: i64,
    /// The id and the kind of each source, and whether its breaker is open on this node.
    pub breakers: Vec<(String, String, bool)>,
}

/// All metrics, in the text format that Prometheus reads.
pub fn text(metrics: &Metrics, current: Current) -> Result<String, std::fmt::Error> {
    let mut now = Registry::with_prefix("rekey");
    let mut gauge = |name: &str, help: &str, unit: Option<Unit>, value: i64| {
        let gauge: Gauge = Gauge::default();
        gauge.set(value);
        match unit {
            None => now.register(name, help, gauge),
            Some(unit) => now.register_with_unit(name, help, unit, gauge),
        }
    };
    gauge("queue_depth", "Password changes that have not ended, in the store", None, current.depth);
    let text = "Age of the oldest password change that has not ended";
    gauge("queue_oldest", text, Some(Unit::Seconds), current.oldest / 1_000_000);
    let text = "Password changes that have not ended 30 s after their deadline";
    gauge("requests_stuck", text, None, current.stuck);
    let breakers = Family::<Source, Gauge>::default();
    for (source_id, source_kind, open) in current.breakers {
        breakers.get_or_create(&Source { source_id, source_kind }).set(open.into());
    }
    let text = "Whether a source is left alone after failures, on this node";
    now.register("breaker_open", text, breakers);
    let mut process = Registry::default();
    process::register(&mut process);

    let mut text = String::new();
    for registry in [&metrics.registry, &now, &process] {
        encode_registry(&mut text, registry)?;
    }
    encode_eof(&mut text)?;
    Ok(text)
}
