//! Any ciphertext, in base64 and raw: public faults are told, everything else is a candidate that is
//! never accepted, and says the same each time.
#![cfg_attr(fuzzing, no_main)]

rekey_fuzz::target!(ciphertext);
