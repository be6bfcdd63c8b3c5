//! Texts from JavaScript, read into memory that is used again, and texts for it.

use std::cell::RefCell;
use std::ops::Deref;
use std::ptr;

use napi::bindgen_prelude::{FromNapiValue, TypeName, ValidateNapiValue};
use napi::{ValueType, check_status, sys};

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
            if buffer.capacity() <= READY && kept.len() < KEPT {
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
            bytes.reserve(needed + 1);
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
