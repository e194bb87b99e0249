//! The job of launchd, as text, and what can be read from it again.

use std::fmt::Write as _;
use std::path::Path;

use super::LABEL;
use super::made::{MARK, seal};
use super::wanted::Job;

/// Seconds between being asked to stop and being killed, besides what running answers have.
const STOP_SLACK_SECONDS: u64 = 20;
/// launchd's own has nothing that was installed by hand or by Homebrew: `cmd:` secrets would not find it.
const PATH: &str = "/opt/homebrew/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";
/// How the program of the npm package ends.
const PREDECESSOR: &str = "proxy.mjs";

/// The job.
pub(super) fn job(job: &Job, log: &Path) -> String {
    let mut words = String::new();
    for word in std::iter::once(&job.program).chain(&job.start()) {
        // Writing to a String cannot fail.
        let _ = writeln!(words, "        <string>{}</string>", escaped(word));
    }
    let mut variables = String::new();
    let path = ("PATH".to_owned(), PATH.to_owned());
    for (name, value) in std::iter::once(&path).chain(&job.variables) {
        let _ = writeln!(
            variables,
            "        <key>{}</key>\n        <string>{}</string>",
            escaped(name),
            escaped(value)
        );
    }
    seal(&format!(
        "\
<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">
<!-- {MARK}, which also replaces it. -->
<plist version=\"1.0\">
<dict>
    <key>Label</key>
    <string>{LABEL}</string>
    <key>ProgramArguments</key>
    <array>
{words}    </array>
    <key>EnvironmentVariables</key>
    <dict>
{variables}    </dict>
    <key>RunAtLoad</key>
    <true/>
    <key>KeepAlive</key>
    <dict>
        <key>SuccessfulExit</key>
        <false/>
    </dict>
    <!-- Agents wait for every byte. -->
    <key>ProcessType</key>
    <string>Interactive</string>
    <key>ExitTimeOut</key>
    <integer>{stop}</integer>
    <key>SoftResourceLimits</key>
    <dict>
        <key>NumberOfFiles</key>
        <integer>10240</integer>
        <!-- A core dump would have the keys in it. -->
        <key>Core</key>
        <integer>0</integer>
    </dict>
    <key>Umask</key>
    <integer>63</integer>
    <key>StandardOutPath</key>
    <string>{log}</string>
    <key>StandardErrorPath</key>
    <string>{log}</string>
</dict>
</plist>
",
        stop = job.drain.as_secs().saturating_add(STOP_SLACK_SECONDS),
        log = escaped(&log.display().to_string()),
    ))
}

/// What a job runs, program and arguments; `None` if it says it in another way.
pub(super) fn command(plist: &str) -> Option<Vec<String>> {
    let (_, after) = plist.split_once("<key>ProgramArguments</key>")?;
    let (array, _) = after.split_once("</array>")?;
    let words: Vec<String> = array
        .split("<string>")
        .skip(1)
        .filter_map(|word| Some(unescaped(word.split_once("</string>")?.0)))
        .collect();
    (!words.is_empty()).then_some(words)
}

/// Whether this is the job that the npm package's `setup` wrote.
pub(super) fn is_predecessor(plist: &str) -> bool {
    plist.contains(LABEL)
        && command(plist).is_some_and(|words| {
            words
                .iter()
                .any(|word| Path::new(word).file_name() == Some(PREDECESSOR.as_ref()))
        })
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        // Last, or what it makes would be read again.
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::wanted::tests::{job as some, snapshot};
    use super::*;

    /// As the npm package 1.0.5 wrote it.
    const NPM: &str = include_str!("snapshots/npm-1.0.5.plist");

    #[test]
    fn the_job_is_what_the_snapshot_says() {
        let log = Path::new("/home/me/.config/api-key-lb/proxy.log");
        snapshot("com.api-key-lb.plist", &job(&some(), log));
    }

    #[test]
    fn the_job_of_the_npm_package_is_told_from_ours_and_from_others() {
        assert!(is_predecessor(NPM));
        assert!(!is_predecessor(&job(&some(), Path::new("/l"))));
        assert!(!is_predecessor(&NPM.replace("proxy.mjs", "other.mjs")));
        assert!(!is_predecessor(&NPM.replace(LABEL, "com.other")));
        assert!(!is_predecessor(""));
    }

    proptest! {
        #[test]
        fn any_text_is_read_back_as_it_was(text in r#"[a-z &;<>"'%$é]{0,16}|\PC{0,24}|&[a-z]{2,4};"#) {
            let mut wanted = some();
            wanted.program = text.clone();
            wanted.config = text.clone();
            let words = command(&job(&wanted, Path::new(&text))).unwrap();
            prop_assert_eq!(&words[0], &text);
            prop_assert!(words.contains(&text) && words.len() == 1 + wanted.start().len());
        }
    }
}
