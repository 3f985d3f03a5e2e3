//! `rekey demo`: a throw-away installation with people, policies and a sync group, and a guided
//! password change from the key to the proof. The guide is an ordinary client: it uses only HTTP.

use serde_json::json;
use tokio::sync::watch;

use crate::{
    Error,
    ops::cli::out::{self, BOLD, DIM, GREEN, PLAIN, say},
};

mod client;
mod guide;
mod show;
mod site;

pub use self::site::Listen;
use self::{guide::Guide, site::Site};

/// Starts a server and runs the guide, then serves until `stop` is true unless `exit` is set.
pub async fn run(
    listen: Listen,
    exit: bool,
    json: bool,
    stop: watch::Receiver<bool>,
) -> Result<(), Error> {
    let site = Site::build(listen).await?;
    let (end, ended) = watch::channel(false);
    let server = tokio::spawn(crate::http::serve::run(site.app.clone(), site.listener, ended));
    let mut guide = Guide::new(&site.facts, json);
    guide.show.welcome();
    let went = guide.run(stop.clone()).await;
    if json {
        out::json(&guide.show.told(&site.facts, went.is_ok()));
    }
    if went.is_ok() && !exit {
        if !json {
            serves_on(&site.facts);
        }
        let mut stop = stop;
        let _ = stop.wait_for(|stop| *stop).await;
    }
    end.send_replace(true);
    let _ = server.await;
    went
}

/// Prints the next steps, as lines to paste.
fn serves_on(facts: &site::Facts) {
    let site::Facts { bootstrap, people, .. } = facts;
    let base = &bootstrap.base_url;
    say!("\n{BOLD}{GREEN}Every step held.{PLAIN} Now it is yours, at {BOLD}{base}{PLAIN}\n");
    say!("{BOLD}Ask as a program would{PLAIN}");
    say!("  export SAIL_BASE_URL={base} \\");
    say!("    SAIL_CLIENT_ID={} \\", bootstrap.api_client_id);
    say!("    SAIL_CLIENT_SECRET={}", bootstrap.api_client_secret);
    say!(
        "  TOKEN=$(curl -s \"$SAIL_BASE_URL/oauth/token\" -d grant_type=client_credentials -d client_id=$SAIL_CLIENT_ID \\"
    );
    say!(
        "    -d client_secret=$SAIL_CLIENT_SECRET | sed 's/.*\"access_token\":\"\\([^\"]*\\)\".*/\\1/')"
    );
    let ask = json!({ "userName": "ben.jones", "sourceName": site::WORKSHOP });
    say!(
        "  curl -s \"$SAIL_BASE_URL/v2026/query-password-info\" -H \"Authorization: Bearer $TOKEN\" \\"
    );
    say!("    -H 'Content-Type: application/json' -d '{ask}'\n");
    say!("{BOLD}Or sign in as one of them{PLAIN}, at {base}/sign-in");
    for person in people {
        say!("  {:<12} {:<14} {}", person.name, person.alias, person.password());
    }
    let (user, password) = (&bootstrap.admin_user, &bootstrap.admin_password);
    say!("  {:<12} {user:<14} {password}\n", "Admin");
    say!("{DIM}Ctrl-C ends it, and nothing of it stays.{PLAIN}");
}
