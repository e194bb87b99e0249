//! Keys in the system's own keychain: the Secret Service on Linux, the login keychain on macOS.

use std::io;
use std::process::Command;

use api_key_lb_core::Secret;

use crate::config::Environment;
use crate::config::program::{self, ProgramError};

/// What our entries belong to.
const SERVICE: &str = "api-key-lb";
/// The longest name of an entry.
const MOST_NAME: usize = 64;
/// How `security` ends if there is no such entry (`errSecItemNotFound`, its last byte).
const MACOS_NOT_THERE: i32 = 44;

/// A keychain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keychain {
    /// What answers for `org.freedesktop.secrets`: GNOME Keyring, `KWallet`, `KeePassXC`; asked by `secret-tool`.
    SecretService,
    /// The login keychain of macOS; asked by `security`.
    Macos,
    /// None that we know.
    Unsupported,
}

/// Why a keychain did not do what was asked. Never holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum KeychainError {
    /// The name cannot be one.
    #[error(
        "a name in the keychain is 1 to {MOST_NAME} of A-Z a-z 0-9 . _ @ -; write one such as `keychain:openai-work`"
    )]
    Name,
    /// There is no way to ask it.
    #[error(
        "the keychain of this system is not supported yet; use `cmd:COMMAND`, `file:PATH` or `env:NAME`"
    )]
    Unsupported,
    /// The program that asks it is missing.
    #[error("`{program}` is not installed, which asks the keychain; {advice}")]
    NoProgram {
        /// Which.
        program: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// It has nothing under that name.
    #[error(
        "the keychain has nothing called `{0}` for {SERVICE}; put it there with `api-key-lb keys add --keychain {0}`"
    )]
    NotThere(String),
    /// It refused.
    #[error("`{program}`, which asks the keychain, {error}")]
    Failed {
        /// Which program.
        program: &'static str,
        /// What it said.
        error: String,
    },
    /// It said that it did.
    #[error("the keychain did not keep what was stored; is it locked?")]
    NotKept,
}

impl Keychain {
    /// That of this system.
    pub const fn of_system() -> Self {
        if cfg!(target_os = "macos") {
            Self::Macos
        } else if cfg!(windows) {
            Self::Unsupported
        } else {
            Self::SecretService
        }
    }

    const fn program(self) -> &'static str {
        match self {
            Self::Macos => "security",
            Self::SecretService | Self::Unsupported => "secret-tool",
        }
    }

    /// What is kept under `name`.
    ///
    /// # Errors
    /// If nothing is, or it cannot be asked.
    pub fn lookup(self, name: &str, env: &Environment) -> Result<Secret, KeychainError> {
        check(name)?;
        let mut command = self.command(env)?;
        match self {
            Self::Macos => command.args(["find-generic-password", "-s", SERVICE, "-a", name, "-w"]),
            _ => command.args(["lookup", "service", SERVICE, "account", name]),
        };
        program::secret(command, None).map_err(|error| self.explained(error, name))
    }

    /// Keeps `secret` under `name`, in place of what was there. No argument of a program shows it.
    ///
    /// # Errors
    /// If it is not there afterwards.
    pub fn store(
        self,
        name: &str,
        secret: &Secret,
        env: &Environment,
    ) -> Result<(), KeychainError> {
        check(name)?;
        let mut command = self.command(env)?;
        let input = match self {
            Self::Macos => {
                command.arg("-i");
                format!(
                    "add-generic-password -U -s {SERVICE} -a {name} -l \"{SERVICE} {name}\" -w {}\n",
                    quoted(secret.expose())
                )
            }
            _ => {
                let label = format!("--label={SERVICE} {name}");
                command.args(["store", &label, "service", SERVICE, "account", name]);
                secret.expose().to_owned()
            }
        };
        program::output(command, Some(Secret::new(input)))
            .map_err(|error| self.explained(error, name))?;
        // `security -i` ends well even if its command failed.
        match self.lookup(name, env) {
            Ok(kept) if kept.matches(secret.expose().as_bytes()) => Ok(()),
            Ok(_) | Err(KeychainError::NotThere(_)) => Err(KeychainError::NotKept),
            Err(error) => Err(error),
        }
    }

    /// The command that removes what is kept under `name`.
    pub fn removal(self, name: &str) -> String {
        match self {
            Self::Macos => format!("security delete-generic-password -s {SERVICE} -a {name}"),
            _ => format!("secret-tool clear service {SERVICE} account {name}"),
        }
    }

    fn command(self, env: &Environment) -> Result<Command, KeychainError> {
        match self {
            Self::Unsupported => Err(KeychainError::Unsupported),
            _ => Ok(program::command(self.program(), env)),
        }
    }

    fn explained(self, error: ProgramError, name: &str) -> KeychainError {
        let program = self.program();
        match error {
            ProgramError::Start(error) if error.kind() == io::ErrorKind::NotFound => {
                KeychainError::NoProgram {
                    program,
                    advice: match self {
                        Self::Macos => "it comes with macOS, in /usr/bin: is that on PATH?",
                        _ => {
                            "it is in the package libsecret-tools (Debian, Ubuntu) or libsecret (Fedora, Arch)"
                        }
                    },
                }
            }
            ProgramError::Nothing => KeychainError::NotThere(name.to_owned()),
            ProgramError::Failed { status, said } => {
                let is_absent = match self {
                    Self::Macos => status.code() == Some(MACOS_NOT_THERE),
                    // It says nothing then.
                    _ => status.code() == Some(1) && said.is_empty(),
                };
                if is_absent {
                    KeychainError::NotThere(name.to_owned())
                } else {
                    let error = ProgramError::Failed { status, said }.to_string();
                    KeychainError::Failed { program, error }
                }
            }
            other => KeychainError::Failed {
                program,
                error: other.to_string(),
            },
        }
    }
}

/// Whether `name` can be one.
pub(crate) fn check(name: &str) -> Result<(), KeychainError> {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"._@-".contains(&byte);
    // A leading hyphen would be an option.
    if name.is_empty()
        || name.len() > MOST_NAME
        || name.starts_with('-')
        || !name.bytes().all(is_letter)
    {
        return Err(KeychainError::Name);
    }
    Ok(())
}

/// As a line of `security -i` has it.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        if matches!(letter, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(letter);
    }
    quoted.push('"');
    quoted
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::private_file::scratch::Scratch;

    /// Keeps what is stored in files, as the real one keeps it elsewhere; notes its arguments.
    const SECRET_TOOL: &str = r#"#!/bin/sh
echo "$@" >> "@DIR@/calls"
case "$1" in
  lookup) [ -f "@DIR@/$5" ] && cat "@DIR@/$5" ;;
  store) cat > "@DIR@/$6" ;;
esac
"#;
    const SECURITY: &str = r#"#!/bin/sh
echo "$@" >> "@DIR@/calls"
case "$1" in
  find-generic-password)
    [ -f "@DIR@/$5" ] || { echo "The specified item could not be found in the keychain." >&2; exit 44; }
    cat "@DIR@/$5"; echo ;;
  -i)
    read -r line
    eval "set -- $line"
    printf %s "${10}" > "@DIR@/$6" ;;
esac
"#;

    fn faked(name: &str, text: &str) -> (Scratch, Environment) {
        let scratch = Scratch::new();
        let path = scratch.path().join(name);
        fs::write(
            &path,
            text.replace("@DIR@", &scratch.path().display().to_string()),
        )
        .unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        let env = Environment {
            vars: [(
                "PATH".to_owned(),
                format!("{}:/usr/bin:/bin", scratch.path().display()),
            )]
            .into(),
            ..Environment::default()
        };
        (scratch, env)
    }

    #[test]
    fn what_is_stored_is_found_again_and_no_argument_shows_it() {
        let secret = Secret::new("sk-pl\"an\\t$ed'".into());
        for (keychain, program, text) in [
            (Keychain::SecretService, "secret-tool", SECRET_TOOL),
            (Keychain::Macos, "security", SECURITY),
        ] {
            let (scratch, env) = faked(program, text);
            let absent = keychain.lookup("work", &env).unwrap_err();
            assert!(matches!(absent, KeychainError::NotThere(_)), "{absent}");
            // The shell of the fake would expand it; `security` does not.
            let secret = match keychain {
                Keychain::Macos => Secret::new("sk-pl\"an\\ted'".into()),
                _ => secret.clone(),
            };
            keychain.store("work", &secret, &env).unwrap();
            assert_eq!(
                keychain.lookup("work", &env).unwrap().expose(),
                secret.expose()
            );
            let calls = fs::read_to_string(scratch.path().join("calls")).unwrap();
            assert!(
                calls.contains("api-key-lb") && !calls.contains("sk-pl"),
                "{calls}"
            );
        }
    }

    #[test]
    fn what_the_keychain_does_not_keep_is_not_said_to_be_stored() {
        let (_scratch, env) = faked("security", "#!/bin/sh\n[ \"$1\" = -i ] || exit 44\n");
        let error = Keychain::Macos.store("work", &Secret::new("k".into()), &env);
        assert!(matches!(error, Err(KeychainError::NotKept)), "{error:?}");
    }

    #[test]
    fn a_missing_program_a_locked_keychain_and_a_strange_name_are_told_apart() {
        let env = Environment {
            vars: [("PATH".to_owned(), "/nonexistent".to_owned())].into(),
            ..Environment::default()
        };
        let error = Keychain::SecretService.lookup("work", &env).unwrap_err();
        assert!(error.to_string().contains("libsecret-tools"), "{error}");
        let locked = "#!/bin/sh\necho 'secret-tool: Cannot create an item in a locked collection' >&2\nexit 1\n";
        let (_scratch, env) = faked("secret-tool", locked);
        let error = Keychain::SecretService.lookup("work", &env).unwrap_err();
        assert!(error.to_string().contains("locked collection"), "{error}");
        for name in ["", "a b", "-a", "a\"b", "ключ"] {
            let error = Keychain::SecretService.lookup(name, &env);
            assert!(matches!(error, Err(KeychainError::Name)), "{name}");
        }
        let error = Keychain::Unsupported.lookup("work", &env).unwrap_err();
        assert!(error.to_string().contains("not supported yet"), "{error}");
    }
}
