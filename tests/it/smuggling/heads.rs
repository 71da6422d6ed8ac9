//! The head of a request: control characters, lines, hosts, versions, and fields that another server obeys.

use super::{Entry, GET, HIDDEN};

pub(super) fn entries() -> Vec<Entry> {
    let mut entries = characters();
    entries.extend(lines());
    entries.extend(versions_and_methods());
    entries.extend(hosts());
    entries.extend(obeyed_elsewhere());
    entries
}

/// Characters that have no place in a field.
fn characters() -> Vec<Entry> {
    let mut entries = Vec::new();
    for byte in [0, 1, 7, 8, 0xb, 0xc, 0xe, 0x1b, 0x1f, 0x7f] {
        let value =
            [b"GET @seen HTTP/1.1\r\nHost: localhost\r\nX: a", &[byte][..], b"b\r\n\r\n", HIDDEN.as_bytes()].concat();
        entries.push(Entry::new(format!("byte {byte:#x} in a value"), value, &[400], &[]));
    }
    for byte in [0, 1, 0xb, b' ', b'\t', b'"', b'(', b',', b'/', b';', b'=', b'@', b'[', b'{', 0x7f, 0x80, 0xc3, 0xff] {
        let name =
            [b"GET @seen HTTP/1.1\r\nHost: localhost\r\nX", &[byte][..], b"Y: b\r\n\r\n", HIDDEN.as_bytes()].concat();
        entries.push(Entry::new(format!("byte {byte:#x} in a name"), name, &[400], &[]));
    }
    for byte in [0x80, 0xe9, 0xff] {
        let value = [b"GET @seen HTTP/1.1\r\nHost: localhost\r\nX: a", &[byte][..], b"b\r\n\r\n"].concat();
        entries.push(Entry::new(format!("byte {byte:#x} in a value"), value, &[404, 200], &[GET]));
    }
    entries
}

/// Where lines end, and fields that are not whole.
fn lines() -> Vec<Entry> {
    let mut entries = Vec::new();
    for fields in [
        "X: a\r\n b",
        "X: a\r\n\tb",
        "X: a\r\n ",
        " X: a",
        "X : a",
        "X\t: a",
        ": a",
        "X",
        "X\0",
        "X: a\rY: b",
        "X: a\r\r",
        "X: a\r\r\n\r\r\n",
        "\rX: a",
    ] {
        let request = format!("GET @seen HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n\r\n{HIDDEN}");
        entries.push(Entry::new(format!("fields {fields:?}"), request, &[400], &[]));
    }
    for (what, request) in [
        ("line feeds alone", "GET @seen HTTP/1.1\nHost: localhost\n\n"),
        ("a line feed at the end", "GET @seen HTTP/1.1\r\nHost: localhost\r\n\n"),
        ("an empty line before", "\r\nGET @seen HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("two line feeds before", "\n\nGET @seen HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("an empty field", "GET @seen HTTP/1.1\r\nHost: localhost\r\nX:\r\n\r\n"),
        ("a field twice", "GET @seen HTTP/1.1\r\nHost: localhost\r\nX: a\r\nX: b\r\n\r\n"),
    ] {
        entries.push(Entry::new(what, request, &[404, 200], &[GET]));
    }
    for line in [
        " GET @seen HTTP/1.1",
        "\tGET @seen HTTP/1.1",
        "GET\t@seen\tHTTP/1.1",
        "GET  @seen HTTP/1.1",
        "GET @seen  HTTP/1.1",
        "GET @seen HTTP/1.1 ",
        "GET @seen HTTP/1.1 x",
        "GET @seen @hidden HTTP/1.1",
        "GET @seen\rHTTP/1.1",
        "GET\r\n@seen HTTP/1.1",
        "GET @seen\0 HTTP/1.1",
        "GET @seen",
        "GET",
        "@seen",
        "GET \u{a0}@seen HTTP/1.1",
    ] {
        let request = format!("{line}\r\nHost: localhost\r\n\r\n{HIDDEN}");
        entries.push(Entry::new(format!("line {line:?}"), request, &[400], &[]));
    }
    entries
}

fn versions_and_methods() -> Vec<Entry> {
    let mut entries = Vec::new();
    for version in [
        "HTTP/0.9",
        "HTTP/1.2",
        "HTTP/2.0",
        "HTTP/2",
        "HTTP/3",
        "http/1.1",
        "HTTP/1.1.1",
        "HTTP/01.1",
        "HTTPS/1.1",
        "ICY",
    ] {
        let request = format!("GET @seen {version}\r\nHost: localhost\r\n\r\n{HIDDEN}");
        entries.push(Entry::new(format!("version {version}"), request, &[400], &[]));
    }
    let preface = format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{HIDDEN}");
    entries.push(Entry::new("the preface of HTTP/2", preface, &[], &[]));
    let kept = "GET @seen HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    entries.push(Entry::new("version HTTP/1.0, kept", kept, &[404, 200], &[GET]));
    for method in [
        "get", "Get", "DELETEX", "PATCH", "POST", "OPTIONS", "TRACE", "TRACK", "DEBUG", "PROPFIND", "LINK", "delete",
        "X-DELETE",
    ] {
        let request = format!("{method} @seen HTTP/1.1\r\nHost: localhost\r\n\r\n");
        entries.push(Entry::new(format!("method {method}"), request, &[405, 200], &[]));
    }
    for method in ["GET@", "G\0T", "GET:", "(GET)", "G\u{e9}T"] {
        let request = format!("{method} @seen HTTP/1.1\r\nHost: localhost\r\n\r\n{HIDDEN}");
        entries.push(Entry::new(format!("method {method:?}"), request, &[400], &[]));
    }
    let head = "HEAD @seen HTTP/1.1\r\nHost: localhost\r\n\r\n";
    entries.push(Entry::new("method HEAD", head, &[404, 200], &[GET]));
    entries
}

/// The host is no part of any decision, and is named once.
fn hosts() -> Vec<Entry> {
    let mut entries = Vec::new();
    for (hosts, answer) in [
        ("", 400),
        ("Host: localhost\r\nHost: localhost\r\n", 400),
        ("Host: localhost\r\nHost: elsewhere\r\n", 400),
        ("host: localhost\r\nHOST: elsewhere\r\n", 400),
    ] {
        let request = format!("GET @seen HTTP/1.1\r\n{hosts}\r\n");
        entries.push(Entry::new(format!("hosts {hosts:?}"), request, &[answer, 200], &[]));
    }
    for host in [
        "",
        "elsewhere",
        "localhost@elsewhere",
        "localhost, elsewhere",
        "localhost/@hidden",
        "localhost:99999",
        "@hidden",
        "[::1]:443",
        "*",
    ] {
        let request = format!("GET @seen HTTP/1.1\r\nHost: {host}\r\n\r\n");
        entries.push(Entry::new(format!("host {host:?}"), request, &[404, 200], &[GET]));
    }
    entries
}

/// Fields by which other servers take another method, path or caller.
fn obeyed_elsewhere() -> Vec<Entry> {
    let fields = [
        "X-HTTP-Method-Override: DELETE",
        "X-HTTP-Method: DELETE",
        "X-Method-Override: DELETE",
        "X-Original-Method: DELETE",
        "X-Forwarded-Method: DELETE",
        "_method: DELETE",
        "X-Original-URL: @hidden",
        "X-Original-URI: @hidden",
        "X-Rewrite-URL: @hidden",
        "X-Forwarded-Path: @hidden",
        "X-Forwarded-Uri: @hidden",
        "X-Forwarded-Prefix: /v1/namespaces/other",
        "X-Envoy-Original-Path: @hidden",
        "X-Accel-Redirect: @hidden",
        "X-Sendfile: @hidden",
        "Content-Location: @hidden",
        "Destination: @hidden",
        "Location: @hidden",
        "Referer: https://localhost@hidden",
        "X-Forwarded-Host: elsewhere",
        "X-Forwarded-For: 127.0.0.1",
        "X-Forwarded-Proto: http",
        "X-Real-IP: 127.0.0.1",
        "Forwarded: for=127.0.0.1;host=elsewhere;proto=http",
        "Via: 1.1 elsewhere",
        "X-Forwarded-Client-Cert: URI=spiffe://scalegate.test/admin",
        "X-Client-Cert: none",
        "X-SSL-Client-S-DN: CN=admin",
        "X-SSL-Client-Verify: SUCCESS",
        "X-Remote-User: admin",
        "X-Remote-Group: system:masters",
        "Impersonate-User: admin",
        "Authorization: Bearer x",
        "Cookie: session=admin; _method=DELETE",
        "Max-Forwards: 0",
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13",
        "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
        "Upgrade: h2c",
        "Upgrade: TLS/1.3, HTTP/2.0\r\nConnection: Upgrade",
        "Connection: Host",
        "Connection: X-Forwarded-For, Host, Content-Length",
    ];
    let mut entries = Vec::new();
    for field in fields {
        let request = format!("GET @seen HTTP/1.1\r\nHost: localhost\r\n{field}\r\n\r\n");
        entries.push(Entry::new(format!("field {field:?}"), request, &[404, 200], &[GET]));
    }
    for method in ["PUT", "DELETE", "GET"] {
        let request = format!(
            "POST @seen HTTP/1.1\r\nHost: localhost\r\nX-HTTP-Method-Override: {method}\r\nContent-Length: 0\r\n\r\n"
        );
        entries.push(Entry::new(format!("POST that means {method}"), request, &[405, 200], &[]));
    }
    entries
}
