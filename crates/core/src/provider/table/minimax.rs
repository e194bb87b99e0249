//! MiniMax. From its table of codes, which come in a 200, and issue threads of its Anthropic paths.

use super::USUAL;
use crate::provider::{ErrorRule, Mark, Probe, Provider, Scope, Tells};
use crate::verdict::Matter;

/// Its documentation.
const DOCS: &str = "MiniMax errorcode";
/// Its own client.
const CLI: &str = "MiniMax-AI/cli";
/// Bodies that were recorded.
const RECORDED: &str = "recorded answers";

pub(super) const PROVIDER: Provider = Provider {
    name: "minimax",
    hosts: &["api.minimax.io", "api.minimaxi.com", "api.minimax.chat"],
    scope: Scope::Account,
    errors: ERRORS,
    marks: &[Mark::Word("base_resp")],
    probe: Some(Probe {
        path: "/v1/api/openplatform/coding_plan/remains",
        tells: Tells::MiniMaxRemains,
    }),
    ..USUAL
};

/// What its errors mean.
const ERRORS: &[ErrorRule] = &[
    ErrorRule::new("1000 1001 1024", Matter::Server, DOCS).codes(&["1000", "1001", "1024"]),
    ErrorRule::new("1002 1039", Matter::AccountRate, DOCS).codes(&["1002", "1039"]),
    ErrorRule::new("1004 2049", Matter::Key, DOCS).codes(&["1004", "2049"]),
    ErrorRule::new("1008", Matter::Credit, DOCS).codes(&["1008"]),
    ErrorRule::new("1026 1027", Matter::Request, DOCS).codes(&["1026", "1027"]),
    ErrorRule::new("2013", Matter::Request, DOCS).codes(&["2013"]),
    ErrorRule::new("2056", Matter::AccountQuota, RECORDED).codes(&["2056"]),
    ErrorRule::new("2061", Matter::Entitlement, CLI).codes(&["2061"]),
    ErrorRule::new("2064", Matter::Overload, RECORDED).codes(&["2064"]),
];
