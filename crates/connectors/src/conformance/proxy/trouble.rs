//! The disturbances of a connection, and the moments at which they happen.

use std::time::Duration;

/// A disturbance of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// From here on, at most this many bytes pass per second.
    Bandwidth(u32),
    /// Both sides are closed in order.
    Cut,
    /// Nothing passes for this time, once.
    Latency(Duration),
    /// Both sides are reset.
    Reset,
    /// Nothing passes any more, and both connections stay open.
    Silence,
    /// From here on, every byte is sent separately.
    Slices,
    /// The server's side is closed at once, the client's side after this time.
    SlowClose(Duration),
}

/// A moment of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before any byte of the write has passed.
    Before,
    /// After half of the write has passed.
    During,
    /// After the whole write has passed and the server has answered; the answer has not passed.
    After,
}

/// A write, identified by the length of its message: TLS hides everything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// A message of exactly this many bytes.
    Exactly(usize),
    /// A message of at least this many bytes.
    Long(usize),
}

/// The length of the header of a TLS record, in bytes (RFC 8446, section 5.1).
const HEADER: usize = 5;
/// The bytes that encryption adds: the inner type and the authentication tag (section 5.2).
const ADDED: usize = 1 + 16;
/// The type of records with encrypted messages.
const APPLICATION_DATA: u8 = 23;

impl Write {
    pub(super) fn is(self, record: &[u8]) -> bool {
        if record.first() != Some(&APPLICATION_DATA) {
            return false;
        }
        let length = record.len().saturating_sub(HEADER + ADDED);
        match self {
            Self::Exactly(wanted) => length == wanted,
            Self::Long(least) => length >= least,
        }
    }
}

/// The length of the first record in `bytes`: a TLS record, or the packet with which PostgreSQL
/// requests TLS. `None` until the length has arrived; the length of all `bytes` if they are
/// neither.
pub(super) fn record(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [20..=24, _, _, high, low, ..] => {
            Some(HEADER + usize::from(u16::from_be_bytes([*high, *low])))
        }
        [20..=24, ..] => None,
        [0, rest @ ..] => {
            let [a, b, c, ..] = rest else { return None };
            usize::try_from(u32::from_be_bytes([0, *a, *b, *c])).ok()
        }
        other => Some(other.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_told_by_their_length() {
        assert_eq!(record(&[23, 3, 3, 0, 29, 1]), Some(34));
        assert_eq!(record(&[23, 3, 3, 0]), None);
        assert_eq!(record(&[0, 0, 0, 8, 4, 210, 22, 47]), Some(8));
        assert_eq!(record(b"0\x0c\x02"), Some(3));
        assert!(Write::Exactly(12).is(&[&[23, 3, 3, 0, 29][..], &[0; 29]].concat()));
        assert!(!Write::Exactly(12).is(&[&[22, 3, 3, 0, 29][..], &[0; 29]].concat()));
        assert!(!Write::Long(13).is(&[&[23, 3, 3, 0, 29][..], &[0; 29]].concat()));
    }
}
