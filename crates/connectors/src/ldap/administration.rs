//! Operations of tests on a directory, besides changes of passwords.

use super::{
    answer,
    ber::{ENUMERATED, OCTETS, SEQUENCE, SET, Writer},
    connection::Connection,
    message::Request,
};
use crate::{
    Egress, Fault,
    net::{OPERATION, dial},
};

/// A connection without TLS, on which a test prepares entries and signs in.
pub struct Administration(Connection);

impl Administration {
    /// Connects without signing in.
    pub async fn connect(host: &str, port: u16) -> Result<Self, Fault> {
        Ok(Self(Connection::new(dial(&Egress::default(), host, port).await?)))
    }

    /// Signs in; returns the result code: 0, or 49 for a wrong password.
    pub async fn sign_in(&mut self, dn: &str, password: &str) -> Result<u32, Fault> {
        let answer = self.0.call(OPERATION, Request::bind(dn, password), &[]).await;
        answer.map(|answer| answer.code).map_err(|broken| broken.fault)
    }

    /// Adds an entry whose attributes have one value each.
    pub async fn add(&mut self, dn: &str, attributes: &[(&str, &str)]) -> Result<(), Fault> {
        let add = Request::new(0x68, 0x69, |w| {
            w.primitive(OCTETS, dn.as_bytes());
            w.constructed(SEQUENCE, |w| {
                for (name, value) in attributes {
                    attribute(w, name, &[value]);
                }
            });
        });
        self.call(add).await
    }

    /// Replaces all values of an attribute.
    pub async fn replace(&mut self, dn: &str, name: &str, values: &[&str]) -> Result<(), Fault> {
        let modify = Request::new(0x66, 0x67, |w| {
            w.primitive(OCTETS, dn.as_bytes());
            w.constructed(SEQUENCE, |w| {
                w.constructed(SEQUENCE, |w| {
                    w.number(ENUMERATED, 2);
                    attribute(w, name, values);
                });
            });
        });
        self.call(modify).await
    }

    /// Renames an entry without moving it; `relative` is its new relative name.
    pub async fn rename(&mut self, dn: &str, relative: &str) -> Result<(), Fault> {
        let rename = Request::new(0x6c, 0x6d, |w| {
            w.primitive(OCTETS, dn.as_bytes());
            w.primitive(OCTETS, relative.as_bytes());
            w.boolean(0x01, true);
        });
        self.call(rename).await
    }

    /// Removes an entry.
    pub async fn delete(&mut self, dn: &str) -> Result<(), Fault> {
        self.call(Request::primitive(0x4a, 0x6b, dn.as_bytes())).await
    }

    async fn call(&mut self, request: Request) -> Result<(), Fault> {
        let answer = self.0.call(OPERATION, request, &[]).await.map_err(|broken| broken.fault)?;
        match answer.code {
            0 => Ok(()),
            _ => Err(answer::fault(&answer)),
        }
    }
}

fn attribute(writer: &mut Writer, name: &str, values: &[&str]) {
    writer.constructed(SEQUENCE, |w| {
        w.primitive(OCTETS, name.as_bytes());
        w.constructed(SET, |w| {
            for value in values {
                w.primitive(OCTETS, value.as_bytes());
            }
        });
    });
}
