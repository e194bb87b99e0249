//! Azure OpenAI and Foundry, whose errors GitHub Models shares. From recorded answers.

use std::time::Duration;

use super::USUAL;
use crate::provider::{Cache, ErrorRule, Mark, Over, Provider, Quirk};
use crate::verdict::Matter;
use crate::wire::credential::CredentialKind;

/// Bodies that were recorded.
const RECORDED: &str = "recorded answers";
/// Not confirmed.
const UNSURE: &str = "general knowledge";

/// Its windows are a minute long, whatever its headers say.
const RENEWAL: Over = Over::After(Duration::from_secs(60));

pub(super) const PROVIDER: Provider = Provider {
    name: "azure",
    hosts: &[
        ".openai.azure.com",
        ".services.ai.azure.com",
        ".cognitiveservices.azure.com",
    ],
    credential: CredentialKind::ApiKey,
    quirks: &[Quirk::ZerosAreNothing],
    errors: ERRORS,
    marks: &[
        Mark::Header("x-ratelimit-renewalperiod-tokens"),
        Mark::Header("x-ratelimit-renewalperiod-requests"),
        Mark::Phrase("aka.ms/oai/quotaincrease"),
    ],
    cache: Cache {
        // As OpenAI.
        ttl: Duration::from_secs(1800),
        minimum_tokens: 1024,
    },
    ..USUAL
};

/// What its errors mean.
pub(super) const ERRORS: &[ErrorRule] = &[
    ErrorRule::new("UserConcurrentRequests", Matter::Concurrency, RECORDED)
        .on(&[429])
        .says(&["userconcurrentrequests"]),
    ErrorRule::new("UserByModelByDay", Matter::ModelQuota, RECORDED)
        .on(&[429])
        .says(&["bymodelbyday", "per 86400s"]),
    ErrorRule::new("RateLimitReached", Matter::ModelRate, RECORDED)
        .on(&[429])
        .codes(&["ratelimitreached"]),
    ErrorRule::new("token rate limit", Matter::ModelRate, RECORDED)
        .on(&[429])
        .says(&["exceeded token rate limit", "exceeded call rate limit"])
        .over(RENEWAL),
    // Provisioned throughput that is in use, not a lack of money.
    ErrorRule::new("provisioned throughput", Matter::ModelRate, UNSURE)
        .on(&[429])
        .codes(&["insufficient_quota", "too_many_requests"]),
    ErrorRule::new("content_filter", Matter::Request, RECORDED)
        .codes(&["content_filter", "responsibleaipolicyviolation"]),
    ErrorRule::new("invalid subscription key", Matter::Key, RECORDED).on(&[401]),
    ErrorRule::new("DeploymentNotFound", Matter::Entitlement, RECORDED)
        .codes(&["deploymentnotfound"]),
    ErrorRule::new("network rules", Matter::Key, UNSURE)
        .on(&[403])
        .says(&[
            "virtual network",
            "firewall",
            "public access",
            "private endpoint",
        ]),
];
