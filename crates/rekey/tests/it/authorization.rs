//! The authorization table, tested completely: every level, pair of levels and kind of client calls
//! every route about its own objects, other people's objects, and unknown ones.

use hyper::{Method, StatusCode, header};
use rekey::{http::api, model::level::Level};
use serde_json::json;

use self::{
    table::{Block, Cell, TABLE, Table},
    world::{Actor, Objects, World},
};
use crate::site::{Answer, Site, on_both_stores};

mod ask;
mod table;
mod tests;
mod tokens;
mod world;

on_both_stores!(
    everyone_gets_what_the_table_says,
    a_scope_opens_its_routes_and_no_others,
    a_wrong_cell_is_found,
    a_method_without_a_route_does_nothing,
);

async fn everyone_gets_what_the_table_says(site: Site) {
    let table = Table::read(TABLE).unwrap();
    assert_eq!(table.faults(&routes()), [""; 0]);
    let world = World::whole(site).await;
    let (asked, wrong) = world.compare(&table).await;
    println!("{asked} cells asked, of {} callers", world.actors.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The negative control: the same comparison with wrong cells must fail.
async fn a_wrong_cell_is_found(site: Site) {
    let world = World::small(site, &[Level::SourceSubadmin]).await;
    for (route, about, column, cell) in [
        ("GET /accounts/{id}", "own", "user", Cell::Allowed(200)),
        ("GET /identities", "list", "user", Cell::All),
        ("GET /sources/{id}", "other", "SS", Cell::Allowed(200)),
        ("GET /task-status/{id}", "own", "SS", Cell::Refused(403)),
        ("POST /set-password", "other", "user", Cell::Allowed(202)),
    ] {
        let mut table = Table::read(TABLE).unwrap();
        table.routes.retain(|block| block.route == route);
        let row = table.routes[0].rows.iter_mut().find(|row| row.about == about).unwrap();
        row.cells[table.columns.iter().position(|name| name == column).unwrap()] = cell;
        let (_, wrong) = world.compare(&table).await;
        assert!(!wrong.is_empty(), "{route} {about} {column}: {cell:?} was taken for true");
        let named = format!("about {about}:");
        assert!(wrong.iter().all(|line| line.contains(&named)), "{wrong:?}");
    }
}

async fn a_scope_opens_its_routes_and_no_others(site: Site) {
    let world = World::small(site, &[Level::OrgAdmin, Level::SourceSubadmin]).await;
    let table = Table::read(TABLE).unwrap();
    let mut all: Vec<_> = table.routes.iter().flat_map(|block| block.scopes.clone()).collect();
    all.sort();
    all.dedup();
    let mut wrong = Vec::new();
    for (actor, block) in world.all(&table) {
        let rest: Vec<_> =
            all.iter().filter(|scope| !block.scopes.contains(scope)).cloned().collect();
        let mut tried: Vec<_> = block.scopes.iter().map(|scope| (scope.clone(), true)).collect();
        let is_open = block.scopes.is_empty();
        tried.extend([("sp:scopes:default".into(), is_open), (rest.join(" "), is_open)]);
        for (scopes, opens) in tried {
            let token = actor.token_with(&world.site, &scopes);
            let row = &block.rows[0];
            let expected = match table.expected(row, &actor.columns) {
                cell if opens => cell,
                _ => Cell::Refused(403),
            };
            let answer = world.ask(actor, &token, block, &row.about, 0).send().await;
            if answer.status.as_u16() != expected.status() {
                let (name, route) = (&actor.name, &block.route);
                wrong.push(format!(
                    "{name} with {scopes}: {route}: {} and not {expected:?}",
                    answer.status
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn a_method_without_a_route_does_nothing(site: Site) {
    let world = World::small(site, &[]).await;
    let actor = world.actors.iter().find(|actor| actor.columns == ["API"]).unwrap();
    let (routes, table) = (routes(), Table::read(TABLE).unwrap());
    let methods = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    for block in &table.routes {
        let path = block.route.split_once(' ').unwrap().1;
        for method in methods.iter().filter(|method| !routes.contains(&format!("{method} {path}")))
        {
            let before = world.deeds().await;
            let path = format!("/v3{}", path.replace("{id}", world.other.source.as_str()));
            let ask = world.site.ask(method.clone(), &path).token(&actor.token).json(json!({}));
            ask.send().await.assert(StatusCode::METHOD_NOT_ALLOWED);
            let ask = world.site.ask(method.clone(), &path).json(json!({}));
            ask.send().await.assert(StatusCode::UNAUTHORIZED);
            assert_eq!(world.deeds().await, before, "{method} {path}");
        }
    }
}

fn routes() -> Vec<String> {
    api::routes().iter().map(|route| format!("{} {}", route.method, route.path)).collect()
}

impl World {
    /// Sends a request for every cell; returns their number, and the answers that differ from the
    /// table.
    async fn compare(&self, table: &Table) -> (usize, Vec<String>) {
        let (mut asked, mut wrong) = (0, Vec::new());
        // Refused requests come first: while no job is running, a change of the store would be
        // their effect.
        for refused in [true, false] {
            for (actor, block) in self.all(table) {
                for (at, row) in block.rows.iter().enumerate() {
                    let expected = table.expected(row, &actor.columns);
                    if expected.is_refused() != refused {
                        continue;
                    }
                    asked += 1;
                    let why = self.judge(actor, block, &row.about, at + asked, expected).await;
                    wrong.extend(why.map(|why| {
                        format!("{} asks {} about {}: {why}", actor.name, block.route, row.about)
                    }));
                }
                if refused {
                    wrong.extend(self.told_apart(table, actor, block).await);
                }
            }
        }
        (asked, wrong)
    }

    fn all<'a>(&'a self, table: &'a Table) -> impl Iterator<Item = (&'a Actor, &'a Block)> {
        self.actors.iter().flat_map(|actor| table.routes.iter().map(move |block| (actor, block)))
    }

    /// Returns why the answer is not the expected one, or `None` if it is.
    async fn judge(
        &self,
        actor: &Actor,
        block: &Block,
        about: &str,
        turn: usize,
        expected: Cell,
    ) -> Option<String> {
        let before = if expected.is_refused() { self.deeds().await } else { 0 };
        let answer = self.ask(actor, &actor.token, block, about, turn).send().await;
        if answer.status.as_u16() != expected.status() {
            let text: String = answer.text.chars().take(200).collect();
            return Some(format!("{} and not {expected:?}: {text}", answer.status));
        }
        match expected {
            Cell::Refused(_) if self.deeds().await != before => Some("refused, and done".into()),
            Cell::Refused(_) | Cell::Allowed(_) => None,
            Cell::Own | Cell::All => {
                let shows = |whose: &Objects| answer.text.contains(self.row(block, whose).as_str());
                let (own, other) = (shows(&actor.own), shows(&self.other));
                let right = own && other == (expected == Cell::All);
                (!right).then(|| format!("own rows: {own}, others: {other}; not {expected:?}"))
            }
        }
    }

    /// Returns the routes on which a caller who is refused both can distinguish another person's
    /// object from an unknown one: the answers must be identical byte for byte. API clients are
    /// exempt, because they may know of every object.
    async fn told_apart(&self, table: &Table, actor: &Actor, block: &Block) -> Vec<String> {
        let mut told = Vec::new();
        for (hidden, unknown) in block.pairs() {
            let is_refused = table.expected(hidden, &actor.columns).is_refused();
            if actor.columns == ["API"] || !is_refused {
                continue;
            }
            let [hidden, unknown] = [&hidden.about, &unknown.about].map(async |about| {
                without_ids(&self.ask(actor, &actor.token, block, about, 0).send().await)
            });
            let (hidden, unknown) = (hidden.await, unknown.await);
            if hidden != unknown {
                told.push(format!(
                    "{} learns from {}: {hidden} or {unknown}",
                    actor.name, block.route
                ));
            }
        }
        told
    }

    /// A count that grows with every completed action. Audit rows about attempts do not count.
    async fn deeds(&self) -> i64 {
        let sql = "SELECT (SELECT count(*) FROM audit
                         WHERE action NOT IN ('ACCESS_DENIED', 'ACCESS_TOKEN_REFUSED', 'ADMINISTRATIVE_READ'))
                 + (SELECT count(*) FROM password_change)
                 + (SELECT count(*) FROM job) + (SELECT count(*) FROM source)
                 + (SELECT count(*) FROM source_key) + (SELECT count(*) FROM idempotency_key) AS value";
        self.site.write(move |tx| Ok(tx.count(sql)?)).await
    }
}

/// Everything visible in an answer except its tracking id and its date.
fn without_ids(answer: &Answer) -> String {
    let tracking = answer.headers["slpt-request-id"].to_str().unwrap();
    let mut headers: Vec<_> = answer
        .headers
        .iter()
        .filter(|(name, _)| **name != header::DATE)
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    headers.sort();
    format!("{} {} {}", answer.status, headers.join(", "), answer.text).replace(tracking, "ID")
}
