//! The authorization table: the expected answer for every caller and object, and the checks of the
//! table itself. It is written by hand, not derived from the code under test.

use rekey::model::level::Level;

/// A column is a caller with every scope: a person of one level, or an API client. `user` is a
/// person without a level, or of a level that grants nothing here ([`column`]). A route is followed
/// by the scopes of which a token needs one, then by one line for each kind of object: `own` is the
/// caller's, or belongs to a source that the caller administers; `other` is another person's. A
/// cell is a status, or the rows of a list that are shown: `all`, or only the caller's `own`.
pub(super) const TABLE: &str = "
                             user  HD    OA    SA    SS    RS    CA    PA    RA    API
GET /account-aggregations/{id}/status
    own                      403   403   200   200   200   403   403   403   403   200
    other                    403   403   200   200   404   403   403   403   403   200
    unknown                  403   403   404   404   404   403   403   403   403   404
GET /accounts idn:accounts:read idn:accounts:manage
    list                     403   all   all   all   own   403   403   403   403   all
GET /accounts/{id} idn:accounts:read idn:accounts:manage
    own                      403   200   200   200   200   403   403   403   403   200
    other                    403   200   200   200   404   403   403   403   403   200
    unknown                  403   404   404   404   404   403   403   403   403   404
PATCH /accounts/{id} idn:accounts:manage
    own                      403   403   202   403   403   403   403   403   403   403
    other                    403   403   202   403   403   403   403   403   403   403
    unknown                  403   403   404   403   403   403   403   403   403   403
GET /identities idn:identity:read idn:identity:manage
    list                     own   all   all   all   own   own   own   own   own   all
GET /identities/{id} idn:identity:read idn:identity:manage
    own                      200   200   200   200   200   200   200   200   200   200
    other                    404   200   200   200   404   404   404   404   404   200
    unknown                  404   404   404   404   404   404   404   404   404   404
GET /password-change-status/{id} idn:password-change:read
    own                      200   200   200   200   200   200   200   200   200   200
    other                    404   200   200   404   404   404   404   404   404   200
    unknown                  404   404   404   404   404   404   404   404   404   404
GET /password-dictionary idn:password-dictionary:read idn:password-dictionary:manage
    one                      403   403   200   403   403   403   403   403   403   200
GET /password-policies idn:password-policy:read idn:password-policy:write
    list                     403   403   all   403   403   403   403   403   403   all
GET /password-policies/{id} idn:password-policy:read idn:password-policy:write
    other                    403   403   200   403   403   403   403   403   403   200
    unknown                  403   403   404   403   403   403   403   403   403   404
GET /password-sync-groups idn:password-sync-group:read idn:password-sync-group:manage
    list                     403   403   all   403   403   403   403   403   403   all
GET /password-sync-groups/{id} idn:password-sync-group:read idn:password-sync-group:manage
    other                    403   403   200   403   403   403   403   403   403   200
    unknown                  403   403   404   403   403   403   403   403   403   404
GET /public-identities
    list                     all   all   all   all   all   all   all   all   all   all
POST /query-password-info idn:password-info:read
    own                      200   200   200   200   200   200   200   200   200   200
    other                    400   200   200   400   400   400   400   400   400   200
    unknown                  400   400   400   400   400   400   400   400   400   400
    own, other source        400   400   400   400   400   400   400   400   400   400
    own, unknown source      400   400   400   400   400   400   400   400   400   400
POST /set-password idn:password-change:manage
    own                      202   202   202   202   202   202   202   202   202   202
    other                    403   403   403   403   403   403   403   403   403   202
    unknown                  403   403   403   403   403   403   403   403   403   400
    own, other account       400   400   400   400   400   400   400   400   400   400
    own, unknown account     400   400   400   400   400   400   400   400   400   400
    own, other source        400   400   400   400   400   400   400   400   400   400
    own, unknown source      400   400   400   400   400   400   400   400   400   400
    own, other key           400   400   400   400   400   400   400   400   400   400
    own, unknown key         400   400   400   400   400   400   400   400   400   400
GET /sources idn:sources:read idn:sources:manage
    list                     403   403   all   all   own   own   403   403   403   all
POST /sources idn:sources:manage
    own                      403   403   201   201   201   403   403   403   403   201
    own, located             403   403   201   403   403   403   403   403   403   403
GET /sources/{id} idn:sources:read idn:sources:manage
    own                      403   403   200   200   200   403   403   403   403   200
    other                    403   403   200   200   404   403   403   403   403   200
    unknown                  403   403   404   404   404   403   403   403   403   404
PATCH /sources/{id} idn:sources:manage
    own                      403   403   200   200   200   403   403   403   403   200
    other                    403   403   200   200   404   403   403   403   403   200
    unknown                  403   403   404   404   404   403   403   403   403   404
    own, moved               403   403   200   403   403   403   403   403   403   403
POST /sources/{id}/connector/check-connection idn:source-connector:manage
    own                      403   403   200   403   403   403   403   403   403   200
    other                    403   403   200   403   403   403   403   403   403   200
    unknown                  403   403   404   403   403   403   403   403   403   404
POST /sources/{id}/load-accounts idn:sources:manage
    own                      403   403   202   202   202   403   403   403   403   202
    other                    403   403   202   202   404   403   403   403   403   202
    unknown                  403   403   404   404   404   403   403   403   403   404
GET /sources/{id}/schemas idn:source-schema:read idn:source-schema:manage
    own                      403   403   200   200   200   403   403   403   403   200
    other                    403   403   200   200   404   403   403   403   403   200
    unknown                  403   403   404   404   404   403   403   403   403   404
GET /task-status idn:task-management:read idn:task-management:write
    list                     403   all   all   all   own   own   all   all   all   all
GET /task-status/{id} idn:task-management:read idn:task-management:write
    own                      403   200   200   200   200   200   200   200   200   200
    other                    403   200   200   200   404   404   200   200   200   200
    unknown                  403   404   404   404   404   404   404   404   404   404
";

/// The column of a level. The match is exhaustive, so a new level does not compile until it is
/// added.
pub(super) fn column(level: Level) -> &'static str {
    match level {
        Level::CertAdmin => "CA",
        Level::Helpdesk => "HD",
        Level::OrgAdmin => "OA",
        Level::ReportAdmin => "PA",
        Level::RoleAdmin => "RA",
        Level::RoleSubadmin => "RS",
        Level::SourceAdmin => "SA",
        Level::SourceSubadmin => "SS",
        Level::CloudGovAdmin
        | Level::CloudGovUser
        | Level::Internal
        | Level::PolicyAdmin
        | Level::SaasManagementAdmin
        | Level::SaasManagementReader => "user",
    }
}

/// The expected answer to a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cell {
    Refused(u16),
    /// Only the caller's own rows.
    Own,
    /// Every row.
    All,
    Allowed(u16),
}

impl Cell {
    fn parse(text: &str) -> Option<Self> {
        Some(match (text, text.parse::<u16>()) {
            ("own", _) => Self::Own,
            ("all", _) => Self::All,
            (_, Ok(status @ 200..=299)) => Self::Allowed(status),
            // 403 grants the least: the cell of a second level replaces it, also if that is 404 or
            // 400.
            (_, Ok(status @ (400 | 403 | 404))) => Self::Refused(status),
            _ => return None,
        })
    }

    pub(super) fn is_refused(self) -> bool {
        matches!(self, Self::Refused(_))
    }

    pub(super) fn status(self) -> u16 {
        match self {
            Self::Refused(status) | Self::Allowed(status) => status,
            Self::Own | Self::All => 200,
        }
    }

    /// Combines the cells of two levels that a person has: the one that grants more counts, and
    /// both together grant no more than that.
    pub(super) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Refused(403), other) | (other, Self::Refused(403)) => other,
            _ => self.max(other),
        }
    }
}

/// The parsed table.
#[derive(Clone)]
pub(super) struct Table {
    pub(super) columns: Vec<String>,
    pub(super) routes: Vec<Block>,
}

/// The part of the table about one route.
#[derive(Clone)]
pub(super) struct Block {
    /// Method and path, such as `GET /accounts`.
    pub(super) route: String,
    pub(super) scopes: Vec<String>,
    pub(super) rows: Vec<Row>,
}

#[derive(Clone)]
pub(super) struct Row {
    pub(super) about: String,
    pub(super) cells: Vec<Cell>,
}

impl Table {
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().filter(|line| !line.trim().is_empty());
        let columns = lines.next().unwrap_or_default().split_whitespace().map(str::to_owned);
        let mut table = Self { columns: columns.collect(), routes: Vec::new() };
        for line in lines {
            if !line.starts_with(' ') {
                let mut words = line.split_whitespace().map(str::to_owned);
                let route = [words.next().unwrap_or_default(), words.next().unwrap_or_default()];
                let (route, scopes) = (route.join(" "), words.collect());
                table.routes.push(Block { route, scopes, rows: Vec::new() });
                continue;
            }
            let (about, cells) = line.trim().split_once("  ").unwrap_or((line, ""));
            let cells: Option<Vec<Cell>> = cells.split_whitespace().map(Cell::parse).collect();
            let cells = cells.filter(|cells| cells.len() == table.columns.len());
            let cells = cells.ok_or_else(|| format!("a cell is missing or unknown: {line}"))?;
            let block = table.routes.last_mut().ok_or("a row without a route")?;
            block.rows.push(Row { about: about.to_owned(), cells });
        }
        Ok(table)
    }

    /// The errors in the table itself, independent of any answers.
    pub(super) fn faults(&self, routes: &[String]) -> Vec<String> {
        let mut faults = Vec::new();
        for route in routes.iter().filter(|route| self.block(route).is_none()) {
            faults.push(format!("{route} has no cells: say who may call it"));
        }
        for block in &self.routes {
            let route = &block.route;
            if !routes.contains(route) {
                faults.push(format!("{route} has cells, and is no route"));
            }
            let needed: &[&str] = if route.contains("{id}") { &["other", "unknown"] } else { &[] };
            let has = |about: &str| block.rows.iter().any(|row| row.about == about);
            for about in needed.iter().filter(|about| !has(about)) {
                faults.push(format!("{route} has no cells for {about}"));
            }
            if block.rows.is_empty() {
                faults.push(format!("{route} has no cells at all"));
            }
            for (hidden, unknown) in block.pairs() {
                for (at, column) in self.columns.iter().enumerate() {
                    let (hidden, unknown) = (hidden.cells[at], unknown.cells[at]);
                    if hidden.is_refused() && hidden != unknown {
                        faults.push(format!("{route} tells {column} what is there"));
                    }
                }
            }
        }
        faults
    }

    pub(super) fn block(&self, route: &str) -> Option<&Block> {
        self.routes.iter().find(|block| block.route == route)
    }

    /// The expected answer for a caller with these columns.
    pub(super) fn expected(&self, row: &Row, columns: &[&str]) -> Cell {
        let of = |name: &&str| self.columns.iter().position(|column| column == name);
        let cells = columns.iter().map(|name| row.cells[of(name).unwrap()]);
        cells.reduce(Cell::or).unwrap()
    }
}

impl Block {
    /// The rows about another person's object, each with the row about an unknown object.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&Row, &Row)> {
        self.rows.iter().filter_map(|row| {
            let unknown = row.about.replace("other", "unknown");
            let unknown = self.rows.iter().find(|other| other.about == unknown)?;
            (unknown.about != row.about).then_some((row, unknown))
        })
    }
}
