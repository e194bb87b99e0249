//! What to ask a provider about a key, and what its answer tells: is it valid, whose is it, what is left.

mod tells;
#[cfg(test)]
mod tests;
mod words;

use http::{HeaderMap, HeaderName, Method, StatusCode};

use super::dialect::Dialect;
use super::judge::{self, judge, judge_by};
use super::limits;
use super::signals::{self, Signals};
use crate::headroom::Bucket;
use crate::moment::Moment;
use crate::provider::{OwnErrorRule, Tells, UNKNOWN};
use crate::target::Target;
use crate::verdict::{Matter, Verdict};

pub use words::quotable;

/// Most bytes of an answer that are read. A list of models may be longer; then its rest is of no
/// interest, while what tells of a quota is far shorter.
pub const MAX_ANSWER: usize = signals::MAX_BODY;
/// The version of Anthropic's API that its own SDKs name; without one it refuses.
const ANTHROPIC_VERSION: (&str, &str) = ("anthropic-version", "2023-06-01");
/// What a request with a token of a subscription must name.
const ANTHROPIC_OAUTH: (&str, &str) = ("anthropic-beta", "oauth-2025-04-20");
/// How such a token begins.
const OAUTH_TOKEN: &str = "sk-ant-oat";
/// Headers that say whose key it was, and what they name.
const OWNERS: [(&str, &str); 4] = [
    ("anthropic-organization-id", "organization"),
    ("anthropic-workspace-id", "workspace"),
    ("openai-organization", "organization"),
    ("openai-project", "project"),
];

/// A request that is sent with a key to learn about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Its method.
    pub method: Method,
    /// Its path from the root of the host.
    pub path: String,
    /// Whose way of sending a credential it takes if the provider is not known.
    pub dialect: Dialect,
    /// Headers besides the credential.
    pub headers: Vec<(HeaderName, &'static str)>,
    /// Its body, JSON; empty for none.
    pub body: String,
    /// What its answer tells besides whether the key is valid.
    pub tells: Tells,
}

/// How a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// It serves.
    Valid,
    /// It is unknown, revoked or not allowed here.
    Refused,
    /// Its account has no money left.
    NoCredit,
    /// A quota of hours or days is used up.
    UsedUp,
    /// It sends too much at the moment.
    Throttled,
    /// The provider has an outage: nothing is known of the key.
    ProviderFails,
    /// The answer proves nothing.
    Unclear,
    /// There was no answer.
    Unreachable,
}

impl Standing {
    /// Its name in the output for programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Refused => "refused",
            Self::NoCredit => "no_credit",
            Self::UsedUp => "used_up",
            Self::Throttled => "throttled",
            Self::ProviderFails => "provider_fails",
            Self::Unclear => "unclear",
            Self::Unreachable => "unreachable",
        }
    }

    /// Whether the key serves, now or when its limit is over.
    pub const fn is_usable(self) -> bool {
        matches!(self, Self::Valid | Self::UsedUp | Self::Throttled)
    }

    const fn of(matter: Matter) -> Self {
        match matter {
            Matter::Served => Self::Valid,
            Matter::Key | Matter::Suspicion => Self::Refused,
            Matter::Credit => Self::NoCredit,
            Matter::AccountQuota | Matter::ModelQuota => Self::UsedUp,
            Matter::AccountRate | Matter::ModelRate | Matter::Concurrency | Matter::FairUse => {
                Self::Throttled
            }
            Matter::Overload | Matter::Server => Self::ProviderFails,
            Matter::Request | Matter::State | Matter::Entitlement => Self::Unclear,
            Matter::Network => Self::Unreachable,
        }
    }
}

/// Something that a key belongs to, as the provider names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner {
    /// What it is: `organization`, `workspace`, `project`, `user`, or `account` if that is not known.
    pub kind: &'static str,
    /// Its name.
    pub id: String,
}

/// Something that is left.
#[derive(Clone, Debug, PartialEq)]
pub enum Left {
    /// A limit that the headers state.
    Bucket(Bucket),
    /// A window of a subscription.
    Window(Window),
    /// Money.
    Money(Money),
}

/// A window of a subscription.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// How long it is or what it counts: `5 h`, `1 week`.
    pub name: String,
    /// How much of it is left, in percent.
    pub percent_left: f64,
    /// When it begins anew.
    pub reset: Option<Moment>,
    /// Whether nothing is served once nothing is left of it.
    pub decisive: bool,
}

/// An amount of money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Money {
    /// `balance` of an account, or `credit` of a key.
    pub name: &'static str,
    /// As the provider wrote it.
    pub amount: String,
    /// Its currency, if that is known.
    pub currency: Option<String>,
    /// How much there was, if that was said.
    pub of: Option<String>,
    /// How often it is filled up: `monthly`.
    pub renewed: Option<String>,
}

/// What an answer tells of the key that it was asked with.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// How it stands.
    pub standing: Standing,
    /// When that is over, if it is a limit and that was said.
    pub until: Option<Moment>,
    /// Why, in the provider's words or, where it has none, in ours. Not fit to be shown: see
    /// [`quotable`].
    pub reason: Option<String>,
    /// Whose it is.
    pub owners: Vec<Owner>,
    /// The name of its subscription.
    pub plan: Option<String>,
    /// What is left.
    pub left: Vec<Left>,
}

impl Told {
    /// Nothing but how it stands.
    pub const fn bare(standing: Standing, reason: Option<String>) -> Self {
        Self {
            standing,
            until: None,
            reason,
            owners: Vec::new(),
            plan: None,
            left: Vec::new(),
        }
    }
}

/// The free questions for a key, the best one first; the others are for when [`is_worth`] says so.
pub fn free(target: &Target, secret: &str) -> Vec<Question> {
    let provider = target.provider();
    let dialect = dialect_of(target);
    let ask = |path: String, dialect, tells| Question {
        method: Method::GET,
        path,
        headers: companions(dialect, secret),
        dialect,
        body: String::new(),
        tells,
    };
    let mut questions: Vec<Question> = Vec::new();
    if let Some(probe) = provider.probe {
        questions.push(ask(probe.path.to_owned(), dialect, probe.tells));
    }
    let base = target.base();
    let mut lists = vec![format!("{}/models", versioned(base))];
    if lists[0].len() > base.len() + "/models".len() {
        lists.push(format!("{base}/models"));
    }
    for path in lists {
        if questions.iter().all(|question| question.path != path) {
            questions.push(ask(path, dialect, Tells::Validity));
        }
    }
    if *provider == UNKNOWN && dialect == Dialect::OpenAi {
        let path = format!("{}/models", versioned(base));
        questions.push(ask(path, Dialect::Anthropic, Tells::Validity));
    }
    questions
}

/// The shortest generation with a model. It costs.
pub fn paid(target: &Target, secret: &str, model: &str) -> Question {
    let dialect = dialect_of(target);
    let base = target.base();
    let greeting = serde_json::json!([{"role": "user", "content": "Hi"}]);
    let (path, body) = match dialect {
        Dialect::Anthropic => (
            format!("{}/messages", versioned(base)),
            serde_json::json!({"model": model, "max_tokens": 1, "messages": greeting}),
        ),
        Dialect::Gemini => {
            let base = if base.is_empty() { "/v1beta" } else { base };
            let model = model.trim_start_matches("models/");
            (
                format!("{base}/models/{model}:generateContent"),
                serde_json::json!({
                    "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
                    "generationConfig": {"maxOutputTokens": 1},
                }),
            )
        }
        Dialect::OpenAi | Dialect::Responses => {
            // Its newer models refuse the older name.
            let most = if ["openai", "azure"].contains(&target.provider().name) {
                "max_completion_tokens"
            } else {
                "max_tokens"
            };
            (
                format!("{}/chat/completions", versioned(base)),
                serde_json::json!({"model": model, most: 1, "messages": greeting}),
            )
        }
    };
    Question {
        method: Method::POST,
        path,
        headers: companions(dialect, secret),
        dialect,
        body: body.to_string(),
        tells: Tells::Validity,
    }
}

/// Whether `next` is worth asking after `asked` was answered so: that answer proves nothing, or the
/// key was refused for what may be another reason. A page about a subscription refuses (or fails
/// for) keys that have none, and a host that nobody knows may want its keys shown differently.
pub fn is_worth(next: &Question, asked: &Question, told: &Told, target: &Target) -> bool {
    let list_is_left = asked.tells != Tells::Validity && next.tells == Tells::Validity;
    match told.standing {
        Standing::Unclear => true,
        Standing::Refused => {
            list_is_left || (*target.provider() == UNKNOWN && next.dialect != asked.dialect)
        }
        Standing::ProviderFails => list_is_left,
        _ => false,
    }
}

/// What an answer tells. `body` is its beginning, decoded, at most [`MAX_ANSWER`]; `own` are the
/// person's own rules about errors.
pub fn read(
    own: &[OwnErrorRule],
    question: &Question,
    target: &Target,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    now: Moment,
) -> Told {
    let provider = target.provider();
    let signals = Signals::of_body(body);
    let mut owners = owners(headers);
    for id in &signals.accounts {
        if owners.iter().all(|owner| owner.id != *id) {
            owners.push(Owner {
                kind: "account",
                id: id.clone(),
            });
        }
    }
    let buckets = limits::read(headers, provider, now);
    let mut told = Told {
        owners,
        left: buckets.into_iter().map(Left::Bucket).collect(),
        ..Told::bare(Standing::Unclear, None)
    };
    if status.is_redirection() {
        told.reason = Some(format!(
            "it answers with a redirect (status {}), which is not followed; correct `target`",
            status.as_u16()
        ));
        return told;
    }
    let is_error = !status.is_success() || signals.is_error_envelope();
    if is_error {
        let mut verdict = judge_by(own, provider, status, headers, &signals, now);
        let status = match (status.is_success(), signals.status) {
            (true, Some(named)) => StatusCode::from_u16(named).unwrap_or(status),
            (true, None) => StatusCode::BAD_REQUEST,
            (false, _) => status,
        };
        if !judge::is_understood(&verdict) {
            // To a request that costs nothing, that need not mean that the provider has an outage.
            verdict = judge(provider, status, headers, &signals, now);
        }
        refused(&mut told, verdict, status, &signals);
        return told;
    }
    if !matches!(body.trim_ascii_start().first(), Some(b'{' | b'[')) {
        told.reason = Some("its answer is no JSON; correct `target`".to_owned());
        return told;
    }
    told.standing = Standing::Valid;
    tells::read(question.tells, target, body, now, &mut told);
    told
}

fn refused(told: &mut Told, verdict: Verdict, status: StatusCode, signals: &Signals) {
    told.standing = match Standing::of(verdict.matter) {
        // Judged to be served although its body is an error: then nobody knows what it is.
        Standing::Valid => Standing::Unclear,
        standing => standing,
    };
    if matches!(told.standing, Standing::UsedUp | Standing::Throttled) {
        told.until = verdict.until;
    }
    let message = signals.message.trim();
    told.reason = Some(match (message.is_empty(), status.as_u16()) {
        (false, _) => message.to_owned(),
        (true, code @ (404 | 405)) => {
            format!("it has no list of models (status {code}); is the path in `target` right?")
        }
        (true, code) => format!("status {code} without a reason"),
    });
}

/// Whose key it was, as the headers say.
fn owners(headers: &HeaderMap) -> Vec<Owner> {
    OWNERS
        .iter()
        .filter_map(|(name, kind)| {
            let id = headers.get(*name)?.to_str().ok()?.trim();
            (!id.is_empty()).then(|| Owner {
                kind,
                id: id.to_owned(),
            })
        })
        .collect()
}

/// How the target is spoken to: as its provider is, else as its base path says.
fn dialect_of(target: &Target) -> Dialect {
    let base = target.base();
    let native = !base.ends_with("/openai");
    match target.provider().name {
        "anthropic" => Dialect::Anthropic,
        "gemini" if native => Dialect::Gemini,
        _ if base.split('/').any(|part| part == "anthropic") => Dialect::Anthropic,
        _ => Dialect::OpenAi,
    }
}

/// The base path, with `/v1` unless it ends with a version already.
fn versioned(base: &str) -> String {
    let last = base.rsplit('/').next().unwrap_or_default();
    let is_version = last
        .strip_prefix('v')
        .is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()));
    if is_version || last == "openai" {
        base.to_owned()
    } else {
        format!("{base}/v1")
    }
}

/// What goes with the credential.
fn companions(dialect: Dialect, secret: &str) -> Vec<(HeaderName, &'static str)> {
    let mut headers = Vec::new();
    let mut add = |(name, value): (&'static str, &'static str)| {
        headers.push((HeaderName::from_static(name), value));
    };
    if dialect == Dialect::Anthropic {
        add(ANTHROPIC_VERSION);
        if secret.starts_with(OAUTH_TOKEN) {
            add(ANTHROPIC_OAUTH);
        }
    }
    headers
}
