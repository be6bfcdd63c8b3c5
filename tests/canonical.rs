//! Fears about the canonical spelling of JSON: that one value has two spellings, or two values have one.

use thryd::cache::canonical_json;

fn canonical(text: &str) -> String {
    String::from_utf8(canonical_json(text)).unwrap()
}

#[test]
fn the_rfc_s_own_example_comes_out_as_the_rfc_says() {
    let text = r#"{ "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false] }"#;
    let expected = r#"{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}"#;
    assert_eq!(canonical(text), expected);
}

#[test]
fn names_are_sorted_by_utf_16_code_units() {
    let text = r#"{"\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\ud83d\ude00":5,"\u0080":6,"\u00f6":7,"":8,"11":9}"#;
    let expected =
        "{\"\":8,\"\\r\":2,\"1\":4,\"11\":9,\"\u{80}\":6,\"\u{f6}\":7,\"\u{20ac}\":1,\"\u{1f600}\":5,\"\u{fb33}\":3}";
    assert_eq!(canonical(text), expected);
}

/// RFC 8785, appendix B.
const NUMBERS: &[(u64, &str)] = &[
    (0x0000_0000_0000_0000, "0"),
    (0x8000_0000_0000_0000, "0"),
    (0x0000_0000_0000_0001, "5e-324"),
    (0x8000_0000_0000_0001, "-5e-324"),
    (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
    (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
    (0x4340_0000_0000_0000, "9007199254740992"),
    (0xc340_0000_0000_0000, "-9007199254740992"),
    (0x4430_0000_0000_0000, "295147905179352830000"),
    (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
    (0x44b5_2d02_c7e1_4af6, "1e+23"),
    (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
    (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
    (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
    (0x444b_1ae4_d6e2_ef50, "1e+21"),
    (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
    (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
    (0x41b3_de43_5555_5553, "333333333.3333332"),
    (0x41b3_de43_5555_5554, "333333333.33333325"),
    (0x41b3_de43_5555_5555, "333333333.3333333"),
    (0x41b3_de43_5555_5556, "333333333.3333334"),
    (0x41b3_de43_5555_5557, "333333333.33333343"),
    (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
    (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
];

#[test]
fn numbers_are_written_as_ecmascript_writes_them() {
    for (bits, expected) in NUMBERS {
        let number = f64::from_bits(*bits);
        for spelling in [format!("{number:e}"), format!("{number}"), format!("{number:E}"), format!("{number:?}")] {
            assert_eq!(canonical(&spelling), *expected, "{spelling}");
        }
    }
}

#[test]
fn big_integers_are_not_taken_for_their_neighbours() {
    for (text, expected) in [
        ("9007199254740991", "9007199254740991"),
        ("9007199254740993", "9007199254740993"),
        ("-9007199254740993", "-9007199254740993"),
        ("900719925474099300e-2", "9007199254740993"),
        ("18446744073709551617", "18446744073709551617"),
        ("123456789012345678901", "123456789012345678901"),
        ("1234567890123456789012", "1.234567890123456789012e+21"),
        ("1000000000000000000000", "1e+21"),
        ("1e400", "1e+400"),
        ("1e-400", "0"),
        ("-0.0e5", "0"),
        ("1e99999999999999999999", "1e99999999999999999999"),
        ("-0", "0"),
        ("1E-9223372036854775808", "1E-9223372036854775808"),
    ] {
        assert_eq!(canonical(text), expected, "{text}");
    }
}

#[test]
fn a_lone_surrogate_stays_what_it_is() {
    assert_eq!(
        canonical(r#"["\uD800","\udFfF","\uD83D\uDE00","\ud800\ud83d\ude00","\\ud800"]"#),
        "[\"\\ud800\",\"\\udfff\",\"😀\",\"\\ud800😀\",\"\\\\ud800\"]"
    );
}

#[test]
fn of_a_name_that_stands_twice_the_last_counts() {
    assert_eq!(canonical(r#"{"b":1,"a":1,"\u0061":2,"a":3}"#), r#"{"a":3,"b":1}"#);
}
#[test]
fn what_is_not_json_stands_for_itself() {
    for text in [
        "",
        "{",
        "[1,",
        "nul",
        "1 2",
        "\"a",
        "{\"a\" 1}",
        "[}",
        "\"\\x\"",
        "\"\\u12\"",
        "-",
        "1e",
        "\u{feff}1",
        "]",
        "}",
    ] {
        assert_eq!(canonical(text), text);
    }
}
