//! JSON text written in the field order the real providers use.
//!
//! `serde_json::json!` sorts object keys. The proxy under test scans streams for markers such as
//! `{"type":"message_start"` and must be measured against bytes laid out as the provider lays them
//! out, so answers are written with [`object!`] instead.

use serde_json::Value;

/// Finished JSON text.
#[derive(Debug, Clone)]
pub(crate) struct Raw(pub(crate) String);

/// JSON `null`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Null;

/// An empty JSON array.
pub(crate) const EMPTY: [Null; 0] = [];

/// Something that can append itself as JSON text.
pub(crate) trait ToJson {
    fn put(&self, out: &mut String);
}

impl ToJson for Raw {
    fn put(&self, out: &mut String) {
        out.push_str(&self.0);
    }
}

impl ToJson for Null {
    fn put(&self, out: &mut String) {
        out.push_str("null");
    }
}

impl ToJson for str {
    fn put(&self, out: &mut String) {
        // Writing a string cannot fail; `null` keeps the text valid JSON all the same.
        out.push_str(&serde_json::to_string(self).unwrap_or_else(|_| "null".to_owned()));
    }
}

impl ToJson for String {
    fn put(&self, out: &mut String) {
        self.as_str().put(out);
    }
}

impl ToJson for Value {
    fn put(&self, out: &mut String) {
        out.push_str(&self.to_string());
    }
}

impl<T: ToJson + ?Sized> ToJson for &T {
    fn put(&self, out: &mut String) {
        (**self).put(out);
    }
}

impl<T: ToJson> ToJson for Option<T> {
    fn put(&self, out: &mut String) {
        match self {
            Some(value) => value.put(out),
            None => Null.put(out),
        }
    }
}

impl<T: ToJson> ToJson for [T] {
    fn put(&self, out: &mut String) {
        out.push('[');
        for (index, value) in self.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            value.put(out);
        }
        out.push(']');
    }
}

impl<T: ToJson> ToJson for Vec<T> {
    fn put(&self, out: &mut String) {
        self.as_slice().put(out);
    }
}

impl<T: ToJson, const N: usize> ToJson for [T; N] {
    fn put(&self, out: &mut String) {
        self.as_slice().put(out);
    }
}

macro_rules! plain {
    ($($kind:ty),*) => {$(
        impl ToJson for $kind {
            fn put(&self, out: &mut String) {
                out.push_str(&self.to_string());
            }
        }
    )*};
}
plain!(bool, u16, u32, u64, usize);

impl ToJson for f32 {
    fn put(&self, out: &mut String) {
        // Debug keeps the ".0" of whole numbers, as the providers do.
        out.push_str(&format!("{self:?}"));
    }
}

/// Appends one member to an object that was opened with `{`.
pub(crate) fn field(out: &mut String, name: &str, value: &dyn ToJson) {
    if out.len() > 1 {
        out.push(',');
    }
    name.put(out);
    out.push(':');
    value.put(out);
}

/// `object! { "id": id, "usage": usage }` → [`Raw`] with the members in the order written.
macro_rules! object {
    ($($name:literal : $value:expr),* $(,)?) => {{
        let mut out = String::from("{");
        $( $crate::json::field(&mut out, $name, &$value); )*
        out.push('}');
        $crate::json::Raw(out)
    }};
}
pub(crate) use object;
