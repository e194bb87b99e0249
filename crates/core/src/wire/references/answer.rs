//! Ids of objects that an answer gives out, found in the pass that is made of it anyway.

use http::{HeaderMap, Method};

use super::table::{At, ISSUED, ITEMS, Ids, TABLE};
use super::{MAX_ID, target};
use crate::object::{Keeping, Reference};
use crate::wire::dialect::{Dialect, Endpoint};
use crate::wire::json::{Container, unescape};

/// Most objects that are noted of one answer: the longest pages of lists that are usual.
const MOST: usize = 1000;
/// Deepest container in which ids stand: `response.output[0]`, in an event.
const TRACKED: usize = 5;
/// How the ids of objects begin that answers of the responses API give out, besides items …
const OF_RESPONSES: &[&str] = &["resp_", "conv_", "cntr_", "file-", "file_", "cfile_", "ft:"];
/// … and those of the messages API, whose other ids are nobody's.
const OF_MESSAGES: &[&str] = &["container_", "file_"];
/// How those of chat completions begin.
const OF_CHATS: &[&str] = &["chatcmpl-"];
/// How the ids begin that a provider keeps for some weeks only.
const FOR_WEEKS: &[&str] = &["resp_", "chatcmpl-", "gen-"];
/// Members that name objects which were made along with the one that the answer is about: what a batch
/// has written, the thread of a run that began with it, the container of a code interpreter.
const MADE_ALONG: &[&[u8]] = &[
    b"output_file_id",
    b"error_file_id",
    b"thread_id",
    b"container_id",
];
/// Google's names are told from other names by this.
const SLASH: u8 = b'/';

/// What an answer may give out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gives {
    /// Nothing: it is a text, and its id is forgotten.
    Nothing,
    /// Containers and files.
    Containers,
    /// A chat completion that the provider was told to store.
    Chat,
    /// Responses, their items, and whatever else is known by how its id begins.
    Known,
    /// Objects of any name.
    Anything,
}

impl Gives {
    /// The answer to a request like this; `stores` says whether the provider was told to keep it.
    pub fn of(method: &Method, path: &str, endpoint: Endpoint, stores: bool) -> Self {
        let is_async = path.contains("/async/");
        if endpoint.generates && !is_async {
            return match endpoint.dialect {
                Dialect::Responses => Self::Known,
                Dialect::Anthropic => Self::Containers,
                Dialect::OpenAi if stores => Self::Chat,
                Dialect::OpenAi | Dialect::Gemini => Self::Nothing,
            };
        }
        if *method == Method::HEAD || *method == Method::DELETE || !endpoint.converses {
            Self::Nothing
        } else if target::is_about_objects(path) {
            Self::Anything
        } else {
            Self::Known
        }
    }
}

/// What the head of an answer gives out.
pub fn in_head(headers: &HeaderMap) -> Vec<Reference> {
    let mut given = Vec::new();
    for row in TABLE {
        let At::Header(name) = row.at else { continue };
        let Some(value) = headers.get(name).and_then(|value| value.to_str().ok()) else {
            continue;
        };
        let (path, query) = value.split_once('?').unwrap_or((value, ""));
        match row.ids {
            // An address.
            Ids::Digit => given.extend(target::in_path(path)),
            Ids::Any if !query.is_empty() => given.extend(target::in_query(path, query)),
            Ids::Any if value.len() <= MAX_ID => {
                given.push(Reference::new(value.as_bytes(), row.keeping));
            }
            _ => {}
        }
    }
    given
}

/// What a container is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// The answer, or an event.
    Top,
    /// `response`, `message`, `delta`: the answer inside an event.
    Wrapper,
    /// An object of the answer that has an id: `conversation`, `container`, `item`, `file`.
    Object,
    /// `data`, `output`, `files`: a list of objects.
    List,
    /// `client_secret`.
    Secret,
    #[default]
    Other,
}

/// What the last key names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Named {
    #[default]
    Other,
    Into(Place),
    Id,
    /// Google's name.
    Name,
    Task,
    Model,
    Sealed,
    /// A credential issued for one client.
    Issued,
}

/// Notes the objects that one answer gives out.
#[derive(Debug)]
pub(crate) struct GivenReader {
    gives: Gives,
    places: [Place; TRACKED],
    depth: usize,
    named: Named,
    raw: Vec<u8>,
    given: Vec<Reference>,
    /// How many there were in all.
    count: usize,
}

impl GivenReader {
    pub(crate) fn new(gives: Gives) -> Self {
        Self {
            gives,
            places: [Place::Other; TRACKED],
            depth: 0,
            named: Named::Other,
            raw: Vec::new(),
            given: Vec::new(),
            count: 0,
        }
    }

    /// What has been given out since it was last asked.
    pub(crate) const fn given(&mut self) -> &mut Vec<Reference> {
        &mut self.given
    }

    pub(crate) const fn document_ended(&mut self) {
        self.depth = 0;
        self.named = Named::Other;
    }

    fn here(&self) -> Place {
        let at = self.depth.checked_sub(1);
        at.and_then(|at| self.places.get(at))
            .copied()
            .unwrap_or_default()
    }

    pub(crate) fn open(&mut self, container: Container) {
        let place = match (self.depth, self.here(), self.named, container) {
            (0, _, _, Container::Object) => Place::Top,
            // Some lists are nothing but the list.
            (0, _, _, Container::Array) => Place::List,
            (_, Place::List, _, Container::Object) => Place::Object,
            (_, _, Named::Into(Place::List), Container::Array) => Place::List,
            // DashScope's output is one object.
            (_, _, Named::Into(Place::List), Container::Object) => Place::Object,
            (_, _, Named::Into(place), Container::Object) => place,
            _ => Place::Other,
        };
        if let Some(slot) = self.places.get_mut(self.depth) {
            *slot = place;
        }
        self.depth += 1;
        self.named = Named::Other;
    }

    pub(crate) const fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.named = Named::Other;
    }

    pub(crate) fn key(&mut self, key: &[u8]) {
        self.named = match self.here() {
            Place::Other | Place::List => Named::Other,
            Place::Top => match key {
                b"response" | b"message" | b"delta" => Named::Into(Place::Wrapper),
                b"item" | b"file" | b"interaction" => Named::Into(Place::Object),
                b"client_secret" => Named::Into(Place::Secret),
                b"value" => Named::Issued,
                b"data" | b"files" | b"cachedContents" | b"tunedModels" | b"batches"
                | b"operations" | b"fileSearchStores" => Named::Into(Place::List),
                b"task_id" => Named::Task,
                _ => Self::of_answer(key),
            },
            Place::Wrapper => Self::of_answer(key),
            Place::Secret if key == b"value" => Named::Issued,
            Place::Secret => Named::Other,
            Place::Object => match key {
                _ if MADE_ALONG.contains(&key) => Named::Id,
                b"id" => Named::Id,
                b"name" => Named::Name,
                b"task_id" => Named::Task,
                b"fine_tuned_model" => Named::Model,
                b"encrypted_content" => Named::Sealed,
                _ => Named::Other,
            },
        };
    }

    fn of_answer(key: &[u8]) -> Named {
        match key {
            _ if MADE_ALONG.contains(&key) => Named::Id,
            b"id" => Named::Id,
            b"name" => Named::Name,
            b"fine_tuned_model" => Named::Model,
            b"conversation" | b"container" => Named::Into(Place::Object),
            b"output" => Named::Into(Place::List),
            _ => Named::Other,
        }
    }

    /// Whether the string that begins is wanted.
    pub(crate) fn text_begins(&mut self) -> bool {
        self.raw.clear();
        !matches!(self.named, Named::Other | Named::Into(_)) && self.count < MOST
    }

    pub(crate) fn text(&mut self, piece: &[u8], ends: bool) {
        let room = MAX_ID + 1 - self.raw.len();
        self.raw.extend_from_slice(&piece[..piece.len().min(room)]);
        if !ends {
            return;
        }
        let raw = std::mem::take(&mut self.raw);
        if let Some(reference) = self.read(&raw)
            && !self.given.contains(&reference)
        {
            self.given.push(reference);
            self.count += 1;
        }
        self.raw = raw;
    }

    fn read(&self, raw: &[u8]) -> Option<Reference> {
        if raw.is_empty() {
            return None;
        }
        if self.named == Named::Sealed && self.gives == Gives::Containers {
            return None;
        }
        if self.named == Named::Sealed {
            let begin = &raw[..raw.len().min(MAX_ID)];
            return Some(Reference::new(begin, Keeping::Sealed));
        }
        let id = unescape(raw).filter(|id| id.len() <= MAX_ID)?;
        let anything = self.gives == Gives::Anything;
        let begins = |with: &[&str]| with.iter().any(|begin| id.starts_with(begin.as_bytes()));
        match self.named {
            Named::Id => {
                let keeping = if begins(FOR_WEEKS) || begins(ITEMS) {
                    Keeping::Answer
                } else {
                    Keeping::Stored
                };
                let is_object = match self.gives {
                    Gives::Nothing => false,
                    Gives::Containers => begins(OF_MESSAGES),
                    Gives::Chat => begins(OF_CHATS),
                    Gives::Known => begins(OF_RESPONSES) || begins(ITEMS),
                    Gives::Anything => true,
                };
                is_object.then(|| Reference::new(&id, keeping))
            }
            Named::Name => {
                let mut parts = id.rsplit(|byte| *byte == SLASH);
                let last = parts.next().filter(|last| !last.is_empty())?;
                let collection = parts.next().filter(|name| *name != b"models");
                let is_name = anything && collection.is_some();
                is_name.then(|| Reference::new(last, Keeping::Stored))
            }
            Named::Task => Some(Reference::new(
                Ids::Digit.read(&id, false)?,
                Keeping::Stored,
            )),
            Named::Issued => begins(ISSUED).then(|| Reference::new(&id, Keeping::Answer)),
            Named::Model => begins(&["ft:"]).then(|| Reference::new(&id, Keeping::Stored)),
            Named::Other | Named::Into(_) | Named::Sealed => None,
        }
    }
}

#[cfg(test)]
mod tests;
