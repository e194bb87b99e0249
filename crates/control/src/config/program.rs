//! Runs a program that tells a secret: for so long, for so many bytes, and without showing what it told.

use std::io::{self, Read, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use api_key_lb_core::Secret;
use api_key_lb_core::wire::probe::quotable;

use super::environment::Environment;

/// How long a program may take: password managers ask a server, and people wait for the start.
const LIMIT: Duration = Duration::from_secs(10);
/// Waits until nobody is there any more, and then ends the process group.
#[cfg(unix)]
const GUARD: &str = "read -r line; kill -s KILL -- \"-$1\"";
/// How often one looks whether a program that has said everything has ended.
const POLL: Duration = Duration::from_millis(2);
/// The most bytes it may say; more is surely no key.
const MOST_BYTES: u64 = 64 << 10;
/// The last bytes of its complaints that are kept.
const MOST_COMPLAINT: usize = 4 << 10;
/// Longest complaint that is shown, in characters.
const MOST_SHOWN: usize = 200;
/// From so many characters on, a word with a digit in it may be a key.
const LONG_WORD: usize = 16;
/// From so many characters on, a word that begins like a key may be one.
const LONG_KEY: usize = 8;
/// What stands in place of them.
const MASK: &str = "***";
/// What a program must not inherit: our keys, and what concerns our own process only.
const OURS: &[&str] = &[
    "API_KEYS",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "SYSTEMD_EXEC_PID",
];

/// Why a program has told no secret. In words that name neither the program nor what it printed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProgramError {
    /// It is not there, or cannot be run.
    #[error("cannot be run: {0}")]
    Start(#[source] io::Error),
    /// It was ended.
    #[error(
        "took longer than {} s and was ended; it must not ask anything, since nobody would answer",
        LIMIT.as_secs()
    )]
    TooSlow,
    /// It was ended.
    #[error("printed more than {} KB; it must print the key and nothing else", MOST_BYTES >> 10)]
    TooMuch,
    /// It says that it failed.
    #[error("failed ({status}): {}", reason(said))]
    Failed {
        /// How it ended.
        status: ExitStatus,
        /// Its last line on the standard error, scrubbed.
        said: String,
    },
    /// It succeeded.
    #[error("printed nothing in its first line; it must print the key there")]
    Nothing,
    /// It succeeded.
    #[error("printed something that is no text")]
    NoText,
}

fn reason(said: &str) -> &str {
    if said.is_empty() {
        "it gave no reason"
    } else {
        said
    }
}

/// `program` with the environment that it may see.
pub(crate) fn command(program: &str, env: &Environment) -> Command {
    let mut command = Command::new(program);
    let vars = env.vars.iter();
    command
        .env_clear()
        .envs(vars.filter(|(name, _)| !OURS.contains(&name.as_str())));
    command
}

/// A line for the shell.
pub(crate) fn shell(line: &str, env: &Environment) -> Command {
    #[cfg(windows)]
    {
        let mut command = command("cmd", env);
        std::os::windows::process::CommandExt::raw_arg(command.arg("/C"), line);
        command
    }
    #[cfg(not(windows))]
    {
        let mut command = command("sh", env);
        command.args(["-c", line]);
        command
    }
}

/// The first line that it prints, trimmed. `input` is what it reads; without, it can read nothing.
pub(crate) fn secret(command: Command, input: Option<Secret>) -> Result<Secret, ProgramError> {
    let whole = output(command, input)?;
    let line = whole.expose().lines().next().unwrap_or_default().trim();
    if line.is_empty() {
        return Err(ProgramError::Nothing);
    }
    Ok(Secret::new(line.to_owned()))
}

/// Everything that it prints.
pub(crate) fn output(mut command: Command, input: Option<Secret>) -> Result<Secret, ProgramError> {
    let stdin = match &input {
        Some(_) => Stdio::piped(),
        None => Stdio::null(),
    };
    command
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // So that what it has started can be ended with it.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let deadline = Instant::now() + LIMIT;
    let child = command.spawn().map_err(ProgramError::Start)?;
    #[cfg(unix)]
    let _guard = Guard::of(child.id());
    let mut running = Running(child);
    let child = &mut running.0;
    if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
        // One that does not read it says itself what is wrong.
        thread::spawn(move || stdin.write_all(input.expose().as_bytes()));
    }
    let stdout = reading(child.stdout.take(), |pipe| {
        let mut bytes = Vec::new();
        let read = pipe.take(MOST_BYTES + 1).read_to_end(&mut bytes);
        read.map(|_| bytes).unwrap_or_default()
    });
    let stderr = reading(child.stderr.take(), last_bytes);
    let bytes = wait_for(&stdout, deadline).ok_or(ProgramError::TooSlow)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MOST_BYTES) {
        return Err(ProgramError::TooMuch);
    }
    let status = ended(child, deadline)?;
    let told = match String::from_utf8(bytes) {
        Ok(text) => Secret::new(text),
        Err(_) if status.success() => return Err(ProgramError::NoText),
        Err(_) => Secret::new(String::new()),
    };
    if status.success() {
        return Ok(told);
    }
    let said = wait_for(&stderr, deadline).unwrap_or_default();
    Err(ProgramError::Failed {
        status,
        said: complaint(&String::from_utf8_lossy(&said), &told),
    })
}

/// Ends a program and all it has started when this process ends, however that may be: what has a process group
/// of its own hears nothing of a Ctrl-C. A shell waits for a pipe to close that this process alone holds open.
#[cfg(unix)]
struct Guard(Child);

#[cfg(unix)]
impl Guard {
    /// `None` if there is no shell; then nothing is lost but this.
    fn of(program: u32) -> Option<Self> {
        use std::os::unix::process::CommandExt as _;
        Command::new("/bin/sh")
            .args(["-c", GUARD, "sh", &program.to_string()])
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .ok()
            .map(Self)
    }
}

#[cfg(unix)]
impl Drop for Guard {
    fn drop(&mut self) {
        // `wait` would close the pipe first, and have it do its work.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A program that is ended, with everything it has started, once nobody waits for it any more.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(Some(_))) {
            return;
        }
        #[cfg(unix)]
        if let Some(group) = i32::try_from(self.0.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw)
        {
            let signal = rustix::process::Signal::KILL;
            let _gone = rustix::process::kill_process_group(group, signal);
        }
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn ended(child: &mut Child, deadline: Instant) -> Result<ExitStatus, ProgramError> {
    loop {
        if let Some(status) = child.try_wait().map_err(ProgramError::Start)? {
            return Ok(status);
        }
        if Instant::now() >= deadline {
            return Err(ProgramError::TooSlow);
        }
        thread::sleep(POLL);
    }
}

/// Reads a pipe to its end on a thread of its own: what holds it open may never end.
fn reading<P: Read + Send + 'static>(
    pipe: Option<P>,
    read: impl FnOnce(P) -> Vec<u8> + Send + 'static,
) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    if let Some(pipe) = pipe {
        // Nobody waits any more if this fails.
        thread::spawn(move || sender.send(read(pipe)));
    }
    receiver
}

fn wait_for(pipe: &Receiver<Vec<u8>>, deadline: Instant) -> Option<Vec<u8>> {
    match pipe.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        Ok(bytes) => Some(bytes),
        Err(RecvTimeoutError::Timeout) => None,
        Err(RecvTimeoutError::Disconnected) => Some(Vec::new()),
    }
}

fn last_bytes(mut pipe: impl Read) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut buffer = [0; 1024];
    while let Ok(length @ 1..) = pipe.read(&mut buffer) {
        kept.extend_from_slice(&buffer[..length]);
        let surplus = kept.len().saturating_sub(MOST_COMPLAINT);
        kept.drain(..surplus);
    }
    kept
}

/// The last line of what it complained, without anything of what it told or that looks like a key.
fn complaint(said: &str, told: &Secret) -> String {
    let last = said.lines().map(str::trim).rfind(|line| !line.is_empty());
    let line = quotable(last.unwrap_or_default(), "", usize::MAX);
    let mut shown = String::with_capacity(line.len());
    for (index, word) in line.split(' ').enumerate() {
        if index > 0 {
            shown.push(' ');
        }
        shown.push_str(&scrubbed(word));
    }
    quotable(&shown, told.expose().trim(), MOST_SHOWN)
}

/// A word with everything in it masked that looks like a key.
fn scrubbed(word: &str) -> String {
    let is_key_letter = |letter: char| letter.is_ascii_alphanumeric() || "-_.+~=".contains(letter);
    let is_path = word
        .trim_start_matches(|letter: char| {
            !letter.is_ascii_alphanumeric() && !"/.~".contains(letter)
        })
        .starts_with(['/', '.', '~'])
        || word.contains("://");
    let belongs = |letter: char| is_key_letter(letter) || (letter == '/' && !is_path);
    let mut shown = String::with_capacity(word.len());
    let mut rest = word;
    while !rest.is_empty() {
        let end = rest.find(|letter| !belongs(letter)).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        shown.push_str(if looks_like_key(part) { MASK } else { part });
        let mut letters = after.chars();
        shown.extend(letters.next());
        rest = letters.as_str();
    }
    shown
}

fn looks_like_key(word: &str) -> bool {
    let length = word.len();
    let has_digit = word.bytes().any(|byte| byte.is_ascii_digit());
    let has_letter = word.bytes().any(|byte| byte.is_ascii_alphabetic());
    let begins = [
        "sk-", "sk_", "gsk_", "AIza", "xai-", "key-", "pk-", "Bearer",
    ];
    (length >= LONG_WORD && has_digit && has_letter)
        || (length >= LONG_KEY && begins.iter().any(|begin| word.starts_with(begin)))
        // Words of people are shorter, or have a dot or a hyphen in them.
        || (length >= 2 * LONG_WORD && word.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;

    fn run(line: &str) -> Result<Secret, ProgramError> {
        secret(shell(line, &Environment::default()), None)
    }

    fn told(line: &str) -> String {
        run(line).unwrap().expose().to_owned()
    }

    fn why(line: &str) -> String {
        run(line).unwrap_err().to_string()
    }

    #[test]
    fn the_first_line_trimmed_is_the_secret() {
        assert_eq!(told("echo '  sk-one  '; echo comment"), "sk-one");
        assert_eq!(told("printf 'sk-one\\r\\n'"), "sk-one");
        assert_eq!(told("echo noise >&2; printf sk-one"), "sk-one");
    }

    #[test]
    fn a_program_that_prints_nothing_or_no_text_says_so() {
        assert!(why("true").contains("printed nothing"), "{}", why("true"));
        assert!(why("echo; echo sk-one").contains("printed nothing"));
        assert!(why("printf '\\377\\376'").contains("no text"));
    }

    #[test]
    fn its_last_complaint_is_shown_and_what_it_printed_is_not() {
        let said = why("echo sk-planted-one; echo first >&2; echo 'gpg: no such key' >&2; exit 3");
        assert!(said.contains("exit status: 3"), "{said}");
        assert!(said.ends_with("gpg: no such key"), "{said}");
        let said = why("echo planted-secret; echo 'wrong: planted-secret' >&2; exit 1");
        assert!(!said.contains("planted"), "{said}");
        assert!(why("exit 1").ends_with("it gave no reason"));
    }

    #[test]
    fn what_looks_like_a_key_in_a_complaint_is_masked() {
        for (said, shown) in [
            ("bad key sk-abcdefgh", "bad key ***"),
            ("token=ghp_16C7e42F292c6912E7710c838347Ae178B4a", "***"),
            ("\"AIzaSyD-9tSrke72PouQMnMX\" is wrong", "\"***\" is wrong"),
            ("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "***"),
            (
                "/home/me/.password-store/openai.gpg: not in the store",
                "/home/me/.password-store/openai.gpg: not in the store",
            ),
            (
                "[ERROR] 2026/07/01 12:00:00 session expired, sign in",
                "[ERROR] 2026/07/01 12:00:00 session expired, sign in",
            ),
            ("\u{1b}[31mno\u{7}", "[31mno"),
        ] {
            assert_eq!(complaint(said, &Secret::new(String::new())), shown);
        }
    }

    #[test]
    fn it_can_read_nothing_and_finds_no_keys_in_its_environment() {
        let env = Environment {
            vars: [
                ("API_KEYS".into(), "sk-planted".into()),
                ("SEEN".into(), "yes".into()),
            ]
            .into(),
            ..Environment::default()
        };
        let line = "read line && echo \"$line\"; echo \"$SEEN$API_KEYS\"";
        assert_eq!(secret(shell(line, &env), None).unwrap().expose(), "yes");
    }

    #[test]
    fn too_much_is_refused_at_once_and_whoever_goes_on_is_ended() {
        let begun = Instant::now();
        assert!(why("yes sk-planted").contains("more than 64 KB"));
        assert!(begun.elapsed() < LIMIT);
    }

    #[test]
    fn a_program_that_hangs_is_ended_with_all_it_has_started() {
        let begun = Instant::now();
        assert!(why("sleep 60 & sleep 60").contains("longer than 10 s"));
        assert!(begun.elapsed() < LIMIT * 2);
    }

    #[test]
    fn what_it_reads_is_handed_over_and_a_program_that_is_not_there_is_named_as_such() {
        let env = Environment::default();
        let input = Some(Secret::new("sk-one".into()));
        assert_eq!(
            secret(command("cat", &env), input).unwrap().expose(),
            "sk-one"
        );
        let error = secret(command("no-such-program-at-all", &env), None).unwrap_err();
        assert!(matches!(error, ProgramError::Start(_)), "{error}");
    }
}
