//! The processes of a run: upstream, nginx, and ours; started on free ports, ended with the run.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server that is not ready by then has failed.
const READY_LIMIT: Duration = Duration::from_secs(15);
/// Pause between two looks at a server that is starting.
const READY_PAUSE: Duration = Duration::from_millis(20);
/// A server that has been asked to end is killed after this long.
const STOP_LIMIT: Duration = Duration::from_secs(5);
/// What the upstream answers: a chat completion of 900 bytes, or 100 events of 150 bytes.
const CANNED: &str = "json=900,events=100,event=150";
/// Core of the load generator and of the upstream.
pub const LOAD_CORE: &str = "0";
/// Core of the proxy, alone.
const PROXY_CORE: &str = "1";

/// A directory for the files of one run, removed at its end.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// A fresh directory that the unprivileged worker of nginx may enter.
    pub fn new() -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("api-key-lb-bench-{}", std::process::id()));
        fs::create_dir_all(&path)
            .map_err(|error| format!("cannot create {}: {error}", path.display()))?;
        Ok(Self(path))
    }

    /// What our proxy called `name` writes.
    pub fn output_of(&self, name: &str) -> PathBuf {
        self.0.join(name).join("output.txt")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Host and port it listens on.
    pub address: String,
}

impl Server {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGTERM first: nginx's master has to end its worker.
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let end = Instant::now() + STOP_LIMIT;
        while Instant::now() < end {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(READY_PAUSE);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether two cores and `taskset` are there to keep the proxy apart from everything else.
pub fn can_pin() -> bool {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let try_out = || {
        let mut command = Command::new("taskset");
        command.args(["-c", PROXY_CORE, "true"]);
        command.stderr(Stdio::null()).status()
    };
    cores >= 2 && try_out().is_ok_and(|status| status.success())
}

/// Keeps this process on the core of the load generator.
pub fn pin_self() {
    let pid = std::process::id().to_string();
    let mut command = Command::new("taskset");
    let _ = command
        .args(["-a", "-c", "-p", LOAD_CORE, &pid])
        .stdout(Stdio::null())
        .status();
}

/// Leaves the core of the proxy `pid` to its threads whose names begin with `prefix`: the others, and those
/// they start, go to the core of the load generator.
#[allow(dead_code, reason = "for the benchmark of being watched")]
pub fn set_apart(pid: u32, prefix: &str) -> Result<(), String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).map_err(|error| error.to_string())?;
    for task in tasks.flatten() {
        let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        if !name.starts_with(prefix) {
            let mut command = Command::new("taskset");
            command.args(["-c", "-p", LOAD_CORE]).arg(task.file_name());
            let moved = command.stdout(Stdio::null()).status();
            moved.map_err(|error| format!("cannot run taskset: {error}"))?;
        }
    }
    Ok(())
}

/// `program`, on a core of its own if the run is pinned; without the caller's environment, which
/// may configure the proxy.
fn command(program: &Path, core: Option<&str>) -> Command {
    let mut command = match core {
        Some(core) => {
            let mut command = Command::new("taskset");
            command.args(["-c", core]).arg(program);
            command
        }
        None => Command::new(program),
    };
    command.env_clear().stdin(Stdio::null());
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
}

fn free_port() -> Result<u16, String> {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| format!("no free port on 127.0.0.1: {error}"))
}

fn spawn(mut command: Command, name: &str) -> Result<Child, String> {
    command
        .spawn()
        .map_err(|error| format!("cannot start {name}: {error}"))
}

/// Waits until `ready` says so; fails early, with what it wrote, if the process ends.
fn wait_ready(server: &mut Server, log: &Path, ready: impl Fn(&str) -> bool) -> Result<(), String> {
    let end = Instant::now() + READY_LIMIT;
    while !ready(&server.address) {
        let ended = server.child.try_wait().is_ok_and(|status| status.is_some());
        if ended || Instant::now() > end {
            let what = if ended {
                "ended at once"
            } else {
                "is not ready after 15 s"
            };
            let wrote = fs::read_to_string(log).unwrap_or_default();
            return Err(format!(
                "the server on {} {what}; it wrote:\n{wrote}",
                server.address
            ));
        }
        std::thread::sleep(READY_PAUSE);
    }
    Ok(())
}

fn log_file(path: &Path) -> Result<fs::File, String> {
    fs::File::create(path).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// Whether `GET /health` is answered with 200.
fn healthy(address: &str) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(READY_LIMIT))?;
        let request =
            format!("GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut start = [0; 12];
        stream.read_exact(&mut start)?;
        Ok(start.ends_with(b" 200"))
    };
    ask().unwrap_or(false)
}

/// The mock provider with canned answers.
pub fn start_upstream(binary: &Path, pinned: bool) -> Result<Server, String> {
    let mut command = command(binary, pinned.then_some(LOAD_CORE));
    command.args(["--bind", "127.0.0.1:0", "--canned", CANNED]);
    command.stdout(Stdio::piped());
    let mut child = spawn(command, &binary.display().to_string())?;
    let mut line = String::new();
    if let Some(out) = child.stdout.take() {
        let _ = BufReader::new(out).read_line(&mut line);
    }
    let address = line.trim().trim_start_matches("http://").to_owned();
    if address.is_empty() {
        let _ = child.kill();
        return Err(format!("{} did not say where it listens", binary.display()));
    }
    Ok(Server { child, address })
}

/// Our proxy with one worker and two keys, without a log.
pub fn start_ours(
    binary: &Path,
    upstream: &str,
    scratch: &Scratch,
    pinned: bool,
) -> Result<Server, String> {
    start_named(binary, upstream, scratch, pinned, "ours", &[])
}

/// The same with further settings, as variables, and files of its own.
pub fn start_named(
    binary: &Path,
    upstream: &str,
    scratch: &Scratch,
    pinned: bool,
    name: &str,
    settings: &[(&str, &str)],
) -> Result<Server, String> {
    let home = scratch.0.join(name);
    fs::create_dir_all(&home).map_err(|error| error.to_string())?;
    let log = scratch.output_of(name);
    let output = log_file(&log)?;
    let errors = output.try_clone().map_err(|error| error.to_string())?;
    let port = free_port()?;
    let mut command = command(binary, pinned.then_some(PROXY_CORE));
    command
        .arg("start")
        .current_dir(&home)
        .env("HOME", &home)
        .env("XDG_STATE_HOME", home.join("state"))
        .env("XDG_CONFIG_HOME", home.join("config"))
        .env("API_KEYS", "sk-bench-one-1111,sk-bench-two-2222")
        .env("TARGET", format!("http://{upstream}"))
        .env("PORT", port.to_string())
        .env("AKLB_WORKERS", "1")
        .env("AKLB_LOG", "off")
        .envs(settings.iter().copied())
        .stdout(output)
        .stderr(errors);
    let mut server = Server {
        child: spawn(command, &binary.display().to_string())?,
        address: format!("127.0.0.1:{port}"),
    };
    wait_ready(&mut server, &log, healthy)?;
    Ok(server)
}

/// What nginx is told: one worker that forwards, at its best.
///
/// `client_body_buffer_size` is above the largest body: with the default of 16 KiB nginx would
/// write every long conversation to a file first, which is not a comparison.
fn nginx_configuration(directory: &Path, port: u16, upstream: &str) -> String {
    let directory = directory.display();
    format!(
        "daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    tcp_nodelay on;
    client_max_body_size 64m;
    client_body_buffer_size 4m;
    map $http_upgrade $connection_upgrade {{
        default upgrade;
        \"\" \"\";
    }}
    upstream provider {{
        server {upstream};
        keepalive 64;
        keepalive_requests 1000000000;
        keepalive_timeout 600s;
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://provider;
            proxy_http_version 1.1;
            proxy_buffering off;
            proxy_set_header Connection $connection_upgrade;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Host api.provider.example;
            proxy_set_header Authorization \"Bearer sk-bench-one-1111\";
        }}
    }}
}}
"
    )
}

/// nginx, forwarding the same traffic; `Ok(None)` where it is not installed.
pub fn start_nginx(
    upstream: &str,
    scratch: &Scratch,
    pinned: bool,
) -> Result<Option<Server>, String> {
    // Debian installs it where only an administrator's PATH looks.
    let places = [
        "/usr/sbin/nginx",
        "/usr/local/sbin/nginx",
        "/usr/local/nginx/sbin/nginx",
    ];
    let on_path = std::env::var_os("PATH").into_iter().flat_map(|path| {
        let places: Vec<PathBuf> = std::env::split_paths(&path).collect();
        places.into_iter().map(|place| place.join("nginx"))
    });
    let mut candidates = on_path.chain(places.map(PathBuf::from));
    let Some(binary) = candidates.find(|candidate| candidate.is_file()) else {
        return Ok(None);
    };
    let directory = scratch.0.join("nginx");
    fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
    let port = free_port()?;
    let file = directory.join("nginx.conf");
    fs::write(&file, nginx_configuration(&directory, port, upstream))
        .map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    let log = directory.join("output.txt");
    let mut command = command(&binary, pinned.then_some(PROXY_CORE));
    command.arg("-p").arg(&directory).arg("-c").arg(&file);
    command.stdout(Stdio::null()).stderr(log_file(&log)?);
    let mut server = Server {
        child: spawn(command, "nginx")?,
        address: format!("127.0.0.1:{port}"),
    };
    // The master listens before its worker runs: only an answered request means ready.
    wait_ready(&mut server, &log, healthy)?;
    Ok(Some(server))
}

/// The version of nginx, as it tells it.
pub fn nginx_version() -> String {
    let run = |program: &str| Command::new(program).arg("-v").output().ok();
    let output = run("nginx").or_else(|| run("/usr/sbin/nginx"));
    let text = output.map(|output| String::from_utf8_lossy(&output.stderr).into_owned());
    let text = text.unwrap_or_default();
    text.trim().trim_start_matches("nginx version: ").to_owned()
}
