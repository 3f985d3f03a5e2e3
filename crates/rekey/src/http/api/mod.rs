//! The HTTP API of the contract.
//!
//! An endpoint is one file in this folder and one line in the table behind [`router`]. Its file
//! also declares, as `ACCESS`, the scopes and levels that its callers need; the tests over all
//! routes read those from [`routes`].

use std::sync::Arc;

use axum::{
    Extension, Router,
    handler::Handler,
    http::Method,
    middleware,
    routing::{get, on},
};

use crate::{App, access::Access, http::portal};

mod account_aggregations;
mod accounts;
mod body;
mod caller;
mod client_address;
mod error;
mod framing;
mod health;
mod identities;
mod limit;
mod measure;
mod oauth;
mod page;
mod password_change_status;
mod password_dictionary;
mod password_policies;
mod password_sync_groups;
mod patch;
mod path;
mod public_identities;
mod query_password_info;
mod set_password;
mod sources;
mod task_status;
mod trail;

pub(crate) use self::{body::parse, patch::patched};
pub(crate) use self::{client_address::client_address, limit::Limits, oauth::Parameters};
pub use self::{
    client_address::{ClientAddress, is_within},
    error::{ErrorBody, tracking},
    measure::metrics_router,
    path::normalise,
};

/// All endpoints that need a token, with the access that each requires.
fn table() -> Table {
    Table::default()
        .get(
            "/account-aggregations/{id}/status",
            &account_aggregations::ACCESS,
            account_aggregations::handler,
        )
        .get("/accounts", &accounts::list::ACCESS, accounts::list::handler)
        .get("/accounts/{id}", &accounts::get::ACCESS, accounts::get::handler)
        .patch("/accounts/{id}", &accounts::patch::ACCESS, accounts::patch::handler)
        .get("/identities", &identities::list::ACCESS, identities::list::handler)
        .get("/identities/{id}", &identities::get::ACCESS, identities::get::handler)
        .get(
            "/password-change-status/{id}",
            &password_change_status::ACCESS,
            password_change_status::handler,
        )
        .get("/password-dictionary", &password_dictionary::ACCESS, password_dictionary::handler)
        .get(
            "/password-policies",
            &password_policies::list::ACCESS,
            password_policies::list::handler,
        )
        .get(
            "/password-policies/{id}",
            &password_policies::get::ACCESS,
            password_policies::get::handler,
        )
        .get(
            "/password-sync-groups",
            &password_sync_groups::list::ACCESS,
            password_sync_groups::list::handler,
        )
        .get(
            "/password-sync-groups/{id}",
            &password_sync_groups::get::ACCESS,
            password_sync_groups::get::handler,
        )
        .get("/public-identities", &public_identities::ACCESS, public_identities::handler)
        .post("/query-password-info", &query_password_info::ACCESS, query_password_info::handler)
        .post("/set-password", &set_password::ACCESS, set_password::handler)
        .get("/sources", &sources::list::ACCESS, sources::list::handler)
        .post("/sources", &sources::create::ACCESS, sources::create::handler)
        .get("/sources/{id}", &sources::get::ACCESS, sources::get::handler)
        .patch("/sources/{id}", &sources::patch::ACCESS, sources::patch::handler)
        .post(
            "/sources/{id}/connector/check-connection",
            &sources::check_connection::ACCESS,
            sources::check_connection::handler,
        )
        .post(
            "/sources/{id}/load-accounts",
            &sources::load_accounts::ACCESS,
            sources::load_accounts::handler,
        )
        .get("/sources/{id}/schemas", &sources::schemas::ACCESS, sources::schemas::handler)
        .get("/task-status", &task_status::list::ACCESS, task_status::list::handler)
        .get("/task-status/{id}", &task_status::get::ACCESS, task_status::get::handler)
}

/// The whole service: OAuth, health, the pages, and the table of endpoints behind authentication.
/// Layers that are added later run first.
pub fn router(app: App) -> Router {
    let limits = Arc::new(Limits::new(&app.config.limits));
    let guarded = table()
        .router
        .fallback(error::no_such_path)
        .method_not_allowed_fallback(error::wrong_method)
        .layer(middleware::from_fn_with_state(app.clone(), caller::authenticate));
    Router::new()
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .merge(oauth::router())
        .merge(portal::router())
        .method_not_allowed_fallback(error::wrong_method)
        .merge(guarded)
        .layer(Extension(limits))
        .layer(middleware::from_fn(framing::unambiguous))
        .layer(middleware::from_fn(error::tracking))
        .layer(middleware::from_fn_with_state(app.clone(), measure::measure))
        .with_state(app)
}

/// An endpoint that needs a token, for the tests over all routes.
#[derive(Clone, Debug)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path without a version.
    pub path: &'static str,
    /// The access that the caller needs.
    pub access: &'static Access,
}

/// All endpoints that need a token.
pub fn routes() -> Vec<Route> {
    table().routes
}

#[derive(Default)]
struct Table {
    router: Router<App>,
    routes: Vec<Route>,
}

impl Table {
    fn get<H: Handler<T, App>, T: 'static>(
        self,
        path: &'static str,
        access: &'static Access,
        handler: H,
    ) -> Self {
        self.add(Method::GET, path, access, handler)
    }

    fn patch<H: Handler<T, App>, T: 'static>(
        self,
        path: &'static str,
        access: &'static Access,
        handler: H,
    ) -> Self {
        self.add(Method::PATCH, path, access, handler)
    }

    fn post<H: Handler<T, App>, T: 'static>(
        self,
        path: &'static str,
        access: &'static Access,
        handler: H,
    ) -> Self {
        self.add(Method::POST, path, access, handler)
    }

    fn add<H, T>(
        mut self,
        method: Method,
        path: &'static str,
        access: &'static Access,
        handler: H,
    ) -> Self
    where
        H: Handler<T, App>,
        T: 'static,
    {
        let Ok(filter) = method.clone().try_into() else { return self };
        let checked = on(filter, handler).layer(middleware::from_fn(
            move |request: axum::extract::Request, next: middleware::Next| {
                caller::require(access, request, next)
            },
        ));
        self.router = self.router.route(path, checked);
        self.routes.push(Route { method, path, access });
        self
    }
}
