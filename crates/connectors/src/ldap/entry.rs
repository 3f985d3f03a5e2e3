//! Reading entries without trusting the server to send well-formed ones.

use ldap3::{
    ResultEntry,
    asn1::{PL, StructureTag},
};
use serde_json::{Map, Value};
use zeroize::Zeroize as _;

/// One entry of a search.
#[derive(Default)]
pub(super) struct Entry {
    pub(super) dn: String,
    attributes: Vec<(String, Vec<Vec<u8>>)>,
}

impl Drop for Entry {
    /// One of the values may be the hash of a password.
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

    /// Reads `SEQUENCE { name, attributes }` (RFC 4511, section 4.5.2); `None` if it is not one.
    pub(super) fn read(entry: ResultEntry) -> Option<Self> {
        if entry.is_ref() || entry.is_intermediate() {
            return None;
        }
        let mut parts = constructed(entry.0)?.into_iter();
        let dn = text(parts.next()?)?;
        let mut attributes = Vec::new();
        for attribute in constructed(parts.next()?)? {
            let mut parts = constructed(attribute)?.into_iter();
            let name = text(parts.next()?)?;
            let values = constructed(parts.next()?)?.into_iter().map(primitive);
            attributes.push((name, values.collect::<Option<_>>()?));
        }
        Some(Self { dn, attributes })
    }

    /// The first value of an attribute, where it is text.
    pub(super) fn first(&self, name: &str) -> Option<&str> {
        let (_, values) = self.attributes.iter().find(|(n, _)| n.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(values.first()?).ok()
    }

    /// The `wanted` attributes, spelled as wanted; values that are no text are left out.
    pub(super) fn listed(&self, wanted: &[String]) -> Map<String, Value> {
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
            listed.insert(name.clone(), value);
        }
        listed
    }
}

fn constructed(tag: StructureTag) -> Option<Vec<StructureTag>> {
    match tag.payload {
        PL::C(parts) => Some(parts),
        PL::P(_) => None,
    }
}

fn primitive(tag: StructureTag) -> Option<Vec<u8>> {
    match tag.payload {
        PL::P(bytes) => Some(bytes),
        PL::C(_) => None,
    }
}

fn text(tag: StructureTag) -> Option<String> {
    String::from_utf8(primitive(tag)?).ok()
}
