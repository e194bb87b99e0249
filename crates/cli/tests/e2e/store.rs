//! What outlives the process: sessions, cooldowns and usage, whatever way it ended.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use api_key_lb_mock::{Fault, Mock};
use serde_json::{Value, json};

use crate::support::{
    CHAT, Home, MODELS, Proxy, RESPONSES, chat, config, free_port, key, keys, mock,
};

/// What a crash may cost: what was learned within this time before it.
const LAST: Duration = Duration::from_secs(1);

/// A home whose configuration has a port of its own, so that the store is found again.
pub(crate) struct Place {
    pub(crate) home: Home,
    port: u16,
}

impl Place {
    pub(crate) fn new(mock: &Mock, count: usize, settings: Value) -> Self {
        let home = Home::new();
        let port = free_port();
        let mut config = config(&mock.url(), count, settings);
        config["port"] = port.into();
        home.write_config(&config);
        Self { home, port }
    }

    #[track_caller]
    pub(crate) fn start(&self) -> Proxy {
        self.start_with(&["start"], &[])
    }

    #[track_caller]
    pub(crate) fn start_with(&self, args: &[&str], env: &[(&str, &str)]) -> Proxy {
        let port = self.port.to_string();
        let env: Vec<(&str, &str)> = [("PORT", port.as_str())]
            .iter()
            .chain(env)
            .copied()
            .collect();
        Proxy::start_in(&self.home, args, &env)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.home
            .path(&format!("state/api-key-lb/{}.db", self.port))
    }

    #[track_caller]
    pub(crate) fn usage(&self, args: &[&str]) -> Value {
        let args: Vec<&str> = ["usage", "--json"].iter().chain(args).copied().collect();
        let output = self.home.run(&args, &[]);
        output.is(0);
        serde_json::from_str(&output.stdout).unwrap()
    }

    /// Stops it as a person does.
    #[track_caller]
    pub(crate) fn stop(&self, proxy: Proxy) {
        proxy.announced();
        self.home.run(&["stop"], &[]).is(0);
        proxy.end();
    }
}

/// Waits until all that has happened so far is written, however busy the machine is.
pub(crate) fn written(proxy: &Proxy) {
    let problem = &proxy.health()["store"]["problem"];
    assert!(problem.is_null(), "{problem}");
    std::thread::sleep(LAST);
}

#[test]
fn a_cooldown_survives_kill_9() {
    let mock = mock(2);
    let place = Place::new(&mock, 2, json!({}));
    let proxy = place.start();
    let fault = Fault::on(key(1)).times(1).status(429);
    mock.fault(fault.header("retry-after", "600"));
    for _ in 0..2 {
        proxy.get(MODELS).is(200);
    }
    let throttled = |proxy: &Proxy| proxy.health()["keys"][0]["retry_in_ms"].as_u64();
    let before = throttled(&proxy).unwrap();
    written(&proxy);
    proxy.end();
    let proxy = place.start();
    let after = throttled(&proxy).unwrap();
    assert!(
        after <= before && after > before - 60_000,
        "{before} {after}"
    );
    let health = proxy.health();
    assert_eq!(health["keys"][0]["status"], "throttled");
    let reason = health["keys"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("noted before the restart"), "{reason}");
    for _ in 0..4 {
        let reply = proxy.get(MODELS);
        assert_eq!(reply.is(200).header("x-lb-attempts"), Some("1"));
    }
}

#[test]
fn a_refused_key_still_comes_last_after_a_restart() {
    let mock = mock(2);
    let place = Place::new(&mock, 2, json!({}));
    let proxy = place.start();
    mock.fault(Fault::on(key(1)).times(1).status(401));
    for _ in 0..2 {
        proxy.get(MODELS).is(200);
    }
    assert!(proxy.health()["keys"][0]["refused_for_ms"].is_u64());
    place.stop(proxy);
    let proxy = place.start();
    assert!(proxy.health()["keys"][0]["refused_for_ms"].is_u64());
}

#[test]
fn a_response_is_continued_on_its_account_after_a_restart() {
    let mock = mock(4);
    let place = Place::new(&mock, 4, json!({}));
    let proxy = place.start();
    let mut owned = Vec::new();
    for number in 0..12 {
        let body = json!({"model": "m", "input": format!("question {number}")});
        let reply = proxy.post(RESPONSES, &body);
        let key = reply.is(200).header("x-lb-key").unwrap().to_owned();
        owned.push((reply.json()["id"].as_str().unwrap().to_owned(), key));
    }
    written(&proxy);
    proxy.end();
    let proxy = place.start();
    for (id, key) in &owned {
        let body = json!({"model": "m", "previous_response_id": id, "input": "and then?"});
        let reply = proxy.post(RESPONSES, &body);
        assert_eq!(reply.is(200).header("x-lb-key"), Some(key.as_str()), "{id}");
    }
}

#[test]
fn a_clean_stop_loses_nothing_at_all() {
    let mock = mock(4);
    let place = Place::new(&mock, 4, json!({}));
    let proxy = place.start();
    let mut homes = Vec::new();
    for number in 0..20 {
        let reply = proxy.turn(&format!("s{number}"), &chat("hi"));
        homes.push(reply.is(200).header("x-lb-key").unwrap().to_owned());
    }
    place.stop(proxy);
    let proxy = place.start();
    for (number, home) in homes.iter().enumerate() {
        let reply = proxy.turn(&format!("s{number}"), &chat("again"));
        assert_eq!(reply.is(200).header("x-lb-affinity"), Some("home"));
        assert_eq!(reply.header("x-lb-key"), Some(home.as_str()));
    }
    assert_eq!(
        place.usage(&[])["total"]["requests"]
            .as_u64()
            .map(|all| all >= 20),
        Some(true)
    );
}

#[test]
fn a_damaged_file_is_set_aside_and_the_proxy_starts() {
    let mock = mock(2);
    let place = Place::new(&mock, 2, json!({}));
    fs::create_dir_all(place.path().parent().unwrap()).unwrap();
    fs::write(place.path(), "this is no database ".repeat(1_000)).unwrap();
    let proxy = place.start();
    proxy.turn("s", &chat("hi")).is(200);
    let output = proxy.output();
    assert!(
        output.contains(".db` cannot be used: it is damaged"),
        "{output}"
    );
    assert!(output.contains(".db.corrupt-"), "{output}");
    assert_eq!(proxy.health()["store"]["status"], "ok");
    place.stop(proxy);
    let names = place.home.state_files();
    assert!(
        names
            .iter()
            .any(|(path, _)| path.to_string_lossy().contains(".db.corrupt-"))
    );
    let proxy = place.start();
    assert_eq!(
        proxy.turn("s", &chat("hi")).header("x-lb-affinity"),
        Some("home")
    );
    assert!(!proxy.output().contains("corrupt"));
}

#[test]
fn a_file_of_a_newer_version_is_kept_for_it() {
    let mock = mock(2);
    let place = Place::new(&mock, 2, json!({}));
    let proxy = place.start();
    proxy.turn("s", &chat("hi")).is(200);
    place.stop(proxy);
    // Its version stands in the head of the file, high byte first.
    let mut bytes = fs::read(place.path()).unwrap();
    bytes[60..64].copy_from_slice(&999_u32.to_be_bytes());
    fs::write(place.path(), &bytes).unwrap();
    let other = place.home.run(&["usage"], &[]);
    other
        .is(1)
        .says(&["another version of api-key-lb", "format 999"]);
    let proxy = place.start();
    assert_eq!(
        proxy.turn("s", &chat("hi")).is(200).header("x-lb-affinity"),
        Some("new")
    );
    let output = proxy.output();
    assert!(
        output.contains("a newer version of api-key-lb wrote it (format 999"),
        "{output}"
    );
    let kept = place
        .home
        .state_files()
        .into_iter()
        .find(|(path, _)| path.to_string_lossy().contains(".db.newer-"));
    assert_eq!(fs::read(kept.unwrap().0).unwrap(), bytes);
}

#[test]
fn without_a_store_nothing_is_written_and_everything_is_forgotten() {
    let mock = mock(2);
    for (settings, args, env) in [
        (json!({}), &["start", "--no-store"][..], &[][..]),
        (json!({"store": false}), &["start"][..], &[][..]),
        (json!({}), &["start"][..], &[("AKLB_STORE", "off")][..]),
    ] {
        let place = Place::new(&mock, 2, settings);
        let proxy = place.start_with(args, env);
        proxy.turn("s", &chat("hi")).is(200);
        assert_eq!(proxy.health()["store"], json!({"status": "off"}));
        place.stop(proxy);
        assert!(!place.path().exists());
        let proxy = place.start_with(args, env);
        let reply = proxy.turn("s", &chat("hi"));
        assert_eq!(reply.is(200).header("x-lb-affinity"), Some("new"));
        let none = place.home.run(&["usage"], &[]);
        none.is(1).says(&["there is no store", "--no-store"]);
    }
}

#[cfg(unix)]
#[test]
fn where_nothing_can_be_written_the_proxy_serves_from_memory_and_says_so() {
    let mock = mock(2);
    let place = Place::new(&mock, 2, json!({}));
    // A directory where the file should be: root, too, cannot write to it.
    fs::create_dir_all(place.path()).unwrap();
    let proxy = place.start();
    for affinity in ["new", "home"] {
        let reply = proxy.turn("s", &chat("hi"));
        assert_eq!(reply.is(200).header("x-lb-affinity"), Some(affinity));
    }
    let store = &proxy.health()["store"];
    assert_eq!(store["status"], "failing");
    assert!(
        store["problem"]
            .as_str()
            .unwrap()
            .contains("cannot use the store"),
        "{store}"
    );
    let warned = proxy.output().matches("in memory only").count();
    assert_eq!(warned, 1, "{}", proxy.output());
    let status = place.home.run(&["status"], &[]);
    status.is(0).says(&["Store:", "in memory only"]);
}

#[test]
fn the_store_holds_no_secret_no_prompt_and_no_id_and_is_its_owners_alone() {
    let mock = mock(2);
    let token = "client-token-planted-0001";
    let place = Place::new(&mock, 2, json!({"client_tokens": [token]}));
    let proxy = place.start();
    let bearer = format!("Bearer {token}");
    let planted = [
        "session-planted-0002",
        "prompt-planted-0003",
        "model-planted-0004",
    ];
    for model in ["m", planted[2]] {
        let mut body = chat(planted[1]);
        body["model"] = model.into();
        if model != "m" {
            // Nobody serves it: then it may be anything.
            for key in keys(2) {
                mock.fault(Fault::on(key).times(1).status(404));
            }
        }
        let headers = [
            ("x-session-id", planted[0]),
            ("authorization", bearer.as_str()),
            ("cookie", "cookie-planted-0005"),
        ];
        proxy.ask("POST", CHAT, &headers, body.to_string().as_bytes());
    }
    std::thread::sleep(LAST);
    let mut seen = 0;
    for entry in fs::read_dir(place.path().parent().unwrap())
        .unwrap()
        .flatten()
    {
        let name = entry.file_name().into_string().unwrap();
        if !name.contains(".db") {
            continue;
        }
        seen += 1;
        let bytes = fs::read(entry.path()).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        for secret in keys(2).iter().map(String::as_str).chain(planted) {
            assert!(!text.contains(secret), "{secret} is in {name}");
        }
        assert!(!text.contains(token) && !text.contains("planted"), "{name}");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(
                entry.metadata().unwrap().permissions().mode() & 0o077,
                0,
                "{name}"
            );
        }
    }
    assert!(seen >= 2, "the file and its log");
}

#[test]
fn status_says_where_the_store_is() {
    let mock = mock(1);
    let place = Place::new(&mock, 1, json!({}));
    let proxy = place.start();
    let status = place.home.run(&["status"], &[]);
    status
        .is(0)
        .says(&["Store:", &format!("{}.db (", place.port)]);
    let store = &proxy.health()["store"];
    assert_eq!(
        (&store["status"], store["bytes"].as_u64().unwrap() > 0),
        (&json!("ok"), true)
    );
}
