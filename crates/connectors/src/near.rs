//! The name that someone probably meant.

/// `: did you mean X?`, or nothing when no name is near.
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
