//! `rekey init`: the set-up of the first start, without serving.

use std::process::ExitCode;

use super::out::{self, say};
use crate::{
    Error,
    audit::chain::Chainer,
    bootstrap,
    config::Config,
    model::{audit::Origin, time::Clock},
    ops::open,
};

pub(super) async fn run(config: Config, json: bool) -> Result<ExitCode, Error> {
    let app = open::or_create(config, Clock::default()).await?;
    let first = Origin::of_command("init").scope(bootstrap::first_start(&app)).await;
    let chained = Chainer::default().finish(&app.audit).await;
    app.store.close().await;
    let file = bootstrap::file(&app);
    let Some(first) = first? else {
        return Err(Error::Setup(format!(
            "this store was set up before: its first credentials were written to {} then",
            file.display()
        )));
    };
    chained?;
    if json {
        out::json(&first);
    } else {
        say!("The store is ready. The first credentials are in {}", file.display());
        say!("Start it with `rekey serve`.");
    }
    Ok(ExitCode::SUCCESS)
}
