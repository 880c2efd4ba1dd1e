//! Options of the container: environment, labels, user, how it is stopped.

use bollard_stubs::models::TaskSpecContainerSpec;

use crate::failure::Failure;
use crate::parse;

#[derive(Debug, clap::Args)]
pub(in crate::service) struct Container {
    /// Environment variable; without a value, the one it has here
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Label of the containers
    #[arg(long, value_name = "KEY[=VALUE]", value_parser = parse::label)]
    container_label: Vec<(String, String)>,
    /// Host name inside the containers
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// Directory the command starts in
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// User and group, names or numbers
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Program in place of the image's entrypoint
    #[arg(long, value_name = "COMMAND")]
    entrypoint: Option<String>,
    /// Time a container has to end before it is killed
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    stop_grace_period: Option<i64>,
    /// Signal that asks a container to end
    #[arg(long, value_name = "SIGNAL")]
    stop_signal: Option<String>,
}

impl Container {
    /// Adds these options to a container's spec.
    pub(in crate::service) fn put_into(
        self,
        spec: TaskSpecContainerSpec,
    ) -> Result<TaskSpecContainerSpec, Failure> {
        let Self {
            env,
            container_label,
            hostname,
            workdir,
            user,
            entrypoint,
            stop_grace_period,
            stop_signal,
        } = self;
        let env: Vec<String> = env.into_iter().filter_map(valued).collect();
        let command = entrypoint.as_deref().map(words).transpose()?;
        Ok(TaskSpecContainerSpec {
            env: (!env.is_empty()).then_some(env),
            labels: (!container_label.is_empty()).then(|| container_label.into_iter().collect()),
            hostname,
            dir: workdir,
            user,
            command,
            stop_grace_period,
            stop_signal,
            ..spec
        })
    }
}

/// A variable named without a value is taken from here, and left out when it is not set here, as Docker does.
fn valued(variable: String) -> Option<String> {
    if variable.contains('=') {
        return Some(variable);
    }
    std::env::var(&variable).ok().map(|value| format!("{variable}={value}"))
}

/// Words of a command as a shell splits them: blanks, both kinds of quotes, backslashes; no expansion.
fn words(text: &str) -> Result<Vec<String>, Failure> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            (_, Some(open)) if letter == open => quote = None,
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(letters.next()),
            ('\'' | '"', None) => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (' ' | '\t', None) => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    if quote.is_some() {
        return Err(Failure::Usage(format!("the entrypoint has a quote without its end: {text}")));
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn entrypoints_are_split_like_a_shell_does() {
        let split = |text| words(text).unwrap();
        assert_eq!(split("/bin/sh -c 'echo  \"a b\"'"), ["/bin/sh", "-c", "echo  \"a b\""]);
        assert_eq!(split(r#"a\ b "c\"d" '' e"#), ["a b", "c\"d", "", "e"]);
        assert!(words("'open").is_err());
    }
}
