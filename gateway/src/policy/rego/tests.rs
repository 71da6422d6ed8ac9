//! Modules that keep to the ABI and modules that do not.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::thread;

use super::abi::Guest;
use super::testing::{Fake, LOOP, RESULT, results};
use super::*;

const NOW: i64 = 1_795_374_943;

/// Time that suffices on a busy machine too.
fn patient() -> Budget {
    Budget { deadline: Duration::from_secs(1), ..Budget::default() }
}

/// For what is to run out of time.
fn short() -> Budget {
    Budget { deadline: Duration::from_millis(20), ..Budget::default() }
}

fn load(fake: &Fake, budget: Budget) -> Result<Module, LoadError> {
    Module::load(&Engine::new().unwrap(), &fake.wasm(), budget, b"{}")
}

fn evaluate(fake: &Fake) -> Result<Evaluation, EvalError> {
    evaluate_within(fake, patient())
}

fn evaluate_within(fake: &Fake, budget: Budget) -> Result<Evaluation, EvalError> {
    let module = load(fake, budget).unwrap();
    module.evaluate(b"{}", Timestamp::from_second(NOW).unwrap())
}

fn said(fake: &Fake) -> String {
    match evaluate(fake) {
        Ok(evaluation) => format!("{:?}", evaluation.verdict),
        Err(EvalError::Malformed { answer, .. }) => answer,
        Err(error) => error.to_string(),
    }
}

fn refused_at_load(fake: &Fake) -> String {
    load(fake, short()).unwrap_err().to_string()
}

#[test]
fn a_verdict_is_read_with_all_its_fields() {
    let fake = Fake::giving(r#"{"allow":false,"reasons":["no"],"tags":{"role":"ci"}}"#);
    let Evaluation { verdict, asked_time, .. } = evaluate(&fake).unwrap();
    let tags = BTreeMap::from([("role".to_owned(), "ci".to_owned())]);
    assert_eq!(verdict, Verdict { allow: false, reasons: vec!["no".to_owned()], tags });
    assert!(!asked_time);
}

#[test]
fn an_answer_of_another_shape_is_no_verdict() {
    for result in [
        "no JSON",
        "",
        "{}",
        r#"[{"result":true}]"#,
        &results("[true,[]]"),
        &results("[true,[],null,{}]"),
        &results(r#"{"allow":true}"#),
        &results(r#"{"allow":"true","reasons":[]}"#),
        &results(r#"{"allow":true,"reasons":[],"alow":false}"#),
        &results(r#"{"allow":true,"allow":false,"reasons":[]}"#),
        &results(r#"{"allow":true,"reasons":[],"maxSeconds":60}"#),
        &results(r#"{"allow":true,"reasons":[],"until":"2026-11-27T18:00:00Z"}"#),
        r#"[{"result":{"allow":true,"reasons":[]}},{"result":{"allow":true,"reasons":[]}}]"#,
    ] {
        let error = evaluate(&Fake { result: result.to_owned(), ..Fake::default() }).unwrap_err();
        assert!(matches!(error, EvalError::Malformed { .. }), "{result}: {error}");
    }
}

#[test]
fn what_is_wrong_with_an_answer_is_told_apart_from_the_answer() {
    for (result, expected) in [
        (results("true"), ("invalid type: boolean `true`, expected an object with `allow` and `reasons`", "true")),
        (
            results(r#"{"allow":"a\nb","reasons":[]}"#),
            ("invalid type: string, expected a boolean", r#"{"allow":"a\nb","reasons":[]}"#),
        ),
        (results(r#"{"allow":true}"#), ("missing field `reasons`", r#"{"allow":true}"#)),
        (
            results(r#"{"allow":true,"maxSeconds":60,"reasons":[]}"#),
            (
                "`maxSeconds` is not supported yet: nothing can be allowed for a limited time",
                r#"{"allow":true,"maxSeconds":60,"reasons":[]}"#,
            ),
        ),
        (
            results(r#"{"allow":true,"until":null}"#),
            (
                "`until` is not supported yet: nothing can be allowed for a limited time",
                r#"{"allow":true,"until":null}"#,
            ),
        ),
        ("[]]".to_owned(), ("trailing characters", "[]]")),
    ] {
        let EvalError::Malformed { problem, answer } = evaluate(&Fake { result, ..Fake::default() }).unwrap_err()
        else {
            panic!("{expected:?}")
        };
        assert_eq!((problem.as_str(), answer.as_str()), expected);
    }
    let long = results(&format!("\"{}\"", "é".repeat(400)));
    let EvalError::Malformed { answer, .. } = evaluate(&Fake { result: long, ..Fake::default() }).unwrap_err() else {
        panic!("a text is no verdict")
    };
    assert_eq!(answer.chars().count(), answer::ANSWER_CHARACTERS + 1);
}

#[test]
fn a_panic_of_the_gateways_own_code_is_an_error_like_the_others() {
    let fake = Fake {
        builtins: r#"{"test.panic":7}"#.to_owned(),
        ..Fake::evaluating("(call $builtin0 (i32.const 7) (i32.const 0))")
    };
    let module = load(&fake, patient()).unwrap();
    for _ in 0..2 {
        let error = module.evaluate(b"{}", Timestamp::UNIX_EPOCH).unwrap_err();
        assert_eq!(error, EvalError::Panic("a bug in a builtin".to_owned()));
    }
}

#[test]
fn an_undefined_rule_gives_no_verdict() {
    assert_eq!(evaluate(&Fake { result: "[]".to_owned(), ..Fake::default() }).unwrap_err(), EvalError::Undefined);
}

#[test]
fn a_module_that_loops_meets_its_deadline() {
    let error = evaluate_within(&Fake::evaluating(LOOP), short()).unwrap_err();
    assert_eq!(error, EvalError::Deadline(short().deadline));
}

#[test]
fn without_a_meter_a_module_may_take_more_than_its_budget() {
    let budget = Budget { memory_bytes: 1 << 20, ..patient() };
    let fake = Fake::evaluating(format!("(drop (memory.grow (i32.const 64))) (i32.const {RESULT})"));
    let evaluate = |engine: Engine| {
        let module = Module::load(&engine, &fake.wasm(), budget, b"{}").unwrap();
        module.evaluate(b"{}", Timestamp::UNIX_EPOCH).map(|evaluation| evaluation.memory_bytes)
    };
    assert_eq!(evaluate(Engine::new().unwrap()), Err(EvalError::Memory(1 << 20)));
    assert_eq!(evaluate(Engine::unmetered().unwrap()), Ok(66 << 16));
}

#[test]
fn time_in_which_the_module_does_not_run_is_not_its_own() {
    let module = load(&Fake::default(), short()).unwrap();
    let builtins = module.builtins.clone();
    let mut guest = Guest::resume(&module.code, &module.snapshot, builtins, short(), Timestamp::UNIX_EPOCH).unwrap();
    thread::sleep(10 * short().deadline);
    assert!(guest.evaluate(module.entrypoint, module.snapshot.data, b"{}").is_ok());
}

#[test]
fn deadlines_hold_when_all_but_the_module_is_gone() {
    let module = load(&Fake::evaluating(LOOP), short()).unwrap();
    assert_eq!(module.evaluate(b"{}", Timestamp::UNIX_EPOCH).unwrap_err(), EvalError::Deadline(short().deadline));
}

#[test]
fn a_module_that_loops_in_its_start_is_refused_at_load() {
    let fake = Fake { start: LOOP.to_owned(), ..Fake::default() };
    assert_eq!(refused_at_load(&fake), "it does not start: it took longer than its deadline of 20ms");
}

#[test]
fn a_module_that_traps_in_its_start_is_refused_at_load() {
    let fake = Fake { start: "unreachable".to_owned(), ..Fake::default() };
    let refusal = refused_at_load(&fake);
    assert!(refusal.starts_with("it does not start: it trapped: ") && refusal.contains("unreachable"), "{refusal}");
}

#[test]
fn a_module_that_allocates_without_end_meets_its_limit() {
    let body = "(loop $more (drop (memory.grow $memory (i32.const 16))) (br $more)) unreachable";
    assert_eq!(evaluate(&Fake::evaluating(body)).unwrap_err(), EvalError::Memory(16 << 20));
}

#[test]
fn an_input_larger_than_the_memory_is_an_error() {
    let module = load(&Fake::default(), patient()).unwrap();
    let error = module.evaluate(&vec![b' '; 1 << 20], Timestamp::UNIX_EPOCH).unwrap_err();
    assert!(matches!(error, EvalError::Abi(_)), "{error}");
}

#[test]
fn an_answer_of_ten_megabytes_is_cut_short() {
    let body = format!(
        "(drop (memory.grow $memory (i32.const 160)))
         (memory.fill (i32.const {RESULT}) (i32.const 97) (i32.const 10000000))
         (i32.const {RESULT})"
    );
    assert_eq!(evaluate(&Fake::evaluating(body)).unwrap_err(), EvalError::Output(64 << 10));
}

#[test]
fn an_answer_outside_of_the_memory_is_an_error() {
    let endless = "(memory.fill (i32.const 131000) (i32.const 97) (i32.const 72)) (i32.const 131000)";
    for body in ["(i32.const -1)", "(i32.const 131072)", endless] {
        let error = evaluate(&Fake::evaluating(body)).unwrap_err();
        assert!(matches!(error, EvalError::Abi(_)), "{body}: {error}");
    }
}

#[test]
fn a_trap_and_an_abort_say_why() {
    let trap = said(&Fake::evaluating("unreachable"));
    assert!(trap.starts_with("it trapped: ") && trap.contains("unreachable"), "{trap}");
    let body = format!("(call $abort (i32.const {RESULT})) unreachable");
    let abort = Fake { result: "out of luck".to_owned(), ..Fake::evaluating(body) };
    assert_eq!(said(&abort), "it aborted: out of luck");
}

#[test]
fn endless_recursion_is_a_trap() {
    let body = "(call $opa_eval (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))";
    let error = evaluate(&Fake::evaluating(body)).unwrap_err();
    assert!(matches!(&error, EvalError::Trap(trap) if trap.contains("stack")), "{error}");
}

#[test]
fn a_missing_entrypoint_names_those_that_exist() {
    let fake = Fake { entrypoints: r#"{"other/rule":0,"a/b":1}"#.to_owned(), ..Fake::default() };
    let expected = "it has no entrypoint scalegate/verdict, only a/b, other/rule; build it with `-e scalegate/verdict`";
    assert_eq!(refused_at_load(&fake), expected);
}

#[test]
fn an_unknown_builtin_is_named_at_load() {
    let fake = Fake {
        builtins: r#"{"http.send":0,"sprintf":1,"uuid.rfc4122":2,"brand.new":3}"#.to_owned(),
        ..Fake::default()
    };
    let refusal = refused_at_load(&fake);
    assert!(refusal.starts_with("it calls builtins that the gateway does not have: brand.new ("), "{refusal}");
    for reason in ["; http.send (a policy reaches no network: ", "; uuid.rfc4122 (a policy has no randomness: "] {
        assert!(refusal.contains(reason), "{refusal}");
    }
}

#[test]
fn what_is_no_opa_module_is_refused_at_load() {
    let engine = Engine::new().unwrap();
    let whole = Fake::default().wasm();
    let refused = |bytes: &[u8]| Module::load(&engine, bytes, Budget::default(), b"").unwrap_err().to_string();
    assert!(refused(&whole[..whole.len() / 2]).starts_with("it does not compile: "));
    assert!(refused(b"").starts_with("it does not compile: "));
    assert!(refused(&wat::parse_str("(module)").unwrap()).contains("breaks OPA's ABI: it exports no memory"));
    let wasi = r#"(import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))"#;
    let refusal = refused_at_load(&Fake { imports: wasi.to_owned(), ..Fake::default() });
    assert!(refusal.starts_with("it imports wasi_snapshot_preview1.fd_write"), "{refusal}");
    let refusal = refused_at_load(&Fake { minor: 1, ..Fake::default() });
    assert!(refusal.starts_with("it is of version 1.1 of OPA's ABI"), "{refusal}");
    let refusal = refused_at_load(&Fake { builtins: "[]".to_owned(), ..Fake::default() });
    assert!(refusal.contains("builtins() gives"), "{refusal}");
}

#[test]
fn a_builtin_gets_its_arguments_and_gives_its_value() {
    let fake = Fake {
        builtins: r#"{"sprintf":7}"#.to_owned(),
        result: r#""%v of %d""#.to_owned(),
        imports: r#"(data (i32.const 8192) "[{\"a\": {1,2}}, 5]\00")"#.to_owned(),
        eval: format!("(call $builtin2 (i32.const 7) (i32.const 0) (i32.const {RESULT}) (i32.const 8192))"),
        ..Fake::default()
    };
    // Its value becomes the module's answer: a string, which is no verdict.
    assert_eq!(said(&fake), r#""{\"a\": {1, 2}} of 5""#);
}

#[test]
fn the_time_that_a_module_gets_is_the_decisions() {
    let fake = Fake {
        builtins: r#"{"time.now_ns":7}"#.to_owned(),
        ..Fake::evaluating("(call $builtin0 (i32.const 7) (i32.const 0))")
    };
    assert_eq!(said(&fake), "1795374943000000000");
}

#[test]
fn that_a_module_asked_for_the_time_is_noted() {
    let body = format!("(drop (call $builtin0 (i32.const 7) (i32.const 0))) (i32.const {RESULT})");
    let fake = Fake { builtins: r#"{"time.now_ns":7}"#.to_owned(), ..Fake::evaluating(body) };
    assert!(evaluate(&fake).unwrap().asked_time);
}

#[test]
fn garbage_for_a_builtin_is_undefined_and_no_trap() {
    let verdict = results(r#"{"allow":false,"reasons":["undefined"]}"#).replace('"', "\\\"");
    let fake = Fake {
        builtins: r#"{"time.parse_rfc3339_ns":7}"#.to_owned(),
        result: r#""garbage""#.to_owned(),
        imports: format!(r#"(data (i32.const 8192) "{verdict}\00")"#),
        eval: format!(
            "(call $builtin1 (i32.const 7) (i32.const 0) (i32.const {RESULT}))
             (if (result i32) (then (i32.const 0)) (else (i32.const 8192)))"
        ),
        ..Fake::default()
    };
    assert_eq!(evaluate(&fake).unwrap().verdict.reasons, ["undefined"]);
}

#[test]
fn a_builtin_that_was_not_listed_is_an_error() {
    let error = evaluate(&Fake::evaluating("(call $builtin0 (i32.const 7) (i32.const 0))")).unwrap_err();
    assert!(matches!(error, EvalError::Abi(_)), "{error}");
}

#[test]
fn a_loop_of_builtins_meets_the_deadline() {
    let fake = Fake {
        builtins: r#"{"time.now_ns":7}"#.to_owned(),
        ..Fake::evaluating(
            "(loop $again
               (drop (call $builtin0 (i32.const 7) (i32.const 0)))
               (global.set $heap (i32.const 65536))
               (br $again))
             unreachable",
        )
    };
    let error = evaluate_within(&fake, short()).unwrap_err();
    assert_eq!(error, EvalError::Deadline(short().deadline));
}

#[test]
fn one_evaluation_leaves_nothing_to_the_next() {
    // It answers with what the memory held before it wrote there.
    let body = format!(
        "(if (i32.load (i32.const 100)) (then (call $abort (i32.const {RESULT}))))
         (i32.store (i32.const 100) (i32.const 1))
         (i32.const {RESULT})"
    );
    let module = load(&Fake::evaluating(body), patient()).unwrap();
    for _ in 0..3 {
        assert!(module.evaluate(b"{}", Timestamp::UNIX_EPOCH).is_ok());
    }
}

#[test]
fn an_evaluation_begins_with_what_start_and_data_left_in_memory_and_globals() {
    let fake = Fake {
        imports: "(global $mark (mut i32) (i32.const 1))".to_owned(),
        start: "(global.set $mark (i32.const 7)) (i32.store (i32.const 100) (i32.const 8))".to_owned(),
        // The answer is at RESULT if both are as `start` left them; then it changes both.
        ..Fake::evaluating(format!(
            "(if (i32.ne (i32.add (global.get $mark) (i32.load (i32.const 100))) (i32.const 15)) (then unreachable))
             (global.set $mark (i32.const 0)) (i32.store (i32.const 100) (i32.const 0)) (i32.const {RESULT})"
        ))
    };
    let module = load(&fake, patient()).unwrap();
    for _ in 0..3 {
        assert!(module.evaluate(b"{}", Timestamp::UNIX_EPOCH).is_ok());
    }
}

#[test]
fn what_the_host_cannot_prepare_is_refused_at_load() {
    let refused = |imports: &str| refused_at_load(&Fake { imports: imports.to_owned(), ..Fake::default() });
    let computed = refused("(global $at i32 (i32.const 9000)) (data (global.get $at) \"x\")");
    assert!(computed.starts_with("it has data at a computed address"), "{computed}");
    let numbers = "(global (mut i32) (i32.const 0))";
    // The module has one already.
    assert!(load(&Fake { imports: numbers.repeat(63), ..Fake::default() }, patient()).is_ok());
    for globals in [numbers.repeat(64), "(global (mut funcref) (ref.null func))".to_owned()] {
        assert!(refused(&globals).starts_with("it has mutable globals of references, or more than 64"));
    }
    let outside = refused("(data (i32.const 131072) \"x\")");
    assert_eq!(outside, "it does not start: it trapped: its data lies outside of its memory");
    let wasm = wat::parse_str("(module (memory (export \"memory\") 1))").unwrap();
    let own = Module::load(&Engine::new().unwrap(), &wasm, Budget::default(), b"").unwrap_err().to_string();
    assert!(own.starts_with("it brings a memory instead of importing env.memory"), "{own}");
}

#[test]
fn data_that_the_module_has_no_room_for_is_refused() {
    let budget = Budget { memory_bytes: 1 << 20, ..patient() };
    let data = vec![b' '; 2 << 20];
    let error = Module::load(&Engine::new().unwrap(), &Fake::default().wasm(), budget, &data).unwrap_err().to_string();
    assert!(error.starts_with("it does not read its data and settings: it breaks OPA's ABI"), "{error}");
}

#[test]
fn a_module_that_failed_harms_no_other() {
    let engine = Engine::new().unwrap();
    let good = Module::load(&engine, &Fake::default().wasm(), patient(), b"{}").unwrap();
    let bad = Module::load(&engine, &Fake::evaluating(LOOP).wasm(), short(), b"{}").unwrap();
    thread::scope(|scope| {
        let failing = scope.spawn(|| bad.evaluate(b"{}", Timestamp::UNIX_EPOCH).map(drop));
        assert!(good.evaluate(b"{}", Timestamp::UNIX_EPOCH).is_ok());
        assert_eq!(failing.join().unwrap(), Err(EvalError::Deadline(short().deadline)));
    });
    assert!(good.evaluate(b"{}", Timestamp::UNIX_EPOCH).is_ok());
}
