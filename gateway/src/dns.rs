//! The names of RFC 1123, in lower case, as Kubernetes gives them to its objects.

/// Returns whether `text` is a label: 1 to 63 letters, digits and dashes, with no dash at either end. Such are the names
/// of namespaces.
pub fn is_label(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with('-') && !text.ends_with('-')
}

/// Returns whether `text` is a subdomain: labels with dots between them, 253 bytes at most. Such are the names of most
/// objects.
pub fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_has_letters_and_digits_at_its_ends_and_dashes_only_between_them() {
        for text in ["a", "0", "a-b", "a--1", &"a".repeat(63)] {
            assert!(is_label(text) && is_subdomain(text), "{text}");
        }
        for text in ["", "-", "-a", "a-", "A", "a_b", "a/b", "ä", "..", &"a".repeat(64)] {
            assert!(!is_label(text) && !is_subdomain(text), "{text}");
        }
    }

    #[test]
    fn a_subdomain_is_labels_between_dots() {
        let longest = ["a"; 127].join(".");
        for text in ["a.b", "web.v2-x", &longest] {
            assert!(is_subdomain(text) && !is_label(text), "{text}");
        }
        for text in [".a", "a.", "a..b", "a.-b", &format!("{longest}b")] {
            assert!(!is_subdomain(text), "{text}");
        }
    }
}
