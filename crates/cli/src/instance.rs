//! Who answers on a port: an instance of ours, the npm package of the same name, somebody else, nobody.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use api_key_lb_control::Environment;
use api_key_lb_control::health::Health;
use api_key_lb_control::runtime_file::{self, Instance};
use api_key_lb_core::Secret;

use crate::admin::{HEALTH_PATH, TOKEN_HEADER};
use crate::local_client::{Answer, Call, ClientError};
use crate::printer::Printer;

/// How long `/health` may take: it waits for nothing, but a machine may be busy.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long a process that takes over may answer before what it has noted is there.
const TAKING_OVER: Duration = Duration::from_secs(2);
/// How often one looks whether it is there.
const POLL: Duration = Duration::from_millis(20);
/// What every command line of an instance has.
#[cfg(target_os = "linux")]
const COMMAND: &[u8] = b"start";

/// Who answers.
#[derive(Debug)]
pub(crate) enum Resident {
    /// Nobody listens.
    Nobody,
    /// An instance of this program; what it told.
    Ours(Told),
    /// The npm package `api-key-lb` 1.x; what it told.
    Predecessor(Told),
    /// An instance of this program that does not talk to us; the reason it gave.
    Guarded(String),
    /// Somebody else.
    Stranger,
}

/// What `/health` told.
#[derive(Debug)]
pub(crate) struct Told {
    /// Understood.
    pub(crate) health: Health,
    /// As it came.
    pub(crate) text: String,
}

/// Asks whoever listens on `address`, with a client token if there is one.
pub(crate) fn ask(address: SocketAddr, token: Option<&Secret>) -> Resident {
    heard(call(
        address,
        token,
        None,
        ("GET", HEALTH_PATH),
        b"",
        PATIENCE,
    ))
}

/// The same for who may not know a client's token: an instance of this user's is asked with its own.
pub(crate) fn ask_own(
    address: SocketAddr,
    client_token: Option<&Secret>,
    env: &Environment,
) -> Resident {
    let by_client = client_token.map(|token| ask(address, Some(token)));
    if let Some(resident) = by_client
        && !matches!(resident, Resident::Guarded(_))
    {
        return resident;
    }
    let dir = runtime_file::state_dir(env);
    let noted = dir.and_then(|dir| Instance::read(&dir, address.port()).ok()?);
    let token = noted.filter(|noted| !is_gone(noted.pid));
    heard(look(address, None, token.as_ref(), HEALTH_PATH, PATIENCE))
}

/// Who has answered so.
fn heard(answer: Result<Answer, ClientError>) -> Resident {
    match answer {
        Ok(answer) => recognise(&answer),
        Err(ClientError::Refused(_)) => Resident::Nobody,
        Err(_) => Resident::Stranger,
    }
}

/// Has an instance do what needs its token.
pub(crate) fn command(
    address: SocketAddr,
    client_token: Option<&Secret>,
    noted: &Instance,
    path: &str,
    body: &[u8],
    timeout: Duration,
) -> Result<Answer, ClientError> {
    let token = Some(&noted.token);
    call(address, client_token, token, ("POST", path), body, timeout)
}

/// Asks an instance what it tells only with its token.
pub(crate) fn question(
    address: SocketAddr,
    client_token: Option<&Secret>,
    noted: &Instance,
    path: &str,
    timeout: Duration,
) -> Result<Answer, ClientError> {
    let token = Some(&noted.token);
    call(address, client_token, token, ("GET", path), b"", timeout)
}

/// Asks an instance what it tells everybody; with its token, if that is known, in place of a client's.
pub(crate) fn look(
    address: SocketAddr,
    client_token: Option<&Secret>,
    noted: Option<&Instance>,
    path: &str,
    timeout: Duration,
) -> Result<Answer, ClientError> {
    let token = noted.map(|noted| &noted.token);
    call(address, client_token, token, ("GET", path), b"", timeout)
}

fn call(
    to: SocketAddr,
    client_token: Option<&Secret>,
    token: Option<&Secret>,
    (method, path): (&str, &str),
    body: &[u8],
    timeout: Duration,
) -> Result<Answer, ClientError> {
    // A configuration may name any address; what is secret stays on this machine.
    let is_here = is_here(to.ip());
    let (client_token, token) = (client_token.filter(|_| is_here), token.filter(|_| is_here));
    let authorization = client_token.map(|token| format!("Bearer {}", token.expose()));
    let authorization = authorization
        .iter()
        .map(|value| ("authorization", value.as_str()));
    let token = token.iter().map(|token| (TOKEN_HEADER, token.expose()));
    let headers: Vec<(&str, &str)> = authorization.chain(token).collect();
    Call {
        to,
        method,
        path,
        headers: &headers,
        body,
        timeout,
    }
    .send()
}

/// Whether an address is one of this machine.
fn is_here(address: IpAddr) -> bool {
    address.to_canonical().is_loopback() || UdpSocket::bind((address, 0)).is_ok()
}

/// What an instance on `port` has noted for whoever wants to command it, if anything, and where.
/// It may have ended since.
pub(crate) fn noted(
    env: &Environment,
    port: u16,
    printer: &Printer,
) -> (Option<Instance>, Option<PathBuf>) {
    let dir = runtime_file::state_dir(env);
    let noted = match dir.as_deref().map(|dir| Instance::read(dir, port)) {
        Some(Ok(noted)) => noted,
        Some(Err(error)) => {
            printer.warn(error);
            None
        }
        None => None,
    };
    (noted, dir)
}

/// Who answers, and what is noted of whoever is on that port. While one process takes over from another,
/// the one may answer and the other be noted: then it is waited for, not for long.
pub(crate) fn meet(
    address: SocketAddr,
    client_token: Option<&Secret>,
    env: &Environment,
    printer: &Printer,
) -> (Resident, Option<Instance>, Option<PathBuf>) {
    let deadline = Instant::now() + TAKING_OVER;
    loop {
        let resident = ask_own(address, client_token, env);
        let (noted, dir) = noted(env, address.port(), printer);
        let is_between = match (&resident, &noted) {
            (Resident::Ours(told), Some(noted)) => {
                told.health.instance.as_ref() != Some(&noted.instance) && !is_gone(noted.pid)
            }
            (Resident::Ours(_), None) => dir.is_some(),
            // It lets in who has its token, and it is not the one that is noted.
            (Resident::Guarded(_), Some(noted)) => !is_gone(noted.pid),
            _ => false,
        };
        if is_between && Instant::now() < deadline {
            std::thread::sleep(POLL);
            continue;
        }
        return (resident, noted, dir);
    }
}

/// Whether the process of an instance has ended. Its number may be another one's by now.
#[cfg(unix)]
pub(crate) fn is_gone(pid: u32) -> bool {
    let Some(number) = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
    else {
        return true;
    };
    if rustix::process::test_kill_process(number) == Err(rustix::io::Errno::SRCH) {
        return true;
    }
    is_another(pid)
}

/// Another program, or one that nobody has asked yet how it ended.
#[cfg(target_os = "linux")]
fn is_another(pid: u32) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline"))
        .is_ok_and(|line| !line.split(|byte| *byte == 0).any(|word| word == COMMAND))
}

/// Cannot be told here.
#[cfg(all(unix, not(target_os = "linux")))]
const fn is_another(_pid: u32) -> bool {
    false
}

/// Cannot be told here.
#[cfg(not(unix))]
pub(crate) const fn is_gone(_pid: u32) -> bool {
    false
}

fn recognise(answer: &Answer) -> Resident {
    if answer.status == 200 {
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        return match serde_json::from_str::<Health>(&text) {
            Ok(health) if health.instance.is_some() => Resident::Ours(Told { health, text }),
            Ok(health) => Resident::Predecessor(Told { health, text }),
            Err(_) => Resident::Stranger,
        };
    }
    // Only we send this header.
    if answer.header("x-lb-error").is_some() {
        let json = answer.json().unwrap_or_default();
        let reason = json["error"]["message"].as_str().or(json["error"].as_str());
        return Resident::Guarded(reason.unwrap_or("it gave no reason").to_owned());
    }
    Resident::Stranger
}

/// Where to ask an instance that listens on these addresses: one of them that can be reached from here.
pub(crate) fn address(hosts: &[IpAddr], port: u16) -> SocketAddr {
    let host = match hosts.first() {
        None => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Some(IpAddr::V4(host)) if host.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Some(IpAddr::V6(host)) if host.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        Some(host) => *host,
    };
    SocketAddr::new(host, port)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    const OLD_HEALTH: &str = r#"{"status":"ok","target":"https://api.z.ai","keys":[{"id":0,"key":"abc...","requests":0,"errors":0,"cache_hits":0,"status":"ready"}],"sessions":0,"uptime_ms":5}"#;

    fn resident(status: &str, body: &str) -> Resident {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]);
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let resident = ask(address, None);
        server.join().unwrap();
        resident
    }

    #[test]
    fn a_secret_goes_to_no_address_but_those_of_this_machine() {
        for (address, expected) in [
            ("127.0.0.1", true),
            ("127.1.2.3", true),
            ("::1", true),
            ("203.0.113.1", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(is_here(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn the_npm_package_is_told_apart_by_not_naming_an_instance() {
        assert!(matches!(
            resident("200 OK", OLD_HEALTH),
            Resident::Predecessor(_)
        ));
        let ours = OLD_HEALTH.replacen('{', r#"{"instance":"abc","#, 1);
        assert!(matches!(resident("200 OK", &ours), Resident::Ours(_)));
    }

    #[test]
    fn another_server_is_a_stranger_whatever_it_answers() {
        assert!(matches!(
            resident("200 OK", r#"{"status":"ok"}"#),
            Resident::Stranger
        ));
        assert!(matches!(resident("200 OK", "hello"), Resident::Stranger));
        assert!(matches!(resident("404 Not Found", ""), Resident::Stranger));
    }

    #[test]
    fn an_instance_that_wants_a_token_is_recognised_by_its_refusal() {
        let status = "401 Unauthorized\r\nX-LB-Error: client_token";
        let Resident::Guarded(reason) = resident(status, r#"{"error":{"message":"no token"}}"#)
        else {
            panic!("not guarded");
        };
        assert_eq!(reason, "no token");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_that_has_the_number_of_an_instance_but_is_none_does_not_count() {
        let run = |script: &str, word: &str| {
            std::process::Command::new("sh")
                .args(["-c", script, "sh", word])
                .stdin(std::process::Stdio::piped())
                .spawn()
                .unwrap()
        };
        // The shell waits for its standard input to end.
        let (mut like, mut unlike) = (run("read line", "start"), run("read line", "other"));
        // Between fork and exec it has our own command line.
        while is_gone(like.id()) || !is_gone(unlike.id()) {
            std::thread::sleep(POLL);
        }
        drop((like.stdin.take(), unlike.stdin.take()));
        unlike.wait().unwrap();
        while !is_gone(like.id()) {
            std::thread::sleep(POLL);
        }
        like.wait().unwrap();
        assert!(is_gone(like.id()) && is_gone(u32::MAX));
    }

    #[test]
    fn a_closed_port_is_nobody() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        assert!(matches!(ask(address, None), Resident::Nobody));
    }

    #[test]
    fn an_instance_that_listens_everywhere_is_asked_on_loopback() {
        assert_eq!(
            address(&["0.0.0.0".parse().unwrap()], 1).to_string(),
            "127.0.0.1:1"
        );
        assert_eq!(address(&["::".parse().unwrap()], 1).to_string(), "[::1]:1");
        assert_eq!(
            address(&["10.0.0.7".parse().unwrap()], 1).to_string(),
            "10.0.0.7:1"
        );
        assert_eq!(address(&[], 1).to_string(), "127.0.0.1:1");
    }
}
