//! Z.ai and Zhipu (GLM). From docs.z.ai `api-code`, gateways and their logs. The coding plan and pay as
//! you go answer on the same hosts with the same codes, only below different paths.

use super::USUAL;
use crate::provider::{ErrorRule, Mark, Over, Probe, Provider, Tells};
use crate::verdict::Matter;

/// Its table of codes.
const DOCS: &str = "docs.z.ai api-code";
/// What a gateway knows of newer codes.
const BUSBAR: &str = "GetBusbar providers.yaml";
/// Logs of operators.
const LOGS: &str = "recorded answers";

pub(super) const PROVIDER: Provider = Provider {
    name: "zai",
    hosts: &["api.z.ai", "open.bigmodel.cn"],
    zone: 8,
    errors: ERRORS,
    marks: &[
        Mark::Phrase("[1302]["),
        Mark::Phrase("[1305]["),
        Mark::Phrase("[1308]["),
        Mark::Phrase("[1310]["),
        Mark::Phrase("[1311]["),
        Mark::Phrase("[1313]["),
        Mark::Phrase("your limit will reset at"),
        Mark::Phrase("insufficient balance or no resource package"),
        Mark::Phrase("您的限额将在"),
    ],
    probe: Some(Probe {
        path: "/api/monitor/usage/quota/limit",
        tells: Tells::ZaiQuota,
    }),
    ..USUAL
};

/// What its errors mean.
const ERRORS: &[ErrorRule] = &[
    ErrorRule::new("1000-1005", Matter::Key, DOCS)
        .codes(&["1000", "1001", "1002", "1003", "1004", "1005"]),
    ErrorRule::new("1110 1111 1112 1121", Matter::Key, DOCS)
        .codes(&["1110", "1111", "1112", "1121"]),
    ErrorRule::new("1113", Matter::Credit, DOCS).codes(&["1113"]),
    ErrorRule::new("1120 1200 1230 1234", Matter::Server, DOCS)
        .codes(&["1120", "1200", "1230", "1234"]),
    ErrorRule::new("1211", Matter::Entitlement, DOCS).codes(&["1211"]),
    ErrorRule::new("1210 1213-1215 1231 1261", Matter::Request, DOCS)
        .codes(&["1210", "1213", "1214", "1215", "1231", "1261"]),
    ErrorRule::new("1212 1220-1222", Matter::Entitlement, DOCS)
        .codes(&["1212", "1220", "1221", "1222"]),
    ErrorRule::new("1300 1301", Matter::Request, DOCS).codes(&["1300", "1301"]),
    ErrorRule::new("1302", Matter::Concurrency, DOCS).codes(&["1302"]),
    ErrorRule::new("1303", Matter::AccountRate, BUSBAR).codes(&["1303"]),
    ErrorRule::new("1304", Matter::AccountQuota, BUSBAR)
        .codes(&["1304"])
        .over(Over::Midnight(8)),
    ErrorRule::new("1305", Matter::Overload, DOCS).codes(&["1305"]),
    ErrorRule::new("1308", Matter::AccountQuota, DOCS).codes(&["1308"]),
    ErrorRule::new("1309", Matter::Credit, DOCS).codes(&["1309"]),
    // Seen for one model while another still answered; a second model shows that it is the account.
    ErrorRule::new("1310", Matter::ModelQuota, DOCS).codes(&["1310"]),
    ErrorRule::new("1311", Matter::Entitlement, DOCS).codes(&["1311"]),
    ErrorRule::new("1313", Matter::FairUse, LOGS).codes(&["1313"]),
    ErrorRule::new("1314", Matter::Credit, BUSBAR).codes(&["1314"]),
    ErrorRule::new("1315", Matter::Key, BUSBAR).codes(&["1315"]),
    ErrorRule::new("1316 1317", Matter::AccountQuota, DOCS).codes(&["1316", "1317"]),
    ErrorRule::new("1318-1321", Matter::AccountQuota, BUSBAR)
        .codes(&["1318", "1319", "1320", "1321"]),
    // The same without their codes.
    ErrorRule::new("fair usage", Matter::FairUse, LOGS)
        .on(&[403, 429])
        .says(&["fair usage policy"]),
    ErrorRule::new("limit with a reset", Matter::AccountQuota, LOGS).says(&[
        "your limit will reset at",
        "使用上限",
        "限额将在",
    ]),
    ErrorRule::new("no balance", Matter::Credit, LOGS)
        .says(&["insufficient balance or no resource package"]),
    ErrorRule::new("434", Matter::Entitlement, DOCS).on(&[434]),
    ErrorRule::new("435", Matter::Request, DOCS).on(&[435]),
];
