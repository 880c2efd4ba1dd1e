//! Answers about the log, which the daemon tells as JSON: passed on as it is, or through the user's template.
//! Apart from lists of nouns, because their fields are the daemon's own and not written down here a second time.

use serde_json::Value;

use super::list::{Form, printable};
use super::table;
use super::template::Template;
use crate::failure::Failure;

/// Text of an answer; nothing if lines to read are asked for. A template is filled in for each of its `parts`.
pub(super) fn render(
    form: &Form,
    answer: &Value,
    parts: Option<&str>,
) -> Result<Option<String>, Failure> {
    let own = std::slice::from_ref(answer);
    let parts = parts.map_or(own, |key| answer[key].as_array().map_or(&[], Vec::as_slice));
    let text = match form {
        Form::Table => return Ok(None),
        Form::Json => format!("{answer}\n"),
        Form::Lines(template) => {
            let line = |part| Ok::<_, Failure>(filled(template, part)? + "\n");
            parts.iter().map(line).collect::<Result<_, _>>()?
        }
        Form::Columns(template) => columns(template, parts)?,
    };
    Ok(Some(text))
}

/// Columns under the names of the fields in upper case, as a list's are.
fn columns(template: &Template, parts: &[Value]) -> Result<String, Failure> {
    let Some(first) = parts.first() else { return Ok(String::new()) };
    let header = template.header(&headers("", first)).map_err(Failure::Usage)?;
    let mut rows = Vec::new();
    for part in parts {
        let text = filled(template, &printable(part))?;
        rows.extend(text.split('\n').map(cells));
    }
    let header = cells(&header);
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    Ok(table::render(&header, rows.iter().map(|row| &row[..])))
}

fn cells(line: &str) -> Vec<String> {
    line.split('\t').map(str::to_owned).collect()
}

/// The text for one part; of a field it does not have, the fields it has are named.
fn filled(template: &Template, part: &Value) -> Result<String, Failure> {
    template.render(&without_nulls(part)).map_err(|error| {
        let fields = part.as_object().into_iter().flatten().map(|(name, _)| format!(".{name}"));
        let fields = fields.collect::<Vec<_>>().join(", ");
        Failure::Usage(format!("{error}\nhint: the fields are {fields}"))
    })
}

/// What is not there reads as no text and is no condition that holds, as in a list.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Null => "".into(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), without_nulls(value))).collect()
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => value.clone(),
    }
}

/// The same fields, each holding its own name.
fn headers(name: &str, value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), headers(name, value))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            name.replace('_', " ").to_uppercase().into()
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    fn shown(form: &str) -> String {
        let answer = json!({"name": "web", "chain": [
            {"position": 8101, "text": "a\tb", "who": {"type": "user", "name": "root"}, "reason": null, "cause_of": [1]},
            {"position": 8123, "text": "put", "who": {"type": "planner", "name": "scheduler"}, "reason": "why", "cause_of": []}]});
        match render(&form.parse().unwrap(), &answer, Some("chain")) {
            Ok(text) => text.unwrap_or_else(|| "lines to read\n".to_owned()),
            Err(failure) => format!("{failure}\nexit {}\n", failure.exit_code()),
        }
    }

    #[test]
    fn one_answer_in_all_its_forms() {
        let forms = [
            "table",
            "json",
            "{{.position}} {{.who.name}}{{if .reason}}: {{.reason}}{{end}}",
            r"table {{.position}}\t{{.who.name | upper}}\t{{.text}}\t{{.reason}}\t{{json .cause_of}}",
            "{{.positoin}}",
        ];
        let all: String = forms.iter().map(|form| format!("> {form}\n{}", shown(form))).collect();
        expect![[r#"
            > table
            lines to read
            > json
            {"chain":[{"cause_of":[1],"position":8101,"reason":null,"text":"a\tb","who":{"name":"root","type":"user"}},{"cause_of":[],"position":8123,"reason":"why","text":"put","who":{"name":"scheduler","type":"planner"}}],"name":"web"}
            > {{.position}} {{.who.name}}{{if .reason}}: {{.reason}}{{end}}
            8101 root
            8123 scheduler: why
            > table {{.position}}\t{{.who.name | upper}}\t{{.text}}\t{{.reason}}\t{{json .cause_of}}
            POSITION   NAME        TEXT      REASON    CAUSE OF
            8101       ROOT        a\tb                [1]
            8123       SCHEDULER   put       why       []
            > {{.positoin}}
            map has no entry for key: positoin
            hint: the fields are .cause_of, .position, .reason, .text, .who
            exit 125
        "#]].assert_eq(&all);
    }
}
