//! Lists every account of a directory, page by page (RFC 2696), in bounded memory.

use tokio::sync::mpsc;

use super::{
    Directory, answer,
    connection::{Broken, Found},
    door::Lease,
    entry::{Entry, IDS},
    message::{Answer, Control, Request, Scope},
};
use crate::{
    Fault, FaultKind, Listed,
    net::{OPERATION, misconfigured},
};

/// The number of accounts in a page. The caller receives them one by one: no page is buffered.
const PAGE: u32 = 500;

/// The longest cookie of a page, in bytes. OpenLDAP's has 8, Active Directory's fewer than 1,000.
const COOKIE: usize = 4096;

/// The greatest number of consecutive pages without an entry. Directories that filter a page after
/// they cut it send some; the limit ends a list of endless empty pages.
const EMPTY_PAGES: u32 = 100;

/// The `pwdAccountLockedTime` set by an administrator: the account stays locked until unlocked.
pub(super) const LOCKED_FOR_GOOD: &str = "000001010000Z";

impl Directory {
    /// Sends every account to the channel. Returns early if the receiver is gone.
    pub(super) async fn list(
        &self,
        mut lease: Lease,
        to: mpsc::Sender<Listed>,
    ) -> Result<(), Fault> {
        let wanted = self.wanted();
        let mut asked = wanted.clone();
        asked.extend(IDS);
        asked.push("pwdAccountLockedTime");

        let mut cookie = Vec::new();
        let mut empty = 0;
        loop {
            let Some((found, answer)) =
                self.page(&mut lease, &cookie, &asked, &wanted, &to).await?
            else {
                return Ok(());
            };
            if answer.code != 0 {
                lease.give_back(&self.pool);
                return Err(answer::fault(&answer));
            }
            empty = if found == 0 { empty + 1 } else { 0 };
            cookie = answer.page_cookie()?.to_vec();
            if cookie.is_empty() {
                lease.give_back(&self.pool);
                return Ok(());
            }
            if cookie.len() > COOKIE || empty > EMPTY_PAGES {
                return Err(Fault::new(
                    FaultKind::Misconfigured,
                    "the directory does not end its list: its pages stay empty, or their cookies \
                     are larger than 4 KiB (RFC 2696)",
                ));
            }
        }
    }

    /// Sends the accounts of one page. Returns the number of its entries and the directory's
    /// answer; `None` if the receiver is gone.
    async fn page(
        &self,
        lease: &mut Lease,
        cookie: &[u8],
        asked: &[&str],
        wanted: &[&str],
        to: &mpsc::Sender<Listed>,
    ) -> Result<Option<(u32, Answer)>, Fault> {
        let connection = &mut lease.connection.ldap;
        let search = Request::search(&self.config.base_dn, Scope::Subtree, &self.filter, asked);
        let page = [Control::page(PAGE, cookie)];
        let broken = |broken: Broken| broken.fault;
        connection.search(OPERATION, search, &page).await.map_err(broken)?;
        let (mut entries, mut others) = (0, 0);
        while entries <= PAGE && others <= PAGE {
            match connection.found(OPERATION, asked).await.map_err(broken)? {
                Found::Done(answer) => return Ok(Some((entries, answer))),
                Found::Entry(_) if entries == PAGE => break,
                Found::Entry(entry) => {
                    entries += 1;
                    if to.send(self.listed(&entry, wanted)).await.is_err() {
                        return Ok(None);
                    }
                }
                Found::Other => others += 1,
            }
        }
        Err(misconfigured(format!(
            "the directory sends more than the {PAGE} entries of a page: it must support paged \
             results (RFC 2696)"
        )))
    }

    /// The attributes with which an account is listed.
    pub(super) fn wanted(&self) -> Vec<&str> {
        let mut wanted: Vec<&str> = self.config.attributes.iter().map(String::as_str).collect();
        if !wanted.iter().any(|name| name.eq_ignore_ascii_case(&self.config.name_attribute)) {
            wanted.push(&self.config.name_attribute);
        }
        wanted
    }

    /// The display name of an account: its name attribute, else its DN.
    fn name<'a>(&self, entry: &'a Entry) -> &'a str {
        entry.first(&self.config.name_attribute).unwrap_or(&entry.dn)
    }

    pub(super) fn listed(&self, entry: &Entry, wanted: &[&str]) -> Listed {
        let locked = entry.first("pwdAccountLockedTime");
        Listed {
            native_identity: entry.dn.clone(),
            stable_id: entry.stable_id().map(str::to_owned),
            name: self.name(entry).to_owned(),
            attributes: entry.listed(wanted),
            disabled: locked == Some(LOCKED_FOR_GOOD),
            locked: locked.is_some(),
        }
    }
}
