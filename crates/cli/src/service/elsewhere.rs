//! What to do on a system whose services we do not manage.

use std::path::Path;

use super::machine::Machine;

/// What to type instead.
pub(super) fn instead(machine: &Machine) -> String {
    let program = std::env::current_exe().unwrap_or_else(|_| "api-key-lb".into());
    let config = machine.home.join(".config/api-key-lb/config.json");
    if cfg!(windows) {
        windows(&program, &config)
    } else {
        cron(&program)
    }
}

/// Windows: a task that starts it at logon.
fn windows(program: &Path, config: &Path) -> String {
    format!(
        "services are not installed on Windows yet; a task starts the proxy at logon. In a prompt of an \
         administrator:\n  schtasks /Create /F /TN api-key-lb /SC ONLOGON /TR \"\\\"{}\\\" start --detach \
         --config \\\"{}\\\"\"\nand to remove it:\n  schtasks /Delete /F /TN api-key-lb",
        program.display(),
        config.display()
    )
}

/// Whatever has cron.
fn cron(program: &Path) -> String {
    format!(
        "services are installed with systemd (Linux) and launchd (macOS) only; elsewhere a line of `crontab -e` \
         starts the proxy at boot:\n  @reboot '{}' start --detach",
        program.display().to_string().replace('\'', r"'\''")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_is_told_the_whole_line_with_quotes_for_spaces() {
        let text = windows(
            Path::new(r"C:\Program Files\api-key-lb.exe"),
            Path::new(r"C:\Users\A B\.config\api-key-lb\config.json"),
        );
        let line = r#"schtasks /Create /F /TN api-key-lb /SC ONLOGON /TR "\"C:\Program Files\api-key-lb.exe\" start --detach --config \"C:\Users\A B\.config\api-key-lb\config.json\"""#;
        assert!(text.contains(line), "{text}");
    }

    #[test]
    fn elsewhere_a_quote_in_the_path_is_no_end_of_it() {
        assert!(cron(Path::new("/it's")).ends_with(r"@reboot '/it'\''s' start --detach"));
    }
}
