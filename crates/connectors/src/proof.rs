//! Points at which a proof build (`--cfg rekey_proof`) can stop the process, so that a proof can
//! let time pass there. In every other build this module does nothing.

/// Stops the process with SIGSTOP if the file named by `REKEY_PAUSE_AT` contains the name of this
/// point. The file is removed first, so that the process stops only once.
#[cfg(not(rekey_proof))]
#[inline]
pub(crate) const fn pause_at(_point: &str) {}

#[cfg(rekey_proof)]
pub(crate) fn pause_at(point: &str) {
    let Some(file) = std::env::var_os("REKEY_PAUSE_AT") else { return };
    if std::fs::read_to_string(&file).is_ok_and(|named| named == point)
        && std::fs::remove_file(&file).is_ok()
    {
        let process = std::process::id().to_string();
        let _ = std::process::Command::new("kill").args(["-s", "STOP", &process]).status();
    }
}
