//! The decoder of compressed bodies against kept inputs, what grows from them, and any bytes at all.

use api_key_lb_fuzz::{Growth, seeds};

#[test]
fn holds_for_what_is_kept() {
    for seed in seeds("decoding") {
        api_key_lb_fuzz::decoding(&seed);
    }
}

#[test]
fn decoding() {
    bolero::check!().for_each(api_key_lb_fuzz::decoding);
}

#[test]
fn holds_for_what_grows() {
    let seeds = seeds("decoding");
    bolero::check!()
        .with_type::<Growth>()
        .for_each(|growth| api_key_lb_fuzz::decoding(&growth.of(&seeds)));
}
