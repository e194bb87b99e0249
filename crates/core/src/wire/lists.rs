//! Lists of several accounts as one: which page a request wants, what each account is asked for it,
//! and the body that is made of their answers. Items are copied as they came.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::plan::AccountId;

/// Names by which a page's length is asked for …
const LIMITS: &[&str] = &["limit", "pageSize", "page_size"];
/// … the id of the last item that was seen …
const AFTER: &[&str] = &["after", "after_id"];
/// … and what the page before said the next one is called.
const TOKENS: &[&str] = &["pageToken", "page_token", "page"];
/// By these a list is read in ways that cannot be joined.
const OTHERWISE: &[&str] = &["before", "before_id", "offset"];
/// Members of an answer that name its next page: Google's, and that of Anthropic's newer lists.
const NEXT: [&str; 2] = ["nextPageToken", "next_page"];
const DATA: &str = "data";
const HAS_MORE: &str = "has_more";
const FIRST_ID: &str = "first_id";
const LAST_ID: &str = "last_id";
const TOTAL: &str = "total";
/// How the names of our own pages begin: then follow the account, as so many digits, and the name
/// that it gave to the page itself, nothing for its first one.
const OWN: &str = "lb-";
const ACCOUNT_DIGITS: usize = 16;

/// From where on a list is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cursor<'q> {
    /// From its beginning.
    Begin,
    /// Behind the item with this id.
    After(&'q str),
    /// The page of this account that is called so.
    Page(AccountId, &'q str),
}

/// What a request for a list wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted<'q> {
    query: Option<&'q str>,
    /// From where on.
    pub cursor: Cursor<'q>,
    /// How many items at most.
    pub limit: Option<u64>,
}

fn pairs(query: Option<&str>) -> impl Iterator<Item = (&str, &str)> {
    let pairs = query.into_iter().flat_map(|query| query.split('&'));
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

impl<'q> Wanted<'q> {
    /// What this query wants; `None` if that cannot be joined.
    pub fn of(query: Option<&'q str>) -> Option<Self> {
        let mut wanted = Self {
            query,
            cursor: Cursor::Begin,
            limit: None,
        };
        for (name, value) in pairs(query) {
            if OTHERWISE.contains(&name) {
                return None;
            } else if LIMITS.contains(&name) {
                wanted.limit = value.parse().ok().filter(|limit| *limit > 0);
            } else if value.is_empty() {
                // As if it were not there.
            } else if AFTER.contains(&name) {
                wanted.cursor = Cursor::After(value);
            } else if TOKENS.contains(&name) {
                let (account, page) = own_page(value)?;
                wanted.cursor = Cursor::Page(account, page);
            }
        }
        Some(wanted)
    }

    /// Whether the page wanted is one that we have named.
    pub const fn is_own_page(&self) -> bool {
        matches!(self.cursor, Cursor::Page(..))
    }

    /// What one account is asked: with the cursor if it is its own, and for so many items.
    pub fn query(&self, with_cursor: bool, limit: Option<u64>) -> Option<String> {
        let mut query = String::new();
        for (name, value) in pairs(self.query) {
            let value = match (self.cursor, limit) {
                _ if AFTER.contains(&name) && !with_cursor => continue,
                (Cursor::Page(_, page), _) if TOKENS.contains(&name) => {
                    if !with_cursor || page.is_empty() {
                        continue;
                    }
                    page
                }
                (_, Some(limit)) if LIMITS.contains(&name) => &limit.to_string(),
                _ => value,
            };
            if !query.is_empty() {
                query.push('&');
            }
            query.push_str(name);
            if !value.is_empty() {
                query.push('=');
                query.push_str(value);
            }
        }
        (!query.is_empty()).then_some(query)
    }
}

/// The account of a page that we have named, and what it calls it.
fn own_page(name: &str) -> Option<(AccountId, &str)> {
    let rest = name.strip_prefix(OWN)?;
    let (account, page) = rest.split_at_checked(ACCOUNT_DIGITS)?;
    let account = u64::from_str_radix(account, 16).ok()?;
    Some((AccountId::from_number(account), page.strip_prefix('-')?))
}

/// What follows a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing.
    End,
    /// More of this account's, from the page on that it calls so; empty: from its first one.
    From(AccountId, String),
}

impl Next {
    fn name(&self) -> Option<String> {
        match self {
            Self::End => None,
            Self::From(account, page) => {
                let account = account.number();
                Some(format!("{OWN}{account:0ACCOUNT_DIGITS$x}-{page}"))
            }
        }
    }
}

/// One account's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Its members, in order, each with its value as it came. None if it is nothing but the list.
    members: Vec<(String, String)>,
    /// The one that is the list. Google leaves an empty one out.
    list: Option<String>,
    /// What stands between the brackets.
    items: String,
    /// How many items there are.
    pub count: usize,
    /// The id of the last one.
    pub last_id: Option<String>,
    /// How it names the page that follows, or an empty text if only that one does.
    pub more: Option<String>,
    /// Whether what follows a page can be asked for at all.
    pub has_pages: bool,
}

impl Page {
    /// Reads an answer; `None` if it is no list. `google` says whether it is one of Google's.
    pub fn read(body: &[u8], google: bool) -> Option<Self> {
        let mut page = Self::default();
        if let Ok(items) = serde_json::from_slice::<Vec<&RawValue>>(body) {
            page.take(&items);
            return Some(page);
        }
        let members: BTreeMap<String, &RawValue> = serde_json::from_slice(body).ok()?;
        let mut members: Vec<(String, &RawValue)> = members.into_iter().collect();
        // In the order in which they came.
        members.sort_by_key(|(_, value)| value.get().as_ptr());
        let is_list = |(_, value): &&(String, &RawValue)| value.get().starts_with('[');
        let mut lists = members.iter().filter(is_list);
        let list = lists
            .clone()
            .find(|(name, _)| name == DATA)
            .or_else(|| lists.next());
        if let Some((name, value)) = list {
            page.take(&serde_json::from_str::<Vec<&RawValue>>(value.get()).ok()?);
            page.list = Some(name.clone());
        } else if !google {
            return None;
        }
        let text = |name: &str| {
            let (_, value) = members.iter().find(|(known, _)| known == name)?;
            serde_json::from_str::<String>(value.get()).ok()
        };
        page.last_id = text(LAST_ID).or(page.last_id);
        page.more = NEXT
            .iter()
            .find_map(|name| text(name))
            .filter(|page| !page.is_empty());
        let has = |name: &str| members.iter().find(|(known, _)| known == name);
        page.has_pages = google || NEXT.iter().any(|name| has(name).is_some());
        if let Some((_, value)) = has(HAS_MORE) {
            if value.get() == "true" && page.more.is_none() {
                page.more = Some(String::new());
            }
            page.has_pages = true;
        }
        let owned = members.into_iter();
        page.members = owned
            .map(|(name, value)| (name, value.get().to_owned()))
            .collect();
        Some(page)
    }

    fn take(&mut self, items: &[&RawValue]) {
        self.count = items.len();
        let items: Vec<&str> = items.iter().map(|item| item.get()).collect();
        self.items = items.join(",");
        let last: Option<BTreeMap<String, &RawValue>> = items
            .last()
            .and_then(|last| serde_json::from_str(last).ok());
        self.last_id = last
            .and_then(|mut last| last.remove("id"))
            .and_then(|id| serde_json::from_str(id.get()).ok());
    }

    fn member(&self, name: &str) -> Option<&str> {
        let mut members = self.members.iter();
        let (_, value) = members.find(|(known, _)| known == name)?;
        Some(value)
    }
}

/// One answer of several, which are those of different accounts in order. What else the first one
/// says is kept.
pub fn join(pages: &[Page], next: &Next) -> String {
    let full = || pages.iter().filter(|page| page.count > 0);
    let items: Vec<&str> = full().map(|page| page.items.as_str()).collect();
    let items = format!("[{}]", items.join(","));
    let Some(first) = pages.first() else {
        return items;
    };
    if first.members.is_empty() && pages.iter().all(|page| page.list.is_none()) {
        // Google's lists without items are empty objects.
        return if first.has_pages { "{}".into() } else { items };
    }
    let named = |name: &&str| pages.iter().any(|page| page.member(name).is_some());
    let mut members = first.members.clone();
    let mut set =
        |name: &str, value: String| match members.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => members.push((name.to_owned(), value)),
        };
    if let Some(name) = pages.iter().find_map(|page| page.list.as_deref()) {
        set(name, items);
    }
    let mut ends = full().filter_map(|page| page.member(FIRST_ID));
    if let Some(id) = ends.next() {
        set(FIRST_ID, id.to_owned());
    }
    let mut ends = full().rev().filter_map(|page| page.member(LAST_ID));
    if let Some(id) = ends.next() {
        set(LAST_ID, id.to_owned());
    }
    let totals: Option<Vec<u64>> = pages
        .iter()
        .map(|page| page.member(TOTAL)?.parse().ok())
        .collect();
    if let Some(totals) = totals {
        set(TOTAL, totals.iter().sum::<u64>().to_string());
    }
    if named(&HAS_MORE) {
        set(HAS_MORE, (*next != Next::End).to_string());
    }
    let by_name = match NEXT.into_iter().find(named) {
        Some(name) => Some(name),
        None => (!named(&HAS_MORE)).then_some(NEXT[0]),
    };
    match (by_name, next.name()) {
        // Names are letters, digits and what the provider has put into its own.
        (Some(name), Some(page)) => set(name, quoted(&page)),
        (Some(name), None) if first.member(name).is_some() => set(name, "null".to_owned()),
        _ => {}
    }
    // Google leaves out what there is none of.
    members.retain(|(name, value)| name != NEXT[0] || value != "null");
    let members: Vec<String> = members
        .iter()
        .map(|(name, value)| format!("{}:{value}", quoted(name)))
        .collect();
    format!("{{{}}}", members.join(","))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests;
