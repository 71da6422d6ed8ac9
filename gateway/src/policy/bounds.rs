//! How much of a verdict is kept. Its reasons go into answers and all of it into audit records, which a careless module
//! must not flood. Sizes are in bytes of JSON text.

use std::collections::BTreeMap;

use super::document::Verdict;
use crate::text::{MARK, cut_json, json_bytes};

/// How many reasons of a verdict are kept; one more says how many were left out.
const REASONS: usize = 16;
/// The longest reason.
const REASON_BYTES: usize = 512;
/// All reasons of a verdict together.
const ALL_REASONS_BYTES: usize = 2048;
/// How many tags of a verdict are kept.
const TAGS: usize = 16;
/// The longest key of a tag; a tag with a longer one is left out, since a cut key could equal another one.
const TAG_KEY_BYTES: usize = 64;
/// The longest value of a tag.
const TAG_VALUE_BYTES: usize = 128;
/// The longest explanation of a missing verdict; it may quote a module.
const CAUSE_BYTES: usize = 1024;

/// The part of `verdict` that is kept, and whether anything was cut or left out.
pub(super) fn bounded(verdict: Verdict) -> (Verdict, bool) {
    let (reasons, fewer_reasons) = reasons(verdict.reasons);
    let (tags, fewer_tags) = tags(verdict.tags);
    (Verdict { reasons, tags, ..verdict }, fewer_reasons || fewer_tags)
}

/// The part of the explanation of a missing verdict that is kept.
pub(super) fn cause(text: &str) -> String {
    cut_json(text, CAUSE_BYTES).into_owned()
}

fn reasons(all: Vec<String>) -> (Vec<String>, bool) {
    let sizes = || all.iter().map(|reason| json_bytes(reason));
    if all.len() <= REASONS && sizes().all(|size| size <= REASON_BYTES) && sizes().sum::<usize>() <= ALL_REASONS_BYTES {
        return (all, false);
    }
    let (mut kept, mut left, mut cut) = (Vec::new(), ALL_REASONS_BYTES, false);
    let total = all.len();
    for reason in all {
        if kept.len() == REASONS || left < MARK.len_utf8() {
            let more = total - kept.len();
            kept.push(format!("{MARK} and {more} more, left out"));
            return (kept, true);
        }
        let part = cut_json(&reason, REASON_BYTES.min(left)).into_owned();
        left -= json_bytes(&part).min(left);
        cut |= part != reason;
        kept.push(part);
    }
    (kept, cut)
}

fn tags(all: BTreeMap<String, String>) -> (BTreeMap<String, String>, bool) {
    let fits =
        |(key, value): (&String, &String)| json_bytes(key) <= TAG_KEY_BYTES && json_bytes(value) <= TAG_VALUE_BYTES;
    if all.len() <= TAGS && all.iter().all(fits) {
        return (all, false);
    }
    let mut kept = BTreeMap::new();
    let mut cut = false;
    for (key, value) in all {
        if kept.len() == TAGS || json_bytes(&key) > TAG_KEY_BYTES {
            cut = true;
            continue;
        }
        let part = cut_json(&value, TAG_VALUE_BYTES).into_owned();
        cut |= part != value;
        kept.insert(key, part);
    }
    (kept, cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(reasons: Vec<String>, tags: BTreeMap<String, String>) -> Verdict {
        Verdict { allow: false, reasons, tags }
    }

    #[test]
    fn an_ordinary_verdict_is_kept_whole() {
        let ordinary = verdict(vec!["x".repeat(REASON_BYTES), String::new()], [("role".into(), "ci".into())].into());
        assert_eq!(bounded(ordinary.clone()), (ordinary, false));
    }

    #[test]
    fn reasons_are_cut_in_length_number_and_sum_and_say_so() {
        let kept = |reasons| bounded(verdict(reasons, BTreeMap::new()));
        let (long, cut) = kept(vec!["ü".repeat(60_000)]);
        assert!(cut && long.reasons[0].ends_with(MARK) && long.reasons[0].len() <= REASON_BYTES);
        let (many, cut) = kept(vec!["no".to_owned(); 20_000]);
        assert!(cut);
        assert_eq!((many.reasons.len(), many.reasons[16].as_str()), (17, "… and 19984 more, left out"));
        let (much, cut) = kept(vec!["\u{1}".repeat(REASON_BYTES); 10]);
        assert!(cut && much.reasons.iter().map(|it| json_bytes(it)).sum::<usize>() < ALL_REASONS_BYTES + 64);
    }

    #[test]
    fn tags_are_cut_in_number_and_length_and_those_with_long_keys_are_left_out() {
        let all = (0..1000).map(|n| (format!("{n:04}"), "v".repeat(500)));
        let long = ("0".repeat(TAG_KEY_BYTES + 1), "v".to_owned());
        let (kept, cut) = bounded(verdict(Vec::new(), all.chain([long.clone()]).collect()));
        assert!(cut && !kept.tags.contains_key(&long.0));
        assert_eq!(kept.tags.len(), TAGS);
        assert!(kept.tags.values().all(|value| value.ends_with(MARK) && value.len() <= TAG_VALUE_BYTES));
    }
}
