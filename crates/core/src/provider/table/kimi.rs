//! Kimi Code, the membership. From issue threads of agents and gateways: it says with 403 and 401 what
//! others say with 429 and 403.

use super::USUAL;
use crate::provider::{ErrorRule, Mark, Probe, Provider, Scope, Tells};
use crate::verdict::Matter;

/// Texts that were reported.
const THREADS: &str = "openclaw#142656";
/// A gateway that took concurrency for a ban.
const SUB2API: &str = "sub2api#6203";
/// What gateways tell apart.
const GATEWAYS: &str = "gateways";

pub(super) const PROVIDER: Provider = Provider {
    name: "kimi",
    hosts: &["api.kimi.com", "api.kimi.ai"],
    scope: Scope::Account,
    errors: ERRORS,
    marks: &[Mark::Word("access_terminated_error")],
    probe: Some(Probe {
        path: "/coding/v1/usages",
        tells: Tells::KimiUsages,
    }),
    ..USUAL
};

/// What its errors mean.
const ERRORS: &[ErrorRule] = &[
    ErrorRule::new("concurrent requests", Matter::Concurrency, SUB2API)
        .says(&["concurrent request limit"]),
    ErrorRule::new("usage limit", Matter::AccountQuota, THREADS)
        .on(&[403, 429])
        .says(&["usage limit", "quota", "billing cycle"]),
    ErrorRule::new("agents only", Matter::Entitlement, GATEWAYS)
        .on(&[403])
        .codes(&["access_terminated_error"]),
    ErrorRule::new("model", Matter::Entitlement, GATEWAYS)
        .on(&[401])
        .says(&[
            "does not have access",
            "supports only",
            "model id does not exist",
        ]),
    // It cannot tell at the moment what the membership includes.
    ErrorRule::new("benefits not verified", Matter::AccountRate, GATEWAYS).on(&[402]),
    ErrorRule::new("engine_overloaded_error", Matter::Overload, THREADS)
        .codes(&["engine_overloaded_error"]),
    ErrorRule::new("busy", Matter::Overload, GATEWAYS)
        .on(&[429])
        .says(&["too many requests at the moment"]),
    ErrorRule::new("permission_denied_error", Matter::Entitlement, GATEWAYS)
        .on(&[403])
        .codes(&["permission_denied_error"]),
    ErrorRule::new("resource_not_found_error", Matter::Entitlement, GATEWAYS)
        .on(&[404])
        .codes(&["resource_not_found_error"]),
];
