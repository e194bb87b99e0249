//! The reader of error bodies against kept inputs, what grows from them, and any bytes at all.

use api_key_lb_fuzz::{Growth, seeds};

#[test]
fn holds_for_what_is_kept() {
    for seed in seeds("error_body") {
        api_key_lb_fuzz::error_body(&seed);
    }
}

#[test]
fn error_body() {
    bolero::check!().for_each(api_key_lb_fuzz::error_body);
}

#[test]
fn holds_for_what_grows() {
    let seeds = seeds("error_body");
    bolero::check!()
        .with_type::<Growth>()
        .for_each(|growth| api_key_lb_fuzz::error_body(&growth.of(&seeds)));
}
