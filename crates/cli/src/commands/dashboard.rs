//! `api-key-lb dashboard`: where the page is, with the token that its actions need, or the page itself.

mod letter;

use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use api_key_lb_control::{Environment, random_hex};

use crate::args::DashboardArgs;
use crate::exit::Exit;
use crate::printer::Printer;

use self::letter::Letter;
use super::orders::Found;

/// Where the page is.
const PAGE_PATH: &str = "/_lb/";
/// What opens an address in the browser.
#[cfg(target_os = "macos")]
const OPENER: &str = "open";
/// What opens an address in the browser.
#[cfg(not(target_os = "macos"))]
const OPENER: &str = "xdg-open";
/// How long a browser that is not running yet may take to ask.
const STARTING: Duration = Duration::from_secs(60);
/// How often one looks whether it has asked.
const POLL: Duration = Duration::from_millis(20);
/// How long a connection may take to say what it wants, and to take the answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of a request head that are read; its first line is all that counts.
const HEAD_BYTES: usize = 4096;
/// Bytes of what the browser has to name, once, to be sent to the page.
const CODE_BYTES: usize = 16;

/// Runs the command.
pub(super) fn run(args: &DashboardArgs, printer: &Printer) -> anyhow::Result<Exit> {
    let found = match Found::by(&args.place, printer) {
        Ok(found) => found,
        Err(why) => {
            printer.error(why);
            return Ok(Exit::Failure);
        }
    };
    let page = format!("http://{}{PAGE_PATH}", found.address);
    let whole = format!("{page}#token={}", found.noted.token.expose());
    if args.open {
        return open(&whole, &page, &found.dir, printer);
    }
    if args.print || io::stdout().is_terminal() {
        printer.answer(whole)?;
    } else {
        printer.answer(page)?;
        printer.note(
            "without the token, since this is no terminal: the page shows everything but changes nothing; \
             `--print` prints it wherever it goes",
        );
    }
    Ok(Exit::Success)
}

/// Opens the page. Every user of a machine sees the arguments of its processes, and reaches whatever listens on it:
/// so the browser is given a file that only its user can read. That leads to an address that works once, and this to
/// the one with the token, which thereby is never in a file; and one hears whether the browser came.
fn open(whole: &str, page: &str, state: &Path, printer: &Printer) -> anyhow::Result<Exit> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
        .context("cannot listen for the browser")?;
    let code = random_hex(CODE_BYTES).context("cannot make a code for the browser")?;
    let once = format!("http://{}/{code}", listener.local_addr()?);
    let letter = Letter::to(&once, &Environment::of_process(), state).context(
        "cannot write a file for the browser; `api-key-lb dashboard --print` needs none",
    )?;
    let started = Command::new(OPENER)
        .arg(letter.address())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut opener = match started {
        Ok(opener) => opener,
        Err(error) => {
            printer.error(format!(
                "cannot open a browser with `{OPENER}`: {error}; open the address that `api-key-lb dashboard` \
                 prints yourself"
            ));
            return Ok(Exit::Failure);
        }
    };
    let deadline = Instant::now() + STARTING;
    while Instant::now() < deadline {
        match listener.accept() {
            Ok((stream, _)) => {
                if lead_on(stream, &code, whole).unwrap_or(false) {
                    printer.say(format!("opened {page} in the browser"))?;
                    return Ok(Exit::Success);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(POLL),
            Err(error) => return Err(error).context("cannot listen for the browser"),
        }
        if let Ok(Some(status)) = opener.try_wait()
            && !status.success()
        {
            break;
        }
    }
    printer.error(format!(
        "no browser came: `{OPENER}` found none, it did not start, or it may not read the files of its user, as \
         browsers from a snap or flatpak; open the address that `api-key-lb dashboard --print` prints yourself"
    ));
    Ok(Exit::Failure)
}

/// Answers one request; whether it was the browser's.
fn lead_on(mut stream: TcpStream, code: &str, whole: &str) -> io::Result<bool> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    let deadline = Instant::now() + PATIENCE;
    while head.len() < HEAD_BYTES
        && Instant::now() < deadline
        && !head.windows(4).any(|end| end == b"\r\n\r\n")
    {
        match stream.read(&mut piece)? {
            0 => break,
            read => head.extend_from_slice(piece.get(..read).unwrap_or_default()),
        }
    }
    let is_it = head.starts_with(format!("GET /{code} HTTP/1.1\r\n").as_bytes());
    let answer = if is_it {
        format!("303 See Other\r\nLocation: {whole}\r\nReferrer-Policy: no-referrer")
    } else {
        "404 Not Found".to_owned()
    };
    stream.write_all(
        format!("HTTP/1.1 {answer}\r\nCache-Control: no-store\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .as_bytes(),
    )?;
    Ok(is_it)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(request: &str) -> (bool, String) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.write_all(request.as_bytes()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        let is_it = lead_on(stream, "c0de", "http://127.0.0.1:1/_lb/#token=t").unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        (is_it, answer)
    }

    #[test]
    fn only_who_names_the_code_is_led_to_the_address_with_the_token() {
        let (is_it, answer) = asked("GET /c0de HTTP/1.1\r\nHost: h\r\n\r\n");
        assert!(is_it && answer.starts_with("HTTP/1.1 303"), "{answer}");
        assert!(
            answer.contains("Location: http://127.0.0.1:1/_lb/#token=t\r\n"),
            "{answer}"
        );
        for other in ["GET /favicon.ico", "GET /c0d", "GET /c0dee", "POST /c0de"] {
            let (is_it, answer) = asked(&format!("{other} HTTP/1.1\r\n\r\n"));
            assert!(!is_it && answer.starts_with("HTTP/1.1 404"), "{answer}");
            assert!(!answer.contains("token"), "{answer}");
        }
    }
}
