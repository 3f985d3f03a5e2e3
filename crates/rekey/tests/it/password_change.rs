//! The steps of the pipeline: order, superseding, leases, lost answers, groups, deadlines.

use std::time::Duration;

use rekey::{
    error::BadRequest,
    jobs::change_password::LEASE,
    model::change::{State, TargetState},
    password::{accept, state::cancelled},
    store::{Claimed, Intent, Tx},
};
use rekey_vault::Policy;
use serde_json::json;

use crate::quiet::{Quiet, quiet_on_both_stores};

quiet_on_both_stores!(
    a_change_takes_effect_and_its_payload_is_shredded,
    a_newer_change_takes_the_place_of_a_waiting_one,
    a_change_under_way_ends_before_the_next_begins,
    a_lost_claim_can_end_nothing,
    a_write_that_may_have_happened_is_not_repeated,
    nothing_is_written_while_an_earlier_write_may_arrive,
    a_late_write_of_an_older_change_is_repaired,
    a_change_that_takes_three_workers_with_it_is_given_up,
    a_group_that_moves_keeps_the_lease_of_its_other_members,
    a_resend_is_the_same_request,
    a_ciphertext_serves_one_caller_only,
    a_key_serves_its_own_source_only,
    bad_padding_and_bad_text_read_the_same,
    every_broken_rule_is_named,
    a_group_changes_together,
    a_group_waits_for_its_last_member_and_writes_nothing_before,
    a_deadline_ends_what_waits,
    a_disabled_person_is_not_changed,
    a_deadline_does_not_wait_for_an_older_change,
    a_group_that_was_called_off_stays_called_off,
    a_source_that_moved_gets_nothing_that_was_accepted_before,
);

async fn a_change_takes_effect_and_its_payload_is_shredded(site: Quiet) {
    let abby = site.person("abby", &[&site.login]).await;
    let change = site.change(&abby, &site.login, "correct horse").await;
    assert_eq!(site.status(&change).await.state, State::InProgress);
    let payloads = "SELECT count(*) AS value FROM password_change WHERE payload IS NOT NULL";
    assert_eq!(site.count(payloads).await, 1);

    assert_eq!(site.work().await, 1);

    assert!(site.assert_ended(&change, State::Finished).await.is_empty());
    assert!(site.signs_in(&site.login, "abby", "correct horse").await);
    assert!(!site.signs_in(&site.login, "abby", "battery staple").await);
    assert_eq!(site.count(payloads).await, 0);
    let audit = "SELECT count(*) AS value FROM audit WHERE action IN ('PasswordsRequestStart', 'ACTION_PASSWORD_CHANGE_SUCCESS')";
    assert_eq!(site.count(audit).await, 2);
    assert_eq!(site.work().await, 0);
}

async fn a_newer_change_takes_the_place_of_a_waiting_one(site: Quiet) {
    let abby = site.person("abby", &[&site.login]).await;
    let older = site.change(&abby, &site.login, "the first one").await;
    let newer = site.change(&abby, &site.login, "the second one").await;
    let errors = site.assert_ended(&older, State::Failed).await;
    assert_eq!(errors, [format!("IdentityNow: superseded by request {}", newer.id)]);
    assert_eq!(site.work().await, 1);
    site.assert_ended(&newer, State::Finished).await;
    assert!(site.signs_in(&site.login, "abby", "the second one").await);
}

async fn a_change_under_way_ends_before_the_next_begins(site: Quiet) {
    let abby = site.person("abby", &[&site.login]).await;
    let older = site.change(&abby, &site.login, "the first one").await;
    let under_way = site.claim(&site.app.node).await.remove(0);
    let newer = site.change(&abby, &site.login, "the second one").await;
    assert_eq!(site.work().await, 0, "the newer one must wait");
    site.carry_out(under_way).await;
    site.assert_ended(&older, State::Finished).await;
    assert!(site.signs_in(&site.login, "abby", "the first one").await);
    assert_eq!(site.work().await, 1);
    site.assert_ended(&newer, State::Finished).await;
    assert!(site.signs_in(&site.login, "abby", "the second one").await);
}

async fn a_lost_claim_can_end_nothing(site: Quiet) {
    let abby = site.person("abby", &[&site.login]).await;
    let change = site.change(&abby, &site.login, "correct horse").await;
    let dead = site.claim("dead").await.remove(0);
    site.app.clock.turn(Duration::from_secs(24));
    assert!(site.claim("other").await.is_empty(), "the lease stands");
    site.app.clock.turn(Duration::from_secs(2));
    let alive = site.claim(&site.app.node).await.remove(0);
    assert_eq!((dead.attempt, alive.attempt), (1, 2));

    // The worker that lost its claim returns late, and must write nothing.
    site.carry_out(dead).await;
    assert_eq!(site.status(&change).await.state, State::InProgress);
    assert!(!site.signs_in(&site.login, "abby", "correct horse").await);

    site.carry_out(alive).await;
    site.assert_ended(&change, State::Finished).await;
}

async fn a_write_that_may_have_happened_is_not_repeated(site: Quiet) {
    let abby = site.person("abby", &[&site.login]).await;
    let before = site.change(&abby, &site.login, "the first one").await;
    site.work().await;
    site.assert_ended(&before, State::Finished).await;

    // A worker announced a write and died; the write itself had happened.
    let change = site.change(&abby, &site.login, "the second one").await;
    let dead = site.claim("dead").await.remove(0);
    let (salt, login) = ([7_u8; 16], site.login.clone());
    let verifier = rekey::connector::built_in::hash(
        &rekey_vault::Password::new("the second one".into()),
        salt,
    )
    .await
    .unwrap();
    site.write(move |tx| {
        tx.announce("dead", &dead, LEASE, &[intent(&dead, "1")])?;
        assert!(tx.set_builtin_password(&login, "abby", &verifier, 1)?);
        Ok(())
    })
    .await;
    site.app.clock.turn(Duration::from_secs(31));
    assert_eq!(site.work().await, 1);
    site.assert_ended(&change, State::Finished).await;
    let changes = "SELECT changes AS value FROM builtin_password";
    assert_eq!(site.count(changes).await, 2, "it was written once more");
}

/// Claims a change, announces a write, and stops there.
async fn announced(site: &Quiet, stamp: &'static str) -> Claimed {
    let dead = site.claim("dead").await.remove(0);
    let held = dead.clone();
    let announce =
        move |tx: &mut Tx<'_>| Ok(tx.announce("dead", &held, LEASE, &[intent(&held, stamp)])?);
    site.write(announce).await;
    dead
}

fn intent(change: &Claimed, stamp: &str) -> Intent {
    Intent {
        account_id: change.account_id.clone(),
        state: TargetState::Writing,
        salt: vec![7; 16],
        stamp: stamp.into(),
    }
}

async fn nothing_is_written_while_an_earlier_write_may_arrive(site: Quiet) {
    let abby = site.person("abby", &[&site.login]).await;
    let change = site.change(&abby, &site.login, "correct horse").await;
    let dead = announced(&site, "0").await;
    // The answer was lost and the stamp is unchanged, so the write may still be under way.
    site.write(move |tx| Ok(tx.release("dead", &dead, Duration::ZERO)?)).await;
    site.app.clock.turn(Duration::from_secs(24));
    assert_eq!(site.work().await, 1);
    assert_eq!(site.status(&change).await.state, State::InProgress);
    assert!(!site.signs_in(&site.login, "abby", "correct horse").await);
    site.app.clock.turn(Duration::from_secs(10));
    assert_eq!(site.work().await, 1);
    site.assert_ended(&change, State::Finished).await;
    assert!(site.signs_in(&site.login, "abby", "correct horse").await);
}

async fn a_late_write_of_an_older_change_is_repaired(site: Quiet) {
    // The last case is rechecked only long after its deadline.
    for (alias, late, deadline, writes) in
        [("abby", false, 900, 2), ("ben", true, 900, 4), ("carl", true, 30, 3)]
    {
        let who = site.person(alias, &[&site.login]).await;
        let older = site.change(&who, &site.login, "the first one").await;
        announced(&site, "0").await;
        site.app.clock.turn(Duration::from_secs(26));
        assert_eq!(site.work().await, 1);
        site.assert_ended(&older, State::Finished).await;

        let login = site.login.clone();
        site.write(move |tx| {
            let mut source = tx.source(&login)?.unwrap();
            source.deadline = Some(deadline * 1_000_000);
            Ok(tx.update_source(&source)?)
        })
        .await;

        // In force at once, but still open: the lost worker's write may still arrive.
        let newer = site.change(&who, &site.login, "the second one").await;
        assert_eq!(site.work().await, 1);
        assert!(site.signs_in(&site.login, alias, "the second one").await);
        assert_eq!(site.status(&newer).await.state, State::InProgress);
        let login = site.login.clone();
        if late {
            let first = rekey_vault::Password::new("the first one".into());
            let verifier = rekey::connector::built_in::hash(&first, [7; 16]).await.unwrap();
            site.write(move |tx| {
                assert!(tx.set_builtin_password(&login, alias, &verifier, 2)?);
                Ok(())
            })
            .await;
        }
        assert_eq!(site.work().await, 0);
        site.app.clock.turn(Duration::from_secs(50));
        assert_eq!(site.work().await, 1);
        if deadline < 50 {
            let errors = site.assert_ended(&newer, State::Failed).await;
            assert!(errors[0].contains("may have overwritten it"), "{errors:?}");
        } else {
            site.assert_ended(&newer, State::Finished).await;
            assert!(site.signs_in(&site.login, alias, "the second one").await);
        }
        let changes = site.login.clone();
        let changes =
            site.write(move |tx| Ok(tx.builtin_password(&changes, alias)?.unwrap().1)).await;
        assert_eq!(changes, writes);
    }
}

async fn a_change_that_takes_three_workers_with_it_is_given_up(site: Quiet) {
    let abby = site.person("abby", &[&site.login]).await;
    let change = site.change(&abby, &site.login, "correct horse").await;
    for _ in 0..3 {
        announced(&site, "0").await;
        site.app.clock.turn(Duration::from_secs(26));
    }
    assert_eq!(site.work().await, 1);
    let errors = site.assert_ended(&change, State::Failed).await;
    assert!(errors[0].contains("stopped three times"), "{errors:?}");
}

async fn a_group_that_moves_keeps_the_lease_of_its_other_members(site: Quiet) {
    let other = site.source("Workshop", "rekey", json!({})).await;
    site.group(Policy::default(), &[&site.login, &other]).await;
    let abby = site.person("abby", &[&site.login, &other]).await;
    let change = site.change(&abby, &site.login, "correct horse").await;
    announced(&site, "0").await;
    site.write(move |tx| Ok(tx.cancel_changes(&other, "moved", cancelled)?)).await;
    assert_eq!(site.work().await, 0, "its worker may be writing");
    site.app.clock.turn(Duration::from_secs(26));
    assert_eq!(site.work().await, 1);
    let errors = site.assert_ended(&change, State::Failed).await;
    assert_eq!(errors, ["Workshop: moved"]);
    assert!(site.signs_in(&site.login, "abby", "correct horse").await);
}

async fn a_resend_is_the_same_request(site: Quiet) {
    let abby = site.person("abby", &[&site.login]).await;
    let ask = site.ask(&abby, &site.login, b"correct horse").await;
    let first = accept::accept(&site.app, &site.client, ask.clone()).await.unwrap();
    for _ in 0..10 {
        let again = accept::accept(&site.app, &site.client, ask.clone()).await.unwrap();
        assert_eq!(again.id, first.id);
    }
    assert_eq!(site.work().await, 1);
    let ended = accept::accept(&site.app, &site.client, ask.clone()).await.unwrap();
    assert_eq!((ended.id, ended.state), (first.id, State::Finished));
    assert_eq!(site.count("SELECT count(*) AS value FROM password_change").await, 1);

    site.app.clock.turn(Duration::from_hours(25));
    let late = accept::accept(&site.app, &site.client, ask).await.unwrap_err();
    assert!(late.to_string().contains("already used"), "{late}");
}

async fn a_ciphertext_serves_one_caller_only(site: Quiet) {
    let abby = site.person("abby", &[&site.login]).await;
    let ben = site.person("ben", &[&site.login]).await;
    let ask = site.ask(&abby, &site.login, b"correct horse").await;
    accept::accept(&site.app, &site.client, ask.clone()).await.unwrap();

    let mut other = site.client.clone();
    other.client_id = rekey::model::id::ClientId::new();
    let refused = accept::accept(&site.app, &other, ask.clone()).await.unwrap_err();
    assert!(refused.to_string().contains("already used"), "{refused}");
    let mut stolen = ask;
    stolen.identity_id = ben;
    let refused = accept::accept(&site.app, &site.client, stolen).await.unwrap_err();
    assert!(refused.to_string().contains("already used"), "{refused}");
    let audit = "SELECT count(*) AS value FROM audit WHERE action = 'PASSWORD_REPLAY_REFUSED'";
    assert_eq!(site.count(audit).await, 2);
}

async fn a_key_serves_its_own_source_only(site: Quiet) {
    let other = site.source("Workshop", "rekey", json!({})).await;
    let abby = site.person("abby", &[&site.login, &other]).await;
    let mut ask = site.ask(&abby, &site.login, b"correct horse").await;
    ask.source_id = other;
    let refused = accept::accept(&site.app, &site.client, ask).await.unwrap_err();
    assert!(
        matches!(&refused, rekey::Error::BadRequest { code: BadRequest::IllegalValue, text } if text.contains("publicKeyId")),
        "{refused}"
    );
}

async fn bad_padding_and_bad_text_read_the_same(site: Quiet) {
    let abby = site.person("abby", &[&site.login]).await;
    let mut texts = Vec::new();
    let newline = site.ask(&abby, &site.login, b"correct horse\n").await;
    let not_utf8 = site.ask(&abby, &site.login, &[0xff, 0xfe, 0x41]).await;
    let mut bad_padding = site.ask(&abby, &site.login, b"correct horse").await;
    // A value below the modulus that is no ciphertext of a client.
    bad_padding.encrypted_password = {
        use base64::{Engine, prelude::BASE64_STANDARD};
        let mut bytes = [0x5a_u8; 256];
        bytes[0] = 1;
        BASE64_STANDARD.encode(bytes)
    };
    for ask in [newline, not_utf8, bad_padding] {
        let change = accept::accept(&site.app, &site.client, ask).await.unwrap();
        assert_eq!(site.work().await, 1);
        texts.push(site.assert_ended(&change, State::Failed).await);
    }
    assert_eq!(texts[0], texts[1]);
    assert_eq!(texts[1], texts[2]);
    assert!(
        texts[0][0].starts_with("IdentityNow: The password change payload is invalid."),
        "{:?}",
        texts[0]
    );
}

async fn every_broken_rule_is_named(site: Quiet) {
    let policy = Policy { min_length: 12, min_numeric: 1, ..Policy::default() };
    let other = site.source("Workshop", "rekey", json!({})).await;
    site.group(policy, &[&site.login, &other]).await;
    let abby = site.person("abby", &[&site.login]).await;
    let change = site.change(&abby, &site.login, "short").await;
    site.work().await;
    let errors = site.assert_ended(&change, State::Failed).await;
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors.iter().all(|line| line.starts_with("IdentityNow: ")), "{errors:?}");
}

async fn a_group_changes_together(site: Quiet) {
    let other = site.source("Workshop", "rekey", json!({})).await;
    site.group(Policy::default(), &[&site.login, &other]).await;
    let abby = site.person("abby", &[&site.login, &other]).await;
    let change = site.change(&abby, &site.login, "correct horse").await;
    assert_eq!(site.status(&change).await.source_ids.len(), 2);
    assert_eq!(site.work().await, 1);
    site.assert_ended(&change, State::Finished).await;
    assert!(site.signs_in(&site.login, "abby", "correct horse").await);
    assert!(site.signs_in(&other, "abby", "correct horse").await);
}

async fn a_group_waits_for_its_last_member_and_writes_nothing_before(site: Quiet) {
    let nowhere = json!({
        "host": "127.0.0.1", "port": 1, "tls": "none", "allowInsecure": true,
        "bindDn": "cn=nobody", "bindPassword": "none", "baseDn": "dc=none",
    });
    let down = site.source("Directory", "ldap", nowhere).await;
    site.group(Policy::default(), &[&site.login, &down]).await;
    let abby = site.person("abby", &[&site.login]).await;
    site.account(&abby, &down, "uid=abby,dc=none").await;
    let change = site.change(&abby, &site.login, "correct horse").await;
    assert_eq!(site.work().await, 1);
    let status = site.status(&change).await;
    assert_eq!(status.state, State::InProgress, "{:?}", status.errors);
    assert!(!site.signs_in(&site.login, "abby", "correct horse").await);

    site.app.clock.turn(Duration::from_mins(16));
    assert_eq!(site.work().await, 1);
    let errors = site.assert_ended(&change, State::Failed).await;
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(
        errors.iter().any(|line| line.starts_with("Directory: the deadline has passed")),
        "{errors:?}"
    );
    assert!(errors.iter().any(|line| line.starts_with("IdentityNow: ")), "{errors:?}");
}

async fn a_deadline_ends_what_waits(site: Quiet) {
    let abby = site.person("abby", &[&site.login]).await;
    let change = site.change(&abby, &site.login, "correct horse").await;
    site.app.clock.turn(Duration::from_secs(15 * 60 + 1));
    assert_eq!(site.work().await, 1);
    let errors = site.assert_ended(&change, State::Failed).await;
    assert!(errors[0].starts_with("IdentityNow: the deadline has passed"), "{errors:?}");
    assert!(!site.signs_in(&site.login, "abby", "correct horse").await);
}

async fn a_deadline_does_not_wait_for_an_older_change(site: Quiet) {
    let abby = site.person("abby", &[&site.login]).await;
    let older = site.change(&abby, &site.login, "the first one").await;
    // A worker renews its claim of the older change beyond the newer one's deadline.
    let held = site.claim("held").await.remove(0);
    let newer = site.change(&abby, &site.login, "the second one").await;
    site.app.clock.turn(Duration::from_mins(15) + Duration::from_secs(1));
    site.write(move |tx| Ok(tx.renew("held", &held, Duration::from_hours(24))?)).await;
    assert_eq!(site.work().await, 1);
    assert_eq!(site.status(&older).await.state, State::InProgress);
    let errors = site.assert_ended(&newer, State::Failed).await;
    assert!(errors[0].contains("the deadline has passed"), "{errors:?}");
    assert!(!site.signs_in(&site.login, "abby", "the second one").await);
}

async fn a_disabled_person_is_not_changed(site: Quiet) {
    let abby = site.person("abby", &[&site.login]).await;
    let change = site.change(&abby, &site.login, "correct horse").await;
    site.write(move |tx| {
        let mut abby = tx.identity(&abby)?.unwrap();
        abby.enabled = false;
        Ok(tx.update_identity(&abby)?)
    })
    .await;
    assert_eq!(site.work().await, 1);
    let errors = site.assert_ended(&change, State::Failed).await;
    assert!(errors[0].contains("disabled"), "{errors:?}");
}

async fn a_group_that_was_called_off_stays_called_off(site: Quiet) {
    // One member is unreachable, one no longer takes changes, and one is ready.
    let nowhere = json!({
        "host": "127.0.0.1", "port": 1, "tls": "none", "allowInsecure": true,
        "bindDn": "cn=nobody", "bindPassword": "none", "baseDn": "dc=none",
    });
    let down = site.source("Directory", "ldap", nowhere).await;
    let gone = site.source("Workshop", "rekey", json!({})).await;
    site.group(Policy::default(), &[&site.login, &down, &gone]).await;
    let abby = site.person("abby", &[&site.login, &gone]).await;
    site.account(&abby, &down, "uid=abby,dc=none").await;
    let change = site.change(&abby, &site.login, "correct horse").await;
    let source = gone.clone();
    site.write(move |tx| {
        let mut source = tx.source(&source)?.unwrap();
        source.features.0.clear();
        Ok(tx.update_source(&source)?)
    })
    .await;
    assert_eq!(site.work().await, 1);
    let errors = site.assert_ended(&change, State::Failed).await;
    assert_eq!(errors.len(), 3, "{errors:?}");
    assert!(!site.signs_in(&site.login, "abby", "correct horse").await);
}

async fn a_source_that_moved_gets_nothing_that_was_accepted_before(site: Quiet) {
    let abby = site.person("abby", &[&site.login]).await;
    let change = site.change(&abby, &site.login, "correct horse").await;
    let under_way = site.claim(&site.app.node).await.remove(0);
    let login = site.login.clone();
    let pair = rekey::keys::generate(
        &site.app.sealer,
        &login,
        rekey_vault::Padding::Pkcs1v15,
        site.app.clock.now(),
    )
    .unwrap();
    site.write(move |tx| {
        tx.cancel_changes(&login, "the source reaches another system now: ask again", cancelled)?;
        rekey::keys::rotate(tx, &login, std::slice::from_ref(&pair), Duration::ZERO)
    })
    .await;
    site.carry_out(under_way).await;
    let errors = site.assert_ended(&change, State::Failed).await;
    assert_eq!(errors, ["IdentityNow: the source reaches another system now: ask again"]);
    assert!(!site.signs_in(&site.login, "abby", "correct horse").await);
}
