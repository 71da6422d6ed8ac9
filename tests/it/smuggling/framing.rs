//! Where a body ends: `Transfer-Encoding`, `Content-Length`, and chunks.

use super::{Entry, GET, HIDDEN, SET};

const JSON: &str = "Host: localhost\r\nContent-Type: application/json\r\n";
/// A set of 14 bytes.
const BODY: &str = r#"{"replicas":1}"#;

pub(super) fn entries() -> Vec<Entry> {
    let mut entries = transfer_encodings();
    entries.extend(content_lengths());
    entries.extend(chunks());
    entries.extend(last_chunks());
    entries.extend(pipelines());
    entries
}

/// A request whose end both `Content-Length` and a field that may be `Transfer-Encoding` say, in either way around.
fn transfer_encodings() -> Vec<Entry> {
    let mut entries = Vec::new();
    // Read as chunked or refused: the connection ends in both cases (RFC 9112, section 6.1).
    for field in [
        "Transfer-Encoding: chunked",
        "transfer-encoding: chunked",
        "TRANSFER-ENCODING: CHUNKED",
        "Transfer-Encoding:chunked",
        "Transfer-Encoding:\tchunked",
        "Transfer-Encoding: \t chunked",
        "Transfer-Encoding: chunked ",
        "Transfer-Encoding: chunked\t",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: 'chunked'",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunkedx",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: ,chunked",
        "Transfer-Encoding: chunked,",
        "Transfer-Encoding:",
        "Transfer-Encoding : chunked",
        " Transfer-Encoding: chunked",
        "\tTransfer-Encoding: chunked",
        "Transfer-Encoding\t: chunked",
        "Transfer-Encoding:\r\n chunked",
        "Transfer-Encoding: chunked\r\n , identity",
        "Transfer-Encoding: chun\0ked",
        "Transfer-Encoding: \0chunked",
        "Transfer-Encoding: \u{b}chunked",
        "Transfer-Encoding: chunked\u{c}",
        "Transfer-Encoding: ch\u{fc}nked",
        "Transfer-Encoding\0: chunked",
        "Transfer\u{2010}Encoding: chunked",
        "Transfer Encoding: chunked",
        "Transfer-Encoding chunked",
        "Transfer-Encoding= chunked",
        "X: y\nTransfer-Encoding: chunked",
        "X: y\rTransfer-Encoding: chunked",
        "X: y\r\rTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\rX: y",
    ] {
        let hidden = format!("0\r\n\r\n{HIDDEN}");
        entries.push(cl_te(field, &hidden, &[400]));
        // Sizes of two digits, since a name is shorter than 200 bytes, and longer than its mark.
        let chunks = format!("@hex\r\n@begin{HIDDEN}@end\r\n0\r\n\r\n");
        let request = format!("PUT @seen HTTP/1.1\r\n{JSON}{field}\r\nContent-Length: 4\r\n\r\n{chunks}");
        entries.push(Entry::new(format!("TE.CL {field:?}"), request, &[400], &[]));
    }
    // Another field: the length counts, and the body is no set.
    for field in [
        "Transfer_Encoding: chunked",
        "X-Transfer-Encoding: chunked",
        "Transfer-Encodin: chunked",
        "Transfer--Encoding: chunked",
        "TE: chunked",
        "TE: trailers",
        "Trailer: Transfer-Encoding",
        "Connection: Transfer-Encoding",
    ] {
        entries.push(cl_te(field, &format!("0\r\n\r\n{HIDDEN}"), &[400, 200]));
    }
    entries
}

fn cl_te(field: &str, body: &str, answers: &[u16]) -> Entry {
    let request = format!("PUT @seen HTTP/1.1\r\n{JSON}Content-Length: @length\r\n{field}\r\n\r\n@begin{body}@end");
    Entry::new(format!("CL.TE {field:?}"), request, answers, &[])
}

/// A GET whose `Content-Length` says that what follows is its body, or says nothing that can be relied on.
fn content_lengths() -> Vec<Entry> {
    let with = |field: &str, answers: &[u16]| {
        let request = format!("GET @seen HTTP/1.1\r\nHost: localhost\r\n{field}\r\n\r\n@begin{HIDDEN}@end");
        Entry::new(format!("CL {field:?}"), request, answers, &[])
    };
    let mut entries = Vec::new();
    for field in [
        "Content-Length: @length",
        "content-length:@length",
        "Content-Length: \t@length \t",
        "Content-Length: 0@length",
        "Content-Length: 000000000000000000000@length",
        "Content-Length: @length\r\nContent-Length: @length",
        "Content-Length: @length\r\nContent-Length: 0@length",
    ] {
        entries.push(with(field, &[400, 200]));
    }
    for field in [
        "Content-Length: @length\r\nContent-Length: 0",
        "Content-Length: 0\r\nContent-Length: @length",
        "Content-Length: @length\r\nContent-Length: x",
        "Content-Length: @length, @length",
        "Content-Length: 0, @length",
        "Content-Length: @length,",
        "Content-Length: +@length",
        "Content-Length: -@length",
        "Content-Length: -0",
        "Content-Length: 0x10",
        "Content-Length: 1e1",
        "Content-Length: @length.0",
        "Content-Length: 1 0",
        "Content-Length: 1_0",
        "Content-Length: \"@length\"",
        "Content-Length: @length;x",
        "Content-Length: x",
        "Content-Length: ",
        "Content-Length: \u{662}\u{663}",
        "Content-Length: 18446744073709551616",
        "Content-Length: 18446744073709551613",
        "Content-Length: 9223372036854775808",
        "Content-Length : @length",
        "Content-Length\t: @length",
        "Content-Length:\r\n @length",
        "Content-Length: @length\0",
        "Content-Length: \u{b}@length",
        "Content-Length: 0\rContent-Length: @length",
    ] {
        entries.push(with(field, &[400]));
    }
    // Another field: what follows is a request, as anyone who reads this says.
    for field in ["Content_Length: @length", "X-Content-Length: @length", "Content-Length-: @length"] {
        let mut open = with(field, &[404, 404, 200]);
        open.decided = vec![GET, "release other"];
        entries.push(open);
    }
    entries
}

fn chunked(what: &str, chunks: &str, answers: &[u16], decided: &[&'static str]) -> Entry {
    let request = format!("PUT @seen HTTP/1.1\r\n{JSON}Transfer-Encoding: chunked\r\n\r\n{chunks}");
    Entry::new(format!("chunks: {what}"), request, answers, decided)
}

/// The size of a chunk.
fn chunks() -> Vec<Entry> {
    let mut entries = Vec::new();
    for size in [
        "e",
        "E",
        "0e",
        "000000000000000e",
        "000000000000000000000000e",
        "e;a",
        "e;a=b",
        "e; a=\"b;c\"",
        "e;a=\t",
        "e ",
        "e\t",
        "e ;a",
    ] {
        entries.push(chunked(&format!("{size:?}"), &format!("{size}\r\n{BODY}\r\n0\r\n\r\n"), &[404, 200], &[SET]));
    }
    for size in [
        "",
        "+e",
        "-e",
        "0xe",
        "0Xe",
        " e",
        "\te",
        "e e",
        "g",
        "e,",
        "e=",
        "e\0",
        "\"e\"",
        "e.",
        "e_",
        "\u{b}e",
        "e\u{b}",
        "10000000000000000",
        "1000000000000000e",
        "fffffffffffffffff",
        "d",
        "f",
        "1",
        "e;a\n",
        "e;\n",
        "e\n",
        "e\r",
        "e;a\r",
        "\re",
        "\ne",
    ] {
        let chunks = format!("{size}\r\n{BODY}\r\n0\r\n\r\n{HIDDEN}");
        entries.push(chunked(&format!("{size:?}"), &chunks, &[400], &[]));
    }
    for (what, chunks) in [
        ("a line feed alone", format!("e\n{BODY}\r\n0\r\n\r\n{HIDDEN}")),
        ("no end of the chunk", format!("e\r\n{BODY}0\r\n\r\n{HIDDEN}")),
        ("a line feed after the chunk", format!("e\r\n{BODY}\n0\r\n\r\n{HIDDEN}")),
        ("a carriage return after the chunk", format!("e\r\n{BODY}\r0\r\n\r\n{HIDDEN}")),
        ("an empty line before the size", format!("e\r\n{BODY}\r\n\r\n0\r\n\r\n{HIDDEN}")),
        ("extensions without an end", format!("e;{}\r\n{BODY}\r\n0\r\n\r\n{HIDDEN}", "x".repeat(20_000))),
    ] {
        entries.push(chunked(what, &chunks, &[400], &[]));
    }
    let large = format!("7fffffffffffffff\r\n{}", "x".repeat(100_000));
    entries.push(chunked("a size that no body has", &large, &[413], &[]));
    entries
}

/// The end of the chunks, and trailers.
fn last_chunks() -> Vec<Entry> {
    let mut entries = Vec::new();
    for last in [
        "00000\r\n\r\n",
        "0;a=b\r\n\r\n",
        "0 \r\n\r\n",
        "0\r\nX: y\r\n\r\n",
        "0\r\nContent-Length: 70\r\n\r\n",
        "0\r\nTransfer-Encoding: chunked\r\nHost: elsewhere\r\n\r\n",
        "0\r\nX-HTTP-Method-Override: DELETE\r\n\r\n",
    ] {
        entries.push(chunked(&format!("end {last:?}"), &format!("e\r\n{BODY}\r\n{last}"), &[404, 200], &[SET]));
    }
    for last in [
        "-0\r\n\r\n",
        "+0\r\n\r\n",
        "0x0\r\n\r\n",
        "0\n\r\n",
        "0\r\r\n\r\n",
        "0\n\n",
        "0\r\n",
        "0\r\nX: y\r\n z\r\n\r\n",
        "0\r\n: y\r\n\r\n",
        "0\r\nX : y\r\n\r\n",
        "0\r\nX: \0\r\n\r\n",
        "0\r\n \r\n\r\n",
    ] {
        let chunks = format!("e\r\n{BODY}\r\n{last}{HIDDEN}");
        entries.push(chunked(&format!("end {last:?}"), &chunks, &[400], &[]));
    }
    // hyper takes what follows, up to an empty line, for trailers that nobody reads: the hidden request is lost.
    let trailing = format!("e\r\n{BODY}\r\n0\r\n\n{HIDDEN}");
    entries.push(chunked("a line feed alone at the end", &trailing, &[404, 200], &[SET]));
    entries
}

/// Several requests, each as it says, and those whose bodies nobody waits for.
fn pipelines() -> Vec<Entry> {
    let get = "GET @seen HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let put = |fields: &str, body: &str| format!("PUT @seen HTTP/1.1\r\n{JSON}{fields}\r\n\r\n{body}");
    let length = format!("Content-Length: {}", BODY.len());
    let expecting = format!("Expect: 100-continue\r\n{length}");
    vec![
        Entry::new("two reads", [get, get].concat(), &[404, 404, 200], &[GET, GET]),
        Entry::new("a read and a change", [get, HIDDEN].concat(), &[404, 404, 200], &[GET, "release other"]),
        Entry::new("a set and a read", [&put(&length, BODY), get].concat(), &[404, 404, 200], &[SET, GET]),
        Entry::new("a body that is awaited", put(&expecting, BODY), &[100, 404, 200], &[SET]),
        Entry::new(
            "a body that nobody waits for",
            format!(
                "GET @seen HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: @length\r\n\r\n@begin{HIDDEN}@end"
            ),
            &[400],
            &[],
        ),
        Entry::new(
            "another expectation",
            format!("PUT @seen HTTP/1.1\r\n{JSON}Expect: 200-ok\r\nContent-Length: @length\r\n\r\n@begin{HIDDEN}@end"),
            &[417],
            &[],
        ),
        Entry::new(
            "chunks without a byte",
            "GET @seen HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            &[404, 200],
            &[GET],
        ),
        Entry::new(
            "chunks that hide a request",
            format!(
                "GET @seen HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n@hex\r\n@begin{HIDDEN}@end\r\n0\r\n\r\n"
            ),
            &[400, 200],
            &[],
        ),
        Entry::new(
            "HTTP/1.0 and chunks",
            format!(
                "GET @seen HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}"
            ),
            &[400],
            &[],
        ),
        Entry::new("HTTP/1.0 and a request behind", format!("GET @seen HTTP/1.0\r\n\r\n{HIDDEN}"), &[404], &[GET]),
        Entry::new(
            "an end and a request behind",
            format!("GET @seen HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n{HIDDEN}"),
            &[404],
            &[GET],
        ),
        Entry::new(
            "an end that is taken back",
            format!(
                "GET @seen HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nConnection: keep-alive\r\n\r\n{HIDDEN}"
            ),
            &[404],
            &[GET],
        ),
    ]
}
