//! The build without traces: the configuration refuses to name a collector.

use super::log::Listener;
use crate::Error;

/// No traces: the type has no values.
pub(super) enum Traces {}

impl Traces {
    #[expect(clippy::unnecessary_wraps, reason = "a build with traces may fail")]
    pub(super) fn start(_endpoint: &str) -> Result<Option<Self>, Error> {
        Ok(None)
    }

    pub(super) fn listener(&self) -> Listener {
        match *self {}
    }

    pub(super) fn end(self) -> std::future::Ready<()> {
        match self {}
    }
}
