//! Blocks as they stand before the public operation: well padded, and each in its own way not.

use rekey_vault::{Error, Padding, proof::encrypt_raw, random, sha256};

/// The length of the modulus in bytes.
pub const SIZE: usize = 256;

/// A kind of block.
pub struct Kind {
    /// What it is.
    pub name: &'static str,
    /// How long its message is, in bytes, none of which makes a text.
    message: usize,
    fault: Fault,
}

/// What is wrong with it.
#[derive(Clone, Copy)]
enum Fault {
    /// Nothing.
    None,
    /// This byte, which would be another.
    Byte(usize, u8),
    /// There is nothing that says where the message begins.
    NoSeparator,
    /// Everything.
    Random,
}

const fn kind(name: &'static str, message: usize, fault: Fault) -> Kind {
    Kind { name, message, fault }
}

/// Those of one padding. The first is what the others are compared with.
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

/// A message well padded and encrypted.
///
/// # Errors
///
/// What the vault says.
pub fn encrypted(padding: Padding, spki: &[u8], message: &[u8]) -> Result<Vec<u8>, Error> {
    let block = match padding {
        Padding::OaepSha256 => oaep(message)?,
        Padding::Pkcs1v15 => pkcs1v15(message)?,
    };
    encrypt_raw(spki, &block)
}

impl Kind {
    /// Whether its padding is right.
    pub fn is_valid(&self, padding: Padding) -> bool {
        matches!(self.fault, Fault::None) && self.message <= padding.max_clear(SIZE)
    }

    /// A new ciphertext of this kind.
    ///
    /// # Errors
    ///
    /// What the vault says.
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

    /// Chance, as what stands in for a message is, so that nothing but the padding differs: where one
    /// begins with a byte that no text has, the other must not go on longer. A message of no class is
    /// text, and what stands in for one is but once in 400 times.
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

/// Padded as RFC 8017, section 7.2.1 says, but with as little padding as there is room for.
fn pkcs1v15(message: &[u8]) -> Result<Vec<u8>, Error> {
    let padding = SIZE - 3 - message.len();
    let mut block = vec![0, 2];
    block.extend(random::<SIZE>()?.iter().take(padding).map(|byte| (*byte).max(1)));
    block.push(0);
    block.extend(message);
    Ok(block)
}

/// Padded as RFC 8017, section 7.1.1 says, with an empty label.
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

/// Chance, smaller than any modulus.
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
