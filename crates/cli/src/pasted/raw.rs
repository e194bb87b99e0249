//! Raw HTTP: a request line, which may be missing, header lines, a blank line, the body.

use super::{Draft, NotARequest};

/// Whether this begins with a request line or a header.
pub(super) fn is_head(input: &[u8]) -> bool {
    let line = input
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    request_line(&line).is_some() || header(&line).is_some()
}

pub(super) fn draft(input: &[u8]) -> Result<Draft, NotARequest> {
    let mut draft = Draft::default();
    let mut rest = input;
    let mut number = 0;
    while !rest.is_empty() {
        let end = rest
            .iter()
            .position(|byte| *byte == b'\n')
            .unwrap_or(rest.len());
        let line = rest.get(..end).unwrap_or_default();
        rest = rest.get(end + 1..).unwrap_or_default();
        number += 1;
        let line = String::from_utf8_lossy(line.trim_ascii_end());
        if line.is_empty() {
            break;
        }
        match request_line(&line) {
            Some((method, target)) if number == 1 => {
                draft.method = Some(method.to_owned());
                draft.target = Some(target.to_owned());
            }
            _ => {
                let (name, value) = header(&line).ok_or(NotARequest::Line(number))?;
                add(&mut draft, name, value);
            }
        }
    }
    draft.body = rest.to_vec();
    Ok(draft)
}

/// Method and target, if this is a request line; its version may be missing.
fn request_line(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split_ascii_whitespace();
    let (method, target) = (words.next()?, words.next()?);
    let version = words.next();
    let fits = method.bytes().all(|byte| byte.is_ascii_uppercase())
        && (target.starts_with('/') || target.contains("://"))
        && version.is_none_or(|version| version.starts_with("HTTP/"))
        && words.next().is_none();
    fits.then_some((method, target))
}

/// Name and value, if this is a header. Browsers copy HTTP/2's own with a colon before the name.
fn header(line: &str) -> Option<(&str, &str)> {
    let at = line.get(1..)?.find(':')? + 1;
    let (name, value) = line.split_at(at);
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let bare = name.strip_prefix(':').unwrap_or(name);
    let fits = !bare.is_empty() && bare.bytes().all(is_name);
    fits.then(|| (name, value.get(1..).unwrap_or_default().trim()))
}

fn add(draft: &mut Draft, name: &str, value: &str) {
    match name {
        ":method" => draft.method = Some(value.to_owned()),
        ":path" => draft.target = Some(value.to_owned()),
        _ if name.starts_with(':') => {}
        _ => draft.headers.push((name.to_owned(), value.to_owned())),
    }
}
