//! How much some tests do: little in a run of all tests, much in `make soak`.

/// The variable that asks for much.
const VARIABLE: &str = "SCALEGATE_SOAK";

/// Returns whether this is `make soak`.
pub(crate) fn is_asked_for() -> bool {
    std::env::var_os(VARIABLE).is_some()
}

/// Returns `much` under `make soak`, else `little`.
pub(crate) fn or(little: usize, much: usize) -> usize {
    if is_asked_for() { much } else { little }
}
