//! `demo`: its flags and examples.

use clap::Args;

const DEMO_EXAMPLES: &str = "\
Examples:
  api-key-lb demo
      Tells the story, then leaves the proxy running for your own requests until Ctrl-C.
  api-key-lb demo --once
      Tells the story and exits: 0 if it came true, 1 if not.";

/// Flags of `demo`.
#[derive(Args, Debug)]
#[command(after_help = DEMO_EXAMPLES)]
pub(crate) struct DemoArgs {
    /// Tell the story and exit, non-zero if it did not come true
    #[arg(long)]
    pub(crate) once: bool,

    /// Port of the proxy [default: 4577, or a free one]
    #[arg(short, long, value_name = "PORT")]
    pub(crate) port: Option<u16>,
}
