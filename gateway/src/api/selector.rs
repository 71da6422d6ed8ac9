//! Label selectors in Kubernetes' string form: `app=web,tier!=db,env in (a,b),!legacy`.

use kube::core::{Expression, Selector};
use thiserror::Error;

/// The most terms of a selector: each of them is compared with the labels of every Deployment that a list scans.
const MAX_TERMS: usize = 32;

/// Why the text cannot be used as a label selector.
#[derive(Debug, PartialEq, Eq, Error)]
pub(super) enum InvalidSelector {
    #[error("takes a label selector such as `app=web,tier!=db,env in (a,b),!legacy`; {0:?} is not one")]
    Term(String),
    #[error("takes a label selector of at most {MAX_TERMS} terms, not {0}")]
    TooManyTerms(usize),
}

/// The selector that `text` spells; the empty text selects everything.
pub(super) fn parse(text: &str) -> Result<Selector, InvalidSelector> {
    let mut selector = Selector::default();
    if text.trim().is_empty() {
        return Ok(selector);
    }
    let terms = split_outside_parentheses(text);
    if terms.len() > MAX_TERMS {
        return Err(InvalidSelector::TooManyTerms(terms.len()));
    }
    for term in terms {
        let invalid = || InvalidSelector::Term(term.chars().take(80).collect());
        let expression = expression(term.trim()).ok_or_else(invalid)?;
        selector.extend(expression);
    }
    Ok(selector)
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let (mut terms, mut start, mut depth) = (Vec::new(), 0, 0_i32);
    for (at, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                terms.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

fn expression(term: &str) -> Option<Expression> {
    if let Some(absent) = term.strip_prefix('!') {
        return Some(Expression::DoesNotExist(key(absent)?));
    }
    if let Some((left, right)) = term.split_once("!=") {
        return Some(Expression::NotEqual(key(left)?, value(right)?));
    }
    if let Some((left, right)) = term.split_once("==").or_else(|| term.split_once('=')) {
        return Some(Expression::Equal(key(left)?, value(right)?));
    }
    if let Some(open) = term.find('(') {
        let values = term[open..].strip_prefix('(')?.strip_suffix(')')?;
        let values = values.split(',').map(value).collect::<Option<_>>()?;
        let (left, operator) = term[..open].trim_end().rsplit_once(char::is_whitespace)?;
        return match operator {
            "in" => Some(Expression::In(key(left)?, values)),
            "notin" => Some(Expression::NotIn(key(left)?, values)),
            _ => None,
        };
    }
    Some(Expression::Exists(key(term)?))
}

/// A label's key: an optional DNS prefix and a name of at most 63 characters.
fn key(text: &str) -> Option<String> {
    let text = text.trim();
    let (prefix, name) = text.rsplit_once('/').unwrap_or(("", text));
    let prefix_is_valid = prefix.len() <= 253
        && prefix.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte))
        && prefix.is_empty() != text.contains('/');
    (prefix_is_valid && !name.is_empty() && is_label_text(name)).then(|| text.to_owned())
}

fn value(text: &str) -> Option<String> {
    let text = text.trim();
    is_label_text(text).then(|| text.to_owned())
}

/// At most 63 letters, digits, `-`, `_` and `.`, a letter or digit at both ends; or nothing.
fn is_label_text(text: &str) -> bool {
    let ends = |byte: Option<u8>| byte.is_none_or(|byte| byte.is_ascii_alphanumeric());
    text.len() <= 63
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        && ends(text.bytes().next())
        && ends(text.bytes().last())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use kube::core::SelectorExt;

    use super::*;

    #[test]
    fn every_operator_is_read_as_kubernetes_reads_it() {
        let labels =
            BTreeMap::from([("app".to_owned(), "web".to_owned()), ("x.io/tier".to_owned(), "front".to_owned())]);
        for (text, matches) in [
            ("", true),
            ("app=web", true),
            ("app==web", true),
            ("app = web , x.io/tier = front", true),
            ("app=db", false),
            ("app!=db", true),
            ("missing!=db", true),
            ("app in (db, web)", true),
            ("app notin (db,web)", false),
            ("x.io/tier", true),
            ("!app", false),
            ("!missing,app", true),
            ("app=", false),
        ] {
            assert_eq!(parse(text).map(|selector| selector.matches(&labels)), Ok(matches), "{text}");
        }
    }

    #[test]
    fn a_selector_has_a_bounded_number_of_terms() {
        let terms = |count: usize| (0..count).map(|n| format!("!x{n}")).collect::<Vec<_>>().join(",");
        assert!(parse(&terms(MAX_TERMS)).is_ok());
        assert_eq!(parse(&terms(1500)), Err(InvalidSelector::TooManyTerms(1500)));
        assert!(
            parse(&format!("app in ({})", terms(1500).replace('!', ""))).is_ok(),
            "values are looked up, not walked"
        );
    }

    #[test]
    fn text_that_is_no_selector_is_refused() {
        for text in [
            ",",
            "app=web,",
            "=web",
            "app in web",
            "app in (a",
            "app near (a)",
            "in (a)",
            "a b",
            "app=we b",
            "/a=b",
            "app=a=b",
            "app)(",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
