//! DashScope (Qwen, Alibaba Cloud Model Studio). From its pages on error codes and limits: these are
//! the root account's, for each model.

use std::time::Duration;

use super::USUAL;
use crate::provider::{Cache, ErrorRule, Mark, Provider};
use crate::verdict::Matter;

/// Its documentation.
const DOCS: &str = "Model Studio error codes";

pub(super) const PROVIDER: Provider = Provider {
    name: "dashscope",
    hosts: &[
        ".dashscope.aliyuncs.com",
        "dashscope.aliyuncs.com",
        "dashscope-intl.aliyuncs.com",
        "dashscope-us.aliyuncs.com",
        ".maas.aliyuncs.com",
    ],
    errors: ERRORS,
    marks: &[
        Mark::Word("arrearage"),
        Mark::Word("throttling.ratequota"),
        Mark::Word("throttling.allocationquota"),
        Mark::Word("throttling.burstrate"),
        Mark::Word("datainspectionfailed"),
    ],
    cache: Cache {
        // Explicit ones five minutes; of others it says nothing.
        ttl: Duration::from_secs(300),
        minimum_tokens: 256,
    },
    ..USUAL
};

/// What its errors mean.
const ERRORS: &[ErrorRule] = &[
    ErrorRule::new("DataInspectionFailed", Matter::Request, DOCS)
        .codes(&["datainspectionfailed", "data_inspection_failed"]),
    ErrorRule::new("Arrearage", Matter::Credit, DOCS).codes(&["arrearage"]),
    ErrorRule::new("InvalidApiKey", Matter::Key, DOCS).codes(&["invalidapikey", "invalid_api_key"]),
    ErrorRule::new("FreeTierOnly", Matter::Entitlement, DOCS).codes(&["*freetieronly"]),
    ErrorRule::new("AccessDenied", Matter::Entitlement, DOCS).codes(&[
        "accessdenied*",
        "model.accessdenied",
        "access_denied",
    ]),
    ErrorRule::new("Throttling", Matter::ModelRate, DOCS).codes(&[
        "throttling*",
        "limit_requests",
        "limit_burst_rate",
        "insufficient_quota",
    ]),
    ErrorRule::new("Throttling", Matter::ModelRate, DOCS)
        .on(&[429])
        .says(&[
            "rate limit exceeded",
            "rate increased too quickly",
            "allocated quota exceeded",
        ]),
];
