//! Arbitrary ciphertexts, in base64 and raw: public faults are reported, and every other ciphertext
//! yields a candidate that is never accepted and is judged the same each time.
#![cfg_attr(fuzzing, no_main)]

rekey_fuzz::target!(ciphertext);
