//! The comparison of valid and malformed paddings.

use std::{hint::black_box, time::Instant};

use rekey_timing::{
    Class, End, Expected, Machine, Race,
    blocks::{self, Kind, encrypted},
    pin,
};
use rekey_vault::{
    About, Error, Judgement, Padding, Policy, PrivateKey,
    proof::{self, synthetic},
    random, sha256,
};

/// The timed parts of a decryption, and the bound in nanoseconds within which classes must agree.
/// The noise of the private-key operation hides the handling of the padding after it, hence two
/// parts.
const STRETCHES: [(&str, i64); 2] =
    [("after the private operation", 50), ("with the private operation", 500)];
/// Unmeasured rounds at the start, which fill the caches and let the processor's clock settle.
const WARM_UP: usize = 200;

/// The paddings that are measured.
pub(crate) const PADDINGS: [Padding; 2] = [Padding::Pkcs1v15, Padding::OaepSha256];

/// Measures these paddings with `samples` rounds each, and returns the worst result.
pub(crate) fn run(paddings: &[Padding], samples: usize) -> Result<End, Error> {
    println!("{}", Machine::this());
    pin();
    let mut end = End::Alike;
    for padding in paddings {
        end = end.worse(compare(*padding, samples)?);
    }
    Ok(end)
}

fn compare(padding: Padding, samples: usize) -> Result<End, Error> {
    let kinds = blocks::kinds(padding);
    let bench = Bench::new(padding, kinds)?;
    let mut races = STRETCHES.map(|_| Race::new(classes(kinds)));
    let begun = Instant::now();
    for number in 0..WARM_UP + samples {
        let times = bench.round(&races[0])?;
        let minutes = begun.elapsed().as_secs() / 60;
        if number == WARM_UP {
            let all = begun.elapsed().as_secs() * u64::try_from(samples / WARM_UP).unwrap_or(0);
            println!("\n{}: {samples} rounds, about {} min", padding.as_str(), all.div_ceil(60));
        } else if number > WARM_UP && (number - WARM_UP).is_multiple_of(samples.div_ceil(10).max(1))
        {
            println!("{} rounds, {minutes} min", number - WARM_UP);
        }
        if number >= WARM_UP {
            for (race, times) in races.iter_mut().zip(times) {
                race.round(times);
            }
        }
    }
    let mut end = End::Alike;
    for ((name, bound), race) in STRETCHES.iter().zip(&races) {
        println!("\n{}, {name}", padding.as_str());
        end = end.worse(race.end(*bound));
    }
    Ok(end)
}

/// The kinds of blocks, followed by the classes that are not made of a block alone.
fn classes(kinds: &[Kind]) -> Vec<Class> {
    let class = |name: &str, against, expected| Class { name: name.to_owned(), against, expected };
    let mut classes: Vec<_> =
        kinds.iter().map(|kind| class(kind.name, 0, Expected::Alike)).collect();
    let text = kinds.len();
    classes.push(class("valid, a short text", text, Expected::Alike));
    classes.push(class("synthetic, the same short text", text, Expected::Alike));
    classes.push(class("control: slower by two SHA-256", 0, Expected::Slower));
    classes
}

/// The data of one measurement.
struct Bench<'a> {
    padding: Padding,
    kinds: &'a [Kind],
    key: PrivateKey,
    spki: Vec<u8>,
    policy: Policy,
}

impl<'a> Bench<'a> {
    fn new(padding: Padding, kinds: &'a [Kind]) -> Result<Self, Error> {
        let key = PrivateKey::generate(padding)?;
        let spki = key.public_spki()?;
        // No message that fits can satisfy this policy, so the check for genuineness is never
        // reached.
        let policy = Policy { min_length: 300, min_numeric: 1, ..Policy::default() };
        Ok(Self { padding, kinds, key, spki, policy })
    }

    /// Creates a new ciphertext for each class, then measures the classes in random order; returns
    /// the times by [`STRETCHES`].
    fn round(&self, race: &Race) -> Result<[Vec<u64>; 2], Error> {
        let ciphertexts = self.ciphertexts()?;
        let mut times = STRETCHES.map(|_| vec![0; ciphertexts.len()]);
        let mut input = vec![0; blocks::SIZE];
        for class in race.order(&random::<32>()?) {
            let Some(ciphertext) = ciphertexts.get(class) else { continue };
            input.copy_from_slice(ciphertext);
            let slower = race.classes().get(class).is_some_and(|c| c.expected == Expected::Slower);
            for (times, measured) in times.iter_mut().zip(self.judged(&input, slower)?) {
                if let Some(time) = times.get_mut(class) {
                    *time = measured;
                }
            }
        }
        Ok(times)
    }

    /// Decrypts and judges as a worker does; returns the times in nanoseconds, by [`STRETCHES`].
    fn judged(&self, ciphertext: &[u8], slower: bool) -> Result<[u64; 2], Error> {
        let about = About::default();
        let begun = Instant::now();
        let block = proof::open(&self.key, black_box(ciphertext))?;
        let opened = Instant::now();
        let candidate = proof::depad(&self.key, ciphertext, black_box(block));
        let judgement = candidate.judge(&self.policy, &about);
        if slower {
            black_box([0; 2].map(|_| sha256(black_box(ciphertext))));
        }
        let ended = Instant::now();
        assert!(
            !matches!(black_box(judgement), Judgement::Accepted(_)),
            "what must be refused was accepted"
        );
        Ok([opened, begun]
            .map(|from| u64::try_from(ended.duration_since(from).as_nanos()).unwrap_or(u64::MAX)))
    }

    fn ciphertexts(&self) -> Result<Vec<Vec<u8>>, Error> {
        let mut all = Vec::with_capacity(self.kinds.len() + 3);
        for kind in self.kinds {
            all.push(kind.ciphertext(self.padding, &self.spki)?);
        }
        let (synthetic, text) = self.synthetic_text()?;
        all.push(encrypted(self.padding, &self.spki, &text)?);
        all.push(synthetic);
        if let Some(reference) = self.kinds.first() {
            all.push(reference.ciphertext(self.padding, &self.spki)?);
        }
        Ok(all)
    }

    /// A random ciphertext whose synthetic message is text, as one in 400 is, and that message.
    fn synthetic_text(&self) -> Result<(Vec<u8>, Vec<u8>), Error> {
        loop {
            let mut ciphertext = random::<{ blocks::SIZE }>()?.to_vec();
            if let Some(first) = ciphertext.first_mut() {
                *first &= 0x7f;
            }
            let message = synthetic(&self.key, &ciphertext);
            let text = !message.is_empty() && message.iter().all(|byte| (32..127).contains(byte));
            if text {
                return Ok((ciphertext, message));
            }
        }
    }
}
