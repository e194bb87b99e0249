//! Orders that come while a process ends or another one takes over.

#![cfg(unix)]

use std::time::Duration;

use serde_json::json;

use crate::restart::{Detached, records, signal};
use crate::support::{
    CHAT, Client, Home, chat_stream, config, eventually, free_port, mock, pair, pair_with,
};

#[test]
fn a_second_stop_waits_for_the_first_instead_of_taking_the_process_for_dead() {
    let (mock, mut proxy) = pair_with(1, json!({"drain_timeout_ms": 1_500}));
    mock.fault(api_key_lb_mock::Fault::on("*").stall_after(1, None));
    let mut client = proxy.client();
    client.send("POST", CHAT, &[], chat_stream("hi").to_string().as_bytes());
    assert_eq!(client.head().status, 200);
    signal(u64::from(proxy.pid()), "TERM");
    eventually("it accepts no more", || Client::open(proxy.port).is_err());
    let port = proxy.port.to_string();
    let output = proxy.home.run(&["stop", "--port", &port], &[]);
    output.is(0).says(&["is stopping already", "topped"]);
    eventually("it has ended", || proxy.ended() == Some(Some(0)));
}

#[test]
fn what_a_process_left_whose_number_another_one_has_now_is_removed() {
    let (_mock, proxy) = pair(1);
    proxy.announced();
    let port = proxy.port.to_string();
    let mut record = records(&proxy.home).remove(0);
    record["pid"] = std::process::id().into();
    let home = proxy.end();
    home.write(
        &format!("state/api-key-lb/{port}.json"),
        &record.to_string(),
    );
    let output = home.run(&["stop", "--port", &port], &[]);
    output.is(1).says(&["ended without cleaning up"]);
    assert!(records(&home).is_empty());
}

#[test]
fn a_stop_in_the_middle_of_a_restart_leaves_nobody_behind() {
    let mock = mock(1);
    for wait in [0, 40, 80, 100, 120] {
        let home = Home::new();
        let port = free_port();
        home.write_config(&config(&mock.url(), 1, json!({"port": port})));
        let _detached = Detached::start(&home);
        std::thread::scope(|scope| {
            scope.spawn(|| home.run(&["restart"], &[]));
            std::thread::sleep(Duration::from_millis(wait));
            home.run(&["stop"], &[]).is(0).says(&["topped"]);
        });
        eventually("nobody listens", || Client::open(port).is_err());
        assert!(records(&home).is_empty(), "{wait} ms");
    }
}

#[test]
fn a_reload_in_the_middle_of_a_restart_is_carried_out() {
    let mock = mock(2);
    for wait in [0, 40, 60, 80, 100] {
        let home = Home::new();
        let port = free_port();
        home.write_config(&config(&mock.url(), 1, json!({"port": port})));
        let _detached = Detached::start(&home);
        std::thread::scope(|scope| {
            scope.spawn(|| home.run(&["restart"], &[]).is(0).code);
            std::thread::sleep(Duration::from_millis(wait));
            home.write_config(&config(&mock.url(), 2, json!({"port": port})));
            home.run(&["reload"], &[]).is(0);
        });
        let mut client = Client::connect(port);
        client.send("GET", "/health", &[], b"");
        let keys = client.read().json()["keys"].as_array().unwrap().len();
        assert_eq!(keys, 2, "{wait} ms");
    }
}
