//! Search filters: text (RFC 4515) compiled to BER (RFC 4511, section 4.5.1.7).

use super::ber::{OCTETS, Writer};

/// The longest text of a filter, in bytes.
const LONGEST: usize = 4096;
/// The greatest nesting depth of filters.
const DEEPEST: usize = 32;

const AND: u8 = 0xa0;
const OR: u8 = 0xa1;
const NOT: u8 = 0xa2;
const EQUALITY: u8 = 0xa3;
const SUBSTRINGS: u8 = 0xa4;
const AT_LEAST: u8 = 0xa5;
const AT_MOST: u8 = 0xa6;
const PRESENT: u8 = 0x87;
const APPROXIMATE: u8 = 0xa8;
const EXTENSIBLE: u8 = 0xa9;

/// An encoded filter.
#[derive(Debug)]
pub(super) struct Filter(Vec<u8>);

impl Filter {
    /// Returns `(objectClass=*)`, which matches every entry.
    pub(super) fn any() -> Self {
        let mut writer = Writer::default();
        writer.primitive(PRESENT, b"objectClass");
        Self(writer.bytes().to_vec())
    }

    /// Parses a filter; the error completes the sentence "accountFilter: …".
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        const NO_FILTER: &str = "not a filter as RFC 4515 writes it";
        if text.len() > LONGEST {
            return Err("longer than 4,096 bytes: use a simpler filter");
        }
        let mut writer = Writer::default();
        // The open filters: where each starts, its tag, and how many filters it contains so far.
        let mut open: Vec<(usize, u8, usize)> = Vec::new();
        let mut rest = text;
        loop {
            if let Some(inner) = rest.strip_prefix('(') {
                let tag = match inner.as_bytes().first() {
                    Some(b'&') => Some(AND),
                    Some(b'|') => Some(OR),
                    Some(b'!') => Some(NOT),
                    _ => None,
                };
                if open.len() >= DEEPEST {
                    return Err("nested more than 32 deep: use a simpler filter");
                }
                if let Some(tag) = tag {
                    open.push((writer.start(), tag, 0));
                    rest = inner.get(1..).ok_or(NO_FILTER)?;
                    continue;
                }
                let (text, after) = inner.split_once(')').ok_or(NO_FILTER)?;
                item(&mut writer, text).ok_or(NO_FILTER)?;
                rest = after;
            } else if let Some(after) = rest.strip_prefix(')') {
                let (start, tag, count) = open.pop().ok_or(NO_FILTER)?;
                if tag == NOT && count != 1 {
                    return Err(NO_FILTER);
                }
                writer.wrap(start, tag);
                rest = after;
            } else if open.is_empty() && writer.start() == 0 {
                // One test without parentheses, as people often write it.
                item(&mut writer, rest).ok_or(NO_FILTER)?;
                rest = "";
            } else {
                return Err(NO_FILTER);
            }
            match open.last_mut() {
                Some((_, _, count)) => *count += 1,
                None if rest.is_empty() => return Ok(Self(writer.bytes().to_vec())),
                None => return Err(NO_FILTER),
            }
        }
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.raw(&self.0);
    }
}

/// Writes one test of an attribute; `None` if `text` is not one.
fn item(writer: &mut Writer, text: &str) -> Option<()> {
    let (left, value) = text.split_once('=')?;
    if let Some(left) = left.strip_suffix(':') {
        return extensible(writer, left, value);
    }
    let (name, tag) = match left.as_bytes().last()? {
        b'~' => (left.strip_suffix('~')?, APPROXIMATE),
        b'>' => (left.strip_suffix('>')?, AT_LEAST),
        b'<' => (left.strip_suffix('<')?, AT_MOST),
        _ => (left, EQUALITY),
    };
    if !is_name(name) {
        return None;
    }
    if tag == EQUALITY && value == "*" {
        writer.primitive(PRESENT, name.as_bytes());
    } else if tag == EQUALITY && value.contains('*') {
        let start = writer.start();
        writer.primitive(OCTETS, name.as_bytes());
        let parts = writer.start();
        substrings(writer, value)?;
        writer.wrap(parts, super::ber::SEQUENCE);
        writer.wrap(start, SUBSTRINGS);
    } else {
        let value = unescaped(value)?;
        writer.constructed(tag, |w| {
            w.primitive(OCTETS, name.as_bytes());
            w.primitive(OCTETS, &value);
        });
    }
    Some(())
}

/// Writes `initial*any*any*final`, in which the first and the last part may be empty.
fn substrings(writer: &mut Writer, value: &str) -> Option<()> {
    let last = value.matches('*').count();
    for (at, part) in value.split('*').enumerate() {
        let tag = if at == 0 {
            0x80
        } else if at == last {
            0x82
        } else {
            0x81
        };
        match part {
            "" if tag == 0x81 => return None,
            "" => {}
            part => writer.primitive(tag, &unescaped(part)?),
        }
    }
    Some(())
}

/// Writes `attribute:dn:rule:=value`; `:dn` and one of the attribute and the rule are optional.
fn extensible(writer: &mut Writer, left: &str, value: &str) -> Option<()> {
    let mut parts = left.split(':');
    let name = parts.next()?;
    let mut rule = parts.next();
    let of_dn = rule.is_some_and(|part| part.eq_ignore_ascii_case("dn"));
    if of_dn {
        rule = parts.next();
    }
    let names = [Some(name).filter(|name| !name.is_empty()), rule];
    let is_sound = parts.next().is_none()
        && names.iter().any(Option::is_some)
        && names.iter().flatten().all(|name| is_name(name));
    let value = unescaped(value).filter(|_| is_sound)?;
    writer.constructed(EXTENSIBLE, |w| {
        let [name, rule] = names;
        if let Some(rule) = rule {
            w.primitive(0x81, rule.as_bytes());
        }
        if let Some(name) = name {
            w.primitive(0x82, name.as_bytes());
        }
        w.primitive(0x83, &value);
        if of_dn {
            w.boolean(0x84, true);
        }
    });
    Some(())
}

/// Whether `name` is an attribute description or a matching rule (RFC 4512, sections 1.4 and 2.5).
fn is_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ';' | '_');
    !name.is_empty() && name.chars().all(is_plain)
}

/// Decodes the escapes of a value: `\` and two hexadecimal digits.
fn unescaped(value: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'\\' => {
                let digit = |octet: Option<u8>| char::from(octet?).to_digit(16);
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                bytes.push(u8::try_from(high << 4 | low).ok()?);
            }
            0 | b'(' | b')' | b'*' => return None,
            other => bytes.push(other),
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sent(text: &str) -> Vec<u8> {
        Filter::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).0
    }

    #[test]
    fn filters_are_sent_as_rfc_4511_defines_them() {
        assert_eq!(sent("(a=*)"), b"\x87\x01a");
        assert_eq!(sent("a=b"), b"\xa3\x06\x04\x01a\x04\x01b");
        assert_eq!(sent("(a>=b)"), b"\xa5\x06\x04\x01a\x04\x01b");
        assert_eq!(sent("(a<=b)"), b"\xa6\x06\x04\x01a\x04\x01b");
        assert_eq!(sent("(a~=b)"), b"\xa8\x06\x04\x01a\x04\x01b");
        assert_eq!(sent("(a=b\\2a\\00c=d)"), b"\xa3\x0b\x04\x01a\x04\x06b*\0c=d");
        assert_eq!(sent("(a=)"), b"\xa3\x05\x04\x01a\x04\x00");
        assert_eq!(sent("(&)"), b"\xa0\x00");
        assert_eq!(sent("(!(a=*))"), b"\xa2\x03\x87\x01a");
        assert_eq!(sent("(&(a=*)(|(b=*)))"), b"\xa0\x08\x87\x01a\xa1\x03\x87\x01b");
        assert_eq!(sent("(a=x*y*z)"), b"\xa4\x0e\x04\x01a\x30\x09\x80\x01x\x81\x01y\x82\x01z");
        assert_eq!(sent("(a=*y*)"), b"\xa4\x08\x04\x01a\x30\x03\x81\x01y");
        // The test that selects disabled accounts in Active Directory.
        assert_eq!(sent("(uAC:1.2.840:=2)"), b"\xa9\x11\x81\x07\x31.2.840\x82\x03uAC\x83\x012");
        assert_eq!(sent("(cn:dn:=x)"), b"\xa9\x0a\x82\x02cn\x83\x01x\x84\x01\xff");
        assert_eq!(sent("(:1.2:=x)"), b"\xa9\x08\x81\x031.2\x83\x01x");
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for text in [
            "",
            "(",
            ")",
            "()",
            "(a)",
            "(a=b",
            "a=b)",
            "(a=b))",
            "(a=b)(c=d)",
            "((a=b))",
            "(!)",
            "(!(a=b)(c=d))",
            "(&a=b)",
            "(=b)",
            "(a b=c)",
            "(a=b\\2)",
            "(a=\\zz)",
            "(a=(b)",
            "(a>=*)",
            "(a=x**y)",
            "(:=x)",
            "(:dn:=x)",
            "(a:b:c:=x)",
            "(&(a=b)",
            "(a=\0)",
            "&",
        ] {
            assert!(Filter::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn size_and_depth_are_bounded() {
        let nested = |depth: usize| format!("{}(a=b){}", "(!".repeat(depth), ")".repeat(depth));
        sent(&nested(DEEPEST - 1));
        for depth in [DEEPEST, 1_000] {
            assert!(Filter::parse(&nested(depth)).unwrap_err().contains("deep"), "{depth}");
        }
        for depth in [30_000, 1_000_000] {
            assert!(Filter::parse(&"(!".repeat(depth)).unwrap_err().contains("longer"), "{depth}");
        }
        sent(&format!("(a={})", "b".repeat(LONGEST - 4)));
        assert!(Filter::parse(&format!("(a={})", "b".repeat(LONGEST - 3))).is_err());
    }

    proptest! {
        #[test]
        fn no_text_can_break_it(text in "[()&|!a=*~<>:\\\\2\0é]{0,60}") {
            if let Ok(filter) = Filter::parse(&text) {
                super::super::ber::check(&filter.0).unwrap();
            }
        }

        #[test]
        fn any_value_can_be_escaped(value: Vec<u8>) {
            use std::fmt::Write as _;
            let mut text = String::from("(a=");
            for byte in value.iter().take(500) {
                let _ = write!(text, "\\{byte:02x}");
            }
            text.push(')');
            let bytes = sent(&text);
            prop_assert!(bytes.ends_with(&value[..value.len().min(500)]));
        }
    }
}
