//! The one spelling of a number: that of ECMAScript, but for integers that a double does not hold.

/// Beyond this magnitude, 2^53, doubles do not hold every integer.
const EXACT_DIGITS: &[u8] = b"9007199254740992";

/// Whether this is a number by the grammar of JSON: `01`, `0.` and `.5` are none.
fn is_number(text: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let unsigned = text.strip_prefix(b"-").unwrap_or(text);
    let whole = digits(unsigned);
    let mut rest = &unsigned[whole..];
    let mut is_valid = whole == 1 || (whole > 1 && unsigned[0] != b'0');
    if let Some(fraction) = rest.strip_prefix(b".") {
        let length = digits(fraction);
        is_valid &= length > 0;
        rest = &fraction[length..];
    }
    if let Some(power) = rest.strip_prefix(b"e").or(rest.strip_prefix(b"E")) {
        let power = power.strip_prefix(b"+").or(power.strip_prefix(b"-")).unwrap_or(power);
        let length = digits(power);
        is_valid &= length > 0;
        rest = &power[length..];
    }
    is_valid && rest.is_empty()
}

/// Appends a number as ECMAScript writes it, with its exact digits where a double does not hold them; `None` if it is none.
pub(super) fn write_number(number: &[u8], out: &mut Vec<u8>) -> Option<()> {
    if !is_number(number) {
        return None;
    }
    if number.len() <= 15 && number.iter().all(u8::is_ascii_digit) {
        out.extend_from_slice(number);
        return Some(());
    }
    let text = std::str::from_utf8(number).ok()?;
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    // Short enough for every sum below; a longer exponent stands for itself.
    let Some(exponent) = exponent.parse::<i64>().ok().filter(|exponent| exponent.unsigned_abs() < 1 << 60) else {
        out.extend_from_slice(number);
        return Some(());
    };
    let (is_negative, digits, point) = decimal(mantissa, exponent)?;
    let is_exact = point > 16 || (point == 16 && digits.as_bytes() > EXACT_DIGITS);
    if is_exact {
        lay_out(is_negative, &digits, point, out);
        return Some(());
    }
    // The shortest digits that read back as the same double, and of two such the even ones, as ECMAScript demands;
    // Rust's own formatting rounds ties up.
    let shortest = serde_json::to_string(&text.parse::<f64>().ok()?.abs()).ok()?;
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let (_, digits, point) = decimal(mantissa, exponent.parse().ok()?)?;
    lay_out(is_negative, &digits, point, out);
    Some(())
}

/// The number as `0.digits * 10^point`, its digits without zeros at either end; no digits are zero.
fn decimal(mantissa: &str, exponent: i64) -> Option<(bool, String, i64)> {
    let (is_negative, unsigned) = mantissa.strip_prefix('-').map_or((false, mantissa), |rest| (true, rest));
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let all = [whole, fraction].concat();
    let digits = all.trim_start_matches('0');
    let zeros = i64::try_from(all.len() - digits.len()).ok()?;
    let point = i64::try_from(whole.len()).ok()? - zeros + exponent;
    Some((is_negative, digits.trim_end_matches('0').to_owned(), point))
}

/// ECMA-262, `Number::toString`, steps 2 to 13, with `digits` for its s and k, and `point` for its n.
fn lay_out(is_negative: bool, digits: &str, point: i64, out: &mut Vec<u8>) {
    let Some(first) = digits.get(..1) else {
        out.push(b'0');
        return;
    };
    if is_negative {
        out.push(b'-');
    }
    let count = digits.len();
    let text = match usize::try_from(point) {
        Ok(whole @ 1..=21) if count <= whole => format!("{digits}{}", "0".repeat(whole - count)),
        Ok(whole @ 1..=21) => format!("{}.{}", &digits[..whole], &digits[whole..]),
        Err(_) if point >= -5 => format!("0.{}{digits}", "0".repeat(usize::try_from(-point).unwrap_or(0))),
        Ok(0) => format!("0.{digits}"),
        _ => {
            let dot = if count > 1 { "." } else { "" };
            format!("{first}{dot}{}e{:+}", &digits[1..], point - 1)
        }
    };
    out.extend_from_slice(text.as_bytes());
}
