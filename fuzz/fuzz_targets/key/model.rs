//! What a JSON text means: a value whose equality is that of docs/cache.md, chosen by the bytes of the fuzzer.

use std::collections::BTreeMap;

use libfuzzer_sys::arbitrary::Unstructured;

/// Text as UTF-16 code units, which may be lone surrogates.
pub type Text = Vec<u16>;

/// The members of an object, by name.
pub type Object = BTreeMap<Text, Json>;

/// A JSON value.
#[derive(Clone, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    Number(Number),
    Text(Text),
    List(Vec<Json>),
    Object(Object),
}

/// `digits * 10^exponent`, exactly; the digits have no zeros at either end, and zero has none.
#[derive(Clone)]
pub struct Number {
    pub is_negative: bool,
    pub digits: String,
    pub exponent: i64,
}

/// What a number is compared as.
#[derive(PartialEq)]
enum Value {
    /// Up to 2^53 in magnitude: the nearest double.
    Double(f64),
    /// Beyond it: every digit.
    Exact(bool, String, i64),
}

impl Number {
    /// From any digits.
    pub fn new(is_negative: bool, digits: &str, exponent: i64) -> Self {
        let whole = digits.trim_start_matches('0');
        let digits = whole.trim_end_matches('0');
        let exponent = exponent + i64::try_from(whole.len() - digits.len()).expect("short");
        Self { is_negative, digits: digits.to_owned(), exponent }
    }

    fn value(&self) -> Value {
        const LIMIT: u128 = 1 << 53;
        let length = i64::try_from(self.digits.len()).expect("short");
        let is_beyond = !self.digits.is_empty()
            && match length + self.exponent {
                ..16 => false,
                16 => {
                    let (whole, fraction) = self.digits.split_at(self.digits.len().min(16));
                    let whole: u128 = format!("{whole:0<16}").parse().expect("digits");
                    whole > LIMIT || (whole == LIMIT && !fraction.is_empty())
                }
                17.. => true,
            };
        if is_beyond {
            return Value::Exact(self.is_negative, self.digits.clone(), self.exponent);
        }
        let sign = if self.is_negative { "-" } else { "" };
        // Equality of doubles takes -0 for 0.
        Value::Double(format!("{sign}0{}e{}", self.digits, self.exponent).parse().expect("a number"))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.value() == other.value()
    }
}

/// Choices that the fuzzer's bytes make; when they are used up, always the first one.
pub struct Choices<'a>(Unstructured<'a>);

impl<'a> Choices<'a> {
    pub fn new(data: &'a [u8]) -> Self {
        Self(Unstructured::new(data))
    }

    /// A number from 0 on, below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.0.int_in_range(0..=end - 1).unwrap_or(0)
    }

    pub fn flag(&mut self) -> bool {
        self.below(2) == 1
    }

    pub fn of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    fn bits(&mut self) -> u64 {
        self.0.arbitrary().unwrap_or(0)
    }

    /// The body of a request; its names are whole characters, as only those can be read.
    pub fn body(&mut self, known: &[&str]) -> Object {
        let mut body = Object::new();
        for _ in 0..self.below(5) {
            let name = match self.below(4) {
                0 => self.of(known).encode_utf16().collect(),
                1 => self.of(&["messages", "temperature", "input"]).encode_utf16().collect(),
                _ => String::from_utf16_lossy(&self.text()).encode_utf16().collect(),
            };
            let value = self.value(4);
            body.insert(name, value);
        }
        body
    }

    /// A value of at most this many levels, or inside of many arrays.
    fn value(&mut self, levels: usize) -> Json {
        let kinds = if levels == 0 { 6 } else { 9 };
        match self.below(kinds) {
            0 => Json::Null,
            1 => Json::Bool(self.flag()),
            2 | 3 => Json::Number(self.number()),
            4 | 5 => Json::Text(self.text()),
            6 => Json::List((0..self.below(5)).map(|_| self.value(levels - 1)).collect()),
            7 => Json::Object((0..self.below(5)).map(|_| (self.text(), self.value(levels - 1))).collect()),
            _ => (0..self.below(110)).fold(self.value(0), |inside, _| Json::List(vec![inside])),
        }
    }

    fn number(&mut self) -> Number {
        let is_negative = self.flag();
        let exponent = self.below(9) as i64 - 4;
        match self.below(7) {
            0 => Number::new(is_negative, &self.below(20).to_string(), 0),
            1 => Number::new(is_negative, &self.below(200).to_string(), exponent),
            2 => Number::new(is_negative, &(self.bits() >> self.below(64)).to_string(), exponent),
            // Around 2^53, where doubles begin to miss integers.
            3 => Number::new(is_negative, &((1_u64 << 53) - 8 + self.below(17) as u64).to_string(), 0),
            // Half-way between doubles, or nearly.
            4 => Number::new(is_negative, &format!("{}5", (1_u64 << 52) + self.bits() % (1 << 52)), -1),
            5 => {
                let double = f64::from_bits(self.bits()).abs();
                if !double.is_finite() {
                    return Number::new(is_negative, "1", 0);
                }
                let text = format!("{double:e}");
                let (mantissa, power) = text.split_once('e').expect("an exponent");
                let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
                let power: i64 = power.parse().expect("a number");
                Number::new(is_negative, &[whole, fraction].concat(), power - fraction.len() as i64)
            }
            _ => {
                let digits: String = (0..1 + self.below(40)).map(|_| self.of(&['0', '1', '4', '5', '9'])).collect();
                Number::new(is_negative, &digits, self.below(800) as i64 - 400)
            }
        }
    }

    fn text(&mut self) -> Text {
        (0..self.below(6))
            .map(|_| match self.below(4) {
                0 => self.of(&[0x61, 0x62, 0x63]),
                1 => self.of(&[0x00, 0x08, 0x09, 0x0a, 0x0c, 0x0d, 0x1f, 0x22, 0x2f, 0x5c, 0x75, 0x7f]),
                // What UTF-8 and UTF-16 order differently, and surrogates, alone or together.
                2 => self.of(&[0xd7ff, 0xd800, 0xd83d, 0xdbff, 0xdc00, 0xde00, 0xdfff, 0xe000, 0xfeff, 0xffff]),
                _ => self.bits() as u16,
            })
            .collect()
    }

    /// Changes one thing in a value, or replaces it.
    fn change(&mut self, value: &mut Json) {
        let is_replaced = self.below(8) == 0;
        match value {
            _ if is_replaced => *value = self.value(2),
            Json::Null => *value = Json::Bool(false),
            Json::Bool(flag) => *flag = !*flag,
            Json::Number(number) => self.change_number(number),
            Json::Text(text) => self.change_text(text),
            Json::List(items) => match self.below(4) {
                0 => drop(items.pop()),
                1 => items.push(self.value(1)),
                2 => items.reverse(),
                _ if items.is_empty() => items.push(Json::Null),
                _ => {
                    let index = self.below(items.len());
                    self.change(&mut items[index]);
                }
            },
            Json::Object(object) => self.change_object(object, false),
        }
    }

    /// Changes a member; the names of a body, `is_body`, are whole characters.
    pub fn change_object(&mut self, object: &mut Object, is_body: bool) {
        let whole = |name: Text| match is_body {
            true => String::from_utf16_lossy(&name).encode_utf16().collect(),
            false => name,
        };
        match self.below(6) {
            0 => drop(object.pop_last()),
            1 => {
                let (name, value) = (whole(self.text()), self.value(1));
                object.insert(name, value);
            }
            2 if !object.is_empty() => {
                let (mut name, value) = object.pop_first().expect("it is there");
                self.change_text(&mut name);
                object.insert(whole(name), value);
            }
            _ if object.is_empty() => drop(object.insert(vec![0x61], Json::Null)),
            _ => {
                let index = self.below(object.len());
                self.change(object.values_mut().nth(index).expect("it is there"));
            }
        }
    }

    fn change_text(&mut self, text: &mut Text) {
        match self.below(4) {
            0 => drop(text.pop()),
            1 => text.extend(self.text()),
            2 => text.reverse(),
            _ if text.is_empty() => text.push(0),
            _ => {
                let index = self.below(text.len());
                text[index] ^= 1 << self.below(16);
            }
        }
    }

    /// Often to the neighbour, which may be the same double.
    fn change_number(&mut self, number: &mut Number) {
        let Number { is_negative, digits, exponent } = number.clone();
        *number = match self.below(5) {
            0 => Number::new(!is_negative, &digits, exponent),
            1 => Number::new(is_negative, &digits, exponent + 1),
            2 => Number::new(is_negative, &format!("{digits}1"), exponent - 1),
            3 => Number::new(is_negative, &digits[..digits.len().saturating_sub(1)], exponent + 1),
            _ => self.number(),
        };
    }
}
