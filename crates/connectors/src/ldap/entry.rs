//! Entries of a search. A hostile server chooses their size, so they are bounded.

use serde_json::{Map, Value};
use zeroize::Zeroize as _;

use super::ber::{Malformed, OCTETS, Reader, SEQUENCE, SET};
use crate::{Fault, net::misconfigured, said::plain};

/// The largest entry that is kept, in bytes of its name and of the requested attributes.
const LARGEST: usize = 64 * 1024;
/// The size counted for each name or value besides its bytes: even a million empty ones use memory.
const EACH: usize = 64;

/// The attributes in which directories keep an id that outlives a rename and is never reused:
/// `entryUUID` in OpenLDAP and others (RFC 4530), `nsUniqueId` in 389 Directory Server.
pub(super) const IDS: [&str; 2] = ["entryUUID", "nsUniqueId"];

/// An entry that a search returned.
#[derive(Default)]
pub(super) struct Entry {
    pub(super) dn: String,
    attributes: Vec<(String, Vec<Vec<u8>>)>,
}

/// The reason why an entry could not be read.
#[derive(Debug)]
pub(super) enum Unread {
    Malformed,
    /// The entry is larger than an account may be.
    TooLarge(Fault),
}

impl From<Malformed> for Unread {
    fn from(Malformed: Malformed) -> Self {
        Self::Malformed
    }
}

impl Drop for Entry {
    /// Wipes the values: one of them may be the hash of a password.
    fn drop(&mut self) {
        for (_, values) in &mut self.attributes {
            values.zeroize();
        }
    }
}

impl Entry {
    #[cfg(test)]
    pub(super) fn with(attributes: &[(&str, &str)]) -> Self {
        let attribute =
            |(name, value): &(&str, &str)| ((*name).to_owned(), vec![value.as_bytes().to_vec()]);
        Self { dn: String::new(), attributes: attributes.iter().map(attribute).collect() }
    }

    /// Reads `{ name, attributes }` (RFC 4511, section 4.5.2) and keeps the `wanted` attributes.
    ///
    /// An entry that is too large is a fault, and so ends the listing of an aggregation: if the
    /// entry or some of its values were left out, its owner would lose the account.
    pub(super) fn read(mut parts: Reader<'_>, wanted: &[&str]) -> Result<Self, Unread> {
        let dn = parts.text()?;
        let mut left = LARGEST;
        let mut take = |bytes: usize| {
            left = left.checked_sub(bytes + EACH).ok_or_else(|| too_large(dn))?;
            Ok::<(), Unread>(())
        };
        take(dn.len())?;
        let mut entry = Self { dn: dn.to_owned(), attributes: Vec::new() };
        let mut attributes = parts.inside(SEQUENCE)?;
        while !attributes.is_empty() {
            let mut attribute = attributes.inside(SEQUENCE)?;
            let name = attribute.text()?;
            let mut values = attribute.inside(SET)?;
            if !wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(name)) {
                continue;
            }
            take(name.len())?;
            let mut kept = Vec::new();
            while !values.is_empty() {
                let value = values.expect(OCTETS)?;
                take(value.len())?;
                kept.push(value.to_vec());
            }
            entry.attributes.push((name.to_owned(), kept));
        }
        Ok(entry)
    }

    /// The directory's id of the entry, if rekey may read it.
    pub(super) fn stable_id(&self) -> Option<&str> {
        IDS.iter().find_map(|name| self.first(name)).filter(|id| (1..=128).contains(&id.len()))
    }

    /// The first value of an attribute, if it is text.
    pub(super) fn first(&self, name: &str) -> Option<&str> {
        let (_, values) = self.attributes.iter().find(|(n, _)| n.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(values.first()?).ok()
    }

    /// The `wanted` attributes, spelled as wanted; values that are not text are omitted.
    pub(super) fn listed(&self, wanted: &[&str]) -> Map<String, Value> {
        let mut listed = Map::new();
        for name in wanted {
            let Some((_, values)) =
                self.attributes.iter().find(|(n, _)| n.eq_ignore_ascii_case(name))
            else {
                continue;
            };
            let mut texts: Vec<Value> = values
                .iter()
                .filter_map(|value| std::str::from_utf8(value).ok())
                .map(Value::from)
                .collect();
            let value = if texts.len() == 1 { texts.swap_remove(0) } else { Value::Array(texts) };
            listed.insert((*name).to_owned(), value);
        }
        listed
    }
}

fn too_large(dn: &str) -> Unread {
    Unread::TooLarge(misconfigured(format!(
        "the entry {} is larger than 64 KiB: leave its large attributes out of attributes, or the \
         entry out of accountFilter",
        plain(dn)
    )))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::ber::Writer, *};

    fn sent(attributes: &[(&str, Vec<Vec<u8>>)]) -> Writer {
        let mut writer = Writer::default();
        writer.primitive(OCTETS, b"uid=a");
        writer.constructed(SEQUENCE, |w| {
            for (name, values) in attributes {
                w.constructed(SEQUENCE, |w| {
                    w.primitive(OCTETS, name.as_bytes());
                    w.constructed(SET, |w| values.iter().for_each(|v| w.primitive(OCTETS, v)));
                });
            }
        });
        writer
    }

    #[test]
    fn what_was_not_asked_for_is_not_kept() {
        let large = vec![vec![b'x'; 500_000]];
        let entry = sent(&[("jpegPhoto", large), ("UID", vec![b"a".to_vec(), b"b".to_vec()])]);
        let entry = Entry::read(Reader(entry.bytes()), &["uid"]).unwrap();
        assert_eq!((entry.first("uid"), entry.first("jpegPhoto")), (Some("a"), None));
        assert_eq!(entry.dn, "uid=a");
    }

    #[test]
    fn a_large_entry_is_refused_by_name() {
        for values in [vec![vec![b'x'; LARGEST]], vec![Vec::new(); 1_100], vec![vec![0; 100]; 500]]
        {
            let entry = sent(&[("cn", values)]);
            let Err(Unread::TooLarge(fault)) = Entry::read(Reader(entry.bytes()), &["cn"]) else {
                panic!("not refused");
            };
            assert!(fault.message.contains("uid=a"), "{}", fault.message);
        }
    }

    proptest! {
        #[test]
        fn nothing_a_server_sends_can_break_it(bytes: Vec<u8>) {
            let _ = Entry::read(Reader(&bytes), &["cn"]);
        }
    }
}
