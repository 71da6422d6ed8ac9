//! How much some tests do: little in a run of all tests, much in `make soak`.

/// The variable that asks for much.
const VARIABLE: &str = "SCALEGATE_SOAK";

/// Whether much is asked for.
pub(crate) fn is_asked_for() -> bool {
    std::env::var_os(VARIABLE).is_some()
}

/// `little`, or `much` where that is asked for.
pub(crate) fn or(little: usize, much: usize) -> usize {
    if is_asked_for() { much } else { little }
}
