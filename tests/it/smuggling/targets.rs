//! The target of a request: every way to write a path that another reader takes for another path.

use super::{Entry, GET, HIDDEN, RELEASE, SET};

/// The path of a Deployment up to its name.
const UP_TO_NAME: &str = "/v1/namespaces/@namespace/deployments/";

pub(super) fn entries() -> Vec<Entry> {
    let mut entries = paths();
    entries.extend(names());
    entries.extend(queries());
    entries.extend(forms());
    entries.extend(changes());
    entries
}

fn get(target: &[u8], answers: &[u16], decided: &[&'static str]) -> Entry {
    let request = [b"GET ", target, b" HTTP/1.1\r\nHost: localhost\r\n\r\n"].concat();
    Entry::new(format!("target {:?}", String::from_utf8_lossy(target)), request, answers, decided)
}

/// Paths that lead nowhere, though some lead to a Deployment once they were made simple.
fn paths() -> Vec<Entry> {
    let mut entries = Vec::new();
    for path in [
        "/v1/namespaces/@namespace/deployments/@other/../@name/replicas",
        "/v1/namespaces/other/../@namespace/deployments/@name/replicas",
        "/v1/./namespaces/@namespace/deployments/@name/replicas",
        "/./v1/namespaces/@namespace/deployments/@name/replicas",
        "/../v1/namespaces/@namespace/deployments/@name/replicas",
        "/healthz/..@seen",
        "/healthz/..;@seen",
        "/healthz/%2e%2e@seen",
        "/healthz%2f..@seen",
        "/healthz;@seen",
        "/healthz@seen",
        "/openapi.json/..;/..@seen",
        "/%2e@seen",
        "/.@seen",
        "//localhost@seen",
        "/@seen",
        "//@seen",
        "///v1/namespaces/@namespace/deployments/@name/replicas",
        "/v1//namespaces/@namespace/deployments/@name/replicas",
        "/v1/namespaces//@namespace/deployments/@name/replicas",
        "/v1/namespaces/@namespace/deployments//@name/replicas",
        "/v1/namespaces/@namespace/deployments/@name//replicas",
        "@seen/",
        "@seen//",
        "@seen/.",
        "@seen/..",
        "@seen.",
        "@seen;",
        "@seen;a=b",
        "@seen%20",
        "@seen%00",
        "@seen%2f",
        "@seen%3fwatch=true",
        "@seen%23",
        "@seen%0d%0aX:y",
        "@seen.json",
        "@seen~",
        "@seen\\",
        "/V1/namespaces/@namespace/deployments/@name/replicas",
        "/v1/Namespaces/@namespace/deployments/@name/replicas",
        "/v1/namespaces/@namespace/Deployments/@name/replicas",
        "/v1/namespaces/@namespace/deployments/@name/Replicas",
        "/v1/namespaces/@namespace/deployments/@name/replica%73",
        "/v1/namespaces/@namespace/%64eployments/@name/replicas",
        "/%76%31/namespaces/@namespace/deployments/@name/replicas",
        "/v1;a=b/namespaces/@namespace/deployments/@name/replicas",
        "/v1/namespaces;a=b/@namespace/deployments/@name/replicas",
        "/v1/namespaces/@namespace/deployments;a=b/@name/replicas",
        "\\v1\\namespaces\\@namespace\\deployments\\@name\\replicas",
        "/v1\\namespaces/@namespace/deployments/@name/replicas",
        "/v1/namespaces/@namespace/deployments/@name\\replicas",
        "/v1/namespaces/@namespace/deployments/@name%5creplicas",
        "/v1/namespaces/@namespace/deployments/@name%2freplicas",
        "/v1/namespaces/@namespace/deployments/@name%252freplicas",
        "/v1/namespaces%2f@namespace/deployments/@name/replicas",
        "/v1/namespaces/@namespace%2fdeployments/@name/replicas",
        "/v1/namespaces/@namespace/pods/@name/replicas",
        "/v1/namespaces/@namespace/deployments/@name/scale",
        "/apis/apps/v1/namespaces/@namespace/deployments/@name/scale",
    ] {
        // A target that does not begin with a slash is no path (RFC 9112, section 3.2.1).
        let answers: &[u16] = if path.starts_with(['/', '@']) { &[404, 200] } else { &[400] };
        entries.push(get(path.as_bytes(), answers, &[]));
    }
    entries
}

/// Names that are none, whatever they would be once decoded.
fn names() -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut refuse = |namespace: &[u8], name: &[u8]| {
        let target = [b"/v1/namespaces/", namespace, b"/deployments/", name, b"/replicas"].concat();
        entries.push(get(&target, &[400, 200], &[]));
    };
    for namespace in [
        "..",
        ".",
        "...",
        "%2e%2e",
        "%2E%2E",
        ".%2e",
        "%2e.",
        "%252e%252e",
        "..;",
        "..%00",
        "..%2f",
        "%2f..",
        "%5c..",
        "..\\",
        "%c0%ae%c0%ae",
        "%e0%80%ae%e0%80%ae",
        "%uff0e%uff0e",
        "@namespace%00",
        "@namespace%20",
        "@namespace.",
        "@namespace;",
        "@namespace,other",
        "%40namespace",
        "*",
        "-",
        "_",
    ] {
        refuse(namespace.as_bytes(), b"@name");
    }
    for name in [
        "..",
        ".",
        "%2e%2e",
        "@name%00",
        "@name%00.json",
        "@name%20",
        "@name+",
        "@name%0a",
        "@name%0d%0aX-A:b",
        "@name;a=b",
        "@name;",
        "@name,@other",
        "@name&@other",
        "@name=@other",
        "@name:@other",
        "@name@@other",
        "@name!",
        "@name$",
        "@name'",
        "@name(",
        "@name*",
        "@name~",
        "@name.",
        ".@name",
        "@name..x",
        "@name.-x",
        "@name%2f..%2f@other",
        "@name%252f..%252f@other",
        "@name\\..\\@other",
        "@name%5c..%5c@other",
        "%73een",
        "%2573een",
        "SEEN",
        "Seen",
        "@name%c3%a9",
        "@name%ef%bc%8f",
        "@name%e2%80%ae",
        "%c0%afetc",
        "@name{x}",
        "@name\"x\"",
        "{name}",
        "{*rest}",
        ":name",
        "-@name",
        "@name^",
        "@name|x",
        "@name-",
    ] {
        refuse(b"@namespace", name.as_bytes());
    }
    for name in ["@name\u{e9}", "\u{ff0e}\u{ff0e}", "@name\u{202e}", "@name\u{2215}x"] {
        refuse(b"@namespace", name.as_bytes());
    }
    for name in [&b"@name\xc0\xae"[..], b"@name\xff", b"@name\xed\xa0\x80", b"@name<x>", b"@name`"] {
        let target = [UP_TO_NAME.as_bytes(), name, b"/replicas"].concat();
        entries.push(get(&target, &[400], &[]));
    }
    entries
}

fn queries() -> Vec<Entry> {
    let mut entries = Vec::new();
    for query in ["", "watch=false", "%77atch=%66alse", "watch=fals%65"] {
        entries.push(get(format!("@seen?{query}").as_bytes(), &[404, 200], &[GET]));
    }
    for query in [
        "_method=DELETE",
        "method=DELETE",
        "watch=true&watch=false",
        "watch=true&%77atch=false",
        "watch=false;watch=true",
        "/../@other",
        "x",
        "=",
        "dryRun=true",
        "watch=true%00",
        "watch=TRUE",
        "watch[]=true",
        "atLeastVersion=",
        "?watch=true",
        "\\",
    ] {
        entries.push(get(format!("@seen?{query}").as_bytes(), &[400, 200], &[]));
    }
    for query in
        ["continue=@hidden", "continue=..%2f", "namespace=@namespace", "limit=1&limit=2", "labelSelector=a%00b"]
    {
        entries.push(get(format!("/v1/deployments?{query}").as_bytes(), &[400, 200], &[]));
    }
    entries
}

/// Targets that are no paths.
fn forms() -> Vec<Entry> {
    let mut entries = Vec::new();
    for target in [
        "http://localhost@seen",
        "https://localhost@seen",
        "https://elsewhere@seen",
        "https://elsewhere:1@seen",
        "HTTPS://LOCALHOST@seen",
        "ftp://elsewhere@seen",
        "https://user:password@elsewhere@seen",
    ] {
        entries.push(get(target.as_bytes(), &[404, 200], &[GET]));
    }
    for target in
        ["localhost:443", "localhost", "https://localhost", "https://localhost/..@seen", "https://localhost/@seen"]
    {
        entries.push(get(target.as_bytes(), &[404, 200], &[]));
    }
    for target in ["*", "/*"] {
        entries.push(get(target.as_bytes(), &[404, 200], &[]));
        let request = format!("OPTIONS {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        entries.push(Entry::new(format!("OPTIONS {target}"), request, &[404, 200], &[]));
    }
    for target in ["http:@seen", "https:/localhost@seen", "?watch=true", "#", "https://"] {
        entries.push(get(target.as_bytes(), &[400], &[]));
    }
    // The scheme is of no interest, so neither is an empty one.
    entries.push(get(b"://localhost@seen", &[404, 200], &[GET]));
    // A fragment is cut off, as it is where a link is followed: what is before it is asked for.
    entries.push(get(b"@seen#/../@other", &[404, 200], &[GET]));
    entries.push(get(b"@seen#?watch=true", &[404, 200], &[GET]));
    // There is no tunnel: what follows is the next request.
    for (target, answer) in [("localhost:443", 404), ("localhost", 404), ("@seen", 405)] {
        let request = format!("CONNECT {target} HTTP/1.1\r\nHost: localhost\r\n\r\n{HIDDEN}");
        entries.push(Entry::new(format!("CONNECT {target}"), request, &[answer, 404, 200], &["release other"]));
    }
    entries
}

/// Changes by these paths.
fn changes() -> Vec<Entry> {
    let delete = |target: &str, answer, decided: &[&'static str]| {
        let request = format!("DELETE {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        Entry::new(format!("DELETE {target}"), request, &[answer, 200], decided)
    };
    let put = |target: &str, answer, decided: &[&'static str]| {
        let body = r#"{"replicas":1}"#;
        let request = format!(
            "PUT {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        Entry::new(format!("PUT {target}"), request, &[answer, 200], decided)
    };
    let mut entries = vec![delete("@seen", 404, &[RELEASE]), put("@seen", 404, &[SET])];
    for target in [
        "/v1/namespaces/../deployments/@other/replicas",
        "/v1/namespaces/@namespace/deployments/%2e%2e/replicas",
        "@hidden?dryRun=true&dryRun=false",
    ] {
        entries.extend([delete(target, 400, &[]), put(target, 400, &[])]);
    }
    for target in [
        "/healthz/..@hidden",
        "/@hidden",
        "@hidden/",
        "@hidden%20",
        "/v1/namespaces/@namespace/deployments/x/../@other/replicas",
    ] {
        entries.extend([delete(target, 404, &[]), put(target, 404, &[])]);
    }
    entries
}
