//! Tests of what a person does by hand.
