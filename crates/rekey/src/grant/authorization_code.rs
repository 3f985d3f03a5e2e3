//! Exchanges an authorization code for a token, once (RFC 6749, section 4.1.3; RFC 7636, section
//! 4.6).

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use rekey_vault::sha256;
use serde_json::json;
use subtle::ConstantTimeEq;

use super::{Credentials, Issued, Refusal, authenticate, issue};
use crate::{
    App,
    model::{
        client::{Client, GrantType},
        identity::Identity,
        time::Micros,
    },
    store::{Audit, AuthorizationCode, Tx},
    token::{Code, Grant},
};

/// The parameters of an exchange.
pub struct Exchange {
    /// The authorization code.
    pub code: String,
    /// The redirect URI that the code was sent to.
    pub redirect_uri: String,
    /// The PKCE verifier, whose hash is the challenge.
    pub verifier: Option<String>,
}

/// Issues a token for the person who signed in. A second use of a code means that it was stolen, so
/// all tokens issued for it are revoked at once.
pub async fn authorization_code(
    app: &App,
    credentials: &Credentials,
    exchange: Exchange,
) -> Result<Issued, Refusal> {
    let (client, _) = authenticate(app, credentials).await?;
    if !client.may(GrantType::AuthorizationCode) {
        return Err(Refusal::UnauthorizedClient("the client may not use authorization_code"));
    }
    let digest = sha256(exchange.code.as_bytes());
    let (caller, now) = (client.clone(), app.clock.now());
    // A refusal is a value here and not an error, which would roll back the revocation.
    let used = app
        .store
        .write(move |tx: &mut Tx<'_>| -> Result<_, Refusal> {
            let Some(code) = tx.authorization_code(&digest)? else {
                return Ok(Err("the code is not known"));
            };
            if let Err(why) = check(&code, &caller, &exchange, now) {
                return Ok(Err(why));
            }
            if !tx.use_authorization_code(&digest)? {
                tx.revoke_authorization_code(&digest)?;
                let reused = Audit {
                    actor: caller.id.as_str(),
                    action: "AUTHORIZATION_CODE_REUSED",
                    object: code.identity_id.as_str(),
                    detail: json!({}),
                };
                tx.audit_failure(reused, "the code was used before: its tokens are revoked")?;
                return Ok(Err("the code was used before: the tokens issued from it are revoked"));
            }
            let identity: Option<Identity> = tx.identity(&code.identity_id)?;
            let Some(identity) = identity.filter(|identity| identity.enabled) else {
                return Ok(Err("the person who signed in is disabled"));
            };
            if tx.sign_in_generation(&identity.id)? != code.sign_in_generation {
                return Ok(Err("the password was changed after the sign-in: sign in again"));
            }
            Ok(Ok((code, identity)))
        })
        .await?;
    let (code, identity) = used.map_err(Refusal::InvalidGrant)?;
    let AuthorizationCode { signed_in, sign_in_generation, .. } = code;
    let (scope, code) = (code.scope.0, Some(Code { digest, signed_in, sign_in_generation }));
    issue(app, Grant { client: &client, identity: Some(&identity), scope, code }).await
}

/// Whether the code belongs to this client and is valid, apart from having been used before.
fn check(
    code: &AuthorizationCode,
    client: &Client,
    exchange: &Exchange,
    now: Micros,
) -> Result<(), &'static str> {
    if code.client_id != client.id {
        return Err("the code was given to another client");
    }
    if code.redirect_uri != exchange.redirect_uri {
        return Err("redirect_uri is not the one the code was sent to");
    }
    let verified = match (&code.challenge, &exchange.verifier) {
        (Some(challenge), Some(verifier)) => {
            let made = BASE64_URL_SAFE_NO_PAD.encode(sha256(verifier.as_bytes()));
            bool::from(made.as_bytes().ct_eq(challenge.as_bytes()))
        }
        (None, None) => true,
        // A verifier without a challenge is a sign of a PKCE downgrade (RFC 9700, 2.1.1).
        (Some(_), None) | (None, Some(_)) => false,
    };
    if !verified {
        return Err("code_verifier does not match the code_challenge");
    }
    if !code.used && code.expires <= now {
        return Err("the code has expired");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        column::Json,
        id::{ClientId, IdentityId},
    };

    /// The example of RFC 7636, appendix B.
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    #[test]
    fn a_verifier_must_match_its_challenge() {
        for (challenge, verifier, good) in [
            (Some(CHALLENGE), Some(VERIFIER), true),
            (Some(CHALLENGE), Some(CHALLENGE), false),
            (Some(CHALLENGE), Some(""), false),
            (Some(CHALLENGE), None, false),
            (None, Some(VERIFIER), false),
            (None, None, true),
        ] {
            let code = AuthorizationCode {
                digest: vec![],
                client_id: ClientId("c".into()),
                identity_id: IdentityId("i".into()),
                redirect_uri: "https://a.example/cb".into(),
                challenge: challenge.map(str::to_owned),
                signed_in: Micros(0),
                sign_in_generation: 0,
                scope: Json(vec![]),
                expires: Micros(10),
                used: false,
                revoked: false,
            };
            let exchange = Exchange {
                code: String::new(),
                redirect_uri: code.redirect_uri.clone(),
                verifier: verifier.map(str::to_owned),
            };
            let client = Client {
                id: code.client_id.clone(),
                kind: crate::model::client::ClientKind::ApiClient,
                name: String::new(),
                secret_digest: None,
                identity_id: None,
                scope: Json(vec![]),
                grant_types: Json(vec![]),
                redirect_uris: Json(vec![]),
                validity: 750,
                enabled: true,
                expires: None,
                last_used: None,
                generation: 1,
                created: Micros(0),
                modified: Micros(0),
            };
            assert_eq!(check(&code, &client, &exchange, Micros(9)).is_ok(), good, "{verifier:?}");
            assert!(check(&code, &client, &exchange, Micros(10)).is_err(), "expired");
        }
    }
}
