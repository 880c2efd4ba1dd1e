//! Placeholders in a service's options, filled in for each task: `{{.Node.Hostname}}`, `{{.Task.Slot}}`.
//! Docker runs Go's template language over these texts; here a placeholder names one value and nothing else, so that
//! filling one in always ends, never fails and never needs more memory than the text may have.

/// Longest text that is made: the longest argument or variable Linux takes (`MAX_ARG_STRLEN`).
const FILLED_MAX: usize = 128 << 10;

/// What is known of a task when it has a node.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    /// Its service's id.
    pub service_id: &'a str,
    /// Its service's name.
    pub service_name: &'a str,
    /// Its service's labels.
    pub service_labels: &'a [(String, String)],
    /// Its node's id.
    pub node_id: &'a str,
    /// Its node's host name.
    pub node_hostname: &'a str,
    /// Its node's operating system.
    pub node_os: &'a str,
    /// Its node's processor.
    pub node_architecture: &'a str,
    /// Its id.
    pub task_id: &'a str,
    /// Its container's name: `web.1.<task id>`.
    pub task_name: &'a str,
    /// Its slot; of a global service its node's id.
    pub task_slot: &'a str,
}

/// One value a placeholder names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field<'t> {
    ServiceId,
    ServiceName,
    ServiceLabel(&'t str),
    NodeId,
    NodeHostname,
    NodeOs,
    NodeArchitecture,
    TaskId,
    TaskName,
    TaskSlot,
}

/// A piece of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece<'t> {
    Text(&'t str),
    Field(Field<'t>),
}

/// Whether every placeholder of a text can be filled in, or a sentence about the first that cannot.
pub fn check(text: &str) -> Result<(), String> {
    pieces(text).try_for_each(|piece| piece.map(drop))
}

/// The text with its placeholders filled in. What `check` refuses stays as it is.
pub fn fill(text: &str, values: &Values<'_>) -> String {
    if check(text).is_err() {
        return text.to_owned();
    }
    let mut out = String::new();
    for piece in pieces(text).flatten() {
        if out.len() > FILLED_MAX {
            break;
        }
        out.push_str(match piece {
            Piece::Text(text) => text,
            Piece::Field(field) => values.of(field),
        });
    }
    out
}

impl<'a> Values<'a> {
    fn of(&self, field: Field<'_>) -> &'a str {
        match field {
            Field::ServiceId => self.service_id,
            Field::ServiceName => self.service_name,
            // As in Go, a key that a map does not have is the empty text.
            Field::ServiceLabel(key) => {
                let label = self.service_labels.iter().find(|(k, _)| k == key);
                label.map_or("", |(_, value)| value)
            }
            Field::NodeId => self.node_id,
            Field::NodeHostname => self.node_hostname,
            Field::NodeOs => self.node_os,
            Field::NodeArchitecture => self.node_architecture,
            Field::TaskId => self.task_id,
            Field::TaskName => self.task_name,
            Field::TaskSlot => self.task_slot,
        }
    }
}

fn pieces(text: &str) -> impl Iterator<Item = Result<Piece<'_>, String>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        match rest.find("{{") {
            None => Some(Ok(Piece::Text(std::mem::take(&mut rest)))),
            Some(0) => {
                let Some(end) = rest.find("}}") else {
                    rest = "";
                    return Some(Err("a placeholder that begins with {{ has no }}".to_owned()));
                };
                let inner = &rest[2..end];
                rest = &rest[end + 2..];
                Some(placeholder(inner).ok_or_else(|| refused(inner)))
            }
            Some(start) => {
                let (before, after) = rest.split_at(start);
                rest = after;
                Some(Ok(Piece::Text(before)))
            }
        }
    })
}

fn refused(inner: &str) -> String {
    let shown: String = inner.chars().take(64).collect();
    format!(
        "{{{{{shown}}}}} is no placeholder: there are .Service.ID, .Service.Name, .Service.Labels.KEY, index .Service.Labels \"KEY\", \
         .Node.ID, .Node.Hostname, .Node.Platform.OS, .Node.Platform.Architecture, .Task.ID, .Task.Name and .Task.Slot"
    )
}

/// A value, or a text in quotes: `{{"{{"}}` is how two braces themselves are written.
fn placeholder(inner: &str) -> Option<Piece<'_>> {
    let inner = inner.trim_matches([' ', '\t']);
    let quoted = inner.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    match quoted {
        Some(text) => (!text.contains(['"', '\\'])).then_some(Piece::Text(text)),
        None => field(inner).map(Piece::Field),
    }
}

fn field(inner: &str) -> Option<Field<'_>> {
    Some(match inner {
        ".Service.ID" => Field::ServiceId,
        ".Service.Name" => Field::ServiceName,
        ".Node.ID" => Field::NodeId,
        ".Node.Hostname" => Field::NodeHostname,
        ".Node.Platform.OS" => Field::NodeOs,
        ".Node.Platform.Architecture" => Field::NodeArchitecture,
        ".Task.ID" => Field::TaskId,
        ".Task.Name" => Field::TaskName,
        ".Task.Slot" => Field::TaskSlot,
        _ => {
            let word = |c: char| c.is_alphanumeric() || c == '_';
            let plain = inner.strip_prefix(".Service.Labels.");
            if let Some(key) = plain.filter(|key| !key.is_empty() && key.chars().all(word)) {
                return Some(Field::ServiceLabel(key));
            }
            let quoted =
                inner.strip_prefix("index")?.trim_start().strip_prefix(".Service.Labels")?;
            let key = quoted.trim_start().strip_prefix('"')?.strip_suffix('"')?;
            (!key.contains(['"', '\\'])).then_some(Field::ServiceLabel(key))?
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> String {
        let labels =
            [("com.x".to_owned(), "1".to_owned()), ("tier".to_owned(), "{{.Task.ID}}".to_owned())];
        let values = Values {
            service_id: "s0",
            service_name: "web",
            service_labels: &labels,
            node_id: "n0",
            node_hostname: "vm",
            node_os: "linux",
            node_architecture: "x86_64",
            task_id: "t0",
            task_name: "web.1.t0",
            task_slot: "1",
        };
        fill(text, &values)
    }

    #[test]
    fn placeholders_are_filled_in() {
        for (text, made) in [
            ("", ""),
            ("plain } { }} text", "plain } { }} text"),
            ("{{.Service.Name}}-{{ .Task.Slot }}", "web-1"),
            ("{{.Service.ID}}{{.Node.ID}}{{.Task.ID}}", "s0n0t0"),
            (
                "N={{.Node.Hostname}}/{{.Node.Platform.OS}}/{{.Node.Platform.Architecture}}",
                "N=vm/linux/x86_64",
            ),
            ("{{.Task.Name}}", "web.1.t0"),
            (r#"{{index .Service.Labels "com.x"}}{{.Service.Labels.none}}"#, "1"),
            ("{{.Service.Labels.tier}}", "{{.Task.ID}}"),
            (r#"{{"{{"}}.Task.ID{{"}"}}}"#, "{{.Task.ID}}"),
        ] {
            assert_eq!(check(text), Ok(()), "{text}");
            assert_eq!(filled(text), made, "{text}");
        }
    }

    #[test]
    fn what_is_no_placeholder_is_refused() {
        for text in [
            "{{",
            "{{}}",
            "{{.Task}}",
            "{{.Task.slot}}",
            "{{.Node.Labels.x}}",
            "{{printf \"%d\" 1}}",
            "{{.Service.Labels.a b}}",
            "{{index .Service.Labels \"a\" \"b\"}}",
            "{{index .Service.Labels a}}",
            "{{{.Task.Slot}}",
            "{{define \"a\"}}{{template \"a\"}}{{end}}",
        ] {
            assert!(check(text).is_err(), "{text}");
            assert_eq!(filled(text), text);
        }
    }

    #[test]
    fn what_is_made_is_bounded() {
        let text = "{{.Service.Name}}".repeat(100_000);
        assert!(filled(&text).len() <= FILLED_MAX + 3);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in "[{}. a-zA-Z\"]{0,60}") {
            if check(&text).is_ok() && !text.contains("{{") {
                proptest::prop_assert_eq!(filled(&text), text);
            }
        }
    }
}
