//! Templates as Docker's `--format` takes them: Go's `text/template` with Docker's few functions.
//! Only text from values; which fields a list has, and what its headers are, stand in `list.rs`.

use std::str::FromStr;
use std::sync::Arc;

use gotmpl::{MissingKey, TemplateError, Value, ValueFunc};

/// A template that was understood.
#[derive(Clone)]
pub(crate) struct Template {
    source: String,
    values: Arc<gotmpl::Template>,
    headers: Arc<gotmpl::Template>,
}

/// Docker's functions beside Go's own, by name; `index` in place of the library's.
const FUNCTIONS: [(&str, Function); 10] = [
    ("index", index),
    (LABEL, index),
    ("json", json),
    ("join", join),
    ("split", split),
    ("lower", |args| text(args, "lower").map(|text| text.to_lowercase().as_str().into())),
    ("upper", |args| text(args, "upper").map(|text| text.to_uppercase().as_str().into())),
    ("title", |args| text(args, "title").map(|text| title(&text).as_str().into())),
    ("pad", pad),
    ("truncate", truncate),
];
/// What stands for the method `Label` of Docker's lists, which take a name: `{{.Label "tier"}}`.
const LABEL: &str = "label";
/// Functions that change values and leave a header as it is.
const VALUES_ONLY: [&str; 5] = ["json", "lower", "upper", "title", "truncate"];

type Function = fn(&[Value]) -> gotmpl::Result<Value>;

impl FromStr for Template {
    type Err = String;
    fn from_str(source: &str) -> Result<Self, String> {
        // A shell does not turn \t into a tabulator, so Docker's client does, and so do we.
        let source = with_labels(&source.replace("\\t", "\t").replace("\\n", "\n"));
        let parse = |template: gotmpl::Template| {
            template.missing_key(MissingKey::Error).parse(&source).map(Arc::new)
        };
        let (mut values, mut headers) = (gotmpl::Template::new(""), gotmpl::Template::new(""));
        for (name, function) in FUNCTIONS {
            let same: ValueFunc = Arc::new(|args| Ok(args.first().cloned().unwrap_or(Value::Nil)));
            let function: ValueFunc = Arc::new(function);
            let header = match name {
                LABEL => Arc::new(label_header) as ValueFunc,
                _ if VALUES_ONLY.contains(&name) => same,
                _ => Arc::clone(&function),
            };
            values = values.func(name, move |args| function(args));
            headers = headers.func(name, move |args| header(args));
        }
        let understood = || Ok::<_, TemplateError>((parse(values)?, parse(headers)?));
        let (values, headers) =
            understood().map_err(|error| format!("template parsing error: {error}"))?;
        Ok(Self { source, values, headers })
    }
}

/// The same with `label .Label "tier"` for `.Label "tier"`: here a list's row has a field of that name, all its labels.
fn with_labels(source: &str) -> String {
    const METHOD: &str = ".Label ";
    let mut out = String::new();
    let mut rest = source;
    while let Some((before, after)) = rest.split_once(METHOD) {
        let (before, root) = before.strip_suffix('$').map_or((before, ""), |b| (b, "$"));
        out.push_str(before);
        let inside = out.rfind("{{") > out.rfind("}}");
        let begins = !out.ends_with(|c: char| c.is_alphanumeric() || "_.)".contains(c));
        let call = if inside && begins { LABEL } else { "" };
        let space = if call.is_empty() { "" } else { " " };
        out.extend([call, space, root, METHOD]);
        rest = after;
    }
    out + rest
}

impl Template {
    /// What it makes of an object; a field that the object does not have is an error.
    pub(crate) fn render(&self, object: &serde_json::Value) -> Result<String, String> {
        filled(&self.values, object)
    }

    /// The fields on the way to what it shows as JSON, if it does nothing else: `{{json .Spec.Labels}}`.
    pub(super) fn json_of(&self) -> Option<impl Iterator<Item = &str>> {
        let inner = self.source.strip_prefix("{{")?.strip_suffix("}}")?.trim();
        let path = inner.strip_prefix("json ")?.trim_start().strip_prefix('.')?;
        let names = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
        path.chars().all(names).then(|| path.split('.').filter(|field| !field.is_empty()))
    }

    /// What it makes of headers: those of the columns it names, functions that would change them left out.
    pub(super) fn header(&self, headers: &serde_json::Value) -> Result<String, String> {
        filled(&self.headers, headers)
    }

    /// What it makes of an object some of whose fields may be absent, which then are nil.
    pub(crate) fn render_sparse(&self, object: &serde_json::Value) -> Result<String, String> {
        let sparse = gotmpl::Template::clone(&self.values).missing_key(MissingKey::Invalid);
        filled(&sparse, object)
    }
}

fn filled(template: &gotmpl::Template, object: &serde_json::Value) -> Result<String, String> {
    let object = gotmpl::to_value(object).map_err(|error| error.to_string())?;
    template.execute_to_string(&object).map_err(|error| error.to_string())
}

impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Template({:?})", self.source)
    }
}

fn json(args: &[Value]) -> gotmpl::Result<Value> {
    let [value] = args else { return Err(wrong("json takes one value")) };
    Ok(Value::from(plain(value).to_string().as_str()))
}

/// What lies under the keys. Where labels have no such key it is no text, as in Go, whose maps have a type.
fn index(args: &[Value]) -> gotmpl::Result<Value> {
    let Some((value, keys)) = args.split_first() else {
        return Err(wrong("index takes a value and keys"));
    };
    keys.iter().try_fold(value.clone(), |value, key| match (&value, value.index(key)?) {
        (Value::Map(map), Value::Nil) if map.values().all(|v| matches!(v, Value::String(_))) => {
            Ok(Value::from(""))
        }
        (_, found) => Ok(found),
    })
}

/// The header of a label's column: the last word of its name, as Docker's.
fn label_header(args: &[Value]) -> gotmpl::Result<Value> {
    let [_, name] = args else { return Err(wrong("Label takes the name of a label")) };
    let name = name.to_string();
    let last = name.rsplit('.').next().unwrap_or_default();
    Ok(Value::from(last.replace(['-', '_'], " ").as_str()))
}

fn join(args: &[Value]) -> gotmpl::Result<Value> {
    let [Value::List(parts), between] = args else {
        return Err(wrong("join takes a list and what to put between"));
    };
    let parts: Vec<String> = parts.iter().map(ToString::to_string).collect();
    Ok(Value::from(parts.join(&between.to_string()).as_str()))
}

fn split(args: &[Value]) -> gotmpl::Result<Value> {
    let [text, at] = args else { return Err(wrong("split takes a text and where to cut it")) };
    let text = text.to_string();
    Ok(Value::List(text.split(&at.to_string()).map(Value::from).collect()))
}

/// Spaces before and after; nothing around nothing.
fn pad(args: &[Value]) -> gotmpl::Result<Value> {
    let [text, before, after] = args else {
        return Err(wrong("pad takes a text and two numbers of spaces"));
    };
    let text = text.to_string();
    if text.is_empty() {
        return Ok(Value::from(""));
    }
    let (before, after) = (" ".repeat(length(before)?), " ".repeat(length(after)?));
    Ok(Value::from(format!("{before}{text}{after}").as_str()))
}

fn truncate(args: &[Value]) -> gotmpl::Result<Value> {
    let [text, most] = args else { return Err(wrong("truncate takes a text and a length")) };
    let cut: String = text.to_string().chars().take(length(most)?).collect();
    Ok(Value::from(cut.as_str()))
}

/// Every word with a capital, as Go's `strings.Title`.
fn title(text: &str) -> String {
    let mut inside = false;
    let capital = |letter: char| {
        let first = !std::mem::replace(&mut inside, letter.is_alphanumeric() || letter == '_');
        if first { letter.to_uppercase().collect::<String>() } else { letter.to_string() }
    };
    text.chars().map(capital).collect()
}

fn text(args: &[Value], function: &str) -> gotmpl::Result<String> {
    let [text] = args else { return Err(wrong(format!("{function} takes one text"))) };
    Ok(text.to_string())
}

/// Most characters a template may ask for: a slip of the finger is no reason to fill the memory.
const LENGTH_MAX: i64 = 10_000;

fn length(value: &Value) -> gotmpl::Result<usize> {
    let length = value.as_int().filter(|length| (0..=LENGTH_MAX).contains(length));
    let length = length.and_then(|length| usize::try_from(length).ok());
    length.ok_or_else(|| wrong(format!("{value} is no length from 0 to {LENGTH_MAX}")))
}

fn wrong(text: impl Into<String>) -> TemplateError {
    TemplateError::Exec(text.into())
}

/// The value as JSON, for the function of that name.
fn plain(value: &Value) -> serde_json::Value {
    match value {
        Value::Nil | Value::Function(_) => serde_json::Value::Null,
        Value::Bool(yes) => (*yes).into(),
        Value::Int(number) => (*number).into(),
        Value::Uint(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::String(text) => text.as_ref().into(),
        Value::List(items) => items.iter().map(plain).collect(),
        Value::Map(fields) => {
            fields.iter().map(|(name, value)| (name.to_string(), plain(value))).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rendered(template: &str, object: serde_json::Value) -> String {
        template.parse::<Template>().unwrap().render(&object).unwrap()
    }

    #[test]
    fn dockers_functions_do_what_dockers_do() {
        let task = json!({"Name": "web.1", "Labels": "a=b,c=d", "Self": true, "Words": "so it is", "Nothing": ""});
        for (template, text) in [
            ("{{.Name}}", "web.1"),
            (r"{{.Name}}\t{{.Self}}\n", "web.1\ttrue\n"),
            ("{{upper .Name}} {{.Name | lower}} {{title .Words}}", "WEB.1 web.1 So It Is"),
            ("{{json .Name}} {{json .Self}}", r#""web.1" true"#),
            (r#"{{join (split .Labels ",") " and "}}"#, "a=b and c=d"),
            ("{{truncate .Name 3}}{{truncate .Name 30}}", "webweb.1"),
            ("[{{pad .Name 1 2}}{{pad .Nothing 1 2}}]", "[ web.1  ]"),
            ("{{if .Self}}*{{else}} {{end}}{{println .Name}}", "*web.1\n"),
            (r#"{{if eq .Name "api.1" "web.1"}}one of them{{end}}"#, "one of them"),
            (r#"{{printf "%-8s|%q" .Name .Words}}"#, r#"web.1   |"so it is""#),
        ] {
            assert_eq!(rendered(template, task.clone()), text, "{template}");
        }
        assert_eq!(
            rendered("{{json .}}", json!({"b": [1, null], "a": {"x": "<&>"}})),
            r#"{"a":{"x":"<&>"},"b":[1,null]}"#
        );
    }

    #[test]
    fn labels_are_asked_for_by_name() {
        let row = json!({"Name": "web", "Labels": "tier=front", "Label": {"tier": "front", "a.b-c": "1"}});
        for (template, text) in [
            (r#"{{.Label "tier"}}|{{.Label "none"}}|"#, "front||"),
            (
                r#"{{if eq ($.Label "tier" | upper) "FRONT"}}yes{{end}} {{ .Label `a.b-c` }}"#,
                "yes 1",
            ),
            (r#".Label "tier" {{.Labels}}"#, r#".Label "tier" tier=front"#),
        ] {
            assert_eq!(rendered(template, row.clone()), text, "{template}");
        }
        let template: Template = r#"{{.Name}} {{.Label "com.x.my-tier"}}"#.parse().unwrap();
        assert_eq!(template.header(&json!({"Name": "NAME", "Label": {}})).unwrap(), "NAME my tier");
    }

    #[test]
    fn what_is_no_template_or_names_no_field_is_refused() {
        for wrong in ["{{.Name", "{{if}}", "{{.Name}"] {
            let refused = wrong.parse::<Template>().unwrap_err();
            assert!(refused.starts_with("template parsing error: "), "{refused}");
        }
        let template: Template = "{{.Nmae}}".parse().unwrap();
        assert!(template.render(&json!({"Name": "web"})).unwrap_err().contains("Nmae"));
        for wrong in ["{{nosuch .Name}}", "{{pad .Name 1 99999999}}", "{{upper}}", "{{join .Name}}"]
        {
            let template: Template = wrong.parse().unwrap();
            assert!(template.render(&json!({"Name": "web"})).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_an_object_does_not_have_may_be_asked_for_in_an_inspection() {
        let template: Template = "{{.Name}}{{if .Mode.Global}} global{{end}}".parse().unwrap();
        let service = json!({"Name": "web", "Mode": {"Replicated": {"Replicas": 1}}});
        assert_eq!(template.render_sparse(&service).unwrap(), "web");
        let labels: Template = r#"{{index .Labels "x"}} {{.Labels}}"#.parse().unwrap();
        let object = json!({"Labels": {"y": "1", "a": "2"}});
        assert_eq!(labels.render_sparse(&object).unwrap(), " map[a:2 y:1]");
    }
}
