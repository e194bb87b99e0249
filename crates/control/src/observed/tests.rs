//! Tests of what is seen of requests.
