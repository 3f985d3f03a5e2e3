//! Plaintext blocks before the public operation: one kind with valid padding, and several with
//! different faults.

use rekey_vault::{Error, Padding, proof::encrypt_raw, random, sha256};

/// The length of the modulus in bytes.
pub const SIZE: usize = 256;

/// A kind of block.
pub struct Kind {
    /// The name of the kind.
    pub name: &'static str,
    /// The length of its message in bytes; the message is never valid UTF-8, unless empty.
    message: usize,
    fault: Fault,
}

/// The fault in the padding.
#[derive(Clone, Copy)]
enum Fault {
    /// No fault.
    None,
    /// A byte of the padding has this wrong value.
    Byte(usize, u8),
    /// The byte that marks the beginning of the message is missing.
    NoSeparator,
    /// The whole block is random.
    Random,
}

const fn kind(name: &'static str, message: usize, fault: Fault) -> Kind {
    Kind { name, message, fault }
}

/// The kinds of one padding. The first is the reference for the others.
pub fn kinds(padding: Padding) -> &'static [Kind] {
    match padding {
        Padding::OaepSha256 => OAEP,
        Padding::Pkcs1v15 => PKCS1V15,
    }
}

const PKCS1V15: &[Kind] = &[
    kind("valid, 12 bytes", 12, Fault::None),
    kind("valid, 12 bytes, again", 12, Fault::None),
    kind("valid, no byte", 0, Fault::None),
    kind("valid, 245 bytes", 245, Fault::None),
    kind("first byte 1", 12, Fault::Byte(0, 1)),
    kind("block type 1", 12, Fault::Byte(1, 1)),
    kind("block type 0", 12, Fault::Byte(1, 0)),
    kind("zero as first byte of the padding", 12, Fault::Byte(2, 0)),
    kind("zero as fourth byte of the padding", 12, Fault::Byte(5, 0)),
    kind("seven bytes of padding, 246 of message", 246, Fault::None),
    kind("no separator", 12, Fault::NoSeparator),
    kind("random", 12, Fault::Random),
];

const OAEP: &[Kind] = &[
    kind("valid, 12 bytes", 12, Fault::None),
    kind("valid, 12 bytes, again", 12, Fault::None),
    kind("valid, no byte", 0, Fault::None),
    kind("valid, 190 bytes", 190, Fault::None),
    kind("first byte 1", 12, Fault::Byte(0, 1)),
    kind("first byte of the label's hash", 12, Fault::Byte(33, 0)),
    kind("last byte of the label's hash", 12, Fault::Byte(64, 0)),
    kind("not zero first in the padding", 12, Fault::Byte(65, 7)),
    kind("not zero last in the padding", 12, Fault::Byte(SIZE - 14, 7)),
    kind("not one at the separator", 12, Fault::Byte(SIZE - 13, 3)),
    kind("no separator", 12, Fault::NoSeparator),
    kind("random", 12, Fault::Random),
];

/// Pads and encrypts a message correctly.
///
/// # Errors
///
/// The errors of the vault.
pub fn encrypted(padding: Padding, spki: &[u8], message: &[u8]) -> Result<Vec<u8>, Error> {
    let block = match padding {
        Padding::OaepSha256 => oaep(message)?,
        Padding::Pkcs1v15 => pkcs1v15(message)?,
    };
    encrypt_raw(spki, &block)
}

impl Kind {
    /// Whether the padding is valid.
    pub fn is_valid(&self, padding: Padding) -> bool {
        matches!(self.fault, Fault::None) && self.message <= padding.max_clear(SIZE)
    }

    /// A new ciphertext of this kind.
    ///
    /// # Errors
    ///
    /// The errors of the vault.
    pub fn ciphertext(&self, padding: Padding, spki: &[u8]) -> Result<Vec<u8>, Error> {
        let block = match padding {
            Padding::OaepSha256 => self.oaep()?,
            Padding::Pkcs1v15 => self.pkcs1v15()?,
        };
        encrypt_raw(spki, &block)
    }

    fn pkcs1v15(&self) -> Result<Vec<u8>, Error> {
        if matches!(self.fault, Fault::Random) {
            return low();
        }
        let mut block = pkcs1v15(&self.bytes()?)?;
        match self.fault {
            Fault::Byte(at, byte) => set(&mut block, at, byte),
            Fault::NoSeparator => block.iter_mut().skip(1).for_each(|byte| *byte = (*byte).max(1)),
            Fault::None | Fault::Random => (),
        }
        if matches!(self.fault, Fault::NoSeparator) {
            set(&mut block, 1, 2);
        }
        Ok(block)
    }

    fn oaep(&self) -> Result<Vec<u8>, Error> {
        if matches!(self.fault, Fault::Random) {
            return low();
        }
        let mut block = unmasked_oaep(&self.bytes()?)?;
        match self.fault {
            Fault::Byte(at, byte) => set(&mut block, at, byte),
            Fault::NoSeparator => block.iter_mut().skip(65).for_each(|byte| *byte = 0),
            Fault::None | Fault::Random => (),
        }
        mask(&mut block);
        Ok(block)
    }

    /// A random message, like a synthetic message, so that only the padding differs: UTF-8
    /// validation stops at the first invalid byte, and must not run longer for one class. A message
    /// with bytes is never valid text; a synthetic message is, once in 400 times.
    fn bytes(&self) -> Result<Vec<u8>, Error> {
        loop {
            let mut bytes = random::<SIZE>()?.to_vec();
            bytes.truncate(self.message);
            if bytes.is_empty() || str::from_utf8(&bytes).is_err() {
                return Ok(bytes);
            }
        }
    }
}

/// Pads as in RFC 8017, section 7.2.1, but with as little padding as there is room for.
fn pkcs1v15(message: &[u8]) -> Result<Vec<u8>, Error> {
    let padding = SIZE - 3 - message.len();
    let mut block = vec![0, 2];
    block.extend(random::<SIZE>()?.iter().take(padding).map(|byte| (*byte).max(1)));
    block.push(0);
    block.extend(message);
    Ok(block)
}

/// Pads as in RFC 8017, section 7.1.1, with an empty label.
fn oaep(message: &[u8]) -> Result<Vec<u8>, Error> {
    let mut block = unmasked_oaep(message)?;
    mask(&mut block);
    Ok(block)
}

fn unmasked_oaep(message: &[u8]) -> Result<Vec<u8>, Error> {
    let mut block = vec![0];
    block.extend(random::<32>()?);
    block.extend(sha256(b""));
    block.resize(SIZE - 1 - message.len(), 0);
    block.push(1);
    block.extend(message);
    Ok(block)
}

fn mask(block: &mut [u8]) {
    if let Some((seed, data)) = block.get_mut(1..).and_then(|rest| rest.split_at_mut_checked(32)) {
        xor_mgf1(data, seed);
        xor_mgf1(seed, data);
    }
}

fn xor_mgf1(target: &mut [u8], seed: &[u8]) {
    for (counter, chunk) in (0_u32..).zip(target.chunks_mut(32)) {
        let mask = sha256(&[seed, &counter.to_be_bytes()].concat());
        chunk.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
    }
}

/// A random block, smaller than any modulus.
fn low() -> Result<Vec<u8>, Error> {
    let mut block = random::<SIZE>()?.to_vec();
    if let Some(first) = block.first_mut() {
        *first &= 0x7f;
    }
    Ok(block)
}

fn set(block: &mut [u8], at: usize, byte: u8) {
    if let Some(place) = block.get_mut(at) {
        *place = byte;
    }
}
