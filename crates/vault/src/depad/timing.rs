//! Whether the time of a decryption says if the padding was right.
//!
//! Classes as in the Marvin test (tomato42/marvin-toolkit), compared in pairs by the sign test:
//! a test on means does not see what this sees. Wants an optimized build and a quiet machine:
//! `cargo test --release -p rekey-vault timing -- --ignored --nocapture`, with `SAMPLES` in the
//! environment for more than 5,000 of each class.

use std::hint::black_box;
use std::io::{Write as _, stderr};
use std::time::Instant;

use super::tests::{masked, oaep_block, pkcs1v15_block};
use crate::{Padding, PrivateKey, random, rsa, sha256};

/// Nine classes are compared with the first: |z| over 4.4 is chance in one of 10,000 runs.
const LIMIT: f64 = 4.4;

/// The class whose decryption is followed by a little work that the others do not have.
const CONTROL: &str = "control: slower by eight SHA-256";

const TWELVE: &[u8] = b"twelve bytes";

type Block = fn() -> Vec<u8>;

#[test]
#[ignore = "takes a minute, and says something only in an optimized build"]
fn the_time_of_a_decryption_does_not_tell_pkcs1v15_paddings_apart() {
    compare(
        Padding::Pkcs1v15,
        &[
            ("valid, 12 bytes", || pkcs1v15(TWELVE, &[])),
            ("valid, 12 bytes, again", || pkcs1v15(TWELVE, &[])),
            (CONTROL, || pkcs1v15(TWELVE, &[])),
            ("valid, no byte", || pkcs1v15(b"", &[])),
            ("valid, 245 bytes", || pkcs1v15(&[b'x'; 245], &[])),
            ("first byte not 0", || pkcs1v15(TWELVE, &[(0, 1)])),
            ("second byte not 2", || pkcs1v15(TWELVE, &[(1, 1)])),
            ("zero in the first eight", || pkcs1v15(TWELVE, &[(5, 0)])),
            ("no separator", || pkcs1v15(TWELVE, &[(243, 9)])),
            ("random", || low(random_block())),
        ],
    );
}

#[test]
#[ignore = "takes a minute, and says something only in an optimized build"]
fn the_time_of_a_decryption_does_not_tell_oaep_paddings_apart() {
    compare(
        Padding::OaepSha256,
        &[
            ("valid, 12 bytes", || oaep(TWELVE, &[])),
            ("valid, 12 bytes, again", || oaep(TWELVE, &[])),
            (CONTROL, || oaep(TWELVE, &[])),
            ("valid, no byte", || oaep(b"", &[])),
            ("valid, 190 bytes", || oaep(&[b'x'; 190], &[])),
            ("first byte not 0", || oaep(TWELVE, &[(0, 1)])),
            ("label", || oaep(TWELVE, &[(40, 1)])),
            ("not zero before the separator", || oaep(TWELVE, &[(100, 7)])),
            ("no separator", || oaep(TWELVE, &[(243, 0)])),
            ("random", || low(random_block())),
        ],
    );
}

fn compare(padding: Padding, classes: &[(&str, Block)]) {
    let samples = std::env::var("SAMPLES").map_or(5_000, |number| number.parse().unwrap());
    let key = PrivateKey::generate(padding).unwrap();
    let raw = rsa::Key::from_spki(&key.public_spki().unwrap()).unwrap();
    let mut times = vec![Vec::with_capacity(samples); classes.len()];
    let mut buffer = [0; 256];
    for _ in 0..samples {
        let ciphertexts: Vec<_> =
            classes.iter().map(|(_, block)| raw.encrypt_raw(&block())).collect();
        for class in shuffled(classes.len()) {
            buffer.copy_from_slice(&ciphertexts[class]);
            let start = Instant::now();
            let candidate = key.decrypt(black_box(&buffer)).unwrap();
            if classes[class].0 == CONTROL {
                for _ in 0..8 {
                    black_box(sha256(black_box(&buffer[..32])));
                }
            }
            let time = start.elapsed();
            times[class].push(i64::try_from(time.as_nanos()).unwrap());
            drop(black_box(candidate));
        }
    }
    let mut told = Vec::new();
    for ((name, _), class) in classes.iter().zip(&times) {
        let mut differences: Vec<_> = class.iter().zip(&times[0]).map(|(a, b)| a - b).collect();
        let z = sign(&differences);
        differences.sort_unstable();
        let median = differences[samples / 2];
        writeln!(stderr(), "{:11} {name:33} {median:+6} ns, z {z:+.2}", padding.as_str()).unwrap();
        if z.abs() > LIMIT {
            told.push(*name);
        }
    }
    assert!(told.contains(&CONTROL), "too noisy to say anything: not even the control is seen");
    assert_eq!(told, [CONTROL], "the time tells these from the first class");
}

/// The sign test: how many standard deviations there are more positive differences than half.
fn sign(differences: &[i64]) -> f64 {
    let count = |sign| {
        let found = differences.iter().filter(|difference| difference.signum() == sign).count();
        f64::from(u32::try_from(found).unwrap())
    };
    let (more, less) = (count(1), count(-1));
    if more + less == 0.0 { 0.0 } else { (more - less) / (more + less).sqrt() }
}

fn shuffled(count: usize) -> Vec<usize> {
    let mut order: Vec<_> = (0..count).collect();
    let random: [u8; 32] = random().unwrap();
    for last in (1..count).rev() {
        order.swap(last, usize::from(random[last]) % (last + 1));
    }
    order
}

fn random_block() -> Vec<u8> {
    random::<256>().unwrap().to_vec()
}

/// Below every modulus, and unlike any padding.
fn low(mut block: Vec<u8>) -> Vec<u8> {
    block[0] = block[0] & 0x7f | 1;
    block
}

fn pkcs1v15(message: &[u8], changes: &[(usize, u8)]) -> Vec<u8> {
    let mut block = pkcs1v15_block(256, message);
    let random = random_block();
    let padding = 2..255 - message.len();
    block[padding].iter_mut().zip(random).for_each(|(byte, random)| *byte = random.max(1));
    for (index, byte) in changes {
        block[*index] = *byte;
    }
    block
}

fn oaep(message: &[u8], changes: &[(usize, u8)]) -> Vec<u8> {
    let mut block = oaep_block(256, message);
    block[1..33].copy_from_slice(&random::<32>().unwrap());
    for (index, byte) in changes {
        block[*index] = *byte;
    }
    masked(block)
}
