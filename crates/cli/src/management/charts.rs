//! How it went: the last hour from memory, days and months from the store, if there is one.

use api_key_lb_control::observed::Span;
use api_key_lb_control::store;
use api_key_lb_core::wire::reply::Reply;
use http::StatusCode;

use super::Sources;
use super::routes::{parameter, told};
use crate::admin::refuse;

/// Answers `GET /_lb/charts`.
pub(super) async fn answer(sources: &Sources, query: Option<&str>) -> Reply {
    let word = parameter(query, "span").unwrap_or(Span::Hour.word());
    let Some(span) = Span::of(word) else {
        return refuse(
            StatusCode::BAD_REQUEST,
            "bad_span",
            "`span` must be 1h, 24h or 30d",
        );
    };
    let now = sources.state.now();
    let mut chart = sources.observed.chart(span, now);
    let stored = match span {
        Span::Hour => None,
        Span::Day => Some(store::Span::Day),
        Span::Month => Some(store::Span::Month),
    };
    if let (Some(path), Some(span)) = (sources.store.clone(), stored) {
        // A disk may take its time; who asks something else meanwhile is answered.
        let read = tokio::task::spawn_blocking(move || store::series(&path, span, now)).await;
        if let Ok(Ok(stored)) = read {
            chart.fill(stored.series);
        }
    }
    told(&chart)
}
