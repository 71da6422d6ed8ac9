#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::time::Duration;

use super::*;

const LIMIT: usize = 1 << 10;

/// Without a deadline to speak of.
fn sprintf(format: &str, values: &[Term], limit: usize) -> Result<String, EvalError> {
    super::sprintf(format, values, limit, &Deadline::in_an_hour())
}

/// Format, arguments, and what `opa eval` 1.22.2 makes of them.
const CASES: &[(&str, &str, &str)] = &[
    ("%v %s %d", r#"["a", "b", 3]"#, "a b 3"),
    ("%d", r#"["hi"]"#, "%!d(string=hi)"),
    ("%s", "[5]", "%!s(int64=5)"),
    ("%t", "[true]", "%!t(string=true)"),
    ("%v %v %v", r#"[true, null, [1,"x"]]"#, r#"true null [1, "x"]"#),
    ("%v", r#"[{"a": {1,2}}]"#, r#"{"a": {1, 2}}"#),
    ("%x %X", r#"[255, "hi"]"#, "ff 6869"),
    ("%q", r#"["a\"b\n"]"#, r#""a\"b\n""#),
    ("%q", "[65]", "'A'"),
    ("%5d|%-5d|%05d|%+d", "[42,42,42,42]", "   42|42   |00042|+42"),
    ("%8.3f|%f|%.0f", "[3.14159, 2.5, 2.5]", "   3.142|2.500000|2"),
    ("%v", "[1e21]", "1e+21"),
    ("%v", "[1.5e-7]", "1.5e-07"),
    ("%v", "[0.1]", "0.1"),
    ("%v", "[123456789012345678901234567890]", "123456789012345678901234567890"),
    ("%s", "[123456789012345678901234567890]", "123456789012345678901234567890"),
    ("%d", "[3.5]", "%!d(float64=3.5)"),
    ("%f", "[3]", "%!f(int64=3)"),
    ("%d", "[]", "%!d(MISSING)"),
    ("a", r#"["b", 3]"#, "a%!(EXTRA string=b, int64=3)"),
    ("%", "[]", "%!(NOVERB)"),
    ("%d%%", "[50]", "50%"),
    ("%z", "[1]", "%!z(int64=1)"),
    ("%!", "[1]", "%!!(int64=1)"),
    ("%s|%10s|%-10s|%.2s", r#"["é", "é", "é", "éàü"]"#, "é|         é|é         |éà"),
    ("%e %g %G", "[1234567.5, 1234567.5, 1e-10]", "1.234568e+06 1.2345675e+06 1E-10"),
    ("%.3g", "[1234567.5]", "1.23e+06"),
    ("%.3e", "[0.00012345]", "1.234e-04"),
    ("%c %U", "[233, 233]", "é U+00E9"),
    ("%b %o %O", "[5, 8, 8]", "101 10 0o10"),
    ("%T", r#"["a"]"#, "string"),
    ("%T", "[1]", "int64"),
    ("%T", "[1.5]", "float64"),
    ("%5t|", "[true]", "%!t(string= true)|"),
    ("%-5q|", r#"["a"]"#, r#""a"  |"#),
    ("%05s|", r#"["ab"]"#, "000ab|"),
    ("% d", "[5]", " 5"),
    ("%x", "[-255]", "-ff"),
    ("%08.3f|", "[-3.14159]", "-003.142|"),
    ("%+.2e", "[12345.678]", "+1.23e+04"),
    ("%6d|", r#"["hi"]"#, "%!d(string=    hi)|"),
    ("%v", r#"["%d"]"#, "%d"),
    ("%.5d|", "[42]", "00042|"),
    ("%8.5d|", "[42]", "   00042|"),
    ("%s", "[1.5]", "%!s(float64=1.5)"),
    ("%v", "[100000.5]", "100000.5"),
    ("%v", "[1e20]", "1e+20"),
    ("%v", "[12345678.5]", "1.23456785e+07"),
    ("%s %s", r#"["a"]"#, "a %!s(MISSING)"),
    ("%v", "[1.0]", "1"),
    ("%d", "[1.0]", "%!d(float64=1)"),
    ("%-05d|", "[42]", "42   |"),
    ("%q", r#"["é\u00a0\u0007\u001b"]"#, r#""é\u00a0\a\x1b""#),
    ("%x", r#"["é"]"#, "c3a9"),
    ("%é", "[1]", "%!é(int64=1)"),
    ("%s%", r#"["a"]"#, "a%!(NOVERB)"),
    ("%.f", "[2.5]", "2"),
    ("%+v", "[3]", "3"),
    ("%5v|", r#"["a"]"#, "    a|"),
    ("%05v|", "[-42]", "-0042|"),
    ("%010.2f|", "[3.14159]", "0000003.14|"),
    ("%d", "[-5]", "-5"),
    ("%.2v", r#"["abc"]"#, "ab"),
    ("%.3v", "[1234.5678]", "1.23e+03"),
    ("%g", "[100000]", "%!g(int64=100000)"),
    ("%g", "[1e6]", "1e+06"),
    ("%g", "[2000000.5]", "2.0000005e+06"),
    ("%99999999999d|x", "[1]", "%!(NOVERB)%!(EXTRA int64=1)"),
    ("%10000010d|", "[1]", "%!(NOVERB)%!(EXTRA int64=1)"),
    ("%.99999999999s|", r#"["a"]"#, "%!(NOVERB)%!(EXTRA string=a)"),
    ("%.70000s|", r#"["ab"]"#, "ab|"),
    ("%.70000g", "[1.5]", "1.5"),
    ("%99999%|", "[1]", "%|%!(EXTRA int64=1)"),
    ("%!", "[]", "%!!(MISSING)"),
    ("%v", "[-0.0]", "-0"),
    ("%q %q", r#"[0, "\u0000"]"#, r#"'\x00' "\x00""#),
    ("%+v %+v", "[3, 123456789012345678901234567890]", "3 +123456789012345678901234567890"),
    ("%U", "[-1]", "U+FFFFFFFFFFFFFFFF"),
    ("text%.", "[0.1]", "text%!.(float64=0.1)"),
    ("%[2]d %[1]d %d", "[1, 2]", "2 1 2"),
    ("%[3]d|%[x]d|%[|%[1]", "[1, 2]", "%!d(BADINDEX)|%!d(BADINDEX)|%!(NOVERB)"),
    ("%*d|%-*d|%.*f", "[5, 1, 4, 2, 2, 1.234]", "    1|2   |1.23"),
    ("%*d|%.*d", r#"["a", 1, -1, 2]"#, "%!(BADWIDTH)1|%!(BADPREC)2"),
    ("%#v %#v %#x %#o %#b %#q %#U", r#"["a", 1.5, 255, 8, 5, "x", 233]"#, "\"a\" 1.5 0xff 010 0b101 `x` U+00E9 'é'"),
    ("%+q %+q %# x % X", r#"["é", 233, "hi", "hi"]"#, r#""\u00e9" '\u00e9' 0x68 0x69 68 69"#),
    ("%x %X %b %.2x", "[1.5, -0.1, 1.5, 3.999]", "0x1.8p+00 -0X1.999999999999AP-04 6755399441055744p-52 0x1.00p+02"),
    (
        "%x %o %#X",
        "[123456789012345678901234567890, 18446744073709551616, 18446744073709551616]",
        "18ee90ff6c373e0ee4e3f0ad2 2000000000000000000000 0X10000000000000000",
    ),
    ("%#g %#.3e %#f", "[1.0, 2.0, 1.5]", "1.00000 2.000e+00 1.500000"),
    ("%12z|", "[123456789012345678901234567890]", "%!z(big.Int=123456789012345678901234567890)|"),
];

fn arguments(text: &str) -> Vec<Term> {
    match Term::parse(text.as_bytes(), &Deadline::in_an_hour()) {
        Ok(Term::Array(arguments)) => arguments,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn it_formats_as_opa_does() {
    for (format, values, expected) in CASES {
        assert_eq!(sprintf(format, &arguments(values), LIMIT).unwrap(), *expected, "{format:?} {values}");
    }
}

#[test]
fn a_number_beyond_all_floats_is_written_as_it_came() {
    assert_eq!(sprintf("%v", &arguments("[1e400]"), LIMIT).unwrap(), "1e400");
}

#[test]
fn a_text_beyond_the_limit_is_an_error() {
    for (format, values) in [
        ("%10000000d", "[1]"),
        ("%.2000f", "[1.5]"),
        ("%.2000d", "[1]"),
        ("%.65536f", "[1.5]"),
        ("%.9999999e", "[1.5]"),
        ("%1000d%1000d", "[1, 2]"),
        (&*"x".repeat(LIMIT + 1), "[]"),
    ] {
        assert_eq!(sprintf(format, &arguments(values), LIMIT), Err(EvalError::Output(LIMIT)), "{format:?}");
    }
}

#[test]
fn precisions_beyond_16_bits_are_written_out() {
    let written = |format: &str| sprintf(format, &arguments("[1.5]"), 1 << 20).unwrap();
    assert_eq!(written("%.65536f"), format!("1.5{}", "0".repeat(65_535)));
    assert_eq!(written("%.70000e"), format!("1.5{}e+00", "0".repeat(69_999)));
    assert_eq!(written("%.70000g"), "1.5");
    let whole = sprintf("%.65536U", &arguments("[1]"), 1 << 20).unwrap();
    assert_eq!(whole, format!("U+{}1", "0".repeat(65_535)));
    assert_eq!(written("%70000.1f").len(), 70_000);
    let smallest = sprintf("%.70000g", &arguments("[5e-324]"), 1 << 20).unwrap();
    assert!(smallest.starts_with("4.940656458412465441765687928682213723650598026143247644255856825006"));
    assert!(smallest.ends_with("e-324"));
}

/// What shows how Go keeps a number in memory, and what would take the square of a long number's digits.
#[test]
fn what_it_cannot_do_is_an_error() {
    let long = format!("[{}]", "1".repeat(20_000));
    for (format, values) in
        [("%p", "[123456789012345678901234567890]"), ("%w", "[123456789012345678901234567890]"), ("%x", &*long)]
    {
        assert!(matches!(sprintf(format, &arguments(values), LIMIT), Err(EvalError::Unsupported(_))), "{format}");
    }
}

/// A verb may cost as much as its precision and add nothing to the text, which the limit of the text does not see.
#[test]
fn verbs_that_add_nothing_end_at_the_deadline_too() {
    let over = Deadline::after(Duration::ZERO);
    for format in ["%.0s%.0s", "%v"] {
        let formatted = super::sprintf(format, &arguments(r#"["a", "b"]"#), LIMIT, &over);
        assert_eq!(formatted, Err(EvalError::Deadline(Duration::ZERO)), "{format}");
    }
}
