//! A real directory in which names and attributes pass to other people between an aggregation and a
//! change: nobody else may receive the person's password.

use rekey_harness::{Result, password::chance};
use serde_json::json;

use super::victim::{PERSON, Victim};
use crate::targets::{Directory, Targets};

/// The account's name after the renaming.
const RENAMED: &str = "somebody-renamed";
/// The account that is correlated by an attribute instead of its name.
const BADGE: &str = "somebody-by-badge";

/// The account is renamed, and another account gets its old name.
pub(super) async fn reused() -> Result<()> {
    let directory = Targets::find()?.directory;
    let (own, others) = (chance()?, chance()?);
    directory.remove(&[PERSON, RENAMED]).await;
    directory.add(&[PERSON.to_owned()], &own).await?;
    let port = directory.tls_port();
    let attributes = directory.attributes(port, &format!("(uid={PERSON}*)"));
    let mut victim = aggregated(attributes).await?;
    let dn = directory.dn(PERSON);
    let rename = format!("changetype: modrdn\nnewrdn: uid={RENAMED}\ndeleteoldrdn: 1");
    directory.modify(&format!("dn: {dn}\n{rename}\n")).await?;
    directory.add(&[PERSON.to_owned()], &others).await?;
    let ended = refused(&mut victim, "belongs to another account now").await;
    opens(&directory, PERSON, &others).await?;
    opens(&directory, RENAMED, &own).await?;
    directory.remove(&[PERSON, RENAMED]).await;
    ended
}

/// The correlation attribute of the account is changed to another person's.
pub(super) async fn claimed() -> Result<()> {
    let directory = Targets::find()?.directory;
    let password = chance()?;
    directory.remove(&[BADGE]).await;
    directory.add(&[BADGE.to_owned()], &password).await?;
    let badge = |value: &str| {
        let change =
            format!("changetype: modify\nreplace: employeeNumber\nemployeeNumber: {value}");
        format!("dn: {}\n{change}\n", directory.dn(BADGE))
    };
    directory.modify(&badge(PERSON)).await?;
    let mut attributes = directory.attributes(directory.tls_port(), &format!("(uid={BADGE})"));
    if let Some(attributes) = attributes.as_object_mut() {
        attributes.insert("attributes".into(), json!(["uid", "employeeNumber"]));
        let correlation =
            json!({"accountAttribute": "employeeNumber", "identityAttribute": "alias"});
        attributes.insert("correlation".into(), correlation);
    }
    let mut victim = aggregated(attributes).await?;
    directory.modify(&badge("somebody-else")).await?;
    let ended = refused(&mut victim, "no longer names its person").await;
    opens(&directory, BADGE, &password).await?;
    directory.remove(&[BADGE]).await;
    ended
}

async fn aggregated(attributes: serde_json::Value) -> Result<Victim> {
    let victim = Victim::start(&[], "ldap", attributes).await?;
    let said = victim.aggregate().await?;
    if said.is_empty() {
        Ok(victim)
    } else {
        Err(format!("the accounts were not read: {said}").into())
    }
}

/// Checks that a change fails, with an error that contains `words`.
async fn refused(victim: &mut Victim, words: &str) -> Result<()> {
    let ended = victim.change().await?;
    victim.is_well().await?;
    if ended.contains("FAILED") && ended.contains(words) {
        return Ok(());
    }
    Err(format!("the change ended with {ended}").into())
}

/// Checks that an account still has the password that its own person was given.
async fn opens(directory: &Directory, name: &str, password: &str) -> Result<()> {
    if directory.signs_in(name, password).await? {
        return Ok(());
    }
    Err(format!("{name} was given the password of somebody else").into())
}
