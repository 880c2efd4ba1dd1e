//! Environment variables as the user gives them to services and commands: from files, and by name from here.
//! Apart from both, because they read the same in each.

use std::path::PathBuf;

use crate::failure::Failure;

/// The variables of files, in their order.
pub(crate) fn read(files: &[PathBuf]) -> Result<Vec<String>, Failure> {
    let mut all = Vec::new();
    for file in files {
        let wrong =
            |error: &dyn std::fmt::Display| Failure::Usage(format!("{}: {error}", file.display()));
        let text = std::fs::read_to_string(file).map_err(|error| wrong(&error))?;
        all.extend(variables(&text).map_err(|error| wrong(&error))?);
    }
    Ok(all)
}

/// A variable named without a value is taken from here, and left out when it is not set here, as Docker does.
pub(crate) fn valued(variable: String) -> Option<String> {
    if variable.contains('=') {
        return Some(variable);
    }
    std::env::var(&variable).ok().map(|value| format!("{variable}={value}"))
}

/// A variable as an option takes it.
pub(crate) fn variable(text: &str) -> Result<String, String> {
    match name_of(text) {
        "" => Err("a variable needs a name, like NAME=VALUE".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

/// What a variable is called.
pub(crate) fn name_of(variable: &str) -> &str {
    variable.split_once('=').map_or(variable, |(name, _)| name)
}

/// Variables of a file: a line each; blank lines and those after `#` are nothing.
fn variables(text: &str) -> Result<Vec<String>, String> {
    let mut variables = Vec::new();
    for line in text.trim_start_matches('\u{feff}').lines().map(str::trim_start) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let name = name_of(line);
        if name.is_empty() {
            return Err(format!("no variable name on line '{line}'"));
        }
        if name.contains(char::is_whitespace) {
            return Err(format!("variable '{name}' contains whitespaces"));
        }
        variables.push(line.to_owned());
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn any_file_is_variables_or_refused(
            text: String,
            near in "\u{feff}?([A-Zé #=\t]{0,4}[=\r\n]{0,2}[ -~é]{0,6}\n?){0,5}",
        ) {
            for text in [&text, &near] {
                let found = variables(text).unwrap_or_default();
                proptest::prop_assert!(found.iter().all(|v| !name_of(v).is_empty()));
            }
        }
    }

    #[test]
    fn a_file_has_a_variable_a_line() {
        assert_eq!(variables("# no\n\nA=1 2\n  B\n"), Ok(vec!["A=1 2".to_owned(), "B".to_owned()]));
        assert!(variables("A B=1").is_err() && variables("=1").is_err());
        assert!(variable("").is_err() && variable("=1").is_err() && variable("A").is_ok());
    }
}
