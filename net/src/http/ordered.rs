//! JSON whose maps are in the order of their keys, as Go writes them: the same object has the same bytes each time.
//! The Engine's models hold hash maps, and a hasher's order would otherwise reach people, digests and `diff`.
//! Structs keep the order of their fields, which is that of Docker's structs.

use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};
use serde_json::value::RawValue;

/// A value as JSON text with ordered maps.
pub(crate) fn to_string(value: &impl Serialize) -> serde_json::Result<String> {
    serde_json::to_string(&Ordered(value))
}

/// A value whose maps are written in order.
struct Ordered<'a, T: ?Sized>(&'a T);

impl<T: Serialize + ?Sized> Serialize for Ordered<'_, T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(Ordering(to))
    }
}

/// A serializer that hands everything on, and maps in order; also the parts of compound values on their way.
struct Ordering<S>(S);

/// Hands plain values on as they are.
macro_rules! plain {
    ($($method:ident($($value:ident: $type:ty),*);)*) => {$(
        fn $method(self, $($value: $type),*) -> Result<S::Ok, S::Error> {
            self.0.$method($($value),*)
        }
    )*};
}

impl<S: Serializer> Serializer for Ordering<S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Ordering<S::SerializeSeq>;
    type SerializeTuple = Ordering<S::SerializeTuple>;
    type SerializeTupleStruct = Ordering<S::SerializeTupleStruct>;
    type SerializeTupleVariant = Ordering<S::SerializeTupleVariant>;
    type SerializeMap = Map<S::SerializeMap>;
    type SerializeStruct = Ordering<S::SerializeStruct>;
    type SerializeStructVariant = Ordering<S::SerializeStructVariant>;

    plain! {
        serialize_bool(v: bool);
        serialize_i8(v: i8);
        serialize_i16(v: i16);
        serialize_i32(v: i32);
        serialize_i64(v: i64);
        serialize_u8(v: u8);
        serialize_u16(v: u16);
        serialize_u32(v: u32);
        serialize_u64(v: u64);
        serialize_f32(v: f32);
        serialize_f64(v: f64);
        serialize_char(v: char);
        serialize_str(v: &str);
        serialize_bytes(v: &[u8]);
        serialize_none();
        serialize_unit();
        serialize_unit_struct(name: &'static str);
        serialize_unit_variant(name: &'static str, index: u32, variant: &'static str);
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.0.serialize_some(&Ordered(value))
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        // A raw value is a struct of one field by a private name, which only the inner serializer knows.
        self.0.serialize_newtype_struct(name, &Ordered(value))
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.0.serialize_newtype_variant(name, index, variant, &Ordered(value))
    }
    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, S::Error> {
        self.0.serialize_seq(len).map(Ordering)
    }
    fn serialize_tuple(self, len: usize) -> Result<Self::SerializeTuple, S::Error> {
        self.0.serialize_tuple(len).map(Ordering)
    }
    fn serialize_tuple_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleStruct, S::Error> {
        self.0.serialize_tuple_struct(name, len).map(Ordering)
    }
    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, S::Error> {
        self.0.serialize_tuple_variant(name, index, variant, len).map(Ordering)
    }
    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        // A map knows its length; a struct with flattened fields does not, and keeps its own order.
        let order = len.is_some();
        Ok(Map { to: self.0.serialize_map(len)?, order, key: String::new(), entries: Vec::new() })
    }
    fn serialize_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStruct, S::Error> {
        self.0.serialize_struct(name, len).map(Ordering)
    }
    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, S::Error> {
        self.0.serialize_struct_variant(name, index, variant, len).map(Ordering)
    }
}

/// A map on its way: its entries wait for the last one.
struct Map<M> {
    to: M,
    order: bool,
    key: String,
    entries: Vec<(String, Box<RawValue>)>,
}

impl<M: SerializeMap> SerializeMap for Map<M> {
    type Ok = M::Ok;
    type Error = M::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), M::Error> {
        if !self.order {
            return self.to.serialize_key(key);
        }
        // The key as JSON has it: a string, also of a number.
        let key = serde_json::to_value(key).map_err(serde::ser::Error::custom)?;
        self.key = key.as_str().map_or_else(|| key.to_string(), str::to_owned);
        Ok(())
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), M::Error> {
        if !self.order {
            return self.to.serialize_value(&Ordered(value));
        }
        let raw = serde_json::value::to_raw_value(&Ordered(value));
        let raw = raw.map_err(serde::ser::Error::custom)?;
        self.entries.push((std::mem::take(&mut self.key), raw));
        Ok(())
    }
    fn end(mut self) -> Result<M::Ok, M::Error> {
        self.entries.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (key, value) in &self.entries {
            self.to.serialize_entry(key, value)?;
        }
        self.to.end()
    }
}

/// Hands the parts of a compound value on, their maps in order.
macro_rules! parts {
    ($($trait:ident::$method:ident($($name:ident: $type:ty)?);)*) => {$(
        impl<S: $trait> $trait for Ordering<S> {
            type Ok = S::Ok;
            type Error = S::Error;
            fn $method<T: Serialize + ?Sized>(
                &mut self,
                $($name: $type,)?
                value: &T,
            ) -> Result<(), S::Error> {
                self.0.$method($($name,)? &Ordered(value))
            }
            fn end(self) -> Result<S::Ok, S::Error> {
                self.0.end()
            }
        }
    )*};
}

parts! {
    SerializeSeq::serialize_element();
    SerializeTuple::serialize_element();
    SerializeTupleStruct::serialize_field();
    SerializeTupleVariant::serialize_field();
    SerializeStruct::serialize_field(key: &'static str);
    SerializeStructVariant::serialize_field(key: &'static str);
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[derive(serde::Serialize)]
    struct Shape {
        second: HashMap<String, Option<HashMap<String, u8>>>,
        first: Vec<HashMap<&'static str, bool>>,
        #[serde(flatten)]
        rest: Rest,
    }
    #[derive(serde::Serialize)]
    struct Rest {
        z: u8,
        a: Option<u8>,
    }

    #[test]
    fn maps_are_in_order_at_any_depth_and_structs_as_they_are() {
        let letters = || (b'a'..=b'z').map(|b| (char::from(b).to_string(), b));
        let inner: HashMap<String, u8> = letters().collect();
        let shape = Shape {
            second: letters().map(|(key, _)| (key, Some(inner.clone()))).collect(),
            first: vec![HashMap::from([("y", true), ("x", false), ("w", true)])],
            rest: Rest { z: 1, a: None },
        };
        let text = to_string(&shape).unwrap();
        assert!(text.starts_with(r#"{"second":{"a":{"a":97,"b":98,"#), "{text}");
        assert!(
            text.ends_with(r#""first":[{"w":true,"x":false,"y":true}],"z":1,"a":null}"#),
            "{text}"
        );
        let plain = serde_json::to_value(&shape).unwrap();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), plain);
        assert_eq!(text, to_string(&shape).unwrap());
    }

    #[test]
    fn raw_values_and_keys_that_are_numbers_stay_what_they_are() {
        let raw = RawValue::from_string(r#"{"b": 1, "a": 2}"#.to_owned()).unwrap();
        assert_eq!(to_string(&raw).unwrap(), r#"{"b": 1, "a": 2}"#);
        assert_eq!(
            to_string(&HashMap::from([(10u8, 'x'), (9, 'y')])).unwrap(),
            r#"{"10":"x","9":"y"}"#
        );
    }
}
