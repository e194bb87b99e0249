//! What the old process learns while another one serves already is known there as well.

#![cfg(unix)]

use std::thread::JoinHandle;
use std::time::Duration;

use api_key_lb_mock::Mock;
use serde_json::{Value, json};

use crate::restart::{Detached, pid_at, runs};
use crate::support::{
    CHAT, Client, DEADLINE, Home, RESPONSES, Reply, chat, config, eventually, free_port,
    mock_builder,
};

/// Answers that are made while the process changes.
const ANSWERS: usize = 12;

fn responses(port: u16, body: &Value) -> Reply {
    let mut client = Client::connect(port);
    client.send("POST", RESPONSES, &[], body.to_string().as_bytes());
    client.read()
}

fn slow(answers_after: u64) -> Mock {
    let mock = mock_builder(4).head_delay(Duration::from_millis(answers_after));
    mock.keeps_objects().start().unwrap()
}

fn home(mock: &Mock, settings: Value) -> Home {
    let home = Home::new();
    home.write_config(&config(&mock.url(), 4, settings));
    home
}

/// Answers that are on their way.
fn asked(mock: &Mock, port: u16) -> Vec<JoinHandle<Reply>> {
    let asked = (0..ANSWERS).map(|number| {
        let body = json!({"model": "m", "input": format!("question {number}")});
        std::thread::spawn(move || responses(port, &body))
    });
    let asked = asked.collect();
    assert!(mock.wait_until(DEADLINE, |counters| {
        counters.total.in_flight as usize >= ANSWERS
    }));
    asked
}

/// Each is continued at once, on the account that made it.
fn are_continued(answers: Vec<JoinHandle<Reply>>, port: u16) {
    let continued = answers.into_iter().map(|answer| {
        std::thread::spawn(move || {
            let answer = answer.join().unwrap();
            let made = answer.is(200).header("x-lb-key").unwrap().to_owned();
            let id = answer.json()["id"].clone();
            let body = json!({"model": "m", "previous_response_id": id, "input": "and then?"});
            let reply = responses(port, &body);
            reply.is(200);
            assert_eq!(reply.header("x-lb-key"), Some(made.as_str()));
        })
    });
    let continued: Vec<_> = continued.collect();
    for one in continued {
        one.join().unwrap();
    }
}

#[test]
fn what_was_made_by_the_old_process_after_a_restart_is_found_by_the_new_one() {
    let mock = slow(1_500);
    let home = home(&mock, json!({"port": free_port()}));
    let detached = Detached::start(&home);
    let answers = asked(&mock, detached.port);
    home.run(&["restart"], &[]).is(0);
    are_continued(answers, detached.port);
}

#[test]
fn after_two_restarts_the_first_process_finishes_and_what_it_makes_is_found_by_the_third() {
    let mock = slow(4_000);
    // What hurries the first one would cut its answers.
    let settings = json!({"port": free_port(), "drain_timeout_ms": 100});
    let home = home(&mock, settings);
    let detached = Detached::start(&home);
    let port = detached.port;
    let first = pid_at(port).unwrap();
    let answers = asked(&mock, port);
    home.run(&["restart"], &[]).is(0);
    let second = pid_at(port).unwrap();
    home.run(&["restart"], &[]).is(0);
    let third = pid_at(port).unwrap();
    assert!(first != second && second != third && runs(first) && runs(second));
    are_continued(answers, port);
    eventually("both end", || !runs(first) && !runs(second));
    assert!(runs(third));
}

#[test]
fn a_stop_after_two_restarts_hurries_the_first_process() {
    let mock = slow(20_000);
    let settings = json!({"port": free_port(), "drain_timeout_ms": 300});
    let home = home(&mock, settings);
    let detached = Detached::start(&home);
    let port = detached.port;
    let first = pid_at(port).unwrap();
    let _answers = asked(&mock, port);
    home.run(&["restart"], &[]).is(0);
    let second = pid_at(port).unwrap();
    home.run(&["restart"], &[]).is(0);
    home.run(&["stop"], &[]).is(0);
    eventually("all end", || !runs(first) && !runs(second));
}

/// Where some sessions are served.
fn homes(port: u16) -> Vec<String> {
    let asked = (0..12).map(|number| {
        std::thread::spawn(move || {
            let mut client = Client::connect(port);
            let body = chat("hi").to_string();
            let id = format!("session-{number}");
            client.send("POST", CHAT, &[("x-session-id", &id)], body.as_bytes());
            client.read().is(200).header("x-lb-key").unwrap().to_owned()
        })
    });
    let asked: Vec<_> = asked.collect();
    asked.into_iter().map(|one| one.join().unwrap()).collect()
}

#[test]
fn without_a_store_everything_is_told() {
    let mock = slow(1_500);
    let home = home(&mock, json!({"port": free_port(), "store": false}));
    let detached = Detached::start(&home);
    let port = detached.port;
    let before = homes(port);
    let answers = asked(&mock, port);
    home.run(&["restart"], &[]).is(0);
    assert_eq!(homes(port), before);
    are_continued(answers, port);
}

#[test]
fn on_another_port_everything_is_told() {
    let mock = slow(1_500);
    let (from, to) = (free_port(), free_port());
    let home = home(&mock, json!({"port": from}));
    let _detached = Detached::start(&home);
    let before = homes(from);
    let answers = asked(&mock, from);
    home.write_config(&config(&mock.url(), 4, json!({"port": to})));
    home.run(&["restart", "--port", &from.to_string()], &[])
        .is(0);
    assert_eq!(homes(to), before);
    are_continued(answers, to);
}
