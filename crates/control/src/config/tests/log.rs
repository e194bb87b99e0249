//! The log and the prices as they are configured.

use crate::config::{Config, LogFormat, LogSettings};

use super::World;

#[test]
fn the_format_of_the_log_is_set_by_flag_variable_or_file() {
    let settings = |world: &World| world.config().log_settings;
    let usual = LogSettings {
        format: LogFormat::Human,
        bytes: 10_000_000,
        files: 5,
    };
    let world = World::with_file(r#"{"keys": "k"}"#);
    assert_eq!(settings(&world), usual);
    let file = r#"{"keys": "k", "log_format": "JSON", "log_bytes": 0, "log_files": 2}"#;
    let mut world = World::with_file(file);
    let wanted = LogSettings {
        format: LogFormat::Json,
        bytes: 0,
        files: 2,
    };
    assert_eq!(settings(&world), wanted);
    world = world
        .var("AKLB_LOG_FORMAT", "human")
        .var("AKLB_LOG_FILES", "3");
    let over = settings(&world);
    assert_eq!((over.format, over.files), (LogFormat::Human, 3));
    world.flags.log_format = Some("json".into());
    assert_eq!(settings(&world).format, LogFormat::Json);
    world.flags.log_format = Some("xml".into());
    assert_eq!(
        world.problems(),
        ["--log-format: `log_format` must be \"human\" or \"json\""]
    );
}

#[test]
fn own_prices_are_read_and_what_is_left_out_costs_as_much_as_the_input() {
    let world = World::with_file(
        r#"{"keys": "k", "prices": {"glm-4.6": {"input": 1, "cached": 0.1, "output": 2.5},
            "our-*": {"input": "0", "written": 3, "output": 0}, "gone": null}}"#,
    );
    let prices = world.config().prices;
    let glm = prices.of("z-ai/glm-4.6").unwrap();
    assert_eq!(
        (glm.input, glm.cached, glm.written, glm.output),
        (1.0, 0.1, 1.0, 2.5)
    );
    let ours = prices.of("our-model").unwrap();
    assert_eq!((ours.input, ours.cached, ours.written), (0.0, 0.0, 3.0));
    assert_eq!(prices.own(), 2);
}

#[test]
fn wrong_prices_are_refused_with_their_place() {
    for (prices, said) in [
        (
            "1",
            "`prices` must be an object that names models, not a number",
        ),
        (
            r#"{"m": 1}"#,
            "`prices` must be an object of objects, not a number",
        ),
        (
            r#"{"m": {"input": 1}}"#,
            "a price needs `input` and `output`",
        ),
        (
            r#"{"m": {"input": -1, "output": 1}}"#,
            "`input` must be US dollars",
        ),
        (
            r#"{"m": {"input": true, "output": 1}}"#,
            "`input` must be a number",
        ),
        (
            r#"{"*": {"input": 1, "output": 1}}"#,
            "a price needs the name of its model",
        ),
    ] {
        let world = World::with_file(&format!(r#"{{"keys": "k", "prices": {prices}}}"#));
        let problems = world.problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with("FILE:1:"), "{problems:?}");
        assert!(problems[0].contains(said), "{said} in {problems:?}");
    }
}

#[test]
fn prices_are_read_without_keys_and_whatever_else_is_wrong() {
    let lenient = |text: &str| {
        let world = World::with_file(text);
        Config::prices_lenient(&world.flags, &world.env)
    };
    let prices = lenient(r#"{"port": "x", "prices": {"m": {"input": 1, "output": 2}}}"#).unwrap();
    assert_eq!(prices.of("m").unwrap().output, 2.0);
    assert_eq!(lenient("").unwrap().own(), 0);
    let wrong = lenient(r#"{"prices": {"m": 1}}"#).unwrap_err().to_string();
    assert!(wrong.contains(":1:18: `prices` must be"), "{wrong}");
    let none = World::new();
    assert_eq!(
        Config::prices_lenient(&none.flags, &none.env)
            .unwrap()
            .own(),
        0
    );
}
