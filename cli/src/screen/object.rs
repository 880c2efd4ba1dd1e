//! Inspected objects: an array of indented JSON, one line of JSON, or a template's text for each.
//! Apart from lists, because an object has fields within fields, and some of them only now and then.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde_json::value::RawValue;

use super::template::Template;
use crate::failure::Failure;

/// The form of inspected objects.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    /// An array of JSON indented by four spaces, as Docker's.
    Indented,
    /// The same array in one line.
    Json,
    /// A template's text for each object, a line each.
    Lines(Template),
}

impl FromStr for Shape {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "" => Ok(Self::Indented),
            "json" => Ok(Self::Json),
            template => template.parse().map(Self::Lines),
        }
    }
}

pub(super) fn render(shape: &Shape, objects: &[Box<RawValue>]) -> Result<String, Failure> {
    match shape {
        Shape::Indented => Ok(indented(&array(objects)) + "\n"),
        Shape::Json => Ok(compact(&array(objects)) + "\n"),
        Shape::Lines(template) => objects.iter().map(|object| line(template, object)).collect(),
    }
}

fn array(objects: &[Box<RawValue>]) -> String {
    let texts: Vec<&str> = objects.iter().map(|object| object.get()).collect();
    format!("[{}]", texts.join(","))
}

/// A template sorts the keys of what it gets, so JSON alone is taken from the object as it came.
fn line(template: &Template, object: &RawValue) -> Result<String, Failure> {
    if let Some(part) = template.json_of().and_then(|path| part(object, path)) {
        return Ok(compact(part.get()) + "\n");
    }
    let value = serde_json::from_str(object.get()).expect("it was read as JSON");
    Ok(template.render_sparse(&value).map_err(Failure::Usage)? + "\n")
}

/// The field of a field of an object, if it has it.
fn part<'a>(object: &'a RawValue, mut path: impl Iterator<Item = &'a str>) -> Option<&'a RawValue> {
    path.try_fold(object, |object, field| {
        let fields: BTreeMap<String, &RawValue> = serde_json::from_str(object.get()).ok()?;
        fields.get(field).copied()
    })
}

fn indented(json: &str) -> String {
    written(json, serde_json::ser::PrettyFormatter::with_indent(b"    "))
}

fn compact(json: &str) -> String {
    written(json, serde_json::ser::CompactFormatter)
}

/// The same JSON in another form; its keys keep their order, which is that of Docker's structs.
fn written(json: &str, formatter: impl serde_json::ser::Formatter) -> String {
    let mut bytes = Vec::new();
    let mut reader = serde_json::Deserializer::from_str(json);
    let mut writer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    serde_transcode::transcode(&mut reader, &mut writer).expect("it was read as JSON");
    String::from_utf8(bytes).expect("JSON is UTF-8")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn objects_in_all_their_forms() {
        let objects = [
            r#"{"ID":"a0","Created":"now","Spec":{"Name":"n","Labels":{"x":"1"}}}"#,
            r#"{"ID":"b1"}"#,
        ]
        .map(|text| RawValue::from_string(text.to_owned()).unwrap());
        let shown = |shape: &str, objects: &[Box<RawValue>]| {
            render(&shape.parse().unwrap(), objects).unwrap_or_else(|failure| failure.to_string())
        };
        expect![[r#"
            [
                {
                    "ID": "a0",
                    "Created": "now",
                    "Spec": {
                        "Name": "n",
                        "Labels": {
                            "x": "1"
                        }
                    }
                },
                {
                    "ID": "b1"
                }
            ]
        "#]]
        .assert_eq(&shown("", &objects));
        expect![[r#"
            [{"ID":"a0","Created":"now","Spec":{"Name":"n","Labels":{"x":"1"}}},{"ID":"b1"}]
        "#]]
        .assert_eq(&shown("json", &objects));
        expect![[r#"
            a0 1
        "#]]
        .assert_eq(&shown(r#"{{.ID}} {{index .Spec.Labels "x"}}"#, &objects[..1]));
        let json = |format| shown(format, &objects[..1]);
        assert_eq!(json("{{json .Spec}}"), "{\"Name\":\"n\",\"Labels\":{\"x\":\"1\"}}\n");
        assert_eq!(json("{{ json .Spec.Name }}"), "\"n\"\n");
        assert_eq!(json("{{json .}}"), format!("{}\n", objects[0].get()));
        assert_eq!(json("{{json .Nothing}}"), "null\n");
        expect![[r#"
            []
        "#]]
        .assert_eq(&shown("", &[]));
    }
}
