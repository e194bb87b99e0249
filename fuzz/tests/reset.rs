//! The readers of times and limits against kept inputs, what grows from them, and any bytes at all.

use api_key_lb_fuzz::{Growth, seeds};

#[test]
fn holds_for_what_is_kept() {
    for seed in seeds("reset") {
        api_key_lb_fuzz::reset(&seed);
    }
}

#[test]
fn reset() {
    bolero::check!().for_each(api_key_lb_fuzz::reset);
}

#[test]
fn holds_for_what_grows() {
    let seeds = seeds("reset");
    bolero::check!()
        .with_type::<Growth>()
        .for_each(|growth| api_key_lb_fuzz::reset(&growth.of(&seeds)));
}
