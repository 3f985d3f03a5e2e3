//! Hexadecimal texts of secrets, wiped on drop.

use zeroize::Zeroizing;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Encodes `bytes` in lower-case hexadecimal.
pub(crate) fn encode(bytes: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(bytes.len() * 2));
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            text.push(DIGITS.get(usize::from(nibble)).map_or('0', |digit| char::from(*digit)));
        }
    }
    text
}

/// Decodes `text`; `None` if it is not `N` bytes in hexadecimal.
pub(crate) fn decode<const N: usize>(text: &[u8]) -> Option<Zeroizing<[u8; N]>> {
    let mut bytes = Zeroizing::new([0; N]);
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks(2)) {
        for digit in pair {
            let value =
                char::from(*digit).to_digit(16).and_then(|value| u8::try_from(value).ok())?;
            *byte = (*byte << 4) | value;
        }
    }
    Some(bytes)
}

/// Encodes `bytes` that are not secret in lower-case hexadecimal; the result is not wiped.
pub fn hex(bytes: &[u8]) -> String {
    encode(bytes).to_string()
}
