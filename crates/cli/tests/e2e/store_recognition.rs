//! Conversations without ids after a crash, and what follows a reload or a restart into the store.

use std::time::Duration;

use serde_json::{Value, json};

use crate::store::{Place, written};
use crate::support::{
    CHAT, Client, DEADLINE, MODELS, chat, chat_stream, config, eventually, mock, mock_builder,
};

/// Conversations that all begin with the same words.
const CONVERSATIONS: usize = 24;

#[test]
fn conversations_without_ids_that_began_alike_go_on_where_they_were_after_kill_9() {
    let mock = mock(4);
    let place = Place::new(&mock, 4, json!({}));
    let proxy = place.start();
    let user = |text: String| json!({"role": "user", "content": text});
    let mut talks: Vec<Vec<Value>> = vec![vec![user("planted".to_owned())]; CONVERSATIONS];
    let mut homes = vec![String::new(); CONVERSATIONS];
    let body = |talk: &[Value]| json!({"model": "m", "messages": talk});
    let goes_on = |talk: &mut Vec<Value>, number: usize, turn: usize| {
        talk.push(
            json!({"role": "assistant", "content": format!("planted answer {number} {turn}")}),
        );
        talk.push(user(format!("planted question {number} {turn}")));
    };
    for turn in 0..6 {
        for (number, talk) in talks.iter_mut().enumerate() {
            if turn > 0 {
                goes_on(talk, number, turn);
            }
            let reply = proxy.post(CHAT, &body(talk));
            reply
                .is(200)
                .header("x-lb-key")
                .unwrap()
                .clone_into(&mut homes[number]);
        }
    }
    assert!(homes.iter().any(|home| *home != homes[0]));
    written(&proxy);
    // With SIGKILL.
    proxy.end();
    let proxy = place.start();
    for (number, talk) in talks.iter_mut().enumerate() {
        goes_on(talk, number, 6);
        let reply = proxy.post(CHAT, &body(talk));
        let (key, affinity) = (reply.header("x-lb-key"), reply.header("x-lb-affinity"));
        assert_eq!(
            (key, affinity),
            (Some(homes[number].as_str()), Some("home")),
            "{number}"
        );
    }
    place.stop(proxy);
    // Hashes only.
    let bytes = std::fs::read(place.path()).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    assert!(!text.contains("planted"));
}

#[cfg(unix)]
#[test]
fn what_a_stream_uses_that_ends_in_the_old_process_is_counted() {
    let mock = mock_builder(1)
        .event_delay(Duration::from_millis(50))
        .output_tokens(60)
        .start()
        .unwrap();
    let place = Place::new(&mock, 1, json!({"include_usage": true}));
    let proxy = place.start();
    proxy.announced();
    let mut client = Client::connect(proxy.port);
    client.send(
        "POST",
        CHAT,
        &[],
        chat_stream("a long one").to_string().as_bytes(),
    );
    assert!(mock.wait_until(DEADLINE, |counters| counters.total.in_flight >= 1));
    place.home.run(&["restart"], &[]).is(0);
    // Both write to the file now.
    for _ in 0..3 {
        proxy.turn("s", &chat("hi")).is(200);
    }
    client.read().is(200);
    eventually("both have written what was used", || {
        place.usage(&[])["total"]["requests"] == 4
    });
    let row = &place.usage(&["--by", "model"])["rows"][0];
    assert!(row["output"].as_u64().unwrap() >= 60, "{row}");
    place.home.run(&["stop"], &[]).is(0);
}

#[test]
fn usage_calls_keys_as_a_reload_has_called_them() {
    let mock = mock(1);
    let place = Place::new(&mock, 1, json!({}));
    let proxy = place.start();
    proxy.announced();
    proxy.get(MODELS).is(200);
    proxy.turn("s", &chat("hi")).is(200);
    let mut config = config(&mock.url(), 1, json!({}));
    config["port"] = proxy.port.into();
    let key = match &config["keys"][0] {
        Value::String(key) => key.clone(),
        key => key["key"].as_str().unwrap().to_owned(),
    };
    config["keys"] = json!([{"key": key, "label": "renamed"}]);
    place.home.write_config(&config);
    place.home.run(&["reload"], &[]).is(0);
    eventually("usage follows", || {
        let rows = place.usage(&["--by", "key"])["rows"].clone();
        let mut rows = rows.as_array().unwrap().iter();
        rows.any(|row| row["key"] == "renamed")
    });
    proxy.turn("s", &chat("hi")).is(200);
    assert!(
        proxy.last_logged().contains("renamed"),
        "{}",
        proxy.output()
    );
}

#[test]
fn pruning_needs_a_date_but_no_keys() {
    let mock = mock(1);
    let place = Place::new(&mock, 1, json!({}));
    let proxy = place.start();
    proxy.turn("s", &chat("hi")).is(200);
    let port = proxy.port;
    place.stop(proxy);
    place.home.write_config(&json!({"port": port}));
    let prune = |before: &str| {
        place
            .home
            .run(&["usage", "--prune", "--before", before], &[])
    };
    prune("yesterday")
        .is(2)
        .says(&["`--before` must be a date"]);
    prune("2026-01-01").is(0).says(&["Removed 0 rows"]);
    place.home.run(&["usage", "--prune"], &[]).is(0);
    // What says how much is removed must be right.
    place
        .home
        .write_config(&json!({"port": port, "usage_days": "some"}));
    prune("2026-01-01").is(1).says(&["usage_days"]);
}
