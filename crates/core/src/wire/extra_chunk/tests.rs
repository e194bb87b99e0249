//! What is left out of which streams, that no cut changes it, and that nothing is held back longer
//! than it must be.

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use proptest::prelude::*;

use super::*;

const ROLE: &str = r#"data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""}}],"usage":null}

"#;
const HI: &str = r#"data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}],"usage":null}

"#;
const EXTRA: &str = r#"data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":8}}}

"#;
const DONE: &str = "data: [DONE]\n\n";

/// What goes on of a stream that comes in these pieces.
fn passed<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> Vec<u8> {
    let mut filter = ExtraChunk::default();
    let mut all = Vec::new();
    for piece in pieces {
        match filter.feed(piece) {
            Passed::Part(part) => all.extend_from_slice(&piece[part]),
            Passed::Joined(joined) => all.extend(joined),
        }
        assert!(filter.held.len() <= LONGEST);
    }
    all.extend(filter.finish());
    all
}

/// What goes on of `stream`, the same in every cut into pieces of one size.
#[track_caller]
fn left(stream: &str) -> String {
    let whole = passed([stream.as_bytes()]);
    for size in 1..=stream.len().min(400) {
        assert_eq!(
            String::from_utf8_lossy(&passed(stream.as_bytes().chunks(size))),
            String::from_utf8_lossy(&whole),
            "{size} bytes at a time: {stream}"
        );
    }
    String::from_utf8(whole).unwrap()
}

#[test]
fn the_extra_chunk_is_left_out_whole_and_nothing_else() {
    for end in [DONE, ""] {
        assert_eq!(
            left(&format!("{ROLE}{HI}{EXTRA}{end}")),
            format!("{ROLE}{HI}{end}")
        );
    }
    assert_eq!(
        left(&format!("{ROLE}{HI}{DONE}")),
        format!("{ROLE}{HI}{DONE}")
    );
    // Some gateways send a second one.
    assert_eq!(
        left(&format!("{HI}{EXTRA}{EXTRA}{DONE}")),
        format!("{HI}{DONE}")
    );
}

#[test]
fn it_is_known_in_every_way_it_may_be_written() {
    for extra in [
        "data:{\"choices\":[],\"usage\":{}}\n\n",
        "data: {\"usage\":{\"prompt_tokens\":1},\"choices\":[]}\n\n",
        "data: {\"choices\" : [ ] , \"usage\" : {\"a\":[{\"choices\":[1]}]} }\r\n\r\n",
        "data: {\"object\":\"chat.completion\",\"choices\":[],\"usage\":{\"a\":1}}\n\r\n",
        "data: {\"object\":\"\",\"choices\":[],\"usage\":{\"a\":1},\"error\":null}\n\n",
        "id: 7\nevent: message\ndata: {\"choices\":[],\"usage\":{\"a\":1}}\n\n",
        "data: {\"choices\":[],\"usage\":{\"a\":1}}\nid: 7\n\n",
        "data: {\"choices\":[],\ndata: \"usage\":{\"a\":1}}\n\n",
    ] {
        assert_eq!(
            left(&format!("{HI}{extra}{DONE}")),
            format!("{HI}{DONE}"),
            "{extra}"
        );
        assert_eq!(left(extra), "", "{extra}");
    }
}

#[test]
fn what_is_not_certainly_the_extra_chunk_stays() {
    for event in [
        // Azure's first.
        "data: {\"choices\":[],\"created\":0,\"id\":\"\",\"model\":\"\",\"object\":\"\",\"prompt_filter_results\":[{\"prompt_index\":0}]}\n\n",
        "data: {\"choices\":[],\"prompt_filter_results\":[{\"prompt_index\":0}],\"usage\":null}\n\n",
        "data: {\"choices\":[],\"usage\":{\"a\":1},\"prompt_filter_results\":[]}\n\n",
        // The counts come with the last content.
        "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}],\"usage\":{\"prompt_tokens\":1}}\n\n",
        "data: {\"usage\":{\"prompt_tokens\":1},\"choices\":[{\"delta\":{}}]}\n\n",
        "data: {\"choices\":[],\"usage\":{\"a\":1},\"error\":{\"message\":\"broken\"}}\n\n",
        "data: {\"choices\":[],\"usage\":null}\n\n",
        "data: {\"choices\":[],\"usage\":{\"a\":1},\"usage\":null}\n\n",
        "data: {\"choices\":[],\"usage\":5}\n\n",
        "data: {\"choices\":[],\"usage\":[]}\n\n",
        "data: {\"choices\":[]}\n\n",
        "data: {\"choices\":null,\"usage\":{\"a\":1}}\n\n",
        "data: {\"choices\":{},\"usage\":{\"a\":1}}\n\n",
        "data: {\"choices\":[null],\"usage\":{\"a\":1}}\n\n",
        "data: {\"choices\":[[]],\"usage\":{\"a\":1}}\n\n",
        "data: {\"choices\":[],\"choices\":[\"x\"],\"usage\":{\"a\":1}}\n\n",
        "data: {\"usage\":{\"a\":1}}\n\n",
        "data: {\"x\":{\"choices\":[],\"usage\":{\"a\":1}}}\n\n",
        "data: {\"object\":\"response\",\"choices\":[],\"usage\":{\"a\":1}}\n\n",
        "data: [{\"choices\":[],\"usage\":{\"a\":1}}]\n\n",
        "data: \"choices\"\n\n",
        "data: 5\n\n",
        "data: {\"choices\":[],\"usage\":{\"a\":1}} more\n\n",
        "data: {\"choices\":[],\"usage\":{\"a\":1}\n\n",
        "data: {\"choices\":[],\"usage\":{\"a\":1}}\ndata: {}\n\n",
        "data: {\"choices\":[],\"usage\":{\"a\":1}}\n: waiting\n\n",
        ": waiting\ndata: {\"choices\":[],\"usage\":{\"a\":1}}\n\n",
        "data: {\"choices\":[],\"usage\":{\"a\":1}}\nretry: 5\n\n",
        "date: {\"choices\":[],\"usage\":{\"a\":1}}\n\n",
        "data\n\n",
        "data: {\"choices\":[],\"usage\":{\"a\":1}}\r\rdata: {\"x\":1}\r\r",
        "\r{\"choices\":[],\"usage\":{\"a\":1}}\n\n",
        "\rdata: {\"choices\":[],\"usage\":{\"a\":1}}\n\n",
        "data: {\"choices\":[],\"usage\":{\"a\":1}}\n\r\r\n",
        "\u{feff}data: {\"choices\":[],\"usage\":{\"a\":1}}\n\n",
        "\n\n\r\n\n",
        "{\"choices\":[],\"usage\":{\"a\":1}}\n\n",
    ] {
        assert_eq!(left(event), event);
        let stream = format!("{HI}{event}{HI}{DONE}");
        assert_eq!(left(&stream), stream);
    }
}

#[test]
fn what_ends_early_goes_on_as_far_as_it_came() {
    let stream = format!("{HI}{EXTRA}");
    let document = stream.trim_end().len();
    for end in 0..stream.len() {
        let stream = &stream[..end];
        let expected = if end < document { stream } else { HI };
        assert_eq!(
            String::from_utf8(passed([stream.as_bytes()])).unwrap(),
            expected
        );
    }
}

#[test]
fn an_event_longer_than_is_held_back_goes_on_in_every_cut() {
    let long = |length: usize| {
        let begin = "data: {\"choices\":[],\"usage\":{\"a\":\"";
        let end = "\"}}\r\n\r\n";
        format!(
            "{begin}{}{end}",
            "x".repeat(length - begin.len() - end.len())
        )
    };
    for length in LONGEST - 3..LONGEST + 4 {
        let event = long(length);
        let whole = passed([event.as_bytes()]);
        assert_eq!(whole.is_empty(), length <= LONGEST, "{length}");
        for size in [1, 2, 7, 1000, length - 1] {
            assert_eq!(
                passed(event.as_bytes().chunks(size)),
                whole,
                "{length}, {size}"
            );
        }
    }
}

#[test]
fn an_event_goes_on_as_soon_as_its_first_choice_begins() {
    let before = HI.find("[{").unwrap() + 1;
    let mut filter = ExtraChunk::default();
    assert_eq!(filter.feed(&HI.as_bytes()[..before]), Passed::Part(0..0));
    let held = HI.as_bytes()[..=before].to_vec();
    assert_eq!(
        filter.feed(&HI.as_bytes()[before..=before]),
        Passed::Joined(held)
    );
    assert_eq!(filter.feed(b"\"index"), Passed::Part(0..6));
    // What may not be a chunk is not waited for at all.
    for beginning in [": waiting", "\n", "retry", "x", "data: [", "data: 1 "] {
        let (first, last) = beginning.as_bytes().split_at(beginning.len() - 1);
        let mut filter = ExtraChunk::default();
        let so_far: usize = [first, last]
            .map(|piece| match filter.feed(piece) {
                Passed::Part(part) => part.len(),
                Passed::Joined(joined) => joined.len(),
            })
            .iter()
            .sum();
        assert_eq!(so_far, beginning.len(), "{beginning}");
    }
}

#[test]
fn frames_without_the_extra_chunk_are_not_copied() {
    let mut filter = ExtraChunk::default();
    for event in [ROLE, HI, &format!("{HI}{HI}"), DONE] {
        assert_eq!(filter.feed(event.as_bytes()), Passed::Part(0..event.len()));
    }
    // At the beginning or the end of a frame it is only left away.
    let mut filter = ExtraChunk::default();
    let frame = format!("{HI}{EXTRA}");
    assert_eq!(filter.feed(frame.as_bytes()), Passed::Part(0..HI.len()));
    let frame = format!("{EXTRA}{DONE}");
    assert_eq!(
        filter.feed(frame.as_bytes()),
        Passed::Part(EXTRA.len()..frame.len())
    );
}

#[test]
fn only_plain_event_streams_are_filtered() {
    let filters = |kind: &'static str, coding: Option<&'static str>| {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, kind.parse().unwrap());
        if let Some(coding) = coding {
            headers.insert(CONTENT_ENCODING, coding.parse().unwrap());
        }
        ExtraChunk::new(&headers).is_some()
    };
    assert!(filters("text/event-stream; charset=utf-8", None));
    assert!(filters("text/event-stream", Some("identity")));
    assert!(!filters("text/event-stream", Some("gzip")));
    assert!(!filters("application/json", None));
}

/// Pieces of streams, whole and torn.
const PARTS: &[&str] = &[
    ROLE,
    HI,
    EXTRA,
    EXTRA,
    DONE,
    ": waiting\n\n",
    ": x\n",
    "\n",
    "\r\n",
    "\r",
    "data: ",
    "data",
    "id: 1\n",
    "event: e\n",
    "{\"choices\":[]",
    ",\"usage\":{\"a\":1}",
    "}",
    "{",
    "[",
    "]",
    "\"",
    "\\",
    "null",
    "x",
    " ",
    "\"error\":null,",
    "\"object\":\"chat.",
    "data: {\"choices\":[],\"usage\":{\"a\":\"\\\"\\n\"}}\n",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_cut_of_any_stream_gives_the_same(
        parts in prop::collection::vec(prop::sample::select(PARTS), 0..14),
        mut cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        size in 1_usize..9,
    ) {
        let stream = parts.concat();
        let bytes = stream.as_bytes();
        let whole = passed([bytes]);
        prop_assert_eq!(&passed(bytes.chunks(size)), &whole);
        cuts.sort_by_key(|cut| cut.index(bytes.len() + 1));
        let mut at = 0;
        let mut pieces = Vec::new();
        for cut in cuts {
            let to = cut.index(bytes.len() + 1);
            pieces.push(&bytes[at..to]);
            at = to;
        }
        pieces.push(&bytes[at..]);
        prop_assert_eq!(&passed(pieces), &whole);
        // What goes on is the stream without whole events.
        if !stream.contains("[]") {
            prop_assert_eq!(&whole, bytes);
        }
    }

    /// Of events that are what they seem, the extra ones are missing and the others are there.
    #[test]
    fn of_whole_events_exactly_the_extra_ones_are_missing(
        events in prop::collection::vec(prop::sample::select(vec![ROLE, HI, EXTRA, DONE, ": x\n\n", "\n"]), 0..20),
        size in 1_usize..600,
    ) {
        let stream = events.concat();
        let expected: String = events.into_iter().filter(|event| *event != EXTRA).collect();
        let left = passed(stream.as_bytes().chunks(size));
        prop_assert_eq!(String::from_utf8(left).unwrap(), expected);
    }
}
