//! The directory: its own tools for its administrator, and a bind written by hand.

use std::{collections::HashMap, fmt::Write as _, fs, process::Command};

use rekey_harness::{Result, text};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::run;

/// OpenLDAP.
pub(crate) struct Directory {
    described: Value,
}

/// What only the directory knows of an account.
#[derive(Default)]
pub(crate) struct Kept {
    /// The passwords it had before, as their hashes with their times.
    pub(crate) history: Vec<String>,
    /// Failed logins that count towards a lock.
    pub(crate) failures: usize,
}

/// What became of the writes to an account.
#[derive(Default, Clone, Copy)]
pub(crate) struct Writes {
    pub(crate) done: u64,
    /// Refused with error 19: a rule of the password policy, the history among them.
    pub(crate) refused: u64,
}

impl Directory {
    pub(super) fn of(described: Value) -> Self {
        Self { described }
    }

    /// Where it listens with TLS.
    pub(crate) fn address(&self) -> String {
        format!("{}:{}", text(&self.described, "host"), self.port("port"))
    }

    /// What a source needs to reach it at `port`, and to see only the accounts that `filter` finds.
    pub(crate) fn attributes(&self, port: u64, filter: &str) -> Value {
        self.attributes_as("bindDn", "bindPassword", port, filter)
    }

    /// The same, for rekey as the directory's manager, whom the password policy does not bind.
    pub(crate) fn attributes_of_manager(&self, port: u64, filter: &str) -> Value {
        self.attributes_as("adminDn", "adminPassword", port, filter)
    }

    fn attributes_as(&self, dn: &str, password: &str, port: u64, filter: &str) -> Value {
        let own = |name: &str| text(&self.described, name);
        json!({
            "host": "127.0.0.1", "port": port, "tls": "ldaps",
            "caCertificate": own("caCertificate"), "bindDn": own(dn), "bindPassword": own(password),
            "baseDn": own("baseDn"), "accountFilter": filter, "nameAttribute": "uid",
            "correlation": {"accountAttribute": "uid", "identityAttribute": "alias"},
        })
    }

    /// Where it listens with TLS.
    pub(crate) fn tls_port(&self) -> u64 {
        self.port("port")
    }

    /// Where it listens without TLS.
    pub(crate) fn plain_address(&self) -> String {
        format!("{}:{}", text(&self.described, "host"), self.port("startTlsPort"))
    }

    /// What a source needs to reach it without TLS at `port`.
    pub(crate) fn plain_attributes(&self, port: u64, filter: &str) -> Value {
        let mut attributes = self.attributes(port, filter);
        if let Some(attributes) = attributes.as_object_mut() {
            attributes.remove("caCertificate");
            attributes.insert("tls".into(), "none".into());
            attributes.insert("allowInsecure".into(), true.into());
        }
        attributes
    }

    /// Its log.
    pub(crate) fn log(&self) -> String {
        text(&self.described, "log")
    }

    /// Makes an account for each name.
    pub(crate) async fn add(&self, names: &[String], password: &str) -> Result<()> {
        let mut ldif = String::new();
        for name in names {
            let dn = self.dn(name);
            write!(
                ldif,
                "dn: {dn}\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: {name}\nuserPassword: {password}\n\n"
            )?;
        }
        self.tool("ldapadd", &[], ldif).await.map(drop)
    }

    /// Changes entries as this LDIF says.
    pub(crate) async fn modify(&self, ldif: &str) -> Result<()> {
        self.tool("ldapmodify", &[], ldif.to_owned()).await.map(drop)
    }

    /// Removes accounts, where they are.
    pub(crate) async fn remove(&self, names: &[&str]) {
        for name in names {
            // One that is not there is what was wanted.
            let _ = self.tool("ldapdelete", &[&self.dn(name)], String::new()).await;
        }
    }

    /// What it keeps of every account that `filter` finds, by name.
    pub(crate) async fn kept(&self, filter: &str) -> Result<HashMap<String, Kept>> {
        let base = text(&self.described, "baseDn");
        let words = [
            "-LLL",
            "-o",
            "ldif-wrap=no",
            "-b",
            &base,
            filter,
            "uid",
            "pwdHistory",
            "pwdFailureTime",
        ];
        let found = self.tool("ldapsearch", &words, String::new()).await?;
        let mut kept = HashMap::new();
        for entry in found.split("\n\n") {
            let values = |name: &str| -> Vec<String> {
                let of = |line: &str| line.strip_prefix(name)?.strip_prefix(':').map(str::to_owned);
                entry.lines().filter_map(of).collect()
            };
            if let [name] = values("uid").as_slice() {
                let (history, failures) = (values("pwdHistory"), values("pwdFailureTime").len());
                kept.insert(name.trim().to_owned(), Kept { history, failures });
            }
        }
        Ok(kept)
    }

    /// Whether the password opens the account: a bind as RFC 4511, section 4.2, writes it.
    pub(crate) async fn signs_in(&self, name: &str, password: &str) -> Result<bool> {
        let mut bind = vec![0x02, 0x01, 0x03];
        bind.extend(element(0x04, self.dn(name).as_bytes())?);
        bind.extend(element(0x80, password.as_bytes())?);
        let mut message = vec![0x02, 0x01, 0x01];
        message.extend(element(0x60, &bind)?);
        let address = format!("127.0.0.1:{}", self.port("startTlsPort"));
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(&element(0x30, &message)?).await?;
        let mut answer = vec![0; 64];
        let length = stream.read(&mut answer).await?;
        answer.truncate(length);
        // SEQUENCE, message id 1, BindResponse, resultCode.
        let code = answer.windows(3).find_map(|at| match at {
            [0x0a, 0x01, code] => Some(*code),
            _ => None,
        });
        match code {
            Some(0) => Ok(true),
            Some(49) => Ok(false),
            other => Err(format!("the bind of {name} was answered by {other:?}").into()),
        }
    }

    /// The writes in its log, by the account's name.
    pub(crate) fn writes(log: &str) -> HashMap<String, Writes> {
        let mut under_way = HashMap::new();
        let mut writes: HashMap<String, Writes> = HashMap::new();
        for line in log.lines() {
            let Some(operation) = line.find("conn=").and_then(|at| line.get(at..)) else {
                continue;
            };
            let mut words = operation.splitn(3, ' ');
            let (Some(connection), Some(number), Some(rest)) =
                (words.next(), words.next(), words.next())
            else {
                continue;
            };
            if let Some(rest) = rest.strip_prefix("PASSMOD id=\"uid=") {
                let name = rest.split([',', '"']).next().unwrap_or_default().to_owned();
                under_way.insert((connection, number), name);
            } else if rest.starts_with("RESULT ")
                && let Some(name) = under_way.remove(&(connection, number))
            {
                let writes = writes.entry(name).or_default();
                writes.done += u64::from(rest.contains(" err=0 "));
                writes.refused += u64::from(rest.contains(" err=19 "));
            }
        }
        writes
    }

    /// The name of an account there.
    pub(crate) fn dn(&self, name: &str) -> String {
        format!("uid={name},{}", text(&self.described, "baseDn"))
    }

    fn port(&self, name: &str) -> u64 {
        self.described.get(name).and_then(Value::as_u64).unwrap_or_default()
    }

    /// One of the directory's tools, as its administrator.
    async fn tool(&self, program: &str, words: &[&str], input: String) -> Result<String> {
        // `-y` takes the whole file: no newline at its end.
        let folder = tempfile::tempdir()?;
        let secret = folder.path().join("password");
        fs::write(&secret, text(&self.described, "adminPassword"))?;
        let mut command = Command::new(program);
        command.args(["-x", "-H", &format!("ldap://127.0.0.1:{}", self.port("startTlsPort"))]);
        command.args(["-D", &text(&self.described, "adminDn"), "-y"]).arg(&secret).args(words);
        let said = run(command, input).await?;
        if said.well { Ok(said.out) } else { Err(format!("{program}: {}", said.errors).into()) }
    }
}

fn element(tag: u8, content: &[u8]) -> Result<Vec<u8>> {
    let length = u16::try_from(content.len())?.to_be_bytes();
    Ok([&[tag, 0x82], &length[..], content].concat())
}
