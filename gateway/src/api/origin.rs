//! Whether a page of another site makes a browser send a request. Browsers send client certificates with such requests.

use http::header::{HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Uri};

use super::error::Error;

/// Which site caused a request (Fetch Metadata, section 2.4). Only browsers send it, and no page can change it.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Refuses a request that a page of another site caused, whatever its method. Browsers without Fetch Metadata send
/// `Origin` with those that could do harm; clients that are no browsers send neither.
pub(super) fn refuse_other_sites(head: &Parts) -> Result<(), Error> {
    let mut sites = head.headers.get_all(SEC_FETCH_SITE).iter().peekable();
    if sites.peek().is_some() {
        // `none` is the user: an address that was typed, or a bookmark.
        let is_own = |site: &HeaderValue| site == "same-origin" || site == "none";
        return if sites.all(is_own) { Ok(()) } else { Err(Error::CrossSite) };
    }
    if head.headers.get_all(ORIGIN).iter().all(|origin| is_own_origin(origin, head)) {
        Ok(())
    } else {
        Err(Error::CrossSite)
    }
}

/// Returns whether `origin` is where the request is sent to.
fn is_own_origin(origin: &HeaderValue, head: &Parts) -> bool {
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    let (Some(origin), Some(host)) =
        (origin.to_str().ok(), head.uri.authority().map(http::uri::Authority::as_str).or(host))
    else {
        return false;
    };
    let Ok(origin) = origin.parse::<Uri>() else { return false };
    let with_port = |host: &str, port: Option<u16>| (host.to_ascii_lowercase(), port.unwrap_or(443));
    let Ok(host) = host.parse::<http::uri::Authority>() else { return false };
    origin.scheme_str() == Some("https")
        && origin.authority().is_some_and(|origin| {
            with_port(origin.host(), origin.port_u16()) == with_port(host.host(), host.port_u16())
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use http::Request;

    use super::*;

    fn is_refused(uri: &str, headers: &[(&str, &str)]) -> bool {
        let request = headers.iter().fold(Request::get(uri), |request, (name, value)| request.header(*name, *value));
        refuse_other_sites(&request.body(()).unwrap().into_parts().0).is_err()
    }

    #[test]
    fn what_a_page_of_another_site_sends_is_refused() {
        let fetch = |site| [("host", "gate:8443"), ("sec-fetch-site", site)];
        for (site, refused) in
            [("same-origin", false), ("none", false), ("same-site", true), ("cross-site", true), ("", true)]
        {
            assert_eq!(is_refused("/v1/deployments", &fetch(site)), refused, "{site}");
        }
        let twice = [("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")];
        assert!(is_refused("/healthz", &twice));
        // Where a browser says both, the one that no page can change decides.
        assert!(!is_refused("/healthz", &[("sec-fetch-site", "none"), ("origin", "https://evil.example")]));
    }

    #[test]
    fn an_origin_is_the_host_itself() {
        let origin = |origin| [("host", "Gate.example"), ("origin", origin)];
        for (value, refused) in [
            ("https://gate.example", false),
            ("https://gate.example:443", false),
            ("https://gate.example:8443", true),
            ("http://gate.example", true),
            ("https://evil.example", true),
            ("https://gate.example.evil.example", true),
            ("null", true),
            ("", true),
        ] {
            assert_eq!(is_refused("/healthz", &origin(value)), refused, "{value}");
        }
        assert!(!is_refused("https://gate.example:8443/healthz", &[("origin", "https://gate.example:8443")]));
        assert!(is_refused("/healthz", &[("origin", "https://gate.example")]), "no host");
        assert!(!is_refused("/healthz", &[("host", "gate")]));
    }
}
