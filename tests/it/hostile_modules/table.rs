//! The table of hostile modules.

use anyhow::{Context, Result, ensure};

use super::guest::{Guest, section_ends};

/// A module that means harm.
pub(super) struct Hostile {
    /// Its name in `policies.yaml`.
    pub(super) name: String,
    /// What it does.
    pub(super) what: String,
    pub(super) wasm: Vec<u8>,
    /// Part of what is said of it.
    pub(super) told: String,
}

/// Those that are refused at load, and those that misbehave when a client asks.
pub(super) fn hostile() -> Result<[Vec<Hostile>; 2]> {
    let (_, tables) = include_str!("table.txt").split_once("\n= ").context("no table")?;
    let (at_load, asked) = tables.split_once("\n= ").context("one table alone")?;
    let (mut at_load, mut asked) = (lines(at_load)?, lines(asked)?);
    at_load.extend(wrong_exports());
    at_load.extend(cut()?);
    asked.extend(answers());
    Ok([(at_load, "load"), (asked, "asked")].map(|(all, when)| {
        let numbered = all.into_iter().enumerate();
        numbered.map(|(number, hostile)| Hostile { name: format!("{when}-{number}"), ..hostile }).collect()
    }))
}

impl Hostile {
    fn of(what: impl Into<String>, wasm: Vec<u8>, told: impl Into<String>) -> Self {
        Self { name: String::new(), what: what.into(), wasm, told: told.into() }
    }
}

/// The lines of a table, without its heading.
fn lines(table: &str) -> Result<Vec<Hostile>> {
    let lines = table.lines().skip(1).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let columns: Vec<_> = line.split(" | ").map(str::trim).collect();
            let [what, told, eval, part, text] = columns.as_slice() else { anyhow::bail!("not five columns: {line}") };
            let given = |text: &str| text != "-";
            let mut guest = if given(eval) { Guest::deciding(eval) } else { Guest::new() };
            if given(part) {
                guest = guest.with(part, if given(text) { *text } else { "" })?;
            }
            Ok(Hostile::of(*what, guest.wasm().context(line.to_owned())?, *told))
        })
        .collect()
}

/// Different modules that fill two mebibytes and fail when a client asks: more than an engine's pool has places for, so
/// that each place has kept as much memory as it ever does.
pub(super) fn filling() -> Result<Vec<Hostile>> {
    let fill = "(memory.fill (i32.const 131072)";
    let module = |number: u32| {
        let eval =
            format!("(drop (memory.grow (i32.const 32))) {fill} (i32.const {number}) (i32.const 2097152)) unreachable");
        let hostile = Hostile::of("it fills two mebibytes", Guest::deciding(&eval).wasm()?, "it trapped: ");
        Ok(Hostile { name: format!("fill-{number}"), ..hostile })
    };
    (1..=64).map(module).collect()
}

/// Each function that the host calls: absent, something else, and of another type.
fn wrong_exports() -> Vec<Hostile> {
    let mut all = Vec::new();
    for (part, export) in [
        ("malloc", "opa_malloc"),
        ("heap_ptr_get", "opa_heap_ptr_get"),
        ("value_parse", "opa_value_parse"),
        ("value_dump", "opa_value_dump"),
        ("json_dump", "opa_json_dump"),
        ("eval", "opa_eval"),
        ("entrypoints", "entrypoints"),
        ("builtins", "builtins"),
    ] {
        let told = format!("it does not start: it breaks OPA's ABI: it exports no {export} of the right type");
        for (what, text) in [
            ("is not there", String::new()),
            ("is a number", format!("(global (export {export:?}) i32 (i32.const 0))")),
            ("takes floats", format!("(func (export {export:?}) (param f64) (result f64) (local.get 0))")),
        ] {
            // Other parts may call it by its name.
            let wasm = Guest::new().with(part, text).and_then(|guest| guest.wasm());
            all.push(Hostile::of(format!("{export} {what}"), wasm.unwrap(), &told));
        }
    }
    all
}

/// A good module, cut at the end of each section and right after.
fn cut() -> Result<Vec<Hostile>> {
    let whole = Guest::new().wasm()?;
    let mut ends = section_ends(&whole);
    ensure!(ends.pop() == Some(whole.len()) && ends.len() > 6, "few sections: {ends:?}");
    // The last section names functions, for people.
    ends.pop();
    let mut all = Vec::new();
    for end in ends {
        all.push(Hostile::of(format!("cut after {end} bytes"), whole[..end].to_vec(), "it "));
        all.push(Hostile::of(format!("cut after {} bytes", end + 1), whole[..=end].to_vec(), "it does not compile: "));
    }
    Ok(all)
}

/// Answers that are no verdicts.
fn answers() -> Vec<Hostile> {
    let result = |verdict: &str| format!(r#"[{{"result":{verdict}}}]"#).into_bytes();
    let answers: Vec<(&str, Vec<u8>)> = vec![
        ("60,000 lists in each other", "[".repeat(60_000).into_bytes()),
        ("10,000 objects in each other", r#"[{"a":"#.repeat(10_000).into_bytes()),
        ("a verdict in 200 lists", result(&format!("{}{}", "[".repeat(200), "]".repeat(200)))),
        ("4,000 verdicts", format!("[{}]", vec![r#"{"result":1}"#; 4_000].join(",")).into_bytes()),
        (
            "a verdict twice",
            br#"[{"result":{"allow":true,"reasons":[]},"result":{"allow":true,"reasons":[]}}]"#.to_vec(),
        ),
        ("allow twice", result(r#"{"allow":false,"allow":true,"reasons":[]}"#)),
        ("allow as a number", result(r#"{"allow":1,"reasons":[]}"#)),
        ("allow as a text", result(r#"{"allow":"true","reasons":[]}"#)),
        ("allow and more", result(r#"{"allow":true,"reasons":[],"admin":true}"#)),
        ("a list instead of a verdict", result("[true,[],null,{}]")),
        ("a number beyond all numbers", result(r#"{"allow":true,"reasons":[],"maxSeconds":1e999}"#)),
        ("a limited time", result(r#"{"allow":true,"reasons":[],"maxSeconds":1}"#)),
        ("an end", result(r#"{"allow":true,"reasons":[],"until":"2026-11-27T18:00:00Z"}"#)),
        ("bytes that are no text", result("{\"allow\":true,\"reasons\":[\"x\"]}").into_iter().map(replaced).collect()),
        ("half of a surrogate", result(r#"{"allow":true,"reasons":["\ud800"]}"#)),
        ("a text after the verdict", [result(r#"{"allow":true,"reasons":[]}"#), b" true".to_vec()].concat()),
        ("no end", br#"[{"result":{"allow":true,"reasons":["#.to_vec()),
        ("no results", b"{}".to_vec()),
    ];
    let undefined = ("an undefined rule", b"[]".to_vec());
    let hostile = |(what, answer): (&str, Vec<u8>), told: &str| {
        let text = format!("\\{}", answer.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join("\\"));
        let more = format!(r#"(data (i32.const 16384) "{text}\00")"#);
        let guest = Guest::deciding("(i32.const 16384)").with("more", more);
        Hostile::of(what, guest.and_then(|guest| guest.wasm()).unwrap(), told)
    };
    let mut all = vec![hostile(undefined, "scalegate/verdict is undefined for this input")];
    all.extend(answers.into_iter().map(|answer| hostile(answer, "its answer is not a valid verdict")));
    all
}

/// The same bytes, but for the letter of a text, which becomes one that no text has.
fn replaced(byte: u8) -> u8 {
    if byte == b'x' { 0xff } else { byte }
}
