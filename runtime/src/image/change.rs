//! Instructions of a Dockerfile that change a configuration and run nothing: `image import -c 'CMD ["sh"]'`.
//! What is not understood is refused, never skipped.

use serde_json::{Map, Value, json};

use crate::error::Error;

/// Instructions of one import.
const CHANGES_MAX: usize = 100;
/// Docker takes no shorter span for a health check; in nanoseconds.
const MILLISECOND: u64 = 1_000_000;

/// A configuration with these instructions carried out, in order.
pub(super) fn apply_all(changes: &[String]) -> Result<Value, Error> {
    if changes.len() > CHANGES_MAX {
        return Err(bad(format!("over {CHANGES_MAX} changes")));
    }
    let mut config = Map::new();
    for change in changes {
        apply(&mut config, change.trim())?;
    }
    Ok(Value::Object(config))
}

fn bad(message: impl Into<String>) -> Error {
    Error::BadSetting { message: message.into() }
}

fn apply(config: &mut Map<String, Value>, change: &str) -> Result<(), Error> {
    let (word, rest) = change.split_once(char::is_whitespace).unwrap_or((change, ""));
    let rest = rest.trim();
    let word = word.to_ascii_uppercase();
    if rest.is_empty() {
        return Err(bad(format!("{word} requires at least one argument")));
    }
    match word.as_str() {
        "CMD" => {
            config.insert("Cmd".to_owned(), command(rest)?);
        }
        "ENTRYPOINT" => {
            config.insert("Entrypoint".to_owned(), command(rest)?);
        }
        "ENV" => {
            for (key, value) in pairs(rest)? {
                let list = list(config, "Env");
                let named = format!("{key}=");
                list.retain(|old| !old.as_str().is_some_and(|old| old.starts_with(&named)));
                list.push(json!(format!("{key}={value}")));
            }
        }
        "LABEL" => {
            for (key, value) in pairs(rest)? {
                object(config, "Labels").insert(key, json!(value));
            }
        }
        "EXPOSE" => {
            for port in words(rest)? {
                object(config, "ExposedPorts").insert(exposed(&port)?, json!({}));
            }
        }
        "VOLUME" => {
            let paths = match as_list(rest)? {
                Some(paths) => paths,
                None => words(rest)?,
            };
            for path in paths {
                object(config, "Volumes").insert(path, json!({}));
            }
        }
        "USER" => {
            config.insert("User".to_owned(), json!(one(&word, rest)?));
        }
        "WORKDIR" => {
            let dir = one(&word, rest)?;
            if !dir.starts_with('/') {
                return Err(bad(format!("WORKDIR {dir} is not absolute")));
            }
            config.insert("WorkingDir".to_owned(), json!(dir));
        }
        "STOPSIGNAL" => {
            let signal = one(&word, rest)?;
            if signal.parse::<crate::signal::Signal>().is_err() {
                return Err(bad(format!("invalid signal: {signal}")));
            }
            config.insert("StopSignal".to_owned(), json!(signal));
        }
        "HEALTHCHECK" => {
            config.insert("Healthcheck".to_owned(), check(rest)?);
        }
        "ONBUILD" => list(config, "OnBuild").push(json!(rest)),
        _ => {
            return Err(bad(format!(
                "{word} is not a valid change command: CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME and WORKDIR are"
            )));
        }
    }
    Ok(())
}

fn list<'a>(config: &'a mut Map<String, Value>, key: &str) -> &'a mut Vec<Value> {
    let value = config.entry(key).or_insert_with(|| json!([]));
    value.as_array_mut().expect("only lists are put there")
}

fn object<'a>(config: &'a mut Map<String, Value>, key: &str) -> &'a mut Map<String, Value> {
    let value = config.entry(key).or_insert_with(|| json!({}));
    value.as_object_mut().expect("only objects are put there")
}

/// The words of a JSON list, if it is one.
fn as_list(text: &str) -> Result<Option<Vec<String>>, Error> {
    if !text.starts_with('[') {
        return Ok(None);
    }
    serde_json::from_str(text).map(Some).map_err(|_| bad(format!("{text} is no list of words")))
}

/// A list as it is; anything else is the shell's.
fn command(text: &str) -> Result<Value, Error> {
    Ok(match as_list(text)? {
        Some(words) => json!(words),
        None => json!(["/bin/sh", "-c", text]),
    })
}

/// `NONE`, or `[--interval=…] [--timeout=…] [--start-period=…] [--start-interval=…] [--retries=…] CMD …`.
fn check(text: &str) -> Result<Value, Error> {
    let mut check = Map::new();
    let mut rest = text;
    while let Some(option) = rest.strip_prefix("--") {
        let (option, after) = option.split_once(char::is_whitespace).unwrap_or((option, ""));
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let (key, number) = match name {
            "interval" => ("Interval", nanoseconds(name, value)?),
            "timeout" => ("Timeout", nanoseconds(name, value)?),
            "start-period" => ("StartPeriod", nanoseconds(name, value)?),
            "start-interval" => ("StartInterval", nanoseconds(name, value)?),
            "retries" => match value.parse::<u32>() {
                Ok(retries) => ("Retries", u64::from(retries)),
                Err(_) => return Err(bad(format!("HEALTHCHECK --retries={value} is no number"))),
            },
            _ => return Err(bad(format!("unknown flag of HEALTHCHECK: --{name}"))),
        };
        check.insert(key.to_owned(), json!(number));
        rest = after.trim_start();
    }
    let (kind, command) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let command = command.trim();
    let test = match kind.to_ascii_uppercase().as_str() {
        "NONE" if !command.is_empty() => {
            return Err(bad("HEALTHCHECK NONE takes no arguments"));
        }
        "NONE" => vec!["NONE".to_owned()],
        "CMD" => match as_list(command)? {
            Some(words) if !words.is_empty() => {
                std::iter::once("CMD".to_owned()).chain(words).collect()
            }
            None if !command.is_empty() => vec!["CMD-SHELL".to_owned(), command.to_owned()],
            Some(_) | None => return Err(bad("there is no command after HEALTHCHECK CMD")),
        },
        _ => return Err(bad(format!("unknown type {kind:?} in HEALTHCHECK: write CMD or NONE"))),
    };
    check.insert("Test".to_owned(), json!(test));
    Ok(Value::Object(check))
}

/// A span such as `1m30s`; nought is Docker's own.
fn nanoseconds(name: &str, text: &str) -> Result<u64, Error> {
    let span = text.parse::<jiff::SignedDuration>().ok();
    match span.and_then(|span| u64::try_from(span.as_nanos()).ok()) {
        None => Err(bad(format!("HEALTHCHECK --{name}={text} is no span of time such as 30s"))),
        Some(1..MILLISECOND) => Err(bad(format!("HEALTHCHECK --{name} cannot be less than 1ms"))),
        Some(nanos) => Ok(nanos),
    }
}

fn one(word: &str, text: &str) -> Result<String, Error> {
    match words(text)?.as_slice() {
        [only] => Ok(only.clone()),
        _ => Err(bad(format!("{word} requires exactly one argument"))),
    }
}

/// `key=value …`, or the old form `key the rest`.
fn pairs(text: &str) -> Result<Vec<(String, String)>, Error> {
    let words = words(text)?;
    let parted: Option<Vec<(String, String)>> = words
        .iter()
        .map(|word| word.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned())))
        .collect();
    let pairs = match (parted, text.split_once(char::is_whitespace)) {
        (Some(pairs), _) => pairs,
        (None, Some((key, value))) if !key.contains('=') => {
            vec![(key.to_owned(), value.trim().to_owned())]
        }
        (None, _) => return Err(bad(format!("{text:?} is not of the form key=value"))),
    };
    match pairs.iter().find(|(key, _)| key.is_empty()) {
        Some(_) => Err(bad(format!("{text:?} has a value without a key"))),
        None => Ok(pairs),
    }
}

/// Words as a shell parts them: quotes and backslashes keep blanks.
fn words(text: &str) -> Result<Vec<String>, Error> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            (c, Some(q)) if c == q => quote = None,
            ('\\', None | Some('"')) => {
                word.get_or_insert_default().push(chars.next().unwrap_or('\\'));
            }
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(bad(format!("{text:?} has a quote without its end")));
    }
    words.extend(word);
    Ok(words)
}

/// `80` is `80/tcp`.
fn exposed(text: &str) -> Result<String, Error> {
    let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let sound = port.parse::<u16>().is_ok_and(|port| port > 0);
    if !sound || !matches!(protocol, "tcp" | "udp" | "sctp") {
        return Err(bad(format!("invalid containerPort: {text}")));
    }
    Ok(format!("{port}/{protocol}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(changes: &[&str]) -> Result<Value, String> {
        let changes: Vec<String> = changes.iter().map(|text| (*text).to_owned()).collect();
        apply_all(&changes).map_err(|error| error.to_string())
    }

    #[test]
    fn instructions_make_a_configuration() {
        let config = changed(&[
            r#"CMD ["sh", "-l"]"#,
            "entrypoint top -b",
            r#"ENV A=1 B="two words""#,
            "ENV A changed later",
            "LABEL one=1 two='2 3'",
            "EXPOSE 80 53/udp",
            r#"VOLUME ["/data"]"#,
            "VOLUME /a /b",
            "USER 1000:1000",
            "WORKDIR /srv",
            "STOPSIGNAL SIGINT",
            "ONBUILD RUN true",
        ]);
        let expected = json!({
            "Cmd": ["sh", "-l"],
            "Entrypoint": ["/bin/sh", "-c", "top -b"],
            "Env": ["B=two words", "A=changed later"],
            "Labels": {"one": "1", "two": "2 3"},
            "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
            "Volumes": {"/data": {}, "/a": {}, "/b": {}},
            "User": "1000:1000",
            "WorkingDir": "/srv",
            "StopSignal": "SIGINT",
            "OnBuild": ["RUN true"],
        });
        assert_eq!(config, Ok(expected));
    }

    #[test]
    fn a_check_is_what_docker_makes_of_it() {
        let check = |change| changed(&[change]).unwrap()["Healthcheck"].clone();
        assert_eq!(check("HEALTHCHECK NONE"), json!({"Test": ["NONE"]}));
        assert_eq!(check("healthcheck cmd a | b"), json!({"Test": ["CMD-SHELL", "a | b"]}));
        let full = "HEALTHCHECK --interval=1m30s --timeout=1.5s  --start-period=0s \
                    --start-interval=20ms --retries=2 CMD [\"/ok\", \"--fast\"]";
        let expected = json!({
            "Test": ["CMD", "/ok", "--fast"], "Interval": 90_000_000_000_u64, "Timeout": 1_500_000_000_u64,
            "StartPeriod": 0, "StartInterval": 20_000_000, "Retries": 2,
        });
        assert_eq!(check(full), expected);
        let last = changed(&["HEALTHCHECK CMD a", "HEALTHCHECK NONE"]).unwrap();
        assert_eq!(last["Healthcheck"], json!({"Test": ["NONE"]}));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (change, reason) in [
            ("RUN rm -rf /", "not a valid change command"),
            ("HEALTHCHECK", "requires at least one argument"),
            ("HEALTHCHECK NONE now", "takes no arguments"),
            ("HEALTHCHECK true", "unknown type \"true\""),
            ("HEALTHCHECK CMD", "no command after"),
            ("HEALTHCHECK CMD []", "no command after"),
            ("HEALTHCHECK --interval=5s", "unknown type"),
            ("HEALTHCHECK --interval=soon CMD true", "no span of time"),
            ("HEALTHCHECK --interval=-5s CMD true", "no span of time"),
            ("HEALTHCHECK --timeout=999us CMD true", "cannot be less than 1ms"),
            ("HEALTHCHECK --retries=-1 CMD true", "is no number"),
            ("HEALTHCHECK --often CMD true", "unknown flag of HEALTHCHECK: --often"),
            ("", "requires at least one argument"),
            ("CMD", "requires at least one argument"),
            ("CMD [sh]", "no list of words"),
            ("CMD [1]", "no list of words"),
            ("EXPOSE 0", "invalid containerPort"),
            ("EXPOSE 80/xyz", "invalid containerPort"),
            ("EXPOSE 70000", "invalid containerPort"),
            ("WORKDIR srv", "not absolute"),
            ("USER a b", "exactly one argument"),
            ("ENV =x", "without a key"),
            ("ENV A=1 B", "not of the form"),
            ("LABEL \"a=b", "quote without its end"),
            ("STOPSIGNAL SIGNOTHING", "invalid signal"),
        ] {
            let error = changed(&[change]).unwrap_err();
            assert!(error.contains(reason), "{change}: {error}");
        }
        assert!(changed(&["USER a"; 101]).unwrap_err().contains("over 100 changes"));
    }
}
