//! Metrics as text: OpenMetrics 1.0, and what Prometheus read before it (0.0.4).

use std::borrow::Cow;
use std::fmt::{self, Write};

use super::observe::float;
use super::series::{Distribution, Family, Number};
use super::table::{Kind, Metric};

/// Its media type.
const OPEN_METRICS: &str = "application/openmetrics-text";
/// That of the other one.
const PLAIN: &str = "text/plain";

/// How metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus text 0.0.4, which everything reads.
    Plain,
}

impl Format {
    /// What whoever sends this `Accept` likes best; the older one unless the newer one is asked for.
    pub fn accepted(accept: Option<&str>) -> Self {
        let Some(accept) = accept else {
            return Self::Plain;
        };
        let liking = |wanted: &str| {
            accept
                .split(',')
                .filter_map(|range| liked(range, wanted))
                .fold(0.0, f32::max)
        };
        let open = liking(OPEN_METRICS);
        if open > 0.0 && open >= liking(PLAIN) {
            Self::OpenMetrics
        } else {
            Self::Plain
        }
    }

    /// For `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// How much one part of an `Accept` likes `wanted`; `None` if it is about something else.
fn liked(range: &str, wanted: &str) -> Option<f32> {
    let mut parts = range.split(';').map(str::trim);
    parts
        .next()
        .filter(|kind| kind.eq_ignore_ascii_case(wanted))?;
    let quality = parts.find_map(|part| part.strip_prefix("q="));
    quality.map_or(Some(1.0), |quality| quality.trim().parse().ok())
}

/// The whole page.
pub(super) fn render(families: &[Family], format: Format) -> String {
    let mut page = Page {
        // About what a pool of some keys and models takes.
        text: String::with_capacity(16 << 10),
        format,
    };
    for family in families {
        // Writing to a String cannot fail.
        let _ = page.family(family);
    }
    if format == Format::OpenMetrics {
        page.text.push_str("# EOF\n");
    }
    page.text
}

struct Page {
    text: String,
    format: Format,
}

impl Page {
    fn family(&mut self, family: &Family) -> fmt::Result {
        let metric = family.metric;
        let name = self.name(metric);
        writeln!(self.text, "# HELP {name} {}", metric.help)?;
        writeln!(self.text, "# TYPE {name} {}", metric.kind.as_str())?;
        if self.format == Format::OpenMetrics && !metric.unit().is_empty() {
            writeln!(self.text, "# UNIT {name} {}", metric.unit())?;
        }
        for (labels, number) in &family.points {
            match number {
                Number::One(value) => {
                    self.sample(metric, "", labels, None, *value)?;
                }
                Number::Many(distribution) => {
                    self.distribution(metric, labels, distribution)?;
                }
            }
        }
        Ok(())
    }

    /// OpenMetrics describes a counter without its suffix.
    fn name(&self, metric: &Metric) -> &'static str {
        match (self.format, metric.kind) {
            (Format::OpenMetrics, Kind::Counter) => {
                metric.name.strip_suffix("_total").unwrap_or(metric.name)
            }
            _ => metric.name,
        }
    }

    fn distribution(
        &mut self,
        metric: &Metric,
        labels: &[Cow<'static, str>],
        distribution: &Distribution,
    ) -> fmt::Result {
        let Kind::Histogram(ends) = metric.kind else {
            return Ok(());
        };
        let mut so_far = 0;
        for (at, count) in distribution.counts.iter().enumerate() {
            so_far += count;
            let end = ends.get(at).copied().unwrap_or(f64::INFINITY);
            self.sample(metric, "_bucket", labels, Some(end), float(so_far))?;
        }
        self.sample(metric, "_sum", labels, None, distribution.sum)?;
        self.sample(metric, "_count", labels, None, float(so_far))
    }

    fn sample(
        &mut self,
        metric: &Metric,
        suffix: &str,
        labels: &[Cow<'static, str>],
        end: Option<f64>,
        value: f64,
    ) -> fmt::Result {
        self.text.push_str(metric.name);
        self.text.push_str(suffix);
        let mut before = '{';
        for (name, label) in metric.labels.iter().zip(labels) {
            write!(self.text, "{before}{name}=\"")?;
            escape(&mut self.text, label);
            self.text.push('"');
            before = ',';
        }
        if let Some(end) = end {
            // With a point, as OpenMetrics wants it: one series must not become two by the format.
            match end {
                f64::INFINITY => write!(self.text, "{before}le=\"+Inf\"")?,
                end if end.fract() == 0.0 => write!(self.text, "{before}le=\"{end:.1}\"")?,
                end => write!(self.text, "{before}le=\"{end}\"")?,
            }
            before = ',';
        }
        if before == ',' {
            self.text.push('}');
        }
        writeln!(self.text, " {value}")
    }
}

/// A value of a label, as it stands between quotation marks.
fn escape(text: &mut String, label: &str) {
    for letter in label.chars() {
        match letter {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            _ => text.push(letter),
        }
    }
}
