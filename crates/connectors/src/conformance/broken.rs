//! Cases with servers that are down, wrong, slow, or disconnected at the worst moment.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::{net::TcpListener, time::sleep};

use super::{
    INITIAL, Suite, failed, named, open,
    proxy::{Direction, Proxy},
    succeeded,
};
use crate::{Connector, FaultKind, Outcome, Stamp, Verdict};

pub(super) async fn says_denied_when_its_own_password_is_wrong(suite: &Suite<'_>) {
    let account = suite.account().await;
    let declared = suite.bench.kind().declared();
    let Some(secret) = declared.iter().find(|attribute| attribute.secret) else {
        panic!("the kind declares no secret");
    };
    let secret = secret.name;
    let attributes = suite.attributes_with([(secret, Value::from("not-the-password"))]);
    let connector = open(suite.bench.kind(), attributes);
    let fault = failed("test", connector.test().await);
    assert_eq!(fault.kind, FaultKind::Denied, "{fault:?}");
    let outcome = suite.apply(&*connector, &account, &suite.password(), &Stamp::default()).await;
    let Outcome::NotApplied(fault) = outcome else { panic!("{outcome:?}") };
    assert_eq!(fault.kind, FaultKind::Denied, "a person's password is blamed: {fault:?}");
    // A successful sign-in resets a server's count of failures.
    succeeded("test", open(suite.bench.kind(), suite.bench.attributes()).test().await);
}

pub(super) async fn trusts_no_unknown_authority(suite: &Suite<'_>) {
    let wrong = Value::from(suite.bench.wrong_authority());
    let attributes = suite.attributes_with([("caCertificate", wrong)]);
    is_refused(suite, &*open(suite.bench.kind(), attributes)).await;
}

/// The certificate is for `127.0.0.1`; the proxy is at `127.0.0.2`.
pub(super) async fn trusts_no_other_name(suite: &Suite<'_>) {
    let attributes = suite.bench.attributes();
    let port = attributes.get("port").and_then(Value::as_u64).unwrap_or_default();
    let proxy = Proxy::start("127.0.0.2", format!("127.0.0.1:{port}")).await;
    let attributes = suite
        .attributes_with([("host", Value::from("127.0.0.2")), ("port", Value::from(proxy.port()))]);
    is_refused(suite, &*open(suite.bench.kind(), attributes)).await;
}

async fn is_refused(suite: &Suite<'_>, connector: &dyn Connector) {
    let account = suite.account().await;
    let fault = failed("test", connector.test().await);
    assert_eq!(fault.kind, FaultKind::Misconfigured, "{fault:?}");
    assert!(fault.message.contains("certificate"), "{}", fault.message);
    let outcome = suite.apply(connector, &account, &suite.password(), &Stamp::default()).await;
    assert!(matches!(outcome, Outcome::NotApplied(_)), "{outcome:?}");
    assert!(suite.bench.logs_in(&account, INITIAL).await, "the password was changed");
}

pub(super) async fn says_unreachable_when_the_server_is_down(suite: &Suite<'_>) {
    let Ok(listener) = TcpListener::bind("127.0.0.1:0").await else { panic!("no free port") };
    let port = listener.local_addr().map_or(1, |address| address.port());
    drop(listener);
    let attributes = suite.attributes_with([("port", Value::from(port))]);
    is_unreachable(suite, &*open(suite.bench.kind(), attributes)).await;
}

pub(super) async fn does_not_wait_for_a_silent_server(suite: &Suite<'_>) {
    let Ok(listener) = TcpListener::bind("127.0.0.1:0").await else { panic!("no free port") };
    let port = listener.local_addr().map_or(1, |address| address.port());
    let attributes = suite.attributes_with([("port", Value::from(port))]);
    let begin = Instant::now();
    is_unreachable(suite, &*open(suite.bench.kind(), attributes)).await;
    assert!(begin.elapsed() < Duration::from_secs(30), "waited {:?}", begin.elapsed());
}

async fn is_unreachable(suite: &Suite<'_>, connector: &dyn Connector) {
    let account = suite.account().await;
    let password = suite.password();
    let unknown = Stamp::default();
    let known = named(&account);
    let (observed, outcome) = tokio::join!(
        connector.observe(&known),
        suite.apply(connector, &account, &password, &unknown)
    );
    let fault = failed("observe", observed);
    assert_eq!(fault.kind, FaultKind::Unreachable, "{fault:?}");
    let Outcome::NotApplied(fault) = outcome else { panic!("{outcome:?}") };
    assert_eq!(fault.kind, FaultKind::Unreachable, "{fault:?}");
}

/// Connections that broke in the pool are replaced, and no caller receives a fault.
pub(super) async fn survives_a_restart_of_the_server(suite: &Suite<'_>) {
    let account = suite.account().await;
    let (proxy, connector) = suite.behind_proxy().await;
    for pause in [0, 50] {
        let observed = succeeded("observe", connector.observe(&named(&account)).await).stamp;
        proxy.cut();
        sleep(Duration::from_millis(pause)).await;
        let password = suite.password();
        let outcome = suite.apply(&*connector, &account, &password, &observed).await;
        assert!(matches!(outcome, Outcome::Applied), "{outcome:?}");
        proxy.cut();
        sleep(Duration::from_millis(pause)).await;
        succeeded("observe", connector.observe(&named(&account)).await);
        assert!(suite.bench.logs_in(&account, &password).await);
    }
}

pub(super) async fn is_never_wrong_when_requests_are_cut(suite: &Suite<'_>) {
    cut_everywhere(suite, Direction::Request).await;
}

pub(super) async fn is_never_wrong_when_answers_are_cut(suite: &Suite<'_>) {
    cut_everywhere(suite, Direction::Answer).await;
}

/// The number of positions in a change at which the connection is cut.
const PLACES: i64 = 20;

/// Cuts the connection once at each of many positions in a change, and compares each outcome with
/// the state of the server.
async fn cut_everywhere(suite: &Suite<'_>, direction: Direction) {
    let account = suite.account().await;
    let (proxy, connector) = suite.behind_proxy().await;
    let mut current = INITIAL.to_owned();

    // A change on a warm connection shows the number of bytes in which to cut. The first change of
    // an account may be shorter than all later ones, so the second one counts.
    let mut length = 0;
    for _ in 0..2 {
        let observed = succeeded("observe", connector.observe(&named(&account)).await).stamp;
        let before = proxy.passed(direction);
        let password = suite.password();
        let outcome = suite.apply(&*connector, &account, &password, &observed).await;
        assert!(matches!(outcome, Outcome::Applied), "{outcome:?}");
        current = password;
        length = i64::try_from(proxy.passed(direction) - before).unwrap_or(i64::MAX);
    }

    let mut unknown = 0;
    let step = usize::try_from(length / PLACES).unwrap_or(0).max(1);
    let end = (length - 80).max(0);
    // The end contains the write or its answer, so it is cut in smaller steps.
    for bytes in (0..end).step_by(step).chain((end..length + 2).step_by(6)) {
        // The observation leaves a fresh connection in the pool, so that the cut hits the change
        // itself.
        let observed = succeeded("observe", connector.observe(&named(&account)).await).stamp;
        proxy.cut_after(direction, bytes.try_into().unwrap_or(0));
        let password = suite.password();
        let outcome = suite.apply(&*connector, &account, &password, &observed).await;
        proxy.cut();
        proxy.heal();
        sleep(Duration::from_millis(20)).await;
        let is_in_force = suite.bench.logs_in(&account, &password).await;
        match outcome {
            Outcome::Applied => {
                assert!(is_in_force, "{bytes} bytes: said applied, and was not");
            }
            Outcome::NotApplied(fault) => {
                assert!(!is_in_force, "{bytes} bytes: said not applied, and was: {fault:?}");
            }
            Outcome::Rejected(rejection) => {
                panic!("{bytes} bytes: blames the password: {rejection:?}");
            }
            Outcome::Unknown(_) => {
                unknown += 1;
                let stamp = succeeded("observe", connector.observe(&named(&account)).await).stamp;
                if stamp.is_known() {
                    assert_eq!(stamp != observed, is_in_force, "{bytes} bytes: wrong stamp");
                }
                let verdict = suite.verify(&*connector, &account, &password).await;
                let right = if is_in_force { Verdict::Yes } else { Verdict::No };
                assert_eq!(verdict, right, "{bytes} bytes: wrong verdict");
            }
        }
        if is_in_force {
            current = password;
        } else {
            let is_still = suite.bench.logs_in(&account, &current).await;
            assert!(is_still, "{bytes} bytes: neither password logs in");
        }
    }
    assert!(unknown > 0, "no cut met the write: this test tested nothing");
}
