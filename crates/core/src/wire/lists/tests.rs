//! Pages of several accounts, in the shapes of OpenAI, Anthropic and Google.

use super::*;

fn account(number: u64) -> AccountId {
    AccountId::from_number(number)
}

fn pages(bodies: &[&str], google: bool) -> Vec<Page> {
    let pages = bodies
        .iter()
        .map(|body| Page::read(body.as_bytes(), google));
    pages.collect::<Option<_>>().unwrap()
}

#[test]
fn a_query_says_which_page_is_wanted() {
    let cursor = |query| Wanted::of(Some(query)).map(|wanted| (wanted.cursor, wanted.limit));
    assert_eq!(Wanted::of(None).unwrap().cursor, Cursor::Begin);
    assert_eq!(
        cursor("limit=5&after=file-1"),
        Some((Cursor::After("file-1"), Some(5)))
    );
    assert_eq!(
        cursor("pageSize=2&pageToken=lb-000000000000002a-AB%3D"),
        Some((Cursor::Page(account(42), "AB%3D"), Some(2)))
    );
    assert_eq!(cursor("after=&limit=x"), Some((Cursor::Begin, None)));
    for otherwise in [
        "before=x",
        "before_id=x",
        "page=2",
        "pageToken=AB",
        "pageToken=lb-2a-",
        "offset=3",
    ] {
        assert_eq!(cursor(otherwise), None, "{otherwise}");
    }
}

#[test]
fn each_account_is_asked_for_what_is_left() {
    let wanted = Wanted::of(Some("order=asc&limit=5&after=file-1&flag")).unwrap();
    let query = |with_cursor, left| wanted.query(with_cursor, left).unwrap();
    assert_eq!(query(true, Some(5)), "order=asc&limit=5&after=file-1&flag");
    assert_eq!(query(false, Some(3)), "order=asc&limit=3&flag");
    let page = Wanted::of(Some("pageToken=lb-000000000000002a-AB%3D")).unwrap();
    assert_eq!(page.query(true, None).as_deref(), Some("pageToken=AB%3D"));
    assert_eq!(page.query(false, None), None);
    let begin = Wanted::of(Some("pageToken=lb-000000000000002a-")).unwrap();
    assert_eq!(begin.query(true, None), None);
}

#[test]
fn lists_of_openai_and_anthropic_are_joined() {
    let pages = pages(
        &[
            r#"{"object":"list","data":[{"id":"a","n":1.50}, {"id":"b"}],"first_id":"a","last_id":"b","has_more":false,"x":{"y":1}}"#,
            r#"{"object":"list","data":[],"first_id":null,"last_id":null,"has_more":false}"#,
            r#"{"object":"list","data":[{"id":"c"}],"first_id":"c","last_id":"c","has_more":true}"#,
        ],
        false,
    );
    assert_eq!(
        join(&pages, &Next::From(account(1), String::new())),
        r#"{"object":"list","data":[{"id":"a","n":1.50},{"id":"b"},{"id":"c"}],"first_id":"a","last_id":"c","has_more":true,"x":{"y":1}}"#
    );
    assert!(join(&pages, &Next::End).contains(r#""has_more":false"#));
    let found: Vec<_> = pages
        .iter()
        .map(|page| (page.count, page.more.as_deref()))
        .collect();
    assert_eq!(found, [(2, None), (0, None), (1, Some(""))]);
    assert_eq!(pages[2].last_id.as_deref(), Some("c"));
}

#[test]
fn lists_of_google_are_joined_and_their_next_page_is_named_by_its_account() {
    let pages = pages(
        &[
            "{}",
            r#"{"files":[{"name":"files/a"}],"nextPageToken":"AB="}"#,
        ],
        true,
    );
    let next = Next::From(account(42), pages[1].more.clone().unwrap());
    let joined = join(&pages, &next);
    assert_eq!(
        joined,
        r#"{"files":[{"name":"files/a"}],"nextPageToken":"lb-000000000000002a-AB="}"#
    );
    assert_eq!(
        join(&pages[1..], &Next::End),
        r#"{"files":[{"name":"files/a"}]}"#
    );
    assert_eq!(join(&pages[..1], &Next::End), "{}");
    assert_eq!(
        own_page("lb-000000000000002a-AB="),
        Some((account(42), "AB="))
    );
}

#[test]
fn lists_that_name_their_next_page_are_joined() {
    let pages = pages(
        &[
            r#"{"data":[{"id":"a"}],"has_more":false,"next_page":null}"#,
            r#"{"data":[{"id":"b"}],"has_more":true,"next_page":"page_2"}"#,
        ],
        false,
    );
    assert_eq!(
        join(&pages, &Next::From(account(1), "page_2".into())),
        r#"{"data":[{"id":"a"},{"id":"b"}],"has_more":true,"next_page":"lb-0000000000000001-page_2"}"#
    );
    assert_eq!(
        join(&pages, &Next::End),
        r#"{"data":[{"id":"a"},{"id":"b"}],"has_more":false,"next_page":null}"#
    );
}

#[test]
fn lists_without_pages_are_joined_and_totals_added() {
    let bare = pages(&[r#"[{"id":"a"}]"#, "[]", "[1]"], false);
    assert_eq!(join(&bare, &Next::End), r#"[{"id":"a"},1]"#);
    assert!(bare.iter().all(|page| !page.has_pages));
    let counted = pages(
        &[r#"{"data":[1],"total":1}"#, r#"{"data":[2],"total":2}"#],
        false,
    );
    assert_eq!(join(&counted, &Next::End), r#"{"data":[1,2],"total":3}"#);
}

#[test]
fn what_is_no_list_is_none() {
    for body in ["", "{", "1", r#"{"id":"a"}"#, r#"{"data":{}}"#, "{} {}"] {
        assert_eq!(Page::read(body.as_bytes(), false), None, "{body}");
    }
    assert_eq!(Page::read(b"[", true), None);
}
