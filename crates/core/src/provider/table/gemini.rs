//! Gemini. From google-gemini/gemini-cli `googleQuotaErrors.ts`, Google's SDK, and recorded answers.

use std::time::Duration;

use super::USUAL;
use crate::provider::{Cache, ErrorRule, Mark, Over, Probe, Provider, Tells, When};
use crate::verdict::Matter;
use crate::wire::credential::CredentialKind;

/// What its own client makes of its errors.
const CLI: &str = "gemini-cli googleQuotaErrors.ts";
/// Bodies that were recorded.
const RECORDED: &str = "recorded answers";
/// Not confirmed.
const UNSURE: &str = "general knowledge";

pub(super) const PROVIDER: Provider = Provider {
    name: "gemini",
    hosts: &["generativelanguage.googleapis.com"],
    credential: CredentialKind::XGoogApiKey,
    errors: ERRORS,
    marks: &[
        Mark::Word("quotafailure"),
        Mark::Phrase("generativelanguage.googleapis.com/"),
    ],
    cache: Cache {
        // Three to five minutes. More tokens with larger models.
        ttl: Duration::from_secs(300),
        minimum_tokens: 1024,
    },
    probe: Some(Probe {
        path: "/v1beta/models",
        tells: Tells::Validity,
    }),
    ..USUAL
};

/// What its errors mean.
const ERRORS: &[ErrorRule] = &[
    ErrorRule::new("API_KEY_INVALID", Matter::Key, RECORDED).codes(&["api_key_invalid"]),
    ErrorRule::new("API_KEY_INVALID", Matter::Key, RECORDED)
        .on(&[400])
        .says(&["api key not valid", "api key expired", "api key not found"]),
    ErrorRule::new("location", Matter::Request, UNSURE)
        .on(&[400])
        .says(&["location is not supported"]),
    ErrorRule::new("billing", Matter::Credit, UNSURE)
        .on(&[400])
        .codes(&["failed_precondition"])
        .says(&["billing"]),
    ErrorRule::new(
        "storage of cached contents",
        Matter::Request,
        "issue threads",
    )
    .on(&[429])
    .says(&["totalcachedcontentstoragetokens"]),
    ErrorRule::new("prepaid credit", Matter::Credit, RECORDED)
        .on(&[429])
        .says(&[
            "prepayment credits are depleted",
            "exceeded its monthly spending cap",
        ]),
    ErrorRule::new("limit: 0", Matter::Entitlement, CLI)
        .on(&[429])
        .when(&[When::LimitIsZero]),
    // Before anything that the text says of plans and billing: it says that of every limit.
    ErrorRule::new("PerDay", Matter::ModelQuota, CLI)
        .codes(&["*perday*", "*daily*"])
        .over(Over::PacificMidnight),
    ErrorRule::new("PerMinute", Matter::ModelRate, CLI).codes(&["*perminute*"]),
    ErrorRule::new("INSUFFICIENT_G1_CREDITS_BALANCE", Matter::Credit, CLI)
        .codes(&["insufficient_g1_credits_balance"]),
    ErrorRule::new("VALIDATION_REQUIRED", Matter::Key, CLI).codes(&["validation_required"]),
    ErrorRule::new("QUOTA_EXHAUSTED", Matter::AccountQuota, CLI).codes(&["quota_exhausted"]),
    ErrorRule::new("MODEL_CAPACITY_EXHAUSTED", Matter::Overload, CLI).codes(&["model_capacity_*"]),
    ErrorRule::new("RATE_LIMIT_EXCEEDED", Matter::ModelRate, CLI).codes(&["rate_limit_exceeded"]),
    ErrorRule::new("shared capacity", Matter::Overload, RECORDED)
        .on(&[429])
        .says(&["resource has been exhausted (e.g. check quota)"]),
    ErrorRule::new("RESOURCE_EXHAUSTED", Matter::ModelRate, CLI).on(&[429]),
    ErrorRule::new("file or cache", Matter::State, UNSURE)
        .on(&[403, 404])
        .says(&["cachedcontent", "cached content", "file ", "files/"]),
    ErrorRule::new("PERMISSION_DENIED", Matter::Key, UNSURE)
        .on(&[403])
        .codes(&[
            "permission_denied",
            "service_disabled",
            "consumer_suspended",
        ]),
    ErrorRule::new("model", Matter::Entitlement, RECORDED)
        .on(&[404])
        .says(&["model"]),
    ErrorRule::new("INVALID_ARGUMENT", Matter::Request, RECORDED).on(&[400]),
    ErrorRule::new("UNAVAILABLE", Matter::Overload, RECORDED).on(&[503]),
    ErrorRule::new("cancelled", Matter::Server, "google-genai").on(&[499]),
];
