//! What only a proof build has (`--cfg rekey_proof`): places at which rekey stops itself, so that a
//! proof can let time pass right there. In every other build this is empty.

/// Stops the process, as SIGSTOP does, if the file that `REKEY_PAUSE_AT` names holds this point's
/// name; the file is removed first, so that it happens once.
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
