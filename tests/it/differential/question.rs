//! Random questions: each field is missing now and then, or of another type.

use fastrand::Rng;
use serde_json::{Map, Value, json};

const TEXTS: [&str; 12] =
    ["", "a", "web", "a,b,,c", "Prod-1", "é", "\u{1f600}x", "12", "-3", "  pad ", "team/web", "aaab"];

/// A number that every engine keeps exactly: arithmetic on others is rounded differently. With a fraction, it is not
/// whole.
fn number(random: &mut Rng) -> Value {
    match random.u8(..6) {
        0 => json!(f64::from(4 * random.i32(-10..10) + random.i32(1..4)) / 4.0),
        1 => json!(random.i64(-1_000_000..1_000_000)),
        _ => json!(random.i32(-6..12)),
    }
}

fn text(random: &mut Rng) -> Value {
    json!(random.choice(TEXTS).unwrap_or_default())
}

fn numbers(random: &mut Rng) -> Value {
    (0..random.usize(..6)).map(|_| number(random)).collect()
}

fn texts(random: &mut Rng) -> Value {
    (0..random.usize(..5)).map(|_| text(random)).collect()
}

fn object(random: &mut Rng) -> Value {
    let fields = (0..random.usize(..5)).map(|_| (random.choice(TEXTS).unwrap_or_default().to_owned(), number(random)));
    Value::Object(fields.collect())
}

/// What stands where something else is expected.
fn odd(random: &mut Rng) -> Value {
    [json!(null), json!(true), json!(false), json!([]), json!({}), json!("odd"), json!(7), json!([[1], {"a": null}])]
        [random.usize(..8)]
    .clone()
}

/// A document with the fields that the rules of [`super::policy`] read.
pub(super) fn question(random: &mut Rng) -> Value {
    type Make = fn(&mut Rng) -> Value;
    let fields: [(&str, Make); 9] = [
        ("a", number),
        ("b", number),
        ("s", text),
        ("t", text),
        ("xs", numbers),
        ("ys", numbers),
        ("ts", texts),
        ("o", object),
        ("flag", |random| json!(random.bool())),
    ];
    let mut question = Map::new();
    for (name, make) in fields {
        match random.u8(..20) {
            0 => {}
            1 => drop(question.insert(name.to_owned(), odd(random))),
            _ => drop(question.insert(name.to_owned(), make(random))),
        }
    }
    Value::Object(question)
}
