//! What can go wrong on a connection, and when.

use std::time::Duration;

/// What happens to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No more than so many bytes a second from here on.
    Bandwidth(u32),
    /// Both sides are closed in order.
    Cut,
    /// Nothing passes for so long, once.
    Latency(Duration),
    /// Both sides are reset.
    Reset,
    /// Nothing passes any more, and nobody is told.
    Silence,
    /// Every byte is a packet of its own from here on.
    Slices,
    /// The server's side is closed at once, the client's after so long.
    SlowClose(Duration),
}

/// Which moment of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Nothing of it has passed.
    Before,
    /// Half of it has passed.
    During,
    /// All of it has passed, and the server has answered.
    After,
}

/// A write, told by the length of its message: TLS hides all else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// A message of just so many bytes.
    Exactly(usize),
    /// A message of so many bytes or more.
    Long(usize),
}

/// The header of a TLS record (RFC 8446, section 5.1).
const HEADER: usize = 5;
/// What encryption adds: the inner type and the authentication tag (section 5.2).
const ADDED: usize = 1 + 16;
/// Records of this type hold encrypted messages.
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

/// The length of the first record in `bytes`: a TLS record, or the packet in which PostgreSQL asks
/// for TLS. `None` while its length has not come; all there is, where it is neither.
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
