//! The guided password change, step by step.

use std::time::{Duration, Instant};

use base64::{Engine, prelude::BASE64_STANDARD, prelude::BASE64_URL_SAFE_NO_PAD};
use hyper::StatusCode;
use rekey_vault::{Padding, PublicKey, sha256};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{
    client::{Client, encoded, list, text},
    show::Show,
    site::{Facts, POLICY, Person, REDIRECT, WORKSHOP},
};
use crate::{Error, bootstrap::generated_password, model::source::IDENTITY_NOW};

/// The longest time that a change may take in the demo.
const PATIENCE: Duration = Duration::from_secs(30);
/// A password that the demo's policy rejects.
const TOO_WEAK: &str = "abby.smith";

/// Runs the steps of the guide.
pub(super) struct Guide<'a> {
    facts: &'a Facts,
    client: Client,
    pub(super) show: Show,
}

impl<'a> Guide<'a> {
    pub(super) fn new(facts: &'a Facts, quiet: bool) -> Self {
        let client = Client::new(&facts.bootstrap.base_url);
        Self { facts, client, show: Show::new(quiet) }
    }

    /// Runs all steps, until one fails or `stop` is true.
    pub(super) async fn run(&mut self, mut stop: watch::Receiver<bool>) -> Result<(), Error> {
        tokio::select! {
            went = self.steps() => went,
            _ = stop.wait_for(|stop| *stop) => Err(Error::Setup("the guide was stopped".into())),
        }
    }

    async fn steps(&mut self) -> Result<(), Error> {
        let abby = self.facts.people.first().ok_or(Error::NotFound("person"))?;
        let (old, new) = (abby.password(), generated_password()?);

        let began = self.show.step("Who is asking? An access token says so");
        let token = self.token().await?;
        self.show.held(began, "POST /oauth/token", "a token of the API client, good for 12 hours");

        let began = self.show.step("What can be changed, and with which key?");
        let info = self.info(&token, abby).await?;
        self.show.held(
            began,
            "POST /v2026/query-password-info",
            "Abby's account, the rules, and a public key",
        );
        self.show.detail(&format!("the rules: {}", rules(&info)));
        self.show.openssl(text(&info, "/publicKey")?);

        let began = self.show.step("The new password is encrypted before it leaves the client");
        let encrypted = encrypt(&info, &new)?;
        self.show.held(
            began,
            "RSA, PKCS #1 v1.5",
            "only rekey's worker can open it, and only to set it",
        );
        self.show.detail(&format!("{:.40}… {} characters of base64", encrypted, encrypted.len()));

        let began = self.show.step("Please change it");
        let id = self.set(&token, &info, &encrypted).await?;
        self.show.held(
            began,
            "POST /v2026/set-password",
            "202: it is on disk, and will be done or explained",
        );
        self.show.detail(&format!("requestId {id}"));

        let began = self.show.step("Is it done?");
        let status = self.ended(&token, &id).await?;
        let finished = text(&status, "/state")? == "FINISHED";
        must(finished && list(&status, "sourceIds").len() == 2, || {
            format!("it ended as {status}")
        })?;
        self.show.held(began, "GET /v2026/password-change-status", "FINISHED, set and verified");
        self.show.detail(&format!("on {IDENTITY_NOW} and on {WORKSHOP}"));

        let began = self.show.step("The proof: Abby signs in with the new password");
        let who = self.sign_in(abby, &new).await?.unwrap_or_default();
        must(who == abby.alias, || "the new password does not sign her in".into())?;
        abby.now_has(new);
        self.show.held(
            began,
            "GET /oauth/authorize, POST /sign-in, POST /oauth/token",
            "welcome, Abby",
        );
        let began = self.show.step("And the old one?");
        must(self.sign_in(abby, &old).await?.is_none(), || "the old password still works".into())?;
        self.show.held(began, "POST /sign-in", "refused, as it should be");

        let began = self.show.step("What if a password is not good enough?");
        let encrypted = encrypt(&info, TOO_WEAK)?;
        let id = self.set(&token, &info, &encrypted).await?;
        let status = self.ended(&token, &id).await?;
        let (failed, errors) = (text(&status, "/state")? == "FAILED", list(&status, "errors"));
        must(failed && !errors.is_empty(), || format!("it was {status}"))?;
        self.show.held(
            began,
            "set-password, status",
            &format!("FAILED, and the policy {POLICY} says why"),
        );
        for error in errors {
            self.show.detail(error.as_str().unwrap_or_default());
        }
        Ok(())
    }

    async fn token(&self) -> Result<String, Error> {
        let bootstrap = &self.facts.bootstrap;
        let answer = self
            .client
            .form(
                "/oauth/token",
                &[
                    ("grant_type", "client_credentials"),
                    ("client_id", &bootstrap.api_client_id),
                    ("client_secret", &bootstrap.api_client_secret),
                ],
            )
            .await?;
        Ok(text(&answer.due(StatusCode::OK)?.json()?, "/access_token")?.to_owned())
    }

    async fn info(&self, token: &str, who: &Person) -> Result<Value, Error> {
        let ask = json!({ "userName": who.alias, "sourceName": WORKSHOP });
        let answer = self.client.json("/v2026/query-password-info", token, &ask).await?;
        answer.due(StatusCode::OK)?.json()
    }

    async fn set(&self, token: &str, info: &Value, encrypted: &str) -> Result<String, Error> {
        let ask = json!({
            "identityId": info.get("identityId"),
            "encryptedPassword": encrypted,
            "publicKeyId": info.get("publicKeyId"),
            "accountId": text(info, "/accounts/0/accountId")?,
            "sourceId": info.get("sourceId"),
        });
        let answer = self.client.json("/v2026/set-password", token, &ask).await?;
        Ok(text(&answer.due(StatusCode::ACCEPTED)?.json()?, "/requestId")?.to_owned())
    }

    async fn ended(&self, token: &str, id: &str) -> Result<Value, Error> {
        let path = format!("/v2026/password-change-status/{id}");
        let began = Instant::now();
        loop {
            let status = self.client.get(&path, Some(token)).await?.due(StatusCode::OK)?.json()?;
            if text(&status, "/state")? != "IN_PROGRESS" {
                return Ok(status);
            }
            must(began.elapsed() < PATIENCE, || "it takes too long".into())?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Signs in as a native application does (RFC 7636). Returns the user name in the access token,
    /// or `None` if the password was refused.
    async fn sign_in(&self, who: &Person, password: &str) -> Result<Option<String>, Error> {
        let verifier = BASE64_URL_SAFE_NO_PAD.encode(rekey_vault::random::<32>()?);
        let challenge = BASE64_URL_SAFE_NO_PAD.encode(sha256(verifier.as_bytes()));
        let application = self.facts.application.as_str();
        let mut fields = vec![
            ("client_id", application),
            ("response_type", "code"),
            ("redirect_uri", REDIRECT),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        let page = self.client.get(&format!("/oauth/authorize?{}", encoded(&fields)), None).await?;
        page.due(StatusCode::OK)?;
        fields.extend([("userName", who.alias), ("password", password)]);
        let answer = self.client.form("/sign-in", &fields).await?;
        let Some(to) = answer.location else {
            answer.due(StatusCode::FORBIDDEN)?;
            return Ok(None);
        };
        let code = to.split(['?', '&']).find_map(|field| field.strip_prefix("code="));
        let code = code.ok_or_else(|| Error::Setup(format!("there is no code in {to}")))?;
        let fields = [
            ("grant_type", "authorization_code"),
            ("client_id", application),
            ("redirect_uri", REDIRECT),
            ("code_verifier", &verifier),
            ("code", code),
        ];
        let answer = self.client.form("/oauth/token", &fields).await?.due(StatusCode::OK)?;
        let token = answer.json()?;
        claim(text(&token, "/access_token")?, "user_name").map(Some)
    }
}

fn rules(info: &Value) -> String {
    let rules = list(info, "policies").iter();
    rules.filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

fn encrypt(info: &Value, password: &str) -> Result<String, Error> {
    let spki = BASE64_STANDARD
        .decode(text(info, "/publicKey")?)
        .map_err(|error| Error::Setup(format!("publicKey is not base64: {error}")))?;
    let key = PublicKey::from_spki(&spki)?;
    Ok(BASE64_STANDARD.encode(key.encrypt(Padding::Pkcs1v15, password.as_bytes())?))
}

/// A claim of an access token. The signature is not verified, since only rekey relies on it.
fn claim(token: &str, name: &str) -> Result<String, Error> {
    let broken = || Error::Setup("the access token cannot be read".into());
    let claims = token.split('.').nth(1).ok_or_else(broken)?;
    let claims = BASE64_URL_SAFE_NO_PAD.decode(claims).map_err(|_| broken())?;
    let claims: Value = serde_json::from_slice(&claims).map_err(|_| broken())?;
    Ok(text(&claims, &format!("/{name}"))?.to_owned())
}

fn must(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(Error::Setup(otherwise())) }
}
