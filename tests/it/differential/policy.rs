//! Random rules in Rego: every kind of rule, and expressions of each type over the fields of a question.
//!
//! Left out is what OPA's interpreter and the modules that OPA compiles decide otherwise, none of them the gateway's doing:
//!
//! - Numbers that are not exact in binary, or have more than 19 digits: the interpreter computes with 64 bits of
//!   mantissa, modules with decimals.
//! - Zero that is negative (`0 * -1`, `0 / -1`): the interpreter keeps the sign, modules do not.
//! - `ceil` and `floor` between -1 and 0: the interpreter says 1 and 0, modules 0 and -1.
//! - `indexof` of an empty text: undefined in the interpreter, 0 in modules.
//! - An index that is whole and has a fraction, such as `2.0`: the interpreter finds the element, modules do not.
//! - The text of what has no single one: modules write the keys of an object in any order, and keep zeros at the end of a
//!   fraction (`17.50`), so numbers are rounded before they become text.
//! - `format_int` of more than 20 digits, which modules cut.
//! - Division of what is no number to a module (`opa_arith_divide: invalid number`): a module aborts, which denies.

//!
//! Left out of every other policy is what regorus decides otherwise than both:
//!
//! - `not` of a constant: OPA's compiler loses the condition of `tags.a := json.marshal("x") if { not true }`. And `not` of a
//!   comparison with a field that is missing: for OPA, the field is read outside of the negation.
//! - A function with `else`.
//! - `glob.match` of `?` with a letter of several bytes.
//! - `count` of a text: regorus counts some letters twice (`😀`).

use fastrand::Rng;

/// The most calls and operators within each other.
const DEPTH: u32 = 3;

/// What rules may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    /// All that OPA's interpreter and its modules decide alike.
    OfOpa,
    /// Of that, what regorus decides alike too.
    Common,
}

/// Writes expressions. Names of variables are used once, so that none hides another.
struct Writer<'a> {
    random: &'a mut Rng,
    language: Language,
    variables: usize,
}

/// The rules of one policy, in package `scalegate`.
pub(super) fn rules(random: &mut Rng, language: Language) -> String {
    let mut writer = Writer { random, language, variables: 0 };
    let mut rules = vec!["default allow := false".to_owned()];
    for _ in 0..writer.random.usize(1..4) {
        rules.push(format!("allow if {{\n\t{}\n}}", writer.body()));
    }
    for _ in 0..writer.random.usize(1..4) {
        rules.push(format!("reasons contains {} if {{\n\t{}\n}}", writer.text(DEPTH), writer.body()));
    }
    rules.push("known contains \"nothing\" if false".to_owned());
    for _ in 0..writer.random.usize(..3) {
        rules.push(format!("known contains {} if {{\n\t{}\n}}", writer.text(1), writer.body()));
    }
    rules.push(format!(
        "grade(x) := {} if {{\n\tx > {}\n}} else := {} if {{\n\tx < {}\n}} else := -1",
        writer.number(1),
        writer.random.i32(-3..9),
        writer.number(1),
        writer.random.i32(-3..9)
    ));
    for (name, value) in ["n", "t", "xs", "ts", "set", "o"].into_iter().zip(writer.one_of_each()) {
        rules.push(format!("tags.{name} := json.marshal({value}) if {{\n\t{}\n}}", writer.condition(1)));
    }
    // Without a default: undefined in some questions.
    if writer.random.u8(..4) == 0 {
        rules.push(format!("ready if {{\n\t{}\n}}", writer.condition(DEPTH)));
    } else {
        rules.push("ready := true".to_owned());
    }
    rules.push(
        "verdict := {\"allow\": allow, \"reasons\": sort([reason | some reason in reasons]), \"tags\": tags} if ready"
            .to_owned(),
    );
    rules.join("\n\n")
}

impl Writer<'_> {
    fn pick<'t>(&mut self, all: &[&'t str]) -> &'t str {
        self.random.choice(all).copied().unwrap_or_default()
    }

    fn variable(&mut self) -> String {
        self.variables += 1;
        format!("v{}", self.variables)
    }

    /// An expression of each type that is a tag's value.
    fn one_of_each(&mut self) -> [String; 6] {
        [
            format!("round({})", self.number(DEPTH)),
            self.text(DEPTH),
            format!("[round(number) | some number in {}]", self.numbers(DEPTH)),
            self.texts(DEPTH),
            format!("sort({{round(number) | some number in {}}})", self.set(DEPTH)),
            format!("sort([[key, round(value)] | some key, value in {}])", self.object(DEPTH)),
        ]
    }

    fn body(&mut self) -> String {
        let conditions: Vec<_> = (0..self.random.usize(1..3)).map(|_| self.condition(2)).collect();
        conditions.join("\n\t")
    }

    fn number(&mut self, depth: u32) -> String {
        let Some(depth) = depth.checked_sub(1) else {
            let literal = self.random.i32(-4..12).to_string();
            return self.pick(&["input.a", "input.b", "3", "0", "2.5", &literal]).to_owned();
        };
        match self.random.u8(..15) {
            0 => format!("({} + {})", self.number(depth), self.number(depth)),
            1 => format!("({} - {})", self.number(depth), self.number(depth)),
            2 => format!("({} * {})", self.number(depth), self.pick(&["2", "3", "0.5"])),
            3 => format!("({} / {})", self.number(depth), self.pick(&["2", "4", "0"])),
            4 => format!("({} % {})", self.number(depth), self.pick(&["3", "7", "0", "-2"])),
            5 => format!("count({})", self.countable(depth)),
            6 => format!("sum({})", self.numbers(depth)),
            7 => format!("max({})", self.numbers(depth)),
            8 => format!("min({})", self.set(depth)),
            9 => format!("abs({})", self.number(depth)),
            10 => format!("{}(abs({}))", self.pick(&["round", "ceil", "floor"]), self.number(depth)),
            11 => format!("to_number({})", self.text(0)),
            12 => format!("{}[{}]", self.numbers_term(), self.pick(&["0", "1", "input.a", "count(input.ts)"])),
            13 => format!("object.get({}, {}, {})", self.object(depth), self.text(0), self.number(0)),
            _ => format!("indexof({}, {})", self.text(depth), self.pick(&["\"a\"", "\"é\"", "\"-\""])),
        }
    }

    fn text(&mut self, depth: u32) -> String {
        let Some(depth) = depth.checked_sub(1) else {
            return self.pick(&["input.s", "input.t", "\"a\"", "\"web\"", "\"x-é\"", "\"\""]).to_owned();
        };
        let text = self.text(depth);
        match self.random.u8(..13) {
            0 => format!("concat({}, {})", self.pick(&["\",\"", "\"\"", "input.t"]), self.texts(depth)),
            1 => format!("{}({text})", self.pick(&["upper", "lower", "trim_space"])),
            2 => format!("{}({text}, {})", self.pick(&["trim", "trim_left", "trim_right"]), self.text(0)),
            3 => format!("{}({text}, {})", self.pick(&["trim_prefix", "trim_suffix"]), self.text(0)),
            4 => format!("replace({text}, {}, {})", self.pick(&["\"a\"", "\"-\""]), self.text(0)),
            5 => format!("substring({text}, {}, {})", self.pick(&["0", "1", "2"]), self.pick(&["-1", "0", "2", "9"])),
            6 => format!("sprintf(\"%v/%s\", [round({}), {text}])", self.number(depth)),
            7 => format!("format_int(round({}), {})", self.number(depth), self.pick(&["8", "10", "16"])),
            8 => format!("{}[{}]", "input.ts", self.pick(&["0", "1", "count(input.xs)"])),
            9 => format!("json.marshal([round(number) | some number in {}])", self.numbers(depth)),
            10 => format!("base64.encode({text})"),
            11 => format!("type_name({})", self.pick(&["input.a", "input.o", "input.ts", "input.flag", "input"])),
            _ => text,
        }
    }

    fn numbers_term(&mut self) -> &'static str {
        self.pick(&["input.xs", "input.ys", "[1, 2.5, -3]"])
    }

    fn numbers(&mut self, depth: u32) -> String {
        let Some(depth) = depth.checked_sub(1) else { return self.numbers_term().to_owned() };
        match self.random.u8(..8) {
            0 => {
                let (variable, inner) = (self.variable(), self.numbers(depth));
                format!("[({variable} * 2) | some {variable} in {inner}; {variable} > {}]", self.number(0))
            }
            1 => format!("array.concat({}, {})", self.numbers(depth), self.numbers(depth)),
            2 => format!("numbers.range({}, {})", self.pick(&["1", "-2", "5"]), self.pick(&["3", "-4", "0"])),
            3 => format!("sort({})", self.set(depth)),
            4 => format!(
                "array.slice({}, {}, {})",
                self.numbers(depth),
                self.pick(&["0", "1", "-1"]),
                self.pick(&["2", "9"])
            ),
            5 => format!("[input.a, input.b, {}]", self.number(depth)),
            6 => {
                let (index, variable, inner) = (self.variable(), self.variable(), self.numbers(depth));
                format!("[({variable} + {index}) | some {index}, {variable} in {inner}]")
            }
            _ => format!("array.reverse({})", self.numbers(depth)),
        }
    }

    fn texts(&mut self, depth: u32) -> String {
        let Some(depth) = depth.checked_sub(1) else { return self.pick(&["input.ts", "[\"a\", \"b\"]"]).to_owned() };
        match self.random.u8(..5) {
            0 => format!("split({}, {})", self.text(depth), self.pick(&["\",\"", "\"a\"", "\"/\""])),
            1 => {
                let variable = self.variable();
                format!(
                    "[upper({variable}) | some {variable} in {}; {variable} != {}]",
                    self.texts(depth),
                    self.text(0)
                )
            }
            2 => "sort([one | some one in known])".to_owned(),
            3 => format!("sort(object.keys({}))", self.object(depth)),
            _ => format!("array.concat({}, {})", self.texts(depth), self.texts(depth)),
        }
    }

    fn set(&mut self, depth: u32) -> String {
        let Some(depth) = depth.checked_sub(1) else { return self.pick(&["{1, 2, 3}", "{0}"]).to_owned() };
        match self.random.u8(..5) {
            0 | 1 => {
                let (variable, inner) = (self.variable(), self.numbers(depth));
                format!("{{{variable} | some {variable} in {inner}}}")
            }
            2 => format!("({} | {})", self.set(depth), self.set(depth)),
            3 => format!("({} & {})", self.set(depth), self.set(depth)),
            _ => format!("({} - {})", self.set(depth), self.set(depth)),
        }
    }

    fn object(&mut self, depth: u32) -> String {
        let Some(depth) = depth.checked_sub(1) else { return self.pick(&["input.o", "{\"a\": 1}"]).to_owned() };
        match self.random.u8(..5) {
            0 => {
                let (key, value, inner) = (self.variable(), self.variable(), self.object(depth));
                format!("{{{key}: ({value} + 1) | some {key}, {value} in {inner}; {value} != {}}}", self.number(0))
            }
            1 => format!("object.union({}, {})", self.object(depth), self.object(depth)),
            2 => format!("object.remove({}, [{}])", self.object(depth), self.text(0)),
            3 => format!("object.filter({}, [{}, \"web\"])", self.object(depth), self.text(0)),
            _ => format!("{{\"n\": {}, \"m\": 1}}", self.number(depth)),
        }
    }

    fn countable(&mut self, depth: u32) -> String {
        match (self.random.u8(..4), self.language) {
            (3, Language::OfOpa) => self.text(depth),
            (1, _) => self.set(depth),
            (2, _) => self.object(depth),
            _ => self.numbers(depth),
        }
    }

    fn condition(&mut self, depth: u32) -> String {
        let Some(depth) = depth.checked_sub(1) else {
            return self
                .pick(&["input.flag", "input.a > 2", "input.s != \"a\"", "true", "count(input.xs) > 1"])
                .to_owned();
        };
        let kind = match (self.random.u8(..13), self.language) {
            (5 | 10, Language::Common) => 0,
            (kind, _) => kind,
        };
        match kind {
            0 => format!(
                "{} {} {}",
                self.number(depth),
                self.pick(&["<", "<=", "==", "!=", ">", ">="]),
                self.number(depth)
            ),
            1 => format!("{} {} {}", self.text(depth), self.pick(&["<", "==", "!=", ">"]), self.text(depth)),
            2 => format!("{} in {}", self.number(depth), self.numbers(depth)),
            3 => format!("{} in {}", self.text(depth), self.texts(depth)),
            4 => format!(
                "{}({}, {})",
                self.pick(&["contains", "startswith", "endswith"]),
                self.text(depth),
                self.text(0)
            ),
            5 => format!("not {}", self.condition(0)),
            6 => {
                let (variable, inner) = (self.variable(), self.numbers(depth));
                format!("some {variable} in {inner}\n\t{variable} > {}", self.number(0))
            }
            7 => {
                let (variable, inner) = (self.variable(), self.numbers(depth));
                format!("every {variable} in {inner} {{ {variable} < {} }}", self.number(0))
            }
            8 => {
                format!("regex.match({}, {})", self.pick(&["`^a`", "`[a-z]+-?\\d*$`", "`é`", "`^$`"]), self.text(depth))
            }
            9 => {
                let globs = ["\"*\"", "\"team/*\"", "\"{a,web}\"", "\"?\""];
                let globs = if self.language == Language::Common { &globs[..3] } else { &globs[..] };
                format!("glob.match({}, [\"/\"], {})", self.pick(globs), self.text(depth))
            }
            10 => format!("grade({}) > {}", self.number(depth), self.number(0)),
            11 => format!(
                "{}({})",
                self.pick(&["is_number", "is_string", "is_array"]),
                self.pick(&["input.a", "input.s", "input.xs"])
            ),
            _ => format!("{} == {}", self.set(depth), self.set(depth)),
        }
    }
}
