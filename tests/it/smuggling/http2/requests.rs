//! Fields of requests.

use super::End::{Answer, GoAway, Reset};
use super::{Entry, Field, PROTOCOL_ERROR, base, data, head};
use crate::frames::END_STREAM;
use crate::smuggling::{GET, HIDDEN, RELEASE, SET};

const MALFORMED: super::End = Reset(PROTOCOL_ERROR);
/// A head that cannot even be decoded, after which the table of fields may differ on both sides.
const UNDECODED: super::End = GoAway(PROTOCOL_ERROR);

pub(super) fn entries() -> Vec<Entry> {
    let mut entries = connection_fields();
    entries.extend(characters());
    entries.extend(pseudo());
    entries.extend(paths());
    entries.extend(lengths());
    entries.extend(methods());
    entries
}

fn with(field: Field<'_>) -> Vec<Field<'_>> {
    [base("GET"), vec![field]].concat()
}

/// Fields of a connection, which HTTP/2 has none of (section 8.2.2), and those that other servers obey.
fn connection_fields() -> Vec<Entry> {
    let mut entries = Vec::new();
    for (name, value) in [
        ("connection", "close"),
        ("connection", "keep-alive, transfer-encoding"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("transfer-encoding", "chunked"),
        ("transfer-encoding", "identity"),
        ("upgrade", "h2c"),
        ("te", "gzip"),
        ("te", "trailers, deflate"),
    ] {
        let fields = with((name.as_bytes(), value.as_bytes()));
        entries.push(Entry::fields(format!("field {name}: {value}"), &fields, MALFORMED, &[]));
    }
    for (name, value) in [
        ("te", "trailers"),
        ("host", "elsewhere"),
        ("x-http-method-override", "DELETE"),
        ("x-original-url", "@hidden"),
        ("x-rewrite-url", "@hidden"),
        ("x-forwarded-host", "elsewhere"),
        ("x-forwarded-client-cert", "URI=spiffe://scalegate.test/admin"),
        ("transfer_encoding", "chunked"),
        ("http2-settings", "AAMAAABkAAQAAP__"),
        ("content-length", "0"),
    ] {
        let fields = with((name.as_bytes(), value.as_bytes()));
        entries.push(Entry::fields(format!("field {name}: {value}"), &fields, Answer(404), &[GET]));
    }
    entries
}

/// Characters that a reader of HTTP/1.1 takes for the end of something (section 8.2.1).
fn characters() -> Vec<Entry> {
    let mut entries = Vec::new();
    for name in [
        "X-Upper",
        "Transfer-Encoding",
        "x y",
        "x\r\ny",
        "x:y",
        "x\0",
        "",
        " x",
        "x ",
        "x\u{7f}",
        "\u{e9}",
        "x: a\r\ncontent-length",
        "x\ttab",
    ] {
        entries.push(Entry::fields(format!("name {name:?}"), &with((name.as_bytes(), b"a")), UNDECODED, &[]));
    }
    for value in [
        "a\r\nX: b",
        "a\rb",
        "a\nb",
        "a\0b",
        "a\r\n\r\nDELETE @hidden HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "\0",
        "\n",
        "\u{7f}",
        "a\u{b}b",
    ] {
        entries.push(Entry::fields(format!("value {value:?}"), &with((b"x", value.as_bytes())), UNDECODED, &[]));
    }
    for value in [" a", "a ", "\ta", "", "a\tb", "\u{e9}"] {
        entries.push(Entry::fields(format!("value {value:?}"), &with((b"x", value.as_bytes())), Answer(404), &[GET]));
    }
    entries
}

/// Pseudo-header fields (section 8.3).
fn pseudo() -> Vec<Entry> {
    let mut entries = Vec::new();
    let base = || base("GET");
    let twice = |name: &'static [u8], value: &'static [u8]| with((name, value));
    let without = |name: &[u8]| base().into_iter().filter(|(other, _)| *other != name).collect::<Vec<_>>();
    for (what, fields) in [
        (":method twice", twice(b":method", b"DELETE")),
        (":path twice", twice(b":path", b"@hidden")),
        (":scheme twice", twice(b":scheme", b"http")),
        (":authority twice", twice(b":authority", b"elsewhere")),
        (":method after a field", [without(b":method"), vec![(b"x", b"y"), (b":method", b"GET")]].concat()),
        (":path after a field", [without(b":path"), vec![(b"x", b"y"), (b":path", b"@seen")]].concat()),
        (
            ":authority after a field",
            [without(b":authority"), vec![(b"x", b"y"), (b":authority", b"localhost")]].concat(),
        ),
        ("that of an answer", twice(b":status", b"200")),
        ("no :method", without(b":method")),
        ("no :path", without(b":path")),
        ("no :scheme", without(b":scheme")),
        (":protocol", twice(b":protocol", b"websocket")),
        ("nothing", Vec::new()),
    ] {
        entries.push(Entry::fields(format!("pseudo: {what}"), &fields, MALFORMED, &[]));
    }
    for (what, fields) in [
        ("an unknown one", twice(b":unknown", b"x")),
        ("an empty one", twice(b":", b"x")),
        ("in capitals", [without(b":path"), vec![(&b":Path"[..], &b"@seen"[..])]].concat()),
    ] {
        entries.push(Entry::fields(format!("pseudo: {what}"), &fields, UNDECODED, &[]));
    }
    entries.push(Entry::fields("pseudo: no :authority", &without(b":authority"), Answer(404), &[GET]));
    let hosted = [without(b":authority"), vec![(&b"host"[..], &b"localhost"[..])]].concat();
    entries.push(Entry::fields("pseudo: a host instead of :authority", &hosted, Answer(404), &[GET]));
    for (scheme, end) in [
        ("http", Answer(404)),
        ("ftp", Answer(404)),
        ("", Answer(404)),
        ("https://x/", MALFORMED),
        ("ht tp", MALFORMED),
    ] {
        let fields = [without(b":scheme"), vec![(&b":scheme"[..], scheme.as_bytes())]].concat();
        let decided: &[_] = if end == MALFORMED { &[] } else { &[GET] };
        entries.push(Entry::fields(format!(":scheme {scheme:?}"), &fields, end, decided));
    }
    for (authority, end) in [
        ("elsewhere:1", Answer(404)),
        ("user@elsewhere", Answer(404)),
        ("", MALFORMED),
        ("localhost/@other", MALFORMED),
        ("local host", MALFORMED),
        ("localhost\r\nX: y", MALFORMED),
    ] {
        let fields = [without(b":authority"), vec![(&b":authority"[..], authority.as_bytes())]].concat();
        let decided: &[_] = if end == MALFORMED { &[] } else { &[GET] };
        entries.push(Entry::fields(format!(":authority {authority:?}"), &fields, end, decided));
    }
    entries
}

/// `:path` says what the target of a request says over HTTP/1.1.
fn paths() -> Vec<Entry> {
    let mut entries = Vec::new();
    for (path, end, decided) in [
        ("", MALFORMED, &[][..]),
        ("v1/version", MALFORMED, &[]),
        ("*", Answer(404), &[]),
        ("https://elsewhere@seen", MALFORMED, &[]),
        ("@seen x", MALFORMED, &[]),
        (" @seen", MALFORMED, &[]),
        ("@seen ", MALFORMED, &[]),
        ("@seen\r\nX: y", MALFORMED, &[]),
        ("@seen HTTP/1.1\r\nHost: localhost\r\n\r\nDELETE @hidden", MALFORMED, &[]),
        ("@seen\0", MALFORMED, &[]),
        ("@seen\t", MALFORMED, &[]),
        ("@seen#/../@other", Answer(404), &[GET]),
        ("@seen?", Answer(404), &[GET]),
        ("@seen?_method=DELETE", Answer(400), &[]),
        ("/healthz/..@seen", Answer(404), &[]),
        ("/@seen", Answer(404), &[]),
        ("@seen/", Answer(404), &[]),
        ("@seen%2f", Answer(404), &[]),
        ("@seen;a=b", Answer(404), &[]),
        ("@seen\\", Answer(404), &[]),
        ("/v1/namespaces/../deployments/@other/replicas", Answer(400), &[]),
        ("/v1/namespaces/%2e%2e/deployments/@other/replicas", Answer(400), &[]),
        ("/v1/namespaces/@namespace/deployments/@name%00/replicas", Answer(400), &[]),
        ("/v1/namespaces/@namespace/deployments/@name%2f..%2f@other/replicas", Answer(400), &[]),
        ("/v1/namespaces/@namespace/deployments/SEEN/replicas", Answer(400), &[]),
        ("/v1/namespaces/@namespace/deployments/@name\u{ff0e}/replicas", Answer(400), &[]),
    ] {
        let mut fields = base("GET");
        fields[3].1 = path.as_bytes();
        entries.push(Entry::fields(format!(":path {path:?}"), &fields, end, decided));
    }
    entries
}

/// `content-length` and what comes (section 8.1.1).
fn lengths() -> Vec<Entry> {
    let body = r#"{"replicas":1}"#;
    let put = |lengths: &[&str]| {
        let mut fields = base("PUT");
        fields.push((b"content-type", b"application/json"));
        let lengths: Vec<Vec<u8>> = lengths.iter().map(|length| length.as_bytes().to_vec()).collect();
        fields.extend(lengths.iter().map(|length| (&b"content-length"[..], &length[..])));
        head(&fields, 0)
    };
    let whole = |what: &str, lengths: &[&str], end, decided: &[&'static str]| {
        Entry::frames(format!("length: {what}"), vec![put(lengths), data(body, END_STREAM)], end, decided)
    };
    let mut entries = vec![
        whole("none", &[], Answer(404), &[SET]),
        whole("right", &["14"], Answer(404), &[SET]),
        whole("too small", &["5"], MALFORMED, &[]),
        whole("0", &["0"], MALFORMED, &[]),
        whole("too large", &["20"], MALFORMED, &[]),
        whole("no number", &["x"], MALFORMED, &[]),
        whole("negative", &["-14"], MALFORMED, &[]),
        whole("with a sign", &["+14"], MALFORMED, &[]),
        whole("a list", &["14, 14"], MALFORMED, &[]),
        whole("too large a number", &["18446744073709551616"], MALFORMED, &[]),
        whole("two", &["14", "5"], MALFORMED, &[]),
    ];
    let get = |length: &'static str| with((b"content-length", length.as_bytes()));
    entries.push(Entry::fields("length: of a body that never comes", &get("5"), MALFORMED, &[]));
    let hidden = vec![put(&[]), data(HIDDEN, END_STREAM)];
    entries.push(Entry::frames("a body that is a request", hidden, Answer(400), &[]));
    let behind = vec![put(&[]), data([body, HIDDEN].concat(), END_STREAM)];
    entries.push(Entry::frames("a request behind the body", behind, Answer(400), &[]));
    let chunks = vec![put(&[]), data(format!("e\r\n{body}\r\n0\r\n\r\n{HIDDEN}"), END_STREAM)];
    entries.push(Entry::frames("chunks over HTTP/2", chunks, Answer(400), &[]));
    let parts = vec![put(&[]), data(&body[..5], 0), data("", 0), data(&body[5..], END_STREAM)];
    entries.push(Entry::frames("a body in parts", parts, Answer(404), &[SET]));
    for (what, fields, end) in [
        // h2 drops it (RFC 9113, section 8.1, would have the request malformed): it changes nothing.
        ("with a pseudo-header", &[(&b":path"[..], &b"@hidden"[..])][..], Answer(404)),
        ("of a connection", &[(b"transfer-encoding", b"chunked")], MALFORMED),
        ("in capitals", &[(b"X", b"y")], UNDECODED),
        ("with another length", &[(b"content-length", b"5")], Answer(404)),
        ("with another method", &[(b"x-http-method-override", b"DELETE")], Answer(404)),
    ] {
        let frames = vec![put(&[]), data(body, 0), head(fields, END_STREAM)];
        let decided: &[_] = if matches!(end, Answer(_)) { &[SET] } else { &[] };
        entries.push(Entry::frames(format!("trailers {what}"), frames, end, decided));
    }
    let unended = vec![put(&[]), data(body, 0), head(&[(b"x", b"y")], 0)];
    entries.push(Entry::frames("trailers that do not end", unended, MALFORMED, &[]));
    entries
}

fn methods() -> Vec<Entry> {
    let mut entries = vec![
        Entry::fields("method HEAD", &base("HEAD"), Answer(404), &[GET]),
        Entry::fields("method DELETE", &base("DELETE"), Answer(404), &[RELEASE]),
    ];
    for method in ["POST", "PATCH", "OPTIONS", "TRACE", "get", "DELETEX", "PRI"] {
        entries.push(Entry::fields(format!("method {method}"), &base(method), Answer(405), &[]));
    }
    for method in ["", "GET @seen", "GET @seen HTTP/1.1\r\nX:", "G\0T", "GET ", "GET\r", "G\u{e9}T", "(GET)"] {
        entries.push(Entry::fields(format!("method {method:?}"), &base(method), UNDECODED, &[]));
    }
    let connect = [(&b":method"[..], &b"CONNECT"[..]), (b":authority", b"localhost:443")];
    entries.push(Entry::fields("CONNECT", &connect, Answer(404), &[]));
    entries.push(Entry::fields("CONNECT with a path", &base("CONNECT"), MALFORMED, &[]));
    entries.push(Entry::fields("CONNECT to nobody", &connect[..1], Answer(404), &[]));
    let extended = [base("CONNECT"), vec![(&b":protocol"[..], &b"websocket"[..])]].concat();
    entries.push(Entry::fields("extended CONNECT", &extended, MALFORMED, &[]));
    entries
}
