//! The table of wrong sets.

use anyhow::Result;
use serde_json::{Value, json};

use crate::modules::{File, VERDICT, compiled, entry, handmade, sha256};

/// What the one module of a wrong set is made of.
enum Source {
    /// Rules in Rego with this entrypoint.
    Rules(String, &'static str),
    /// The evaluation of a module that OPA does not make.
    Handmade(&'static str),
    /// These bytes.
    Bytes(Vec<u8>),
}

/// A set that is wrong.
pub(super) struct Wrong {
    pub(super) what: &'static str,
    source: Source,
    /// Laid over the module's entry in `policies.yaml`.
    more: Value,
    /// Its data, in the file `data.json`.
    data: Option<&'static str>,
    /// Part of what is said of it.
    pub(super) told: &'static str,
}

impl Wrong {
    fn of(what: &'static str, source: Source, told: &'static str) -> Self {
        Self { what, source, more: json!({}), data: None, told }
    }

    pub(super) fn rules(what: &'static str, rules: &str, told: &'static str) -> Self {
        Self::of(what, Source::Rules(rules.to_owned(), VERDICT), told)
    }

    fn with(self, more: Value) -> Self {
        Self { more, ..self }
    }

    /// With `data.json`, which the entry names by its digest.
    fn data(self, text: &'static str) -> Self {
        Self { more: json!({"data": "data.json", "dataSha256": sha256(text.as_bytes())}), ..self.beside(text) }
    }

    /// With `data.json`, which is only there.
    fn beside(self, text: &'static str) -> Self {
        Self { data: Some(text), ..self }
    }

    /// `policies.yaml`, and the files beside it.
    pub(super) fn files(&self, name: &str) -> Result<(String, Vec<File>)> {
        let module = match &self.source {
            Source::Rules(rules, entrypoint) => compiled(rules, entrypoint)?,
            Source::Handmade(eval) => handmade(eval)?,
            Source::Bytes(bytes) => bytes.clone(),
        };
        let mut entry = entry(name, &module);
        for (field, value) in self.more.as_object().into_iter().flatten() {
            entry[field] = value.clone();
        }
        let mut files = vec![(format!("{name}.wasm"), module)];
        files.extend(self.data.map(|text| ("data.json".to_owned(), text.as_bytes().to_vec())));
        Ok((json!({"modules": [entry]}).to_string(), files))
    }
}

/// Allows everything.
const GOOD: &str = r#"verdict := {"allow": true, "reasons": []}"#;

/// Answers of another shape.
fn shapes() -> Vec<Wrong> {
    vec![
        Wrong::rules(
            "a bare boolean",
            "verdict := true",
            "asked about get, its answer is not a valid verdict: invalid type: boolean `true`, expected an object with `allow` and `reasons`; a verdict is {\"allow\": true or false, \"reasons\": [texts]}",
        ),
        Wrong::rules(
            "a text",
            r#"verdict := "allow""#,
            "not a valid verdict: invalid type: string, expected an object",
        ),
        Wrong::rules("no reasons", r#"verdict := {"allow": true}"#, "not a valid verdict: missing field `reasons`"),
        Wrong::rules("no allow", r#"verdict := {"reasons": []}"#, "not a valid verdict: missing field `allow`"),
        Wrong::rules(
            "a misspelt field",
            r#"verdict := {"alow": true, "allow": true, "reasons": []}"#,
            "not a valid verdict: unknown field `alow`",
        ),
        Wrong::rules(
            "allow as a text",
            r#"verdict := {"allow": "yes", "reasons": []}"#,
            "not a valid verdict: invalid type: string, expected a boolean",
        ),
        Wrong::rules(
            "allow as null",
            r#"verdict := {"allow": null, "reasons": []}"#,
            "not a valid verdict: invalid type: null, expected a boolean",
        ),
        Wrong::rules(
            "one reason instead of a list",
            r#"verdict := {"allow": false, "reasons": "no"}"#,
            "not a valid verdict: invalid type: string, expected a sequence",
        ),
        Wrong::rules(
            "a reason that is no text",
            r#"verdict := {"allow": false, "reasons": [{"msg": "no"}]}"#,
            "not a valid verdict: invalid type: map, expected a string",
        ),
        Wrong::rules(
            "a time that a permission may last",
            r#"verdict := {"allow": true, "reasons": [], "maxSeconds": 3600}"#,
            "not a valid verdict: `maxSeconds` is not supported yet: nothing can be allowed for a limited time; a verdict is {",
        ),
        Wrong::rules(
            "an end for release alone",
            r#"verdict := {"allow": true, "reasons": []} if input.action != "release"
               verdict := {"allow": true, "reasons": [], "until": "2026-11-27T18:00:00Z"} if input.action == "release""#,
            "asked about release, its answer is not a valid verdict: `until` is not supported yet",
        ),
        Wrong::rules(
            "a tag that is no text",
            r#"verdict := {"allow": true, "reasons": [], "tags": {"level": 3}}"#,
            "not a valid verdict: invalid type: integer `3`, expected a string",
        ),
        Wrong::rules(
            "a set of verdicts",
            r#"verdict contains {"allow": true, "reasons": []}"#,
            "not a valid verdict: invalid type: sequence, expected an object with `allow` and `reasons`",
        ),
        Wrong::rules(
            "the fields in a list",
            "verdict := [true, []]",
            "not a valid verdict: invalid type: sequence, expected an object with `allow` and `reasons`",
        ),
    ]
}

/// Rules that have no value for some question, or none at all.
fn undefined() -> Vec<Wrong> {
    vec![
        Wrong::rules(
            "only get",
            r#"verdict := {"allow": true, "reasons": []} if input.action == "get""#,
            "asked about set, scalegate/verdict is undefined for this input; a verdict must come for every question: give the rule a default",
        ),
        Wrong::rules(
            "all but describe",
            r#"verdict := {"allow": true, "reasons": []} if input.action in {"get", "set", "release"}"#,
            "asked about describe, scalegate/verdict is undefined",
        ),
        Wrong::rules(
            "another shape for release alone",
            r#"verdict := {"allow": true, "reasons": []} if input.action != "release"
               verdict := {"allow": true} if input.action == "release""#,
            "asked about release, its answer is not a valid verdict",
        ),
        Wrong::rules(
            "a misspelt field of the input",
            r#"verdict := {"allow": input.current.replica > 0, "reasons": []}"#,
            "asked about get, scalegate/verdict is undefined",
        ),
        Wrong::rules(
            "settings that are not there",
            r#"verdict := {"allow": data.settings.open, "reasons": []}"#,
            "asked about get, scalegate/verdict is undefined",
        ),
        Wrong::rules(
            "settings of another type",
            r#"verdict := {"allow": data.settings.open, "reasons": []}"#,
            "not a valid verdict: invalid type: integer `1`, expected a boolean",
        )
        .with(json!({"settings": {"open": 1}})),
        Wrong::rules(
            "data that is not there",
            r#"verdict := {"allow": data.rates[input.target.namespace] > 1, "reasons": []}"#,
            "asked about get, scalegate/verdict is undefined",
        ),
        Wrong::rules(
            "data of another type",
            r#"verdict := {"allow": true, "reasons": data.rates}"#,
            "not a valid verdict: invalid type: map, expected a sequence",
        )
        .data(r#"{"rates": {"demo": 3}}"#),
    ]
}

/// Evaluations that end without an answer.
fn failing() -> Vec<Wrong> {
    let long =
        r#"verdict := {"allow": false, "reasons": [concat("", ["0123456789" | some _ in numbers.range(1, 8000)])]}"#;
    let rows: Vec<_> = (0..3000).map(|row| json!({"team": format!("team-{row}"), "min": 1, "max": row})).collect();
    let greedy = r#"verdict := {"allow": count(numbers.range(1, 1000000)) > 0, "reasons": []}"#;
    let slow = r#"verdict := {"allow": count([1 | some a in r; some b in r; some c in r; a + b + c == 0]) == 0, "reasons": []}
                  r := numbers.range(1, 400)"#;
    vec![
        Wrong::rules(
            "two verdicts at once",
            r#"verdict := {"allow": true, "reasons": []} if input.client
               verdict := {"allow": false, "reasons": ["no"]} if input.target"#,
            "asked about get, it aborted: ",
        ),
        Wrong::rules(
            "a format that the gateway does not have",
            r#"verdict := {"allow": false, "reasons": [sprintf("%p", [123456789012345678901])]}"#,
            "asked about get, it used what the gateway does not have: sprintf with %p",
        ),
        Wrong::rules(
            "a long answer",
            long,
            "asked about get, it gave or was given more than its 65536 bytes of output; give it a greater budget.outputBytes",
        ),
        Wrong::rules(
            "much memory",
            greedy,
            "asked about get, it wanted more memory than its 1048576 bytes; give it a greater budget.memoryBytes",
        )
        .with(json!({"budget": {"deadline": "1s", "memoryBytes": 1 << 20}})),
        Wrong::rules(
            "much time",
            slow,
            "asked about get, it took longer than its deadline of 100ms; give it a greater budget.deadline",
        )
        .with(json!({"budget": {"deadline": "100ms", "memoryBytes": 256 << 20}})),
        Wrong::rules(
            "settings that need much memory",
            GOOD,
            "it does not read its data and settings: it wanted more memory than its 1048576 bytes; give it a greater budget.memoryBytes, or make them smaller",
        )
        .with(json!({"budget": {"deadline": "1s", "memoryBytes": 1 << 20}, "settings": {"rows": rows}})),
        Wrong::of("a trap", Source::Handmade("unreachable"), "asked about get, it trapped: "),
        Wrong::of("no text", Source::Handmade("(i32.const -1)"), "asked about get, it breaks OPA's ABI: "),
        Wrong::of(
            "no JSON",
            Source::Handmade("(i32.const 1025)"),
            "asked about get, its answer is not a valid verdict: ",
        ),
    ]
}

/// Modules that are none.
fn modules() -> Vec<Wrong> {
    let rows = (0..4000).map(|row| format!("\"ns{row}\": {{\"min\": {row}}}")).collect::<Vec<_>>().join(", ");
    let table = format!(
        "table := {{{rows}}}\nverdict := {{\"allow\": table[input.target.namespace].min > 1, \"reasons\": []}}"
    );
    let rules: Vec<_> = (0..4000).map(|row| format!("allowed if input.target.name == \"web{row}\"")).collect();
    let rules = rules.join("\n");
    let rules = format!("default allowed := false\n{rules}\nverdict := {{\"allow\": allowed, \"reasons\": []}}");
    vec![
        Wrong::of(
            "another entrypoint",
            Source::Rules("allow := true".to_owned(), "scalegate/allow"),
            "it has no entrypoint scalegate/verdict, only scalegate/allow; build it with `-e scalegate/verdict`",
        ),
        Wrong::rules(
            "a builtin for the network",
            r#"verdict := http.send({"method": "get", "url": "http://rules.internal"}).body"#,
            "it calls builtins that the gateway does not have: http.send (a policy reaches no network",
        ),
        Wrong::rules(
            "a table of 4000 rows",
            &table,
            "divide the rule, or move its tables into the module's `data` file or its `settings`",
        ),
        Wrong::rules(
            "4000 rules for names",
            &rules,
            "divide the rule, or move its tables into the module's `data` file or its `settings`",
        ),
        Wrong::of("an empty file", Source::Bytes(Vec::new()), "it does not compile: "),
        Wrong::rules("another file", GOOD, "its sha256 is ").with(json!({"sha256": "0".repeat(64)})),
    ]
}

/// Data that is wrong.
fn data() -> Vec<Wrong> {
    let of = |what, told| Wrong::rules(what, GOOD, told);
    let absent = json!({"data": "rates.json", "dataSha256": "0".repeat(64)});
    vec![
        of("data that no entry names", "data.json is in the directory, but policies.yaml does not name it, so no module would see it: give the module that reads it `data: data.json` and `dataSha256: …`").beside("{}"),
        of("data without a digest", "data \"data.json\" is there without dataSha256").beside("{}").with(json!({"data": "data.json"})),
        of("a digest without data", "dataSha256 is there without data").with(json!({"dataSha256": "0".repeat(64)})),
        of("data that is absent", "rates.json cannot be read: ").with(absent),
        of("data of another digest", "its data: the sha256 of data.json is ").beside("{}")
            .with(json!({"data": "data.json", "dataSha256": "0".repeat(64)})),
        of("a list of data", "its data: data.json: it is not a usable JSON object: invalid type: sequence, expected an object").data("[]"),
        of("data that names a key twice", "the key \"demo\" comes twice").data(r#"{"rates": {"demo": 1, "demo": 2}}"#),
        of("data for the settings", "it has the key `settings`, which is where the `settings` of policies.yaml go").data(r#"{"settings": {}}"#),
        of("data in the policy's package", "it has the key `scalegate`, which is the policy's own package").data(r#"{"scalegate": {}}"#),
        of("data behind a byte order mark", "it begins with a byte order mark").data("\u{feff}{}"),
    ]
}

/// All of them, each with a name of its own.
pub(super) fn wrong() -> Vec<(String, Wrong)> {
    let all = [shapes(), undefined(), failing(), modules(), data()].into_iter().flatten();
    all.enumerate().map(|(number, wrong)| (format!("wrong-{number}"), wrong)).collect()
}
