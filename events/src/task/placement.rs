//! Where a task may run and where it would rather: the conditions, as users write them. Who checks them is `plan/schedule`.

use std::fmt;
use std::str::FromStr;

/// A condition a node has to meet: `node.labels.disk==ssd`.
#[derive(
    Clone,
    Debug,
    PartialEq,
    Eq,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Constraint {
    /// What is looked at: `node.role`, `node.labels.disk`, ….
    pub key: String,
    /// Whether it has to be the value, or must not be.
    pub operator: Operator,
    /// The value; letters compare without case.
    pub value: String,
}

/// How a constraint compares.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    serde::Serialize,
    serde::Deserialize,
)]
pub enum Operator {
    /// `==`
    Is,
    /// `!=`
    IsNot,
}

/// Why a text is no constraint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid constraint {0:?}: write KEY==VALUE or KEY!=VALUE, such as node.labels.disk==ssd")]
pub struct InvalidConstraint(String);

impl FromStr for Constraint {
    type Err = InvalidConstraint;
    /// Swarm's form: a key of letters, digits, `.`, `-`, `_`; the first `==` or `!=` parts it from the value.
    fn from_str(text: &str) -> Result<Self, InvalidConstraint> {
        let invalid = || InvalidConstraint(text.chars().take(128).collect());
        let is = text.find("==").map(|at| (at, Operator::Is));
        let is_not = text.find("!=").map(|at| (at, Operator::IsNot));
        let (at, operator) =
            [is, is_not].into_iter().flatten().min_by_key(|(at, _)| *at).ok_or_else(invalid)?;
        let (key, value) = (text[..at].trim(), text[at + 2..].trim());
        let in_key = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'/');
        let in_value = |c: char| !c.is_control() && c != '=';
        if key.is_empty() || value.is_empty() || !key.bytes().all(in_key) {
            return Err(invalid());
        }
        if !value.chars().all(in_value) {
            return Err(invalid());
        }
        Ok(Self { key: key.to_owned(), operator, value: value.to_owned() })
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operator = match self.operator {
            Operator::Is => "==",
            Operator::IsNot => "!=",
        };
        write!(f, "{}{operator}{}", self.key, self.value)
    }
}

/// Tasks are spread evenly over the values of a label, `node.labels.zone`.
#[derive(
    Clone,
    Debug,
    PartialEq,
    Eq,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Spread {
    /// The label, with its realm: `node.labels.…` or `engine.labels.…`.
    pub over: String,
}

/// Where tasks may run and where they would rather.
#[derive(
    Clone,
    Debug,
    Default,
    PartialEq,
    Eq,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Placement {
    /// All of these have to be met.
    pub constraints: Vec<Constraint>,
    /// The first counts most.
    pub preferences: Vec<Spread>,
    /// Most tasks of the service on one node; zero means no limit.
    pub max_per_node: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints_are_read_as_they_are_written() {
        for text in ["node.role==manager", "node.labels.a.b/c!=d e", "node.ip==10.0.0.0/8"] {
            assert_eq!(text.parse::<Constraint>().unwrap().to_string(), text);
        }
        let spaced: Constraint = " node.hostname == web-1 ".parse().unwrap();
        assert_eq!(spaced.to_string(), "node.hostname==web-1");
        for text in ["", "==x", "node.role==", "node.role=manager", "node role==x", "a==b==c"] {
            assert!(text.parse::<Constraint>().is_err(), "{text}");
        }
    }
}
