//! Signed checkpoints: the size and the root of the trail's tree (C2SP `tlog-checkpoint` in a C2SP
//! `signed-note`, Ed25519).

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::{Engine, prelude::BASE64_STANDARD};
use rekey_vault::{Sealer, sha256};

use crate::{Error, model::audit::tree::Hash};

/// The signature type of Ed25519 in a signed note.
const ED25519_NOTE: u8 = 1;
/// The label from which the signing key is derived.
const LABEL: &str = "audit checkpoint";

/// Signs checkpoints, and verifies its own signatures.
pub struct Signer {
    key: Ed25519KeyPair,
    /// The name of the trail, which is also the name of the key.
    name: String,
}

/// The content of a signed checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The number of entries that it covers.
    pub size: u64,
    /// The root of the Merkle tree over these entries.
    pub root: Hash,
}

impl Signer {
    /// Derives the signer of this installation.
    pub fn new(sealer: &Sealer, tenant_id: &str) -> Result<Self, Error> {
        let key = Ed25519KeyPair::from_seed_unchecked(sealer.derived(LABEL)?.as_ref())
            .map_err(|error| Error::Internal(format!("the audit key: {error}")))?;
        Ok(Self { key, name: format!("rekey/audit/{tenant_id}") })
    }

    /// Returns the public key in the format of Go's and C2SP's tools.
    pub fn verifier_key(&self) -> String {
        let id = rekey_vault::hex(&self.key_id());
        format!("{}+{id}+{}", self.name, BASE64_STANDARD.encode(self.typed_key()))
    }

    /// Returns the signed note, which ends with a line feed.
    pub fn sign(&self, checkpoint: &Checkpoint) -> String {
        let text = format!("{}\n{}\n{}\n", self.name, checkpoint.size, checkpoint.root);
        let signature = self.key.sign(text.as_bytes());
        let signature = BASE64_STANDARD.encode([&self.key_id(), signature.as_ref()].concat());
        format!("{text}\n— {} {signature}\n", self.name)
    }

    /// Returns the content of a note if this installation signed it, or an error text.
    pub fn open(&self, note: &str) -> Result<Checkpoint, String> {
        let (text, signatures) = note.rsplit_once("\n\n").ok_or("it is not a signed note")?;
        let mut lines = text.lines();
        let mut line = || lines.next().unwrap_or_default();
        let (name, size, root) = (line(), line(), line());
        if name != self.name {
            return Err(format!("it is of another trail, {name:?}: this one is {}", self.name));
        }
        let size = size.parse().map_err(|_| "its size is not a number")?;
        let root = Hash::parse(root).ok_or("its root is not a SHA-256 in base64")?;
        let begin = format!("— {} ", self.name);
        let signature = signatures
            .lines()
            .filter_map(|line| BASE64_STANDARD.decode(line.strip_prefix(&begin)?).ok())
            .find_map(|bytes| bytes.strip_prefix(&self.key_id()).map(<[u8]>::to_vec))
            .ok_or("it has no signature by this installation's key")?;
        let public = UnparsedPublicKey::new(&ED25519, self.key.public_key());
        public
            .verify(format!("{text}\n").as_bytes(), &signature)
            .map_err(|_| "its signature is wrong")?;
        Ok(Checkpoint { size, root })
    }

    fn typed_key(&self) -> Vec<u8> {
        [&[ED25519_NOTE], self.key.public_key().as_ref()].concat()
    }

    fn key_id(&self) -> [u8; 4] {
        let digest = sha256(&[self.name.as_bytes(), b"\n", self.typed_key().as_slice()].concat());
        let [a, b, c, d, ..] = digest;
        [a, b, c, d]
    }
}

#[cfg(test)]
mod tests {
    use rekey_vault::Kek;

    use super::*;

    fn signer() -> Signer {
        let folder = tempfile::tempdir().unwrap();
        let sealer = Sealer::new(Kek::create(&folder.path().join("master.key")).unwrap());
        Signer::new(&sealer, "abc").unwrap()
    }

    #[test]
    fn what_was_signed_opens_and_nothing_else() {
        let signer = signer();
        let checkpoint = Checkpoint { size: 7, root: Hash([3; 32]) };
        let note = signer.sign(&checkpoint);
        assert!(note.starts_with("rekey/audit/abc\n7\n"), "{note}");
        assert_eq!(note.lines().count(), 5);
        assert_eq!(signer.open(&note), Ok(checkpoint));
        let of_other = super::tests::signer().open(&note).unwrap_err();
        assert!(of_other.contains("no signature by this installation"), "{of_other}");
        for (altered, why) in [
            (note.replace("\n7\n", "\n8\n"), "its signature is wrong"),
            (note.replace("audit/abc", "audit/abd"), "another trail"),
            (note.replace("\n7\n", "\nx\n"), "not a number"),
            (note.replace("\n\n", "\n"), "not a signed note"),
            (String::new(), "not a signed note"),
        ] {
            assert_ne!(altered, note);
            let told = signer.open(&altered).unwrap_err();
            assert!(told.contains(why), "{told}");
        }
    }

    #[test]
    fn a_verifier_key_names_the_key_that_signs() {
        let signer = signer();
        let key = signer.verifier_key();
        let parts: Vec<_> = key.split('+').collect();
        assert_eq!((parts[0], parts[1].len()), ("rekey/audit/abc", 8));
        // Standard base64 may contain a plus itself.
        let public = BASE64_STANDARD.decode(parts[2..].join("+")).unwrap();
        assert_eq!((public[0], public.len()), (1, 33));
    }
}
