//! Lists in every form a user may ask for: aligned columns, ids, JSON, a template, columns made by a template.
//! One place, so that a command says only which fields its noun has, and all forms follow from that.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use super::table;
use super::template::Template;
use crate::failure::Failure;

/// The field by which templates ask for one label.
const LABEL: &str = "Label";

/// One field of a noun: its name in JSON and templates, which is Docker's, and its header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    field: &'static str,
    header: &'static str,
    shown: bool,
}

impl Column {
    /// A field that the table shows.
    pub(crate) const fn new(field: &'static str, header: &'static str) -> Self {
        Self { field, header, shown: true }
    }

    /// A field that only JSON and templates have.
    pub(crate) const fn extra(field: &'static str, header: &'static str) -> Self {
        Self { field, header, shown: false }
    }
}

/// One value of one row; most read the same everywhere.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    value: Value,
    whole: Option<Value>,
    marked: Option<String>,
    labels: Option<Value>,
}

impl<T: Into<Value>> From<T> for Cell {
    fn from(value: T) -> Self {
        Self { value: value.into(), whole: None, marked: None, labels: None }
    }
}

impl Cell {
    /// An id: its first characters unless `whole`, in JSON always all of it, because programs compare it.
    pub(crate) fn id(id: &str, whole: bool) -> Self {
        Self::from(super::human::short(id, whole)).whole(id)
    }

    /// Labels, sorted; a template may ask for one of them: `{{.Label "tier"}}`.
    pub(crate) fn labels<'a>(labels: impl IntoIterator<Item = (&'a String, &'a String)>) -> Self {
        let labels: BTreeMap<&String, &String> = labels.into_iter().collect();
        let pairs: Vec<String> =
            labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let each = labels.iter().map(|(key, value)| ((*key).clone(), (*value).clone().into()));
        Self { labels: Some(Value::Object(each.collect())), ..Self::from(pairs.join(",")) }
    }

    /// The same, but JSON has this.
    pub(crate) fn whole(self, value: impl Into<Value>) -> Self {
        Self { whole: Some(value.into()), ..self }
    }

    /// The same, but the table without a template shows this.
    pub(crate) fn marked(self, text: impl Into<String>) -> Self {
        Self { marked: Some(text.into()), ..self }
    }

    fn text(&self) -> String {
        match &self.value {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                other.to_string()
            }
        }
    }
}

/// The form of a list.
#[derive(Clone, Debug, Default)]
pub(crate) enum Form {
    /// Aligned columns under upper-case headers.
    #[default]
    Table,
    /// One JSON object a line, with Docker's field names.
    Json,
    /// A template's columns, aligned under the headers of the fields it names: `table {{.ID}}\t{{.Name}}`.
    Columns(Template),
    /// A template's text for each row, a line each.
    Lines(Template),
}

impl FromStr for Form {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "table" | "" => return Ok(Self::Table),
            "json" | "{{json .}}" => return Ok(Self::Json),
            _ => {}
        }
        match text.strip_prefix("table ") {
            Some(columns) => columns.trim_start().parse().map(Self::Columns),
            None if text.contains("{{") => text.parse().map(Self::Lines),
            None => Err("a format is table, json, or a template like '{{.ID}}' or 'table {{.ID}}\\t{{.Name}}'".into()),
        }
    }
}

/// Text of a list. `-q` is the table of ids alone; a form the user names goes before it, as in Docker's client.
pub(super) fn render<const N: usize>(
    form: &Form,
    quiet: bool,
    columns: &[Column; N],
    rows: &[[Cell; N]],
) -> Result<String, Failure> {
    match form {
        Form::Table if quiet => Ok(ids(columns, rows)),
        Form::Table => Ok(plain(columns, rows)),
        Form::Json => Ok(rows
            .iter()
            .map(|row| {
                let value = |cell: &Cell| cell.whole.clone().unwrap_or_else(|| cell.value.clone());
                format!("{}\n", object(columns, row.iter().map(value)))
            })
            .collect()),
        Form::Columns(template) => {
            let mut headers = object(columns, columns.iter().map(|column| column.header.into()));
            headers[LABEL] = Value::Null;
            let header = template.header(&headers).map_err(|error| unknown(error, columns))?;
            let lines = lines(template, columns, rows, printable)?;
            let cells = lines.iter().flat_map(|line| line.split('\n')).map(cut).collect::<Vec<_>>();
            let header = cut(&header);
            let header: Vec<&str> = header.iter().map(String::as_str).collect();
            Ok(table::render(&header, cells.iter().map(|row| &row[..])))
        }
        Form::Lines(template) => Ok(lines(template, columns, rows, Value::clone)?
            .iter()
            .map(|line| format!("{line}\n"))
            .collect()),
    }
}

/// The field a script takes: the id, or the name of what has none.
fn ids<const N: usize>(columns: &[Column; N], rows: &[[Cell; N]]) -> String {
    let place = |field| columns.iter().position(|column| column.field == field);
    let key = place("ID").or_else(|| place("Name")).expect("every noun has an ID or a Name");
    rows.iter().map(|row| format!("{}\n", row[key].text())).collect()
}

fn plain<const N: usize>(columns: &[Column; N], rows: &[[Cell; N]]) -> String {
    let headers: Vec<&str> =
        columns.iter().filter(|column| column.shown).map(|column| column.header).collect();
    let cells = |row: &[Cell; N]| {
        let shown = columns.iter().zip(row).filter(|(column, _)| column.shown);
        shown.map(|(_, cell)| cell.marked.clone().unwrap_or_else(|| cell.text())).collect()
    };
    let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
    table::render(&headers, rows.iter().map(|row| &row[..]))
}

fn lines<const N: usize>(
    template: &Template,
    columns: &[Column; N],
    rows: &[[Cell; N]],
    seen: fn(&Value) -> Value,
) -> Result<Vec<String>, Failure> {
    let line = |row: &[Cell; N]| {
        let mut fields = object(columns, row.iter().map(|cell| seen(&cell.value)));
        if let Some(labels) = row.iter().find_map(|cell| cell.labels.as_ref()) {
            fields[LABEL] = seen(labels);
        }
        template.render(&fields).map_err(|error| unknown(error, columns))
    };
    rows.iter().map(line).collect()
}

fn object(columns: &[Column], values: impl Iterator<Item = Value>) -> Value {
    columns.iter().map(|column| column.field.to_owned()).zip(values).collect()
}

/// The same without tabulators and line ends in its texts, which would break the columns.
pub(super) fn printable(value: &Value) -> Value {
    match value {
        Value::String(text) => table::printable(text).into(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), printable(value))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => value.clone(),
    }
}

fn cut(line: &str) -> Vec<String> {
    line.split('\t').map(str::to_owned).collect()
}

/// A template that a list cannot fill: most often a field it does not have, so the fields are named.
fn unknown(error: impl fmt::Display, columns: &[Column]) -> Failure {
    let fields: Vec<String> = columns.iter().map(|column| format!(".{}", column.field)).collect();
    Failure::Usage(format!("{error}\nhint: the fields are {}", fields.join(", ")))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    const COLUMNS: [Column; 3] =
        [Column::new("ID", "THING ID"), Column::new("Name", "NAME"), Column::extra("Self", "SELF")];

    fn shown(form: &str, quiet: bool) -> String {
        let row = |id: &str, name: &str, own: bool| {
            let id = Cell::id(id, false);
            [if own { id.marked("me") } else { id }, name.into(), own.into()]
        };
        let rows = [row("a0a0a0a0a0a0a0a0", "web", true), row("b1b1b1b1b1b1b1b1", "a\tb", false)];
        match render(&form.parse().unwrap(), quiet, &COLUMNS, &rows) {
            Ok(text) => text,
            Err(failure) => format!("{failure}\nexit {}\n", failure.exit_code()),
        }
    }

    #[test]
    fn one_list_in_all_its_forms() {
        let forms = [
            ("table", false),
            ("table", true),
            ("json", true),
            ("{{json .}}", false),
            ("{{.Name}}{{if .Self}} *{{end}}", true),
            (r"table {{.Name | upper}}\t{{.ID}}", false),
            (r"table {{.Name}}\t{{.Nmae}}", false),
        ];
        let all: String = forms
            .iter()
            .map(|(form, quiet)| format!("> {form}\n{}", shown(form, *quiet)))
            .collect();
        expect![[r#"
            > table
            THING ID       NAME
            me             web
            b1b1b1b1b1b1   a\tb
            > table
            a0a0a0a0a0a0
            b1b1b1b1b1b1
            > json
            {"ID":"a0a0a0a0a0a0a0a0","Name":"web","Self":true}
            {"ID":"b1b1b1b1b1b1b1b1","Name":"a\tb","Self":false}
            > {{json .}}
            {"ID":"a0a0a0a0a0a0a0a0","Name":"web","Self":true}
            {"ID":"b1b1b1b1b1b1b1b1","Name":"a\tb","Self":false}
            > {{.Name}}{{if .Self}} *{{end}}
            web *
            a	b
            > table {{.Name | upper}}\t{{.ID}}
            NAME      THING ID
            WEB       a0a0a0a0a0a0
            A\TB      b1b1b1b1b1b1
            > table {{.Name}}\t{{.Nmae}}
            map has no entry for key: Nmae
            hint: the fields are .ID, .Name, .Self
            exit 125
        "#]]
        .assert_eq(&all);
    }
}
