//! Depadding against the draft's vectors, against a plain implementation of the RFC, and at random.

use aws_lc_rs::digest::{SHA256, digest};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use proptest::prelude::*;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{Substitute, oaep, pkcs1v15};
use crate::{Candidate, Padding, PrivateKey, rsa};

#[derive(Deserialize)]
struct Vectors {
    sections: Vec<Section>,
}

#[derive(Deserialize)]
struct Section {
    name: String,
    key: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    genuine: bool,
    ciphertext: String,
    message: String,
}

#[test]
fn the_vectors_of_the_draft_come_out_as_it_says() {
    let text = include_str!("../../tests/data/implicit-rejection.json");
    let vectors: Vectors = serde_json::from_str(text).unwrap();
    let mut tried = 0;
    for section in &vectors.sections {
        let der = BASE64_STANDARD.decode(&section.key).unwrap();
        let key = PrivateKey::from_pkcs8(Padding::Pkcs1v15, &der).unwrap();
        for case in &section.cases {
            let candidate = key.decrypt(&bytes(&case.ciphertext)).unwrap();
            assert_eq!(candidate.message(), bytes(&case.message), "{}", case.id);
            assert_eq!(candidate.is_genuine(), case.genuine, "{}", case.id);
            tried += 1;
        }
        assert!(!section.cases.is_empty(), "{}", section.name);
    }
    assert_eq!(tried, 48);
}

#[test]
fn a_wrong_secret_gives_another_synthetic_message() {
    // Negative control for the vectors: they depend on the private exponent.
    let block = || Zeroizing::new(vec![7; 256]);
    let one = pkcs1v15(block(), &Substitute::new(&[1; 32], b"ciphertext"));
    let same = pkcs1v15(block(), &Substitute::new(&[1; 32], b"ciphertext"));
    let other = pkcs1v15(block(), &Substitute::new(&[2; 32], b"ciphertext"));
    assert_eq!(one.message(), same.message());
    assert_ne!(one.message(), other.message());
}

#[test]
fn a_synthetic_length_may_be_the_longest_and_never_more() {
    let mut longest = 0;
    for number in 0..3_000_u32 {
        let substitute = Substitute::new(&[0; 32], &number.to_be_bytes());
        let (message, length) = substitute.message(256, 245);
        assert_eq!(message.len(), 256);
        assert!(length <= 245);
        longest = longest.max(length);
    }
    assert_eq!(longest, 245);
}

#[test]
fn each_fault_of_pkcs1v15_gives_a_synthetic_message() {
    let sound = pkcs1v15_block(256, b"correct horse");
    assert!(open(pkcs1v15, &sound).is_genuine());
    assert_eq!(open(pkcs1v15, &sound).message(), b"correct horse");
    for (fault, index, byte) in [
        ("first byte", 0, 1),
        ("block type", 1, 1),
        ("zero as the first byte of the padding", 2, 0),
        ("zero as the eighth byte of the padding", 9, 0),
    ] {
        let mut block = sound.clone();
        block[index] = byte;
        assert!(!open(pkcs1v15, &block).is_genuine(), "{fault}");
    }
    let mut shortest = sound.clone();
    shortest[10] = 0;
    assert!(open(pkcs1v15, &shortest).is_genuine(), "eight bytes of padding suffice");
    assert_eq!(open(pkcs1v15, &shortest).message().len(), 245);
    let mut endless = sound;
    endless.iter_mut().filter(|byte| **byte == 0).skip(1).for_each(|byte| *byte = 9);
    assert!(!open(pkcs1v15, &endless).is_genuine(), "no separator");
}

#[test]
fn each_fault_of_oaep_gives_a_synthetic_message() {
    let sound = oaep_block(256, b"correct horse");
    assert!(open(oaep, &masked(sound.clone())).is_genuine());
    assert_eq!(open(oaep, &masked(sound.clone())).message(), b"correct horse");
    let separator = 256 - 1 - b"correct horse".len();
    for (fault, index, byte) in [
        ("first byte", 0, 1),
        ("first byte of the label's hash", 33, 0),
        ("last byte of the label's hash", 64, 0),
        ("not zero before the separator", 65, 2),
        ("not one at the separator", separator, 3),
    ] {
        let mut block = sound.clone();
        assert_ne!(block[index], byte, "{fault}");
        block[index] = byte;
        assert!(!open(oaep, &masked(block)).is_genuine(), "{fault}");
    }
    let mut endless = sound;
    endless[65..].fill(0);
    assert!(!open(oaep, &masked(endless)).is_genuine(), "no separator");
}

proptest! {
    #[test]
    fn no_block_makes_depadding_panic(block in prop::collection::vec(any::<u8>(), 0..600)) {
        for depad in [oaep, pkcs1v15] {
            let candidate = open(depad, &block);
            prop_assert!(candidate.message().len() <= block.len());
        }
    }

    #[test]
    fn pkcs1v15_agrees_with_a_plain_reading(
        start in prop::collection::vec(0_u8..4, 2..14),
        rest in prop::collection::vec(prop_oneof![Just(0_u8), any::<u8>()], 242),
    ) {
        let mut block = [start, rest].concat();
        block.truncate(244);
        block[0] &= 1;
        let plain = block.strip_prefix(&[0, 2]).and_then(|rest| {
            let zero = rest.iter().position(|byte| *byte == 0).filter(|zero| *zero >= 8)?;
            Some(rest[zero + 1..].to_vec())
        });
        let candidate = open(pkcs1v15, &block);
        prop_assert_eq!(candidate.is_genuine(), plain.is_some());
        if let Some(message) = plain {
            prop_assert_eq!(candidate.message(), message);
        }
    }

    #[test]
    fn whatever_is_padded_comes_back(message in prop::collection::vec(any::<u8>(), 0..=190)) {
        for candidate in [
            open(pkcs1v15, &pkcs1v15_block(256, &message)),
            open(oaep, &masked(oaep_block(256, &message))),
        ] {
            prop_assert!(candidate.is_genuine());
            prop_assert_eq!(candidate.message(), &message);
        }
    }
}

#[test]
fn a_raw_block_is_what_openssl_would_see() {
    // The raw operation reverses encryption: the block of a valid ciphertext begins with 00 02.
    let key = PrivateKey::generate(Padding::Pkcs1v15).unwrap();
    let spki = key.public_spki().unwrap();
    let ciphertext =
        crate::PublicKey::from_spki(&spki).unwrap().encrypt(Padding::Pkcs1v15, b"message").unwrap();
    let raw = rsa::Key::from_pkcs8(&key.to_pkcs8().unwrap()).unwrap();
    let block = raw.decrypt_raw(&ciphertext).unwrap();
    assert_eq!(block[..2], [0, 2]);
    assert!(block.ends_with(b"\0message"));
}

fn open(depad: fn(Zeroizing<Vec<u8>>, &Substitute) -> Candidate, block: &[u8]) -> Candidate {
    depad(Zeroizing::new(block.to_vec()), &Substitute::new(&[5; 32], block))
}

pub(super) fn pkcs1v15_block(size: usize, message: &[u8]) -> Vec<u8> {
    let mut block = vec![0xa5; size];
    block[..2].copy_from_slice(&[0, 2]);
    block[size - message.len() - 1] = 0;
    block[size - message.len()..].copy_from_slice(message);
    block
}

/// Returns an OAEP block before masking.
pub(super) fn oaep_block(size: usize, message: &[u8]) -> Vec<u8> {
    let mut block = vec![0; size];
    block[1..33].fill(0x5a);
    block[33..65].copy_from_slice(digest(&SHA256, b"").as_ref());
    block[size - message.len() - 1] = 1;
    block[size - message.len()..].copy_from_slice(message);
    block
}

pub(super) fn masked(mut block: Vec<u8>) -> Vec<u8> {
    let (seed, data) = block[1..].split_at_mut(32);
    mask(data, seed);
    mask(seed, data);
    block
}

fn mask(target: &mut [u8], seed: &[u8]) {
    for (counter, chunk) in target.chunks_mut(32).enumerate() {
        let counter = u32::try_from(counter).unwrap().to_be_bytes();
        let mask = digest(&SHA256, &[seed, &counter].concat());
        chunk.iter_mut().zip(mask.as_ref()).for_each(|(byte, mask)| *byte ^= mask);
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.chars().map(|digit| digit.to_digit(16).unwrap()).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}
