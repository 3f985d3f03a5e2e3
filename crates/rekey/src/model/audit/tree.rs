//! The Merkle tree over the entries of the audit trail (RFC 6962, section 2.1).

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD};
use rekey_vault::sha256;
use serde::{Deserialize, Serialize, de::Error as _};

/// A SHA-256 hash; base64 as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// Parses base64.
    pub fn parse(text: &str) -> Option<Self> {
        BASE64_STANDARD.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// The hash of a leaf.
    pub fn of_leaf(entry: &[u8]) -> Self {
        Self(sha256(&[&[0], entry].concat()))
    }

    /// The hash of an inner node.
    pub fn of_node(left: Self, right: Self) -> Self {
        Self(sha256(&[&[1], &left.0[..], &right.0[..]].concat()))
    }

    /// The hash of the next chain entry: over this hash and the entry.
    #[must_use]
    pub fn chained(self, entry: &[u8]) -> Self {
        Self(sha256(&[&self.0[..], entry].concat()))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64_STANDARD.encode(self.0))
    }
}

impl Serialize for Hash {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("it is not a SHA-256 in base64"))
    }
}

/// A tree that only grows: its size, and the roots of its full subtrees, the largest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    size: u64,
    peaks: Vec<Hash>,
}

impl Tree {
    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        // Each full subtree of the same height is merged, like a carry in binary counting.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                hash = Hash::of_node(left, hash);
            }
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// The root hash.
    pub fn root(&self) -> Hash {
        let above = |right, left: &Hash| Hash::of_node(*left, right);
        match self.peaks.split_last() {
            None => Hash(sha256(b"")),
            Some((last, rest)) => rest.iter().rev().fold(*last, above),
        }
    }
}

/// The root hash over these leaves.
pub fn root(leaves: &[Hash]) -> Hash {
    let mut tree = Tree::default();
    for leaf in leaves {
        tree.push(*leaf);
    }
    tree.root()
}

/// The audit path of the leaf at `index` in the tree over all leaves, from the leaf upwards.
pub fn path(leaves: &[Hash], index: usize) -> Vec<Hash> {
    if leaves.len() < 2 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
    let (mut way, other) = if index < left.len() {
        (path(left, index), right)
    } else {
        (path(right, index - left.len()), left)
    };
    way.push(root(other));
    way
}

/// The root that follows from a leaf and its audit path (RFC 9162, section 2.1.3.2); none if the
/// path does not fit a tree of this size.
pub fn root_by(leaf: Hash, index: u64, size: u64, way: &[Hash]) -> Option<Hash> {
    let (mut at, mut last) = (index, size.checked_sub(1).filter(|last| index <= *last)?);
    let mut hash = leaf;
    for step in way {
        if last == 0 {
            return None;
        }
        if at % 2 == 1 || at == last {
            hash = Hash::of_node(*step, hash);
            while at.is_multiple_of(2) && at != 0 {
                at /= 2;
                last /= 2;
            }
        } else {
            hash = Hash::of_node(hash, *step);
        }
        at /= 2;
        last /= 2;
    }
    (last == 0).then_some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: u8) -> Vec<Hash> {
        (0..count).map(|n| Hash::of_leaf(&[n])).collect()
    }

    /// The definition of RFC 6962, transcribed literally.
    fn by_definition(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Hash(sha256(b"")),
            [one] => *one,
            many => {
                let mut half = 1;
                while half * 2 < many.len() {
                    half *= 2;
                }
                Hash::of_node(by_definition(&many[..half]), by_definition(&many[half..]))
            }
        }
    }

    /// The test vectors of the certificate-transparency reference implementation.
    #[test]
    fn the_roots_are_the_known_ones() {
        let entries: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let leaves: Vec<_> = entries.iter().map(|entry| Hash::of_leaf(entry)).collect();
        let hex = |hash: Hash| rekey_vault::hex(&hash.0);
        assert_eq!(
            hex(root(&[])),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(
            hex(root(&leaves[..1])),
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
        );
        assert_eq!(
            hex(root(&leaves)),
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
        );
    }

    #[test]
    fn growing_a_tree_gives_the_root_of_its_definition() {
        for count in 0..70 {
            assert_eq!(root(&leaves(count)), by_definition(&leaves(count)), "{count}");
        }
    }

    #[test]
    fn every_leaf_has_a_way_to_the_root_and_no_other_leaf_has_it() {
        for count in 1..40 {
            let leaves = leaves(count);
            let size = u64::from(count);
            for (index, leaf) in leaves.iter().enumerate() {
                let way = path(&leaves, index);
                let at = u64::try_from(index).unwrap();
                assert_eq!(root_by(*leaf, at, size, &way), Some(root(&leaves)), "{count} {index}");
                let other = Hash::of_leaf(b"other");
                assert_ne!(root_by(other, at, size, &way), Some(root(&leaves)));
                if count > 1 {
                    assert_ne!(root_by(*leaf, (at + 1) % size, size, &way), Some(root(&leaves)));
                    assert_eq!(root_by(*leaf, at, size, &way[1..]), None);
                }
            }
        }
    }
}
