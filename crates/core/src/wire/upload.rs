//! Addresses at which an upload goes on (Google's resumable uploads): given out by an answer, and
//! led back to us, since what the client does there would pass us by.

use http::Uri;
use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::credential::without_credential;
use crate::target::Target;

/// Headers of an answer that name such an address. Source: google-genai `_api_client.py` and its
/// protocol's other clients.
const ADDRESSES: [HeaderName; 2] = [
    HeaderName::from_static("x-goog-upload-url"),
    HeaderName::from_static("x-goog-upload-control-url"),
];
/// Every request that begins such an upload says so.
const PROTOCOL: HeaderName = HeaderName::from_static("x-goog-upload-protocol");
const COMMAND: HeaderName = HeaderName::from_static("x-goog-upload-command");
/// Who ends TLS before us says that it was there.
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Where the client that sends this sees us, if the answer may name such an address. `host` is what
/// it called us, `path` what it asked for, of which `rest` goes upstream.
pub fn seen_at(headers: &HeaderMap, host: &str, path: &str, rest: &str) -> Option<String> {
    if !headers.contains_key(PROTOCOL) && !headers.contains_key(COMMAND) {
        return None;
    }
    let tls = headers
        .get(FORWARDED_PROTO)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"https"));
    let scheme = if tls { "https" } else { "http" };
    let pool = path.strip_suffix(rest).unwrap_or_default();
    Some(format!("{scheme}://{host}{pool}"))
}

/// Has the addresses in an answer of `target` lead to us, whom the client sees at `us`. One that is
/// elsewhere stays, but never with a key in it.
pub fn lead_back(headers: &mut HeaderMap, target: &Target, us: &str) {
    for name in ADDRESSES {
        let Some(uri) = headers.get(&name).and_then(read) else {
            continue;
        };
        let is_targets = uri.authority().is_some_and(|authority| {
            let port = authority
                .port_u16()
                .unwrap_or(if uri.scheme_str() == Some("http") {
                    80
                } else {
                    443
                });
            authority
                .host()
                .eq_ignore_ascii_case(target.authority().host())
                && port == target.port()
        });
        let mut address = if is_targets {
            us.to_owned()
        } else {
            let scheme = uri.scheme_str().unwrap_or("https");
            let authority = uri.authority().map_or("", |authority| authority.as_str());
            format!("{scheme}://{authority}")
        };
        address.push_str(uri.path());
        if let Some(query) = uri.query().and_then(without_credential) {
            address.push('?');
            address.push_str(&query);
        }
        if let Ok(value) = HeaderValue::from_str(&address) {
            headers.insert(name, value);
        }
    }
}

fn read(value: &HeaderValue) -> Option<Uri> {
    let uri: Uri = value.to_str().ok()?.parse().ok()?;
    uri.authority().is_some().then_some(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOGLE: &str = "https://generativelanguage.googleapis.com";

    fn led(target: &str, address: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(&ADDRESSES[0], address.parse().unwrap());
        lead_back(
            &mut headers,
            &Target::parse(target).unwrap(),
            "http://127.0.0.1:4577/g",
        );
        headers[&ADDRESSES[0]].to_str().unwrap().to_owned()
    }

    #[test]
    fn an_address_of_the_target_leads_to_us() {
        let path = "/upload/v1beta/files?upload_id=A-1&upload_protocol=resumable";
        let led_back = format!("http://127.0.0.1:4577/g{path}");
        for address in [format!("{GOOGLE}{path}"), format!("{GOOGLE}:443{path}")] {
            assert_eq!(led(GOOGLE, &address), led_back);
        }
    }

    #[test]
    fn an_address_elsewhere_stays_and_none_holds_a_key() {
        let elsewhere = "https://storage.example/u?upload_id=1";
        assert_eq!(led(GOOGLE, elsewhere), elsewhere);
        assert_eq!(
            led(GOOGLE, "https://storage.example/u?key=secret"),
            "https://storage.example/u"
        );
        assert_eq!(
            led(GOOGLE, &format!("{GOOGLE}/u?key=secret&upload_id=1")),
            "http://127.0.0.1:4577/g/u?upload_id=1"
        );
        assert_eq!(led(GOOGLE, "/relative"), "/relative");
    }

    #[test]
    fn only_uploads_ask_for_it_and_where_we_are_is_what_the_client_said() {
        let mut headers = HeaderMap::new();
        let seen = |headers: &HeaderMap| {
            seen_at(
                headers,
                "me:1",
                "/g/upload/v1beta/files",
                "/upload/v1beta/files",
            )
        };
        assert_eq!(seen(&headers), None);
        headers.insert(&PROTOCOL, "resumable".parse().unwrap());
        assert_eq!(seen(&headers).as_deref(), Some("http://me:1/g"));
        headers.insert(&FORWARDED_PROTO, "https".parse().unwrap());
        assert_eq!(seen(&headers).as_deref(), Some("https://me:1/g"));
    }
}
