//! Private-key operations per second on one core, compared with AWS-LC alone.

use std::time::{Duration, Instant};

use aws_lc_rs::rsa::{Pkcs1PrivateDecryptingKey, PrivateDecryptingKey};
use rekey_harness::Result;
use rekey_vault::{About, Judgement, Padding, Policy, PrivateKey, PublicKey};

use crate::{seconds, table::Row};

/// The length of one turn. The two implementations alternate, so that both meet the same noise.
const TURN: Duration = Duration::from_millis(100);

pub(crate) fn run() -> Result<()> {
    let key = PrivateKey::generate(Padding::Pkcs1v15)?;
    let public = PublicKey::from_spki(&key.public_spki()?)?;
    let ciphertext = public.encrypt(Padding::Pkcs1v15, b"Only-for-the-operation-1")?;
    let alone = PrivateDecryptingKey::from_pkcs8(&key.to_pkcs8()?);
    let alone = alone.map_err(|error| error.to_string())?;
    let alone = Pkcs1PrivateDecryptingKey::new(alone).map_err(|error| error.to_string())?;
    let mut out = vec![0; alone.min_output_size()];

    let (mut theirs, mut ours) = (Turns::default(), Turns::default());
    let started = Instant::now();
    while started.elapsed() < seconds() {
        theirs.turn(|| {
            alone.decrypt(&ciphertext, &mut out).map(|_| ()).map_err(|_| "not decrypted".into())
        })?;
        ours.turn(|| decrypt(&key, &ciphertext))?;
    }
    Row::per_second("private operations of one core, AWS-LC alone", theirs.rate()).print();
    let figure = "private operations of one core, with depadding and judgement";
    Row::per_second(figure, ours.rate()).of(theirs.rate()).at_least(0.9);
    Ok(())
}

#[derive(Default)]
struct Turns {
    count: u32,
    time: Duration,
}

impl Turns {
    fn turn(&mut self, mut operation: impl FnMut() -> Result<()>) -> Result<()> {
        let started = Instant::now();
        while started.elapsed() < TURN {
            operation()?;
            self.count += 1;
        }
        self.time += started.elapsed();
        Ok(())
    }

    fn rate(&self) -> f64 {
        f64::from(self.count) / self.time.as_secs_f64()
    }
}

/// A worker's processing of a ciphertext before it observes the target.
pub(crate) fn decrypt(key: &PrivateKey, ciphertext: &[u8]) -> Result<()> {
    let about = About {
        dictionary: None,
        account_id: "",
        account_name: "",
        account_attributes: &[],
        identity_attributes: &[],
    };
    match key.decrypt(ciphertext)?.judge(&Policy::default(), &about) {
        Judgement::Accepted(_) => Ok(()),
        Judgement::PayloadInvalid | Judgement::Violations(_) => Err("not decrypted".into()),
    }
}
