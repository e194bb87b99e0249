//! `api-key-lb why ID`: what became of a request that has ended, as long as the proxy remembers it.

use std::time::Duration;

use anyhow::Context as _;
use api_key_lb_control::observed::Request;
use api_key_lb_control::{Config, Environment};
use api_key_lb_core::fact::RequestId;

use crate::args::WhyArgs;
use crate::exit::Exit;
use crate::instance::{self, Resident};
use crate::management::REQUESTS_PATH;
use crate::printer::Printer;
use crate::why;

use super::status;

/// How long the answer may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Runs the command.
pub(super) fn run(args: &WhyArgs, text: &str, printer: &Printer) -> anyhow::Result<Exit> {
    let Some(id) = find(text) else {
        printer.error(
            "that is no id of a request: it has twelve letters and digits, and stands in the header \
             `x-lb-request-id` of an answer and at the end of a line of the log; to ask about a request \
             to come, use `--request FILE`",
        );
        return Ok(Exit::Failure);
    };
    let env = Environment::of_process();
    let contact = Config::contact_lenient(&args.place.flags(), &env);
    let address = instance::address(&contact.hosts, contact.port);
    let client_token = contact.client_tokens.first();
    let told = match instance::ask_own(address, client_token, &env) {
        Resident::Ours(told) => told,
        other => {
            printer.error(format!(
                "{}; only the proxy that served a request remembers it",
                status::absence(&other, contact.port)
            ));
            return Ok(Exit::Failure);
        }
    };
    let (noted, _) = instance::noted(&env, contact.port, printer);
    let noted = noted.filter(|noted| told.health.instance.as_ref() == Some(&noted.instance));
    let path = format!("{REQUESTS_PATH}/{id}");
    let answer = instance::look(address, client_token, noted.as_ref(), &path, PATIENCE)
        .context("cannot ask the proxy")?;
    if answer.status != 200 {
        let json = answer.json().unwrap_or_default();
        let reason = json["error"]["message"].as_str();
        printer.error(format!(
            "{}; if the log goes to a file, the line with `id {id}` still says the most of it",
            reason.unwrap_or("the proxy does not tell")
        ));
        return Ok(Exit::Failure);
    }
    let request: Request = serde_json::from_slice(&answer.body)
        .context("the running proxy is of another version; restart it")?;
    if args.json {
        printer.answer(serde_json::to_string_pretty(&request)?)?;
    } else {
        printer.answer(why::past(&request))?;
    }
    Ok(Exit::Success)
}

/// The id in what was given: itself, or a line of the log.
fn find(text: &str) -> Option<RequestId> {
    if text.trim_start().starts_with('{') {
        let line: serde_json::Value = serde_json::from_str(text).ok()?;
        return line["id"].as_str()?.parse().ok();
    }
    let last = text.split_whitespace().next_back()?;
    last.trim_start_matches('#').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_found_in_a_line_of_the_log() {
        let id = "0f3kq9x2m7ab".parse().ok();
        for text in [
            "0f3kq9x2m7ab",
            " 0F3KQ9X2M7AB\n",
            "12:00:01 POST /v1/messages 200 key-1 1.24s first byte 0.41s client left id 0f3kq9x2m7ab",
            r#"{"time":"2026-11-23T12:00:01Z","id":"0f3kq9x2m7ab"}"#,
        ] {
            assert_eq!(find(text), id, "{text}");
        }
        for text in ["", "0f3kq9x2m7a", "12:00:01 POST / 200 1.24s", "{}", "{"] {
            assert_eq!(find(text), None, "{text}");
        }
    }
}
