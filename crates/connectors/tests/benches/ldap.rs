//! OpenLDAP, administered with rekey's own LDAP client. The sign-in shares no code with rekey.

use std::path::PathBuf;

use async_trait::async_trait;
use rekey_connectors::{Entry, FaultKind, conformance::Bench, kind, ldap::Administration};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::{Mutex, MutexGuard, OnceCell},
};

use super::{log, text};

pub(crate) struct Directory {
    target: Value,
    attributes: Value,
    base: String,
    clear_port: u16,
    admin: OnceCell<Mutex<Administration>>,
}

impl Directory {
    pub(crate) fn open(target: &Value, tls: &str) -> Self {
        let port = if tls == "ldaps" { &target["port"] } else { &target["startTlsPort"] };
        let attributes = json!({
            "host": target["host"], "port": port, "tls": tls,
            "caCertificate": target["caCertificate"], "bindDn": target["bindDn"],
            "bindPassword": target["bindPassword"], "baseDn": target["baseDn"],
        });
        let clear_port = target["startTlsPort"].as_u64().unwrap().try_into().unwrap();
        let base = text(target, "baseDn");
        Self { target: target.clone(), attributes, base, clear_port, admin: OnceCell::new() }
    }

    async fn admin(&self) -> MutexGuard<'_, Administration> {
        let open = async || {
            let host = text(&self.target, "host");
            let mut admin = Administration::connect(&host, self.clear_port).await.unwrap();
            let (dn, password) =
                (text(&self.target, "adminDn"), text(&self.target, "adminPassword"));
            assert_eq!(admin.sign_in(&dn, &password).await.unwrap(), 0);
            Mutex::new(admin)
        };
        self.admin.get_or_init(open).await.lock().await
    }
}

#[async_trait]
impl Bench for Directory {
    fn kind(&self) -> &'static Entry {
        kind("ldap").unwrap()
    }

    fn attributes(&self) -> Value {
        self.attributes.clone()
    }

    fn wrong_authority(&self) -> String {
        text(&self.target, "wrongCaCertificate")
    }

    async fn create(&self, name: &str, password: &str) -> String {
        let dn = self.missing(name);
        let entry = [
            ("objectClass", "inetOrgPerson"),
            ("uid", name),
            ("cn", name),
            ("sn", name),
            ("userPassword", password),
        ];
        self.admin().await.add(&dn, &entry).await.unwrap();
        dn
    }

    fn missing(&self, name: &str) -> String {
        format!("uid={name},{}", self.base)
    }

    async fn remove(&self, native_identity: &str) {
        self.admin().await.delete(native_identity).await.unwrap();
    }

    async fn lock(&self, native_identity: &str) -> FaultKind {
        let locked = ["000001010000Z"];
        let mut admin = self.admin().await;
        admin.replace(native_identity, "pwdAccountLockedTime", &locked).await.unwrap();
        FaultKind::Locked
    }

    /// Sends a bind (RFC 4511, section 4.2) that is encoded here, independently of rekey.
    async fn logs_in(&self, native_identity: &str, password: &str) -> bool {
        let mut bind = vec![0x02, 0x01, 0x03];
        bind.extend(element(0x04, native_identity.as_bytes()));
        bind.extend(element(0x80, password.as_bytes()));
        let mut message = vec![0x02, 0x01, 0x01];
        message.extend(element(0x60, &bind));

        let mut stream = TcpStream::connect(("127.0.0.1", self.clear_port)).await.unwrap();
        stream.write_all(&element(0x30, &message)).await.unwrap();
        let mut answer = [0; 64];
        let length = stream.read(&mut answer).await.unwrap();
        // The answer is a SEQUENCE: message id 1, then BindResponse with resultCode.
        let code = answer[..length].windows(2).position(|pair| pair == [0x0a, 0x01]).unwrap();
        match answer[code + 2] {
            0 => true,
            49 => false,
            other => panic!("the bind was answered by {other}"),
        }
    }

    fn refused(&self) -> Vec<(String, &'static str)> {
        vec![("Sh0rt-1".to_owned(), "too short")]
    }

    fn keeps_history(&self) -> bool {
        true
    }

    fn log(&self) -> Option<PathBuf> {
        log(&self.target)
    }
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&[tag, 0x82], &length[..], content].concat()
}
