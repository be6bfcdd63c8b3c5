//! Texts from JavaScript, read into memory that is used again, and texts for it.

use std::cell::RefCell;
use std::ops::Deref;
use std::ptr;

use napi::bindgen_prelude::{FromNapiValue, TypeName, ValidateNapiValue};
use napi::{Status, ValueType, check_status, sys};

/// Texts up to this long find their memory ready.
const READY: usize = 64 << 10;

/// As many as one call has texts.
const KEPT: usize = 4;

thread_local! {
    static BUFFERS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A text that is read and then let go of.
pub struct Text(String);

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.0).into_bytes();
        BUFFERS.with_borrow_mut(|kept| {
            // Not one that was moved out of, nor a long one.
            if (READY..2 * READY).contains(&buffer.capacity()) && kept.len() < KEPT {
                kept.push(buffer);
            }
        });
    }
}

impl TypeName for Text {
    fn type_name() -> &'static str {
        "String"
    }

    fn value_type() -> ValueType {
        ValueType::String
    }
}

impl ValidateNapiValue for Text {}

impl FromNapiValue for Text {
    unsafe fn from_napi_value(env: sys::napi_env, value: sys::napi_value) -> napi::Result<Self> {
        let mut bytes = BUFFERS.with_borrow_mut(Vec::pop).unwrap_or_else(|| Vec::with_capacity(READY));
        bytes.clear();
        let mut length = 0;
        // SAFETY: the buffer is as long as is said; what is written is within it.
        check_status!(unsafe {
            sys::napi_get_value_string_utf8(env, value, bytes.as_mut_ptr().cast(), bytes.capacity(), &raw mut length)
        })?;
        // Where there was no room for one more character, there may be more text.
        if length + 4 >= bytes.capacity() {
            let mut needed = 0;
            // SAFETY: without a buffer, only the length is asked for.
            check_status!(unsafe { sys::napi_get_value_string_utf8(env, value, ptr::null_mut(), 0, &raw mut needed) })?;
            // Two of them would be there while one is made longer, and this one is empty.
            bytes = Vec::with_capacity(needed + 1);
            // SAFETY: as above.
            check_status!(unsafe {
                sys::napi_get_value_string_utf8(
                    env,
                    value,
                    bytes.as_mut_ptr().cast(),
                    bytes.capacity(),
                    &raw mut length,
                )
            })?;
        }
        // SAFETY: Node has written so many bytes.
        unsafe { bytes.set_len(length) };
        // Whatever the text, it is UTF-8 that was asked for.
        Ok(Self(
            String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
        ))
    }
}

impl Text {
    /// The text itself, without a copy if it is long.
    pub fn into_string(mut self) -> String {
        if self.0.len() < READY / 2 { self.0.clone() } else { std::mem::take(&mut self.0) }
    }
}

/// A request as the face gives it (`js/spelling.ts`): a text, and long strings that are not copied into it.
pub struct Spoken {
    pub text: Text,
    pub long: Vec<Long>,
}

/// A long string of JavaScript's, for as long as the call from there lasts.
pub struct Long {
    env: sys::napi_env,
    value: sys::napi_value,
    /// Bytes of its UTF-8.
    pub length: usize,
}

impl Long {
    fn new(env: sys::napi_env, value: sys::napi_value) -> napi::Result<Self> {
        let mut length = 0;
        // SAFETY: without a buffer, only the length is asked for; what is no string is refused.
        check_status!(unsafe { sys::napi_get_value_string_utf8(env, value, ptr::null_mut(), 0, &raw mut length) })?;
        Ok(Self { env, value, length })
    }

    /// Appends it; `None` if Node does not give it.
    pub fn append(self, out: &mut Vec<u8>) -> Option<()> {
        let start = out.len();
        out.reserve(self.length + 1);
        let room = out.spare_capacity_mut();
        let mut length = 0;
        // SAFETY: the room is as long as is said; what is written is within it.
        let status = unsafe {
            sys::napi_get_value_string_utf8(
                self.env,
                self.value,
                room.as_mut_ptr().cast(),
                self.length + 1,
                &raw mut length,
            )
        };
        (status == sys::Status::napi_ok).then(|| {
            // SAFETY: Node has written so many bytes.
            unsafe { out.set_len(start + length) };
        })
    }
}

impl TypeName for Spoken {
    fn type_name() -> &'static str {
        "String | Array"
    }

    fn value_type() -> ValueType {
        ValueType::Unknown
    }
}

impl ValidateNapiValue for Spoken {}

impl FromNapiValue for Spoken {
    unsafe fn from_napi_value(env: sys::napi_env, value: sys::napi_value) -> napi::Result<Self> {
        // SAFETY: as Node has given it.
        let alone = unsafe { Text::from_napi_value(env, value) };
        if let Err(error) = &alone
            && error.status == Status::StringExpected
        {
            let mut length = 0;
            // SAFETY: as above; what is no array is refused.
            check_status!(unsafe { sys::napi_get_array_length(env, value, &raw mut length) })?;
            let item = |place| {
                let mut item = ptr::null_mut();
                // SAFETY: as above.
                check_status!(unsafe { sys::napi_get_element(env, value, place, &raw mut item) })?;
                Ok::<_, napi::Error>(item)
            };
            // SAFETY: as above.
            let text = unsafe { Text::from_napi_value(env, item(0)?) }?;
            let long = (1..length).map(|place| Long::new(env, item(place)?));
            return Ok(Self { text, long: long.collect::<napi::Result<_>>()? });
        }
        Ok(Self { text: alone?, long: Vec::new() })
    }
}

/// A JavaScript string.
///
/// # Errors
/// If it is longer than a string can be.
pub fn string(env: sys::napi_env, text: &str, is_ascii: bool) -> napi::Result<sys::napi_value> {
    let (mut value, length) = (ptr::null_mut(), text.len().cast_signed());
    // SAFETY: the bytes are there, and are copied. ASCII is Latin-1, which needs no decoding.
    check_status!(unsafe {
        if is_ascii {
            sys::napi_create_string_latin1(env, text.as_ptr().cast(), length, &raw mut value)
        } else {
            sys::napi_create_string_utf8(env, text.as_ptr().cast(), length, &raw mut value)
        }
    })?;
    Ok(value)
}
