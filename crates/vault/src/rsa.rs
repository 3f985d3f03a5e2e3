//! The raw RSA private operation of AWS-LC. This is the only file in rekey with `unsafe` code.
//!
//! The operation is raw, because AWS-LC's own depadding shows its caller whether the padding was
//! right (see the comment above its `RSA_padding_check_PKCS1_type_2`). Blinding and the check
//! against faults stay on, and the result has the full width of the modulus.
#![expect(unsafe_code, reason = "AWS-LC offers the raw private operation only through its C API")]

use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};
use std::slice;

use aws_lc_sys::{
    BIGNUM, BN_bn2bin_padded, CBB, CBB_cleanup, CBB_finish, CBB_init, CBS, CBS_init,
    ERR_clear_error, EVP_PKEY, EVP_PKEY_RSA, EVP_PKEY_free, EVP_PKEY_get0_RSA, EVP_PKEY_id,
    EVP_marshal_private_key, EVP_marshal_public_key, EVP_parse_private_key, EVP_parse_public_key,
    OPENSSL_free, RSA, RSA_NO_PADDING, RSA_bits, RSA_decrypt, RSA_get0_d, RSA_get0_n, RSA_size,
};
use zeroize::Zeroizing;

use crate::Error;

/// An RSA key of 2048 to 4096 bits, held by AWS-LC.
pub(crate) struct Key {
    /// Owned. It is always an RSA key: every constructor checks that.
    key: NonNull<EVP_PKEY>,
    /// Points into `key`, and is valid as long as `key` is.
    rsa: NonNull<RSA>,
}

// SAFETY: several threads may use an AWS-LC key at the same time, and any may free it (rsa.h, "RSA
// objects"), as long as none changes it. This type never changes a key after parsing.
unsafe impl Send for Key {}
// SAFETY: as above.
unsafe impl Sync for Key {}

impl Drop for Key {
    fn drop(&mut self) {
        // SAFETY: `key` is owned and freed here only. AWS-LC wipes the memory that it frees.
        unsafe { EVP_PKEY_free(self.key.as_ptr()) }
    }
}

impl Key {
    /// Reads a private key in PKCS#8 without trailing bytes. AWS-LC checks its consistency.
    pub(crate) fn from_pkcs8(der: &[u8]) -> Result<Self, Error> {
        Self::parse(der, EVP_parse_private_key)
    }

    /// Reads a public key in a `SubjectPublicKeyInfo` without trailing bytes.
    pub(crate) fn from_spki(der: &[u8]) -> Result<Self, Error> {
        Self::parse(der, EVP_parse_public_key)
    }

    /// The length of the modulus, in bytes.
    pub(crate) fn size(&self) -> usize {
        // SAFETY: `rsa` is valid for as long as `self`.
        let size = unsafe { RSA_size(self.rsa.as_ptr()) };
        usize::try_from(size).unwrap_or(0)
    }

    /// The modulus, big-endian.
    pub(crate) fn modulus(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        // SAFETY: `rsa` is valid for as long as `self`, and so is the returned number.
        self.number(unsafe { RSA_get0_n(self.rsa.as_ptr()) })
    }

    /// The private exponent, big-endian, as long as the modulus.
    pub(crate) fn private_exponent(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        // SAFETY: `rsa` is valid for as long as `self`, and so is the returned number.
        self.number(unsafe { RSA_get0_d(self.rsa.as_ptr()) })
    }

    /// The private key in PKCS#8.
    pub(crate) fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.marshal(EVP_marshal_private_key)
    }

    /// The public key as a `SubjectPublicKeyInfo`.
    pub(crate) fn to_spki(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.marshal(EVP_marshal_public_key)
    }

    /// `ciphertext ^ d mod n`, at full width. Fails unless `ciphertext` is as long as the modulus
    /// and, as a number, greater than 1 and less than the modulus minus 1.
    pub(crate) fn decrypt_raw(&self, ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let mut block = Zeroizing::new(vec![0; self.size()]);
        let mut written = 0;
        // SAFETY: both slices are valid for the given lengths, they do not overlap, and AWS-LC
        // writes at most `block.len()` bytes. Use of a key changes only data that AWS-LC protects
        // with a lock.
        let done = unsafe {
            RSA_decrypt(
                self.rsa.as_ptr(),
                &raw mut written,
                block.as_mut_ptr(),
                block.len(),
                ciphertext.as_ptr(),
                ciphertext.len(),
                RSA_NO_PADDING,
            )
        };
        if done == 1 && written == block.len() { Ok(block) } else { Err(failed(Error::Rsa)) }
    }

    fn parse(
        der: &[u8],
        read: unsafe extern "C" fn(*mut CBS) -> *mut EVP_PKEY,
    ) -> Result<Self, Error> {
        let mut input = CBS { data: ptr::null(), len: 0 };
        // SAFETY: `input` borrows `der` for this function only; `read` stays within its bounds.
        let key = unsafe {
            CBS_init(&raw mut input, der.as_ptr(), der.len());
            read(&raw mut input)
        };
        let Some(key) = NonNull::new(key) else { return Err(failed(Error::Key)) };
        // SAFETY: `key` is valid. The result points into it, or is null for a key of another kind.
        let rsa = NonNull::new(unsafe { EVP_PKEY_get0_RSA(key.as_ptr()) });
        let Some(rsa) = rsa else {
            // SAFETY: `key` is owned here and not used afterwards.
            unsafe { EVP_PKEY_free(key.as_ptr()) };
            return Err(failed(Error::Key));
        };
        let key = Self { key, rsa };
        // SAFETY: both are valid for as long as `key`.
        let (kind, bits) = unsafe { (EVP_PKEY_id(key.key.as_ptr()), RSA_bits(rsa.as_ptr())) };
        // RSASSA-PSS keys are refused: they are for signatures only.
        let sound = kind == EVP_PKEY_RSA && input.len == 0 && (2048..=4096).contains(&bits);
        if sound { Ok(key) } else { Err(Error::Key) }
    }

    fn number(&self, number: *const BIGNUM) -> Result<Zeroizing<Vec<u8>>, Error> {
        let mut bytes = Zeroizing::new(vec![0; self.size()]);
        if number.is_null() {
            return Err(Error::Key);
        }
        // SAFETY: `number` belongs to this key, and `bytes` is valid for its length.
        let done = unsafe { BN_bn2bin_padded(bytes.as_mut_ptr(), bytes.len(), number) };
        if done == 1 { Ok(bytes) } else { Err(failed(Error::Key)) }
    }

    fn marshal(
        &self,
        write: unsafe extern "C" fn(*mut CBB, *const EVP_PKEY) -> i32,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let mut output = MaybeUninit::<CBB>::uninit();
        let (mut data, mut len) = (ptr::null_mut(), 0);
        // SAFETY: `output` is used only after `CBB_init` has succeeded, and released by
        // `CBB_finish` or `CBB_cleanup`. After `CBB_finish`, `data` is owned here, valid for `len`
        // bytes, and freed here; AWS-LC wipes the memory that it frees.
        unsafe {
            if CBB_init(output.as_mut_ptr(), 2048) != 1 {
                return Err(failed(Error::Rsa));
            }
            if write(output.as_mut_ptr(), self.key.as_ptr()) != 1
                || CBB_finish(output.as_mut_ptr(), &raw mut data, &raw mut len) != 1
            {
                CBB_cleanup(output.as_mut_ptr());
                return Err(failed(Error::Rsa));
            }
            let bytes = Zeroizing::new(slice::from_raw_parts(data, len).to_vec());
            OPENSSL_free(data.cast());
            Ok(bytes)
        }
    }
}

/// Clears AWS-LC's error queue of this thread, so that no later call reports an old error.
fn failed(error: Error) -> Error {
    // SAFETY: this changes only the queue of the current thread.
    unsafe { ERR_clear_error() }
    error
}

#[cfg(rekey_proof)]
impl Key {
    /// `block ^ e mod n`: encrypts an arbitrary block, without padding.
    pub(crate) fn encrypt_raw(&self, block: &[u8]) -> Result<Vec<u8>, Error> {
        let mut ciphertext = vec![0; self.size()];
        let mut written = 0;
        // SAFETY: as in `decrypt_raw`.
        let done = unsafe {
            aws_lc_sys::RSA_encrypt(
                self.rsa.as_ptr(),
                &raw mut written,
                ciphertext.as_mut_ptr(),
                ciphertext.len(),
                block.as_ptr(),
                block.len(),
                RSA_NO_PADDING,
            )
        };
        let whole = done == 1 && written == ciphertext.len();
        if whole { Ok(ciphertext) } else { Err(failed(Error::Rsa)) }
    }
}
