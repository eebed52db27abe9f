//! JSON to values.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Expected, MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;

use super::plain_prefix;

/// Arrays and objects within each other; more is refused, because reading them uses the stack.
const MAX_DEPTH: u8 = 64;

/// The text is not JSON, or not JSON of the type asked for. Never holds a part of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadError {
    /// The text is JSON as far as it was read, but of another shape.
    pub is_shape: bool,
    /// Where reading stopped: line, from 1.
    pub line: u32,
    /// Where reading stopped: bytes into the line, from 1.
    pub column: u32,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.is_shape {
            "has an unexpected shape"
        } else {
            "is not valid JSON"
        };
        write!(
            f,
            "the document {what} at line {}, column {}",
            self.line, self.column
        )
    }
}

impl std::error::Error for ReadError {}

/// Reads one value; only whitespace may follow it.
pub fn from_slice<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, ReadError> {
    let text = std::str::from_utf8(bytes);
    let text = text.map_err(|error| place(bytes, error.valid_up_to(), false))?;
    let mut reader = Reader {
        text,
        at: 0,
        depth: 0,
        is_shape: true,
    };
    let value = T::deserialize(&mut reader);
    let value = value.and_then(|value| {
        reader.skip_whitespace();
        if reader.at == reader.text.len() {
            Ok(value)
        } else {
            Err(reader.syntax())
        }
    });
    value.map_err(|Stop| place(bytes, reader.at, reader.is_shape))
}

#[inline(never)]
fn place(bytes: &[u8], at: usize, is_shape: bool) -> ReadError {
    let read = &bytes[..at.min(bytes.len())];
    let line = read.split(|b| *b == b'\n').count();
    let column = read.iter().rev().take_while(|b| **b != b'\n').count() + 1;
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    ReadError {
        is_shape,
        line: number(line),
        column: number(column),
    }
}

/// Reading stopped; the reader knows where and why. Without a size of its own, because every field
/// of every type moves its result past this, and visitors' words quote the text nobody may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stop;

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stopped")
    }
}

impl std::error::Error for Stop {}

impl serde::de::Error for Stop {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
    fn invalid_type(_: Unexpected<'_>, _: &dyn Expected) -> Self {
        Self
    }
    fn invalid_value(_: Unexpected<'_>, _: &dyn Expected) -> Self {
        Self
    }
    fn invalid_length(_: usize, _: &dyn Expected) -> Self {
        Self
    }
    fn unknown_variant(_: &str, _: &'static [&'static str]) -> Self {
        Self
    }
    fn unknown_field(_: &str, _: &'static [&'static str]) -> Self {
        Self
    }
    fn missing_field(_: &'static str) -> Self {
        Self
    }
    fn duplicate_field(_: &'static str) -> Self {
        Self
    }
}

struct Reader<'de> {
    text: &'de str,
    at: usize,
    depth: u8,
    /// A stop is about the shape, unless [`Reader::syntax`] made it.
    is_shape: bool,
}

/// A number of JSON in the smallest type that holds it.
enum Number {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
}

// Not generic and not inlined: every type is read by calls of these.
impl<'de> Reader<'de> {
    fn peek(&self) -> u8 {
        // NUL is nowhere legal outside texts, so it can stand for the end.
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    #[cold]
    fn syntax(&mut self) -> Stop {
        self.is_shape = false;
        Stop
    }

    #[inline(never)]
    fn skip_whitespace(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    /// The first byte of the next value or sign. Compact documents have no whitespace to skip.
    fn next(&mut self) -> u8 {
        let byte = self.peek();
        if byte > b' ' {
            return byte;
        }
        self.skip_whitespace();
        self.peek()
    }

    #[inline(never)]
    fn expect(&mut self, sign: u8) -> Result<(), Stop> {
        if self.next() != sign {
            return Err(self.syntax());
        }
        self.at += 1;
        Ok(())
    }

    #[inline(never)]
    fn word(&mut self, word: &str) -> Result<(), Stop> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.syntax());
        }
        self.at += word.len();
        Ok(())
    }

    /// Begins an array or object.
    #[inline(never)]
    fn open(&mut self, sign: u8) -> Result<(), Stop> {
        if self.next() != sign {
            return Err(self.mismatch());
        }
        if self.depth >= MAX_DEPTH {
            return Err(self.syntax());
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    /// Whether another member comes; otherwise the end was read. `first`: none was read yet.
    #[inline(never)]
    fn more(&mut self, first: &mut bool, close: u8) -> Result<bool, Stop> {
        let next = self.next();
        if next == close {
            self.at += 1;
            self.depth -= 1;
            return Ok(false);
        }
        if !std::mem::take(first) {
            self.expect(b',')?;
        }
        Ok(true)
    }

    /// The next value is not of the type asked for, or is no value.
    fn mismatch(&mut self) -> Stop {
        match self.next() {
            b'{' | b'[' | b'"' | b't' | b'f' | b'n' | b'-' | b'0'..=b'9' => Stop,
            _ => self.syntax(),
        }
    }

    #[inline(never)]
    fn string(&mut self) -> Result<Cow<'de, str>, Stop> {
        if self.next() != b'"' {
            return Err(self.mismatch());
        }
        self.at += 1;
        let mut owned: Option<String> = None;
        loop {
            let start = self.at;
            self.at += plain_prefix(&self.text.as_bytes()[start..]);
            let plain = &self.text[start..self.at];
            match self.peek() {
                b'"' => {
                    self.at += 1;
                    return Ok(match owned {
                        None => Cow::Borrowed(plain),
                        Some(mut text) => {
                            text.push_str(plain);
                            Cow::Owned(text)
                        }
                    });
                }
                b'\\' => {
                    let text = owned.get_or_insert_default();
                    text.push_str(plain);
                    self.at += 1;
                    let escaped = self.escape()?;
                    text.push(escaped);
                }
                _ => return Err(self.syntax()),
            }
        }
    }

    #[inline(never)]
    fn escape(&mut self) -> Result<char, Stop> {
        let sign = self.peek();
        self.at += 1;
        Ok(match sign {
            b'"' | b'\\' | b'/' => char::from(sign),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.hex4()?;
                let code = if (0xD800..0xDC00).contains(&first) {
                    self.word("\\u")?;
                    let second = self.hex4()?;
                    if !(0xDC00..0xE000).contains(&second) {
                        return Err(self.syntax());
                    }
                    0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)
                } else {
                    first
                };
                char::from_u32(code).ok_or_else(|| self.syntax())?
            }
            _ => return Err(self.syntax()),
        })
    }

    fn hex4(&mut self) -> Result<u32, Stop> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = char::from(self.peek()).to_digit(16);
            let digit = digit.ok_or_else(|| self.syntax())?;
            code = code * 16 + digit;
            self.at += 1;
        }
        Ok(code)
    }

    fn digits(&mut self) -> Result<&'de str, Stop> {
        let start = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        if start == self.at {
            Err(self.syntax())
        } else {
            Ok(&self.text[start..self.at])
        }
    }

    #[inline(never)]
    fn number(&mut self) -> Result<Number, Stop> {
        let negative = self.next() == b'-';
        if negative {
            self.at += 1;
        } else if !self.peek().is_ascii_digit() {
            return Err(self.mismatch());
        }
        let whole = self.digits()?;
        if whole.len() > 1 && whole.starts_with('0') {
            return Err(self.syntax());
        }
        let mut exponent = 0_i32;
        let mut fraction = "";
        if self.peek() == b'.' {
            self.at += 1;
            fraction = self.digits()?;
        }
        let is_whole = fraction.is_empty() && !matches!(self.peek(), b'e' | b'E');
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            let sign = self.peek();
            if matches!(sign, b'+' | b'-') {
                self.at += 1;
            }
            let digits = self.digits()?;
            exponent = digits.parse().unwrap_or(i32::from(i16::MAX));
            if sign == b'-' {
                exponent = -exponent;
            }
        }
        if is_whole && let Ok(value) = whole.parse::<u64>() {
            match (negative, i64::try_from(value)) {
                (false, _) => return Ok(Number::Unsigned(value)),
                // JSON's -0 is the float.
                (true, Ok(value)) if value != 0 => return Ok(Number::Signed(-value)),
                _ => {}
            }
        }
        let magnitude = decimal(whole, fraction, exponent);
        if magnitude.is_infinite() {
            return Err(Stop);
        }
        Ok(Number::Float(if negative { -magnitude } else { magnitude }))
    }

    /// Reads a value of any type and forgets it.
    #[inline(never)]
    fn skip(&mut self) -> Result<(), Stop> {
        match self.next() {
            b'"' => self.string().map(|_| ()),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            open @ (b'[' | b'{') => {
                self.open(open)?;
                let (mut first, close) = (true, open + 2);
                while self.more(&mut first, close)? {
                    if open == b'{' {
                        if self.next() != b'"' {
                            return Err(self.syntax());
                        }
                        self.string()?;
                        self.expect(b':')?;
                    }
                    self.skip()?;
                }
                Ok(())
            }
            _ => self.number().map(|_| ()),
        }
    }
}

/// Digits to a float: exact to 15 digits and small exponents, which is more than any number of
/// our wires has; the standard library's exact conversion would weigh more than this module.
fn decimal(whole: &str, fraction: &str, exponent: i32) -> f64 {
    let (mut mantissa, mut scale) = (0.0_f64, exponent);
    let mut count = 0;
    for (digit, is_fraction) in whole
        .bytes()
        .map(|d| (d, false))
        .chain(fraction.bytes().map(|d| (d, true)))
    {
        // Further digits do not change a float, only its size.
        if count < 17 {
            mantissa = mantissa * 10.0 + f64::from(digit - b'0');
            scale -= i32::from(is_fraction);
            count += i32::from(mantissa != 0.0);
        } else if !is_fraction {
            scale = scale.saturating_add(1);
        }
    }
    let mut power = 1.0;
    for _ in 0..scale.unsigned_abs().min(400) {
        power *= 10.0;
    }
    if mantissa == 0.0 {
        0.0
    } else if scale < 0 {
        mantissa / power
    } else {
        mantissa * power
    }
}

fn visit_string<'de, V: Visitor<'de>>(text: Cow<'de, str>, visitor: V) -> Result<V::Value, Stop> {
    match text {
        Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
        Cow::Owned(text) => visitor.visit_string(text),
    }
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Stop;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        match self.next() {
            b'"' => visit_string(self.string()?, visitor),
            b'{' => self.deserialize_map(visitor),
            b'[' => self.deserialize_seq(visitor),
            b't' | b'f' => self.deserialize_bool(visitor),
            b'n' => self.deserialize_unit(visitor),
            _ => self.deserialize_f64(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        let value = match self.next() {
            b't' => self.word("true").map(|()| true),
            b'f' => self.word("false").map(|()| false),
            _ => Err(self.mismatch()),
        };
        visitor.visit_bool(value?)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        match self.number()? {
            Number::Unsigned(value) => visitor.visit_u64(value),
            Number::Signed(value) => visitor.visit_i64(value),
            Number::Float(value) => visitor.visit_f64(value),
        }
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        match self.number()? {
            Number::Unsigned(value) => visitor.visit_u64(value),
            Number::Signed(value) => visitor.visit_i64(value),
            Number::Float(_) => Err(Stop),
        }
    }

    fn deserialize_i8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_i16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visit_string(self.string()?, visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_str(&self.string()?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        if self.next() == b'n' {
            self.word("null")?;
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        if self.next() != b'n' {
            return Err(self.mismatch());
        }
        self.word("null")?;
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.open(b'[')?;
        let mut members = Members {
            reader: self,
            first: true,
            close: b']',
        };
        let value = visitor.visit_seq(&mut members)?;
        members.ended()?;
        Ok(value)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Stop> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.open(b'{')?;
        // A visitor of a map reads to its end.
        visitor.visit_map(Members {
            reader: self,
            first: true,
            close: b'}',
        })
    }

    /// Objects only: a struct is never written as an array here.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.deserialize_map(visitor)
    }

    /// Variants without data, by their name.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        let name = self.string()?;
        match name {
            Cow::Borrowed(name) => visitor.visit_enum(BorrowedStrDeserializer::new(name)),
            // No variant's name needs an escape.
            Cow::Owned(_) => Err(Stop),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.skip()?;
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit_struct tuple_struct
    }
}

/// The members of an array or object.
struct Members<'a, 'de> {
    reader: &'a mut Reader<'de>,
    first: bool,
    close: u8,
}

impl Members<'_, '_> {
    /// A visitor that stopped before the end wanted fewer members.
    fn ended(&mut self) -> Result<(), Stop> {
        // After the end was read, the depth is what it was before; `more` is not asked again.
        if self.close == 0 || !self.reader.more(&mut self.first, self.close)? {
            Ok(())
        } else {
            Err(Stop)
        }
    }
}

impl<'de> SeqAccess<'de> for &mut Members<'_, 'de> {
    type Error = Stop;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Stop> {
        if self.close == 0 {
            return Ok(None);
        }
        if !self.reader.more(&mut self.first, self.close)? {
            self.close = 0;
            return Ok(None);
        }
        seed.deserialize(&mut *self.reader).map(Some)
    }
}

impl<'de> MapAccess<'de> for Members<'_, 'de> {
    type Error = Stop;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Stop> {
        if !self.reader.more(&mut self.first, self.close)? {
            return Ok(None);
        }
        if self.reader.next() != b'"' {
            return Err(self.reader.syntax());
        }
        seed.deserialize(&mut *self.reader).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Stop> {
        self.reader.expect(b':')?;
        seed.deserialize(&mut *self.reader)
    }
}
