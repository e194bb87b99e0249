//! The reader of answers against kept inputs, what grows from them, and any bytes at all.

use api_key_lb_fuzz::{Growth, seeds};

#[test]
fn holds_for_what_is_kept() {
    for seed in seeds("answer") {
        api_key_lb_fuzz::answer(&seed);
    }
}

#[test]
fn answer() {
    bolero::check!().for_each(api_key_lb_fuzz::answer);
}

#[test]
fn holds_for_what_grows() {
    let seeds = seeds("answer");
    bolero::check!()
        .with_type::<Growth>()
        .for_each(|growth| api_key_lb_fuzz::answer(&growth.of(&seeds)));
}
