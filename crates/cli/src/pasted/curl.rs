//! A `curl` command line, as browsers and agents copy it.

use std::io;
use std::iter::Peekable;

use super::Draft;

/// Options without a meaning here whose next word is theirs, so that it is no URL. Those with a
/// meaning are in [`Command::option`].
const WITH_VALUE: &[&str] = &[
    "cacert",
    "capath",
    "cert",
    "cert-type",
    "ciphers",
    "config",
    "connect-timeout",
    "connect-to",
    "continue-at",
    "cookie-jar",
    "dump-header",
    "form",
    "form-string",
    "ftp-port",
    "interface",
    "keepalive-time",
    "key",
    "key-type",
    "limit-rate",
    "local-port",
    "max-filesize",
    "max-redirs",
    "max-time",
    "noproxy",
    "oauth2-bearer",
    "output",
    "output-dir",
    "pass",
    "preproxy",
    "proto",
    "proxy",
    "proxy-header",
    "proxy-user",
    "quote",
    "range",
    "resolve",
    "retry",
    "retry-delay",
    "retry-max-time",
    "socks5",
    "socks5-hostname",
    "speed-limit",
    "speed-time",
    "stderr",
    "telnet-option",
    "time-cond",
    "tls-max",
    "trace",
    "trace-ascii",
    "unix-socket",
    "upload-file",
    "user",
    "variable",
    "write-out",
];
/// Short options and the long ones they stand for, as far as they take a value or mean something.
const SHORT: &[(char, &str)] = &[
    ('A', "user-agent"),
    ('C', "continue-at"),
    ('D', "dump-header"),
    ('E', "cert"),
    ('F', "form"),
    ('G', "get"),
    ('H', "header"),
    ('I', "head"),
    ('K', "config"),
    ('P', "ftp-port"),
    ('Q', "quote"),
    ('T', "upload-file"),
    ('U', "proxy-user"),
    ('X', "request"),
    ('Y', "speed-limit"),
    ('b', "cookie"),
    ('c', "cookie-jar"),
    ('d', "data"),
    ('e', "referer"),
    ('m', "max-time"),
    ('o', "output"),
    ('r', "range"),
    ('t', "telnet-option"),
    ('u', "user"),
    ('w', "write-out"),
    ('x', "proxy"),
    ('y', "speed-time"),
    ('z', "time-cond"),
];
/// Where the shell ends the command.
const ENDS: &[&str] = &["|", "||", "&", "&&", ";", ">", ">>", "<"];

/// Whether this begins with `curl`, perhaps after a prompt.
pub(super) fn is_curl(input: &[u8]) -> bool {
    let input = input.strip_prefix(b"$").unwrap_or(input).trim_ascii_start();
    let word = input
        .split(u8::is_ascii_whitespace)
        .next()
        .unwrap_or_default();
    word == b"curl" || word == b"curl.exe" || word.ends_with(b"/curl")
}

/// What the command would send. The error goes on after "the curl command".
pub(super) fn draft(
    command: &str,
    read: &dyn Fn(&str) -> io::Result<Vec<u8>>,
) -> Result<Draft, String> {
    let command = command.replace("\r\n", "\n");
    if command.contains("^\n") {
        return Err("is one for the Windows command prompt; copy it as cURL (bash)".to_owned());
    }
    let unclosed = "has a quote that is not closed; copy it again as a whole";
    let plain = plain_quotes(&command).ok_or(unclosed)?;
    let words = shlex::split(plain.trim_start_matches(['$', ' '])).ok_or(unclosed)?;
    let mut parsed = Command::default();
    let mut words = words.into_iter().skip(1);
    while let Some(word) = words.next() {
        if ENDS.contains(&word.as_str()) || word == "--next" || word == "-:" {
            break;
        }
        match word.strip_prefix("--") {
            Some("") => {}
            Some(option) => parsed.option(option, &mut words, read)?,
            None if word.starts_with('-') && word.len() > 1 => {
                parsed.short(&word[1..], &mut words, read)?;
            }
            None => parsed.url(word),
        }
    }
    parsed.finish()
}

/// What has been read of the command.
#[derive(Default)]
struct Command {
    draft: Draft,
    data: Option<Vec<u8>>,
    /// Whether the data goes into the query.
    get: bool,
    head: bool,
}

impl Command {
    /// An option by its long name; takes its value from `words`, if it has one.
    fn option(
        &mut self,
        name: &str,
        words: &mut dyn Iterator<Item = String>,
        read: &dyn Fn(&str) -> io::Result<Vec<u8>>,
    ) -> Result<(), String> {
        let mut value = || {
            words
                .next()
                .ok_or_else(|| format!("ends after `--{name}`; copy it again as a whole"))
        };
        match name {
            "request" => self.draft.method = Some(value()?),
            "url" => {
                let url = value()?;
                self.url(url);
            }
            "header" => self.header(&value()?)?,
            "user-agent" => {
                let agent = value()?;
                self.draft.headers.push(("user-agent".to_owned(), agent));
            }
            "cookie" | "referer" => {
                let value = value()?;
                self.draft.headers.push((name.to_owned(), value));
            }
            "data" | "data-ascii" => self.add(&from_file(value()?, true, read)?, "&"),
            "data-binary" => self.add(&from_file(value()?, false, read)?, "&"),
            "data-raw" | "data-urlencode" => self.add(value()?.as_bytes(), "&"),
            "json" => {
                self.add(&from_file(value()?, false, read)?, "");
                let json = "application/json".to_owned();
                self.draft.headers.push(("content-type".to_owned(), json));
            }
            "get" => self.get = true,
            "head" => self.head = true,
            _ if WITH_VALUE.contains(&name) => drop(value()?),
            _ => {}
        }
        Ok(())
    }

    /// Short options, several in one word; a value may stand in the same word.
    fn short(
        &mut self,
        letters: &str,
        words: &mut dyn Iterator<Item = String>,
        read: &dyn Fn(&str) -> io::Result<Vec<u8>>,
    ) -> Result<(), String> {
        for (at, letter) in letters.char_indices() {
            let rest = &letters[at + letter.len_utf8()..];
            let Some((_, name)) = SHORT.iter().find(|(short, _)| *short == letter) else {
                continue;
            };
            if ["get", "head"].contains(name) {
                self.option(name, words, read)?;
                continue;
            }
            let attached = (!rest.is_empty()).then(|| rest.to_owned());
            return self.option(name, &mut attached.into_iter().chain(words), read);
        }
        Ok(())
    }

    /// The first URL; one that has a scheme is more certainly one.
    fn url(&mut self, word: String) {
        let target = &mut self.draft.target;
        let is_better = |known: &String| word.contains("://") && !known.contains("://");
        if target.as_ref().is_none_or(is_better) {
            *target = Some(word);
        }
    }

    fn header(&mut self, text: &str) -> Result<(), String> {
        if text.starts_with('@') {
            return Err(
                "takes headers from a file (`-H @…`); write them into the command".to_owned(),
            );
        }
        // `name;` is how curl is told to send an empty one, `name:` to leave its own one out.
        let pair = text
            .split_once(':')
            .filter(|(_, value)| !value.trim().is_empty())
            .or_else(|| Some((text.strip_suffix(';')?, "")));
        if let Some((name, value)) = pair {
            let pair = (name.to_owned(), value.trim().to_owned());
            self.draft.headers.push(pair);
        }
        Ok(())
    }

    fn add(&mut self, piece: &[u8], between: &str) {
        match &mut self.data {
            Some(data) => {
                data.extend_from_slice(between.as_bytes());
                data.extend_from_slice(piece);
            }
            none => *none = Some(piece.to_vec()),
        }
    }

    fn finish(mut self) -> Result<Draft, String> {
        let Some(url) = self.draft.target.take() else {
            return Err("names no URL; copy it again as a whole".to_owned());
        };
        // Without a scheme, curl assumes http.
        let url = if url.contains("://") || url.starts_with('/') {
            url
        } else {
            format!("http://{url}")
        };
        let method = match (self.head, self.get, &self.data) {
            (true, _, _) => "HEAD",
            (_, false, Some(_)) => "POST",
            _ => "GET",
        };
        self.draft.target = Some(url);
        self.draft.method.get_or_insert_with(|| method.to_owned());
        if !self.get {
            self.draft.body = self.data.unwrap_or_default();
        }
        Ok(self.draft)
    }
}

/// The data itself, or the content of the file that `@` names. Without line breaks if `folded`, as
/// curl does it.
fn from_file(
    value: String,
    folded: bool,
    read: &dyn Fn(&str) -> io::Result<Vec<u8>>,
) -> Result<Vec<u8>, String> {
    let Some(file) = value.strip_prefix('@') else {
        return Ok(value.into_bytes());
    };
    if file == "-" {
        return Err(
            "takes its data from the standard input (`@-`); write the data into the command"
                .to_owned(),
        );
    }
    let mut data = read(file).map_err(|error| {
        format!("takes its data from a file that cannot be read ({error}); run this where that file is, or write the data into the command")
    })?;
    if folded {
        data.retain(|byte| !matches!(byte, b'\r' | b'\n' | 0));
    }
    Ok(data)
}

/// The command with `$'…'`, which browsers use, written in quotes that every shell has. `None` if
/// one of them is not closed.
fn plain_quotes(command: &str) -> Option<String> {
    let mut plain = String::with_capacity(command.len());
    let mut open: Option<char> = None;
    let mut chars = command.chars().peekable();
    while let Some(next) = chars.next() {
        match (open, next) {
            (None, '$') if chars.peek() == Some(&'\'') => {
                chars.next();
                let text = ansi_c(&mut chars)?;
                plain.push_str(&shlex::try_quote(&text).ok()?);
                continue;
            }
            (None | Some('"'), '\\') => {
                plain.push(next);
                plain.extend(chars.next());
                continue;
            }
            (None, '\'' | '"') => open = Some(next),
            (Some(quote), _) if quote == next => open = None,
            _ => {}
        }
        plain.push(next);
    }
    Some(plain)
}

/// What stands in `$'…'`, up to and without its end.
fn ansi_c(chars: &mut Peekable<impl Iterator<Item = char>>) -> Option<String> {
    let mut bytes: Vec<u8> = Vec::new();
    let push = |bytes: &mut Vec<u8>, one: char| {
        bytes.extend_from_slice(one.encode_utf8(&mut [0; 4]).as_bytes());
    };
    loop {
        match chars.next()? {
            '\'' => return Some(String::from_utf8_lossy(&bytes).replace('\0', "")),
            '\\' => {
                let escape = chars.next()?;
                match escape {
                    'n' => bytes.push(b'\n'),
                    't' => bytes.push(b'\t'),
                    'r' => bytes.push(b'\r'),
                    'a' => bytes.push(7),
                    'b' => bytes.push(8),
                    'e' | 'E' => bytes.push(27),
                    'f' => bytes.push(12),
                    'v' => bytes.push(11),
                    'x' => bytes.push(u8::try_from(digits(chars, 16, 2, 0)).ok()?),
                    'u' | 'U' => {
                        let most = if escape == 'u' { 4 } else { 8 };
                        let code = digits(chars, 16, most, 0);
                        push(
                            &mut bytes,
                            char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER),
                        );
                    }
                    '0'..='7' => {
                        let first = escape.to_digit(8)?;
                        bytes.push((digits(chars, 8, 2, first) & 0xff) as u8);
                    }
                    other => push(&mut bytes, other),
                }
            }
            other => push(&mut bytes, other),
        }
    }
}

/// The number of up to `most` further digits.
fn digits(
    chars: &mut Peekable<impl Iterator<Item = char>>,
    radix: u32,
    most: usize,
    first: u32,
) -> u32 {
    let mut number = first;
    for _ in 0..most {
        let Some(digit) = chars.peek().and_then(|next| next.to_digit(radix)) else {
            break;
        };
        chars.next();
        number = number.wrapping_mul(radix).wrapping_add(digit);
    }
    number
}
