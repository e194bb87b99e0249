//! Objects that an account keeps (files, batches, stored responses …) and no other account knows.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::dialect::{Dialect, Route, error};
use crate::head::Head;

/// Most objects of one account; nothing is kept beyond.
const MOST: usize = 10_000;
/// Collections, and how the ids in them begin: OpenAI's, Anthropic's.
const COLLECTIONS: [(&str, &str, &str); 15] = [
    ("files", "file-", "file_"),
    ("uploads", "upload_", "upload_"),
    ("batches", "batch_", "msgbatch_"),
    ("jobs", "ftjob-", "ftjob-"),
    ("vector_stores", "vs_", "vs_"),
    ("assistants", "asst_", "asst_"),
    ("threads", "thread_", "thread_"),
    ("containers", "cntr_", "container_"),
    ("videos", "video_", "video_"),
    ("conversations", "conv_", "conv_"),
    ("cachedContents", "", ""),
    ("responses", "resp_", "resp_"),
    ("completions", "chatcmpl-", "chatcmpl-"),
    ("calls", "rtc_", "rtc_"),
    (CLIENT_SECRETS, ISSUED, ISSUED),
];
/// Credentials that are made for one client …
const CLIENT_SECRETS: &str = "client_secrets";
/// … and how they begin.
const ISSUED: &str = "ek_";
/// What begins a resumable upload, and what names one that has begun.
const UPLOAD_COMMAND: &str = "x-goog-upload-command";
const UPLOAD_ID: &str = "upload_id";
/// Uploads that have begun.
const BEGUN: &str = "begun";
/// Items of a page of a list.
const PAGE: usize = 10_000;

/// What one account keeps: by id, its collection and itself.
#[derive(Debug, Default)]
pub(crate) struct Objects(BTreeMap<String, (String, Value)>);

/// What a path is about.
#[derive(Debug, PartialEq, Eq)]
struct Place<'p> {
    collection: &'p str,
    id: Option<&'p str>,
    /// Whether something follows the id.
    part: bool,
}

fn place(path: &str) -> Option<Place<'_>> {
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    let is_collection = |segment: &&str| COLLECTIONS.iter().any(|(name, ..)| name == segment);
    let collection = segments.by_ref().find(is_collection)?;
    let id = segments.next().map(|id| id.split(':').next().unwrap_or(id));
    let part = segments.next().is_some();
    Some(Place {
        collection,
        id,
        part,
    })
}

/// Whether objects are kept at this path.
pub(crate) fn is_object(path: &str) -> bool {
    place(path).is_some()
}

impl Objects {
    /// Forgets all of them.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Keeps an object.
    pub(crate) fn keep(&mut self, collection: &str, id: &str, value: Value) {
        if self.0.len() < MOST {
            self.0.insert(id.to_owned(), (collection.to_owned(), value));
        }
    }

    /// What a body names that is not there: how it is called, and its id.
    pub(crate) fn missing(&self, body: &Value) -> Option<(&'static str, String)> {
        let Value::Object(members) = body else {
            return match body {
                Value::Array(list) => list.iter().find_map(|value| self.missing(value)),
                _ => None,
            };
        };
        members.iter().find_map(|(name, value)| {
            let what = match name.as_str() {
                "previous_response_id" => "response",
                "encrypted_content" => "sealed",
                "file_id" | "input_file_id" | "training_file" => "file",
                "cachedContent" => "cache",
                "fileUri" => "file",
                _ => return self.missing(value),
            };
            let id = value.as_str()?;
            let known = id.rsplit('/').next().unwrap_or(id);
            (!self.0.contains_key(known)).then(|| (what, id.to_owned()))
        })
    }

    /// The answer to a request about objects; `id` is the one that a new object gets.
    pub(crate) fn answer(
        &mut self,
        head: &Head,
        dialect: Dialect,
        id: &str,
        body: &[u8],
    ) -> Answer {
        let Some(place) = place(head.path()) else {
            return not_found(dialect, "path", head.path());
        };
        let collection = place.collection;
        let Some(known) = place.id else {
            return match head.method.as_str() {
                "POST" if head.header(UPLOAD_COMMAND) == Some("start") => self.begin(head, id),
                "POST" => match head.parameter(UPLOAD_ID) {
                    Some(upload) if !self.0.contains_key(upload) => {
                        not_found(dialect, BEGUN, upload)
                    }
                    _ => self.create(collection, dialect, id, body),
                },
                _ => self.list(collection, dialect, head),
            };
        };
        let Some((_, value)) = self.0.get(known) else {
            return not_found(dialect, collection, known);
        };
        let value = value.clone();
        match (head.method.as_str(), place.part) {
            ("DELETE", false) => {
                self.0.remove(known);
                Answer::json(200, json!({"id": known, "deleted": true}).to_string())
            }
            (_, true) => Answer::json(200, json!({"object": "part", "of": value}).to_string()),
            _ => Answer::json(200, value.to_string()),
        }
    }

    fn create(&mut self, collection: &str, dialect: Dialect, id: &str, body: &[u8]) -> Answer {
        let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        if let Some((what, id)) = self.missing(&body) {
            return refused(dialect, what, &id);
        }
        let row = COLLECTIONS.iter().find(|(name, ..)| *name == collection);
        let begin = match (row, dialect) {
            (None, _) | (_, Dialect::Gemini) => "",
            (Some((_, _, begin)), Dialect::Anthropic) | (Some((_, begin, _)), Dialect::OpenAi) => {
                begin
            }
        };
        let id = format!("{begin}{id}");
        let value = match dialect {
            Dialect::Gemini => json!({"name": format!("{collection}/{id}")}),
            _ => json!({"id": id, "object": collection}),
        };
        self.keep(collection, &id, value.clone());
        let value = match (dialect, collection) {
            (Dialect::Gemini, "files") => json!({"file": value}),
            (_, CLIENT_SECRETS) => json!({"value": id, "expires_at": 9_999_999_999_u64}),
            _ => value,
        };
        let mut answer = Answer::json(200, value.to_string());
        if collection == "calls" {
            answer
                .headers
                .add("location", format!("/v1/realtime/calls/{id}"));
        }
        answer
    }

    /// Begins a resumable upload: says where it goes on, which is here.
    fn begin(&mut self, head: &Head, id: &str) -> Answer {
        self.keep(BEGUN, id, Value::Null);
        let mut answer = Answer::json(200, "{}".to_owned());
        let host = head.header("host").unwrap_or_default();
        let address = format!(
            "http://{host}{}?{UPLOAD_ID}={id}&upload_protocol=resumable",
            head.path()
        );
        answer.headers.add("x-goog-upload-url", address);
        answer
    }

    /// A page of a list.
    fn list(&self, collection: &str, dialect: Dialect, head: &Head) -> Answer {
        let parameter =
            |names: [&'static str; 2]| names.into_iter().find_map(|name| head.parameter(name));
        let after = parameter(["after", "after_id"]).or_else(|| head.parameter("pageToken"));
        if let Some(after) = after
            && !self.0.contains_key(after)
        {
            let message = format!("Unknown cursor {after}");
            return error::status(dialect, 400, Some(&message), "");
        }
        let limit = parameter(["limit", "pageSize"]).and_then(|limit| limit.parse().ok());
        let behind = |id: &String| after.is_none_or(|after| id.as_str() > after);
        let mut kept = self
            .0
            .iter()
            .filter(|(id, (of, _))| of == collection && behind(id));
        let page: Vec<(&String, &Value)> = kept
            .by_ref()
            .take(limit.unwrap_or(PAGE))
            .map(|(id, (_, value))| (id, value))
            .collect();
        let has_more = kept.next().is_some();
        let data: Vec<&Value> = page.iter().map(|(_, value)| *value).collect();
        let (first, last) = (page.first(), page.last());
        let list = match dialect {
            // What is empty is left out.
            Dialect::Gemini if data.is_empty() => json!({}),
            Dialect::Gemini if has_more => {
                json!({collection: data, "nextPageToken": last.map(|(id, _)| id)})
            }
            Dialect::Gemini => json!({ collection: data }),
            _ => json!({"object": "list", "data": data, "has_more": has_more,
                "first_id": first.map(|(id, _)| id), "last_id": last.map(|(id, _)| id)}),
        };
        Answer::json(200, list.to_string())
    }
}

fn not_found(dialect: Dialect, what: &str, id: &str) -> Answer {
    let message = format!("No such {what} object: {id}");
    error::status(dialect, 404, Some(&message), "")
}

/// What a call is answered that names what the account does not have.
pub(crate) fn refused(dialect: Dialect, what: &str, id: &str) -> Answer {
    let (code, message) = match what {
        "response" => (
            "previous_response_not_found",
            format!("Previous response with id '{id}' not found."),
        ),
        "sealed" => (
            "invalid_encrypted_content",
            format!("The encrypted content {id:.12}... could not be verified."),
        ),
        "cache" => ("not_found", format!("CachedContent not found: {id}")),
        _ => ("not_found", format!("File with ID {id} not found")),
    };
    match dialect {
        Dialect::OpenAi => {
            let error = json!({"message": message, "type": "invalid_request_error", "param": null, "code": code});
            Answer::json(400, json!({ "error": error }).to_string())
        }
        Dialect::Anthropic => error::status(dialect, 404, Some(&message), ""),
        Dialect::Gemini => error::status(dialect, 403, Some(&message), ""),
    }
}

/// Keeps what the answer to a call gives out: the response, and what it has sealed.
pub(crate) fn keep_answer(objects: &mut Objects, route: Route, id: &str, body: &Value) {
    if route == Route::Chat && body.get("store").and_then(Value::as_bool) == Some(true) {
        let id = format!("chatcmpl-{id}");
        objects.keep(
            "completions",
            &id,
            json!({"id": id, "object": "chat.completion"}),
        );
    }
    if route != Route::Responses {
        return;
    }
    let stores = body.get("store").and_then(Value::as_bool) != Some(false);
    if stores {
        let id = format!("resp_{id}");
        objects.keep("responses", &id, json!({"id": id, "object": "response"}));
    }
    objects.keep("sealed", &sealed(id), Value::Null);
}

/// The credential that was made for a client by a request to this path with this answer.
pub(crate) fn issued(path: &str, id: &str) -> Option<String> {
    path.ends_with(CLIENT_SECRETS)
        .then(|| format!("{ISSUED}{id}"))
}

/// What the answer called `id` seals.
pub(crate) fn sealed(id: &str) -> String {
    format!("gAAAAA{id}{id}{id}==")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_what_it_is_about() {
        let said = |path| place(path).map(|place| (place.collection, place.id, place.part));
        assert_eq!(said("/v1/files"), Some(("files", None, false)));
        assert_eq!(
            said("/v1/messages/batches/b/results"),
            Some(("batches", Some("b"), true))
        );
        assert_eq!(
            said("/v1beta/files/f:download"),
            Some(("files", Some("f"), false))
        );
        assert_eq!(said("/v1/models"), None);
    }

    #[test]
    fn only_what_was_kept_is_there() {
        let mut objects = Objects::default();
        objects.keep("files", "file-1", Value::Null);
        let named = |id| json!({"messages": [{"content": [{"file_id": id}]}]});
        assert_eq!(objects.missing(&named("file-1")), None);
        assert_eq!(
            objects.missing(&named("file-2")),
            Some(("file", "file-2".to_owned()))
        );
    }
}
