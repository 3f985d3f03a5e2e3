//! The part of BER (X.690) that LDAP uses (RFC 4511, section 5.1), read without recursion and
//! without allocations of a length that the server announced.

use zeroize::Zeroizing;

/// The largest message that is read, in bytes. The entries of Active Directory and OpenLDAP are far
/// smaller, unless they contain pictures, which rekey does not request by default.
pub(super) const LARGEST: usize = 1 << 20;

/// The greatest nesting depth of elements. A message of `LDAPv3` needs seven levels.
pub(super) const DEEPEST: usize = 16;

/// The bit of a tag that marks content made of elements.
const CONSTRUCTED: u8 = 0x20;

pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTETS: u8 = 0x04;
pub(super) const ENUMERATED: u8 = 0x0a;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

/// Bytes that are not a message, or that exceed a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// The length of the first element of `bytes`, header included; `None` until it is known.
pub(super) fn length(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    let Some((_, header, content)) = header(bytes)? else { return Ok(None) };
    let length = header.checked_add(content).ok_or(Malformed)?;
    if length > LARGEST { Err(Malformed) } else { Ok(Some(length)) }
}

/// Returns the tag, the header's length and the announced content length, once they have arrived.
fn header(bytes: &[u8]) -> Result<Option<(u8, usize, usize)>, Malformed> {
    let [tag, rest @ ..] = bytes else { return Ok(None) };
    if tag & 0x1f == 0x1f {
        // A tag number above 30, which LDAP does not use.
        return Err(Malformed);
    }
    let [first, rest @ ..] = rest else { return Ok(None) };
    match first {
        0..=0x7f => Ok(Some((*tag, 2, usize::from(*first)))),
        // Leading zeros are allowed: Active Directory always writes four bytes.
        0x81..=0x84 => {
            let octets = usize::from(first & 0x7f);
            let Some(octets) = rest.get(..octets) else { return Ok(None) };
            let content = octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet));
            Ok(Some((*tag, 2 + octets.len(), content)))
        }
        // The indefinite form, which LDAP forbids, or a length of more than four bytes.
        _ => Err(Malformed),
    }
}

/// Checks that `message` is one element whose nested elements fill their parents exactly, at most
/// [`DEEPEST`] levels deep. Visits each header once, and stores only the ends of open elements.
pub(super) fn check(message: &[u8]) -> Result<(), Malformed> {
    let mut ends = Vec::with_capacity(DEEPEST);
    let mut at = 0;
    loop {
        let end = ends.last().copied().unwrap_or(message.len());
        let (tag, header, content) =
            header(message.get(at..end).ok_or(Malformed)?)?.ok_or(Malformed)?;
        let content_end = at.saturating_add(header).saturating_add(content);
        if content_end > end {
            return Err(Malformed);
        }
        at += header;
        if tag & CONSTRUCTED == 0 {
            at = content_end;
        } else if ends.len() == DEEPEST {
            return Err(Malformed);
        } else {
            ends.push(content_end);
        }
        while ends.last() == Some(&at) {
            ends.pop();
        }
        if ends.is_empty() {
            return if at == message.len() { Ok(()) } else { Err(Malformed) };
        }
    }
}

/// Reads elements in sequence; a nested element is read by another reader.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Reads the next element: its tag and content.
    pub(super) fn element(&mut self) -> Result<(u8, &'a [u8]), Malformed> {
        let (tag, header, content) = header(self.0)?.ok_or(Malformed)?;
        let (element, rest) = self
            .0
            .split_at_checked(header.checked_add(content).ok_or(Malformed)?)
            .ok_or(Malformed)?;
        self.0 = rest;
        Ok((tag, element.get(header..).ok_or(Malformed)?))
    }

    /// Reads the content of the next element, which must have the tag `wanted`.
    pub(super) fn expect(&mut self, wanted: u8) -> Result<&'a [u8], Malformed> {
        match self.element()? {
            (tag, content) if tag == wanted => Ok(content),
            _ => Err(Malformed),
        }
    }

    /// Returns a reader of the elements in the next element, which must have the tag `wanted`.
    pub(super) fn inside(&mut self, wanted: u8) -> Result<Reader<'a>, Malformed> {
        self.expect(wanted).map(Reader)
    }

    /// Reads the next element as text.
    pub(super) fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.expect(OCTETS)?).map_err(|_| Malformed)
    }

    /// Reads the next element as a number. LDAP has no negative numbers.
    pub(super) fn number(&mut self, wanted: u8) -> Result<u32, Malformed> {
        match self.expect(wanted)? {
            content @ [0..=0x7f, ..] if content.len() <= 4 => {
                Ok(content.iter().fold(0, |number, octet| number << 8 | u32::from(*octet)))
            }
            _ => Err(Malformed),
        }
    }
}

/// Writes elements into a buffer that is wiped, also when it grows.
#[derive(Default)]
pub(super) struct Writer(Zeroizing<Vec<u8>>);

impl Writer {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Writes an element without nested elements.
    pub(super) fn primitive(&mut self, tag: u8, content: &[u8]) {
        let start = self.start();
        self.raw(content);
        self.wrap(start, tag);
    }

    /// Writes an element that consists of elements.
    pub(super) fn constructed(&mut self, tag: u8, content: impl FnOnce(&mut Self)) {
        let start = self.start();
        content(self);
        self.wrap(start, tag);
    }

    pub(super) fn number(&mut self, tag: u8, number: u32) {
        let octets = number.to_be_bytes();
        // The shortest form, with a leading zero if the number would otherwise be read as negative.
        let zeros = (number.leading_zeros().saturating_sub(1) / 8) as usize;
        let start = self.start();
        if number.leading_zeros() == 0 {
            self.raw(&[0]);
        }
        self.raw(octets.get(zeros.min(3)..).unwrap_or_default());
        self.wrap(start, tag);
    }

    pub(super) fn boolean(&mut self, tag: u8, is_true: bool) {
        self.primitive(tag, &[if is_true { 0xff } else { 0 }]);
    }

    /// Writes bytes unchanged.
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        let needed = self.0.len().saturating_add(bytes.len());
        if needed > self.0.capacity() {
            let capacity = needed.max(2 * self.0.capacity());
            grow(&mut self.0, capacity);
        }
        self.0.extend_from_slice(bytes);
    }

    /// The position at which the next element begins, for [`Writer::wrap`].
    pub(super) fn start(&self) -> usize {
        self.0.len()
    }

    /// Turns all bytes written since `start` into one element.
    pub(super) fn wrap(&mut self, start: usize, tag: u8) {
        let content = self.0.len().saturating_sub(start);
        let mut header = vec![tag];
        if let Ok(short @ 0..=0x7f) = u8::try_from(content) {
            header.push(short);
        } else {
            let octets = content.to_be_bytes();
            let zeros = octets.iter().take_while(|octet| **octet == 0).count();
            let octets = octets.get(zeros..).unwrap_or_default();
            header.push(0x80 | u8::try_from(octets.len()).unwrap_or_default());
            header.extend_from_slice(octets);
        }
        self.raw(&header);
        if let Some(element) = self.0.get_mut(start..) {
            element.rotate_right(header.len());
        }
    }
}

/// Moves a buffer to one of `capacity` bytes and wipes the old one: a vector that grows by itself
/// leaves a copy of its content in freed memory.
pub(super) fn grow(buffer: &mut Zeroizing<Vec<u8>>, capacity: usize) {
    let mut larger = Zeroizing::new(Vec::with_capacity(capacity));
    larger.extend_from_slice(buffer);
    *buffer = larger;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns `depth` nested sequences.
    fn nested(depth: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..depth {
            let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
            // Bytes are appended in reverse: prepending would move them 100,000 times.
            bytes.extend(length.iter().rev());
            bytes.extend([0x84, SEQUENCE]);
        }
        bytes.reverse();
        bytes
    }

    #[test]
    fn depth_is_bounded_without_recursion() {
        check(&nested(DEEPEST)).unwrap();
        for depth in [DEEPEST + 1, 10_000, 100_000] {
            assert_eq!(check(&nested(depth)), Err(Malformed), "{depth}");
        }
    }

    #[test]
    fn a_length_is_refused_before_its_bytes_come() {
        assert_eq!(length(&[SEQUENCE, 0x84, 0x7f, 0xff, 0xff, 0xff]), Err(Malformed));
        assert_eq!(length(&[SEQUENCE, 0x83, 0x10, 0, 0]), Err(Malformed));
        assert_eq!(length(&[SEQUENCE, 0x83, 0x0f, 0xff, 0xfb]), Ok(Some(LARGEST)));
        assert_eq!(length(&[SEQUENCE, 0x84, 0, 0, 0, 3]), Ok(Some(9)));
        assert_eq!(length(&[SEQUENCE, 0x84, 0, 0]), Ok(None));
        for forbidden in [[SEQUENCE, 0x80], [SEQUENCE, 0x85], [SEQUENCE, 0xff], [0x3f, 1]] {
            assert_eq!(length(&forbidden), Err(Malformed));
        }
    }

    #[test]
    fn what_does_not_fill_its_parent_is_refused() {
        for wrong in [&[SEQUENCE, 1, 4][..], &[SEQUENCE, 2, 4, 1], &[4, 0, 4, 0], &[]] {
            assert_eq!(check(wrong), Err(Malformed), "{wrong:?}");
        }
        check(&[SEQUENCE, 4, SEQUENCE, 0, 4, 0]).unwrap();
    }

    proptest! {
        #[test]
        fn nothing_a_server_sends_can_break_it(bytes: Vec<u8>) {
            let _ = length(&bytes);
            let is_sound = check(&bytes).is_ok();
            let mut reader = Reader(&bytes);
            let mut read = 0;
            while let Ok((_, content)) = reader.element() {
                read += content.len();
            }
            prop_assert!(read <= bytes.len());
            prop_assert!(!is_sound || reader.is_empty());
        }

        #[test]
        fn what_is_written_is_read_again(
            numbers in prop::collection::vec(any::<u32>(), 0..5),
            texts in prop::collection::vec(".{0,300}", 0..5),
        ) {
            let mut writer = Writer::default();
            writer.constructed(SEQUENCE, |w| {
                for number in &numbers {
                    w.number(INTEGER, *number);
                }
                w.constructed(SET, |w| texts.iter().for_each(|t| w.primitive(OCTETS, t.as_bytes())));
            });
            prop_assert_eq!(length(writer.bytes()), Ok(Some(writer.bytes().len())));
            check(writer.bytes()).unwrap();
            let mut reader = Reader(writer.bytes()).inside(SEQUENCE).unwrap();
            for number in numbers {
                let read = reader.number(INTEGER);
                // Five octets: LDAP has no number above 2^31 - 1.
                let wanted = if number >> 31 == 0 { Ok(number) } else { Err(Malformed) };
                prop_assert_eq!(read, wanted);
            }
            let mut set = reader.inside(SET).unwrap();
            for text in texts {
                prop_assert_eq!(set.text().unwrap(), text);
            }
            prop_assert!(set.is_empty() && reader.is_empty());
        }
    }
}
