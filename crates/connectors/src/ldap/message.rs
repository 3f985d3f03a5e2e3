//! The `LDAPv3` messages (RFC 4511) that rekey sends and reads.

use super::{
    answer,
    ber::{ENUMERATED, INTEGER, Malformed, OCTETS, Reader, SEQUENCE, Writer, check},
    filter::Filter,
};
use crate::said::Said;

pub(super) const SEARCH_ENTRY: u8 = 0x64;
pub(super) const SEARCH_DONE: u8 = 0x65;
pub(super) const SEARCH_REFERENCE: u8 = 0x73;
const EXTENDED_ANSWER: u8 = 0x78;
/// A message that a server may send between a request and its answer (section 4.13).
pub(super) const INTERMEDIATE: u8 = 0x79;

/// The tag of a message's controls.
const CONTROLS: u8 = 0xa0;

/// `StartTLS` (section 4.14).
pub(super) const START_TLS: &str = "1.3.6.1.4.1.1466.20037";
/// "Who am I?" (RFC 4532).
pub(super) const WHO_AM_I: &str = "1.3.6.1.4.1.4203.1.11.3";
/// Password Modify (RFC 3062).
const PASSWORD_MODIFY: &str = "1.3.6.1.4.1.4203.1.11.1";
/// Paged results (RFC 2696).
const PAGED_RESULTS: &str = "1.2.840.113556.1.4.319";

/// An encoded request. Wiped on drop, because it may contain a password.
pub(super) struct Request {
    operation: Writer,
    /// The tag of the answer to it.
    pub(super) answer: u8,
}

/// The part of the tree to search.
#[derive(Clone, Copy)]
pub(super) enum Scope {
    /// The base entry only.
    Base = 0,
    /// The base entry and all entries below it.
    Subtree = 2,
}

impl Request {
    /// A request whose operation is a sequence with this tag.
    pub(super) fn new(tag: u8, answer: u8, content: impl FnOnce(&mut Writer)) -> Self {
        let mut operation = Writer::default();
        operation.constructed(tag, content);
        Self { operation, answer }
    }

    /// A request whose operation is a primitive element.
    #[cfg(feature = "conformance")]
    pub(super) fn primitive(tag: u8, answer: u8, content: &[u8]) -> Self {
        let mut operation = Writer::default();
        operation.primitive(tag, content);
        Self { operation, answer }
    }

    /// A simple bind (section 4.2).
    pub(super) fn bind(dn: &str, password: &str) -> Self {
        Self::new(0x60, 0x61, |w| {
            w.number(INTEGER, 3);
            w.primitive(OCTETS, dn.as_bytes());
            w.primitive(0x80, password.as_bytes());
        })
    }

    /// A search that follows no alias and sets no limit of its own (section 4.5.1).
    pub(super) fn search(base: &str, scope: Scope, filter: &Filter, attributes: &[&str]) -> Self {
        Self::new(0x63, SEARCH_DONE, |w| {
            w.primitive(OCTETS, base.as_bytes());
            w.number(ENUMERATED, scope as u32);
            w.number(ENUMERATED, 0);
            w.number(INTEGER, 0);
            w.number(INTEGER, 0);
            w.boolean(0x01, false);
            filter.write(w);
            w.constructed(SEQUENCE, |w| {
                for name in attributes {
                    w.primitive(OCTETS, name.as_bytes());
                }
            });
        })
    }

    /// An extended operation (section 4.12) with an optional, encoded value.
    pub(super) fn extended(oid: &str, value: Option<&Writer>) -> Self {
        Self::new(0x77, EXTENDED_ANSWER, |w| {
            w.primitive(0x80, oid.as_bytes());
            if let Some(value) = value {
                w.primitive(0x81, value.bytes());
            }
        })
    }

    /// Sets an account's password without the old one (RFC 3062, section 2).
    pub(super) fn password_modify(dn: &str, password: &str) -> Self {
        let mut value = Writer::default();
        value.constructed(SEQUENCE, |w| {
            w.primitive(0x80, dn.as_bytes());
            w.primitive(0x82, password.as_bytes());
        });
        Self::extended(PASSWORD_MODIFY, Some(&value))
    }

    /// Encodes the message with its id and controls.
    pub(super) fn message(&self, id: u32, controls: &[Control]) -> Writer {
        let mut message = Writer::default();
        message.constructed(SEQUENCE, |w| {
            w.number(INTEGER, id);
            w.raw(self.operation.bytes());
            if !controls.is_empty() {
                w.constructed(CONTROLS, |w| {
                    for control in controls {
                        control.write(w);
                    }
                });
            }
        });
        message
    }
}

/// A control (section 4.1.11) that the server may ignore.
pub(super) struct Control {
    pub(super) oid: &'static str,
    pub(super) value: Option<Vec<u8>>,
}

impl Control {
    /// Requests one page of `size` entries; `cookie` is that of the previous page, or empty for the
    /// first.
    pub(super) fn page(size: u32, cookie: &[u8]) -> Self {
        let mut value = Writer::default();
        value.constructed(SEQUENCE, |w| {
            w.number(INTEGER, size);
            w.primitive(OCTETS, cookie);
        });
        Self { oid: PAGED_RESULTS, value: Some(value.bytes().to_vec()) }
    }

    fn write(&self, writer: &mut Writer) {
        writer.constructed(SEQUENCE, |w| {
            w.primitive(OCTETS, self.oid.as_bytes());
            if let Some(value) = &self.value {
                w.primitive(OCTETS, value);
            }
        });
    }
}

/// A message from the server.
pub(super) struct Message<'a> {
    pub(super) id: u32,
    /// The tag of its operation.
    pub(super) operation: u8,
    pub(super) content: Reader<'a>,
    controls: &'a [u8],
}

impl<'a> Message<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        check(bytes)?;
        let mut parts = Reader(bytes).inside(SEQUENCE)?;
        let id = parts.number(INTEGER)?;
        let (operation, content) = parts.element()?;
        let controls = if parts.is_empty() { &[] } else { parts.expect(CONTROLS)? };
        Ok(Self { id, operation, content: Reader(content), controls })
    }

    /// Reads an `LDAPResult` (section 4.1.9) and the optional elements after it.
    pub(super) fn answer(mut self) -> Result<Answer, Malformed> {
        let code = self.content.number(ENUMERATED)?;
        self.content.expect(OCTETS)?;
        let said = answer::said(&String::from_utf8_lossy(self.content.expect(OCTETS)?));
        let mut value = None;
        while !self.content.is_empty() {
            if let (0x8b, content) = self.content.element()? {
                value = Some(content.to_vec());
            }
        }
        Ok(Answer { code, said, value, controls: self.controls.to_vec() })
    }
}

/// The result of a request.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// The result code; 0 is success.
    pub(super) code: u32,
    /// The part of the server's text that rekey may repeat.
    pub(super) said: Said,
    /// The value returned by an extended operation.
    pub(super) value: Option<Vec<u8>>,
    controls: Vec<u8>,
}

impl Answer {
    #[cfg(test)]
    pub(super) fn of(code: u32, text: &str) -> Self {
        Self { code, said: answer::said(text), ..Self::default() }
    }

    /// The value of a control; `None` if it is absent or the controls are malformed.
    pub(super) fn control(&self, oid: &str) -> Option<&[u8]> {
        let mut controls = Reader(&self.controls);
        while !controls.is_empty() {
            let mut control = controls.inside(SEQUENCE).ok()?;
            if control.expect(OCTETS).ok()? != oid.as_bytes() {
                continue;
            }
            let (mut tag, mut value) = control.element().ok()?;
            if tag == 0x01 {
                (tag, value) = control.element().ok()?;
            }
            return (tag == OCTETS).then_some(value);
        }
        None
    }

    /// The cookie with which to request the next page; empty after the last page.
    pub(super) fn page_cookie(&self) -> Result<&[u8], Malformed> {
        let Some(value) = self.control(PAGED_RESULTS) else { return Ok(&[]) };
        let mut parts = Reader(value).inside(SEQUENCE)?;
        parts.number(INTEGER)?;
        parts.expect(OCTETS)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bind_is_as_rfc_4511_writes_it() {
        let bind = Request::bind("cn=a", "pw").message(1, &[]);
        assert_eq!(bind.bytes(), b"\x30\x12\x02\x01\x01\x60\x0d\x02\x01\x03\x04\x04cn=a\x80\x02pw");
    }

    #[test]
    fn a_page_is_asked_for_and_answered() {
        let done = |controls: &[u8]| {
            let mut message = Writer::default();
            message.constructed(SEQUENCE, |w| {
                w.number(INTEGER, 7);
                w.constructed(SEARCH_DONE, |w| {
                    w.number(ENUMERATED, 0);
                    w.primitive(OCTETS, b"");
                    w.primitive(OCTETS, b"operation restricted");
                });
                w.raw(controls);
            });
            Message::read(message.bytes()).and_then(Message::answer)
        };
        let mut controls = Writer::default();
        controls.constructed(CONTROLS, |w| {
            Control { oid: "1.2.3", value: None }.write(w);
            Control::page(500, b"next").write(w);
        });
        let answer = done(controls.bytes()).unwrap();
        assert_eq!((answer.code, answer.said), (0, Said::Known("operation restricted")));
        assert_eq!(answer.page_cookie(), Ok(&b"next"[..]));
        assert_eq!(done(b"").unwrap().page_cookie(), Ok(&b""[..]));
        assert!(done(b"\x04\x00").is_err());
    }

    proptest! {
        #[test]
        fn nothing_a_server_sends_can_break_it(bytes: Vec<u8>) {
            if let Ok(answer) = Message::read(&bytes).and_then(Message::answer) {
                let _ = answer.page_cookie();
            }
            let answer = Answer { controls: bytes, ..Answer::default() };
            let _ = answer.page_cookie();
        }
    }
}
