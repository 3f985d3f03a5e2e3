//! Suggests the name that a misspelt word was probably meant to be.

/// Returns `: did you mean X?` for the nearest name, or an empty text if its Damerau-Levenshtein
/// distance from `word` exceeds 1 plus a third of its length.
pub fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    let best = names
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(word, name), name))
        .min_by_key(|(distance, _)| *distance);
    match best {
        Some((distance, name)) if distance <= 1 + name.chars().count() / 3 => {
            format!(": did you mean {name}?")
        }
        Some(_) | None => String::new(),
    }
}
