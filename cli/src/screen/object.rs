//! Inspected objects: an array of indented JSON, one line of JSON, or a template's text for each.
//! Apart from lists, because an object has fields within fields, and some of them only now and then.

use std::str::FromStr;

use serde::Serialize as _;
use serde_json::Value;

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

pub(super) fn render(shape: &Shape, objects: &[Value]) -> Result<String, Failure> {
    match shape {
        Shape::Indented => Ok(indented(objects) + "\n"),
        Shape::Json => Ok(format!("{}\n", Value::from(objects))),
        Shape::Lines(template) => objects
            .iter()
            .map(|object| Ok(template.render_sparse(object).map_err(Failure::Usage)? + "\n"))
            .collect(),
    }
}

fn indented(objects: &[Value]) -> String {
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    objects.serialize(&mut serializer).expect("a JSON value is JSON");
    String::from_utf8(bytes).expect("JSON is UTF-8")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_in_all_their_forms() {
        let objects = [json!({"ID": "a0", "Spec": {"Labels": {"x": "1"}}}), json!({"ID": "b1"})];
        let shown = |shape: &str, objects: &[Value]| {
            render(&shape.parse().unwrap(), objects).unwrap_or_else(|failure| failure.to_string())
        };
        expect![[r#"
            [
                {
                    "ID": "a0",
                    "Spec": {
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
            [{"ID":"a0","Spec":{"Labels":{"x":"1"}}},{"ID":"b1"}]
        "#]]
        .assert_eq(&shown("json", &objects));
        expect![[r#"
            a0 1
        "#]]
        .assert_eq(&shown(r#"{{.ID}} {{index .Spec.Labels "x"}}"#, &objects[..1]));
        expect![[r#"
            []
        "#]]
        .assert_eq(&shown("", &[]));
    }
}
