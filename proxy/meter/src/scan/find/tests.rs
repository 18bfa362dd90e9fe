use super::*;
use proptest::prelude::*;

/// Bytes among which those that are looked for, their neighbours, and those with the high bit are frequent.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let near = prop::sample::select(b"\"\\!#[]{}09/:\x00\x01\x02\x7f\x80\xa2\xff".to_vec());
    prop::collection::vec(prop_oneof![2 => near, 1 => any::<u8>(), 3 => Just(b'x')], 0..80)
}

proptest! {
    #[test]
    fn it_is_what_is_found_byte_by_byte(bytes in bytes(), from in 0usize..9) {
        let bytes = &bytes[from.min(bytes.len())..];
        let at = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\'));
        prop_assert_eq!(either(b'"', b'\\', bytes), at);
        prop_assert_eq!(end_of_text(bytes), at.filter(|at| bytes[*at] == b'"'));
        let count = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
        prop_assert_eq!(digits(bytes), count);
    }

    #[test]
    fn digits_are_counted_across_words(count in 0usize..40, end in any::<u8>()) {
        prop_assume!(!end.is_ascii_digit());
        let mut bytes = vec![b'7'; count];
        bytes.extend([end, b'1', b'2']);
        prop_assert_eq!(digits(&bytes), count);
    }

    #[test]
    fn sets_and_their_sums_are_exact(word in prop::array::uniform8(prop::sample::select(b"\"\\!#x\x00\x01\x80\xa2".to_vec())), byte in prop::sample::select(b"\"\\\x00x".to_vec())) {
        let set = equal(u64::from_le_bytes(word), byte).to_le_bytes();
        prop_assert_eq!(set, word.map(|other| if other == byte { 0x80 } else { 0 }));
        let sums = sums(u64::from_le_bytes(set)).to_le_bytes();
        for (place, sum) in sums.into_iter().enumerate() {
            prop_assert_eq!(usize::from(sum), word[..=place].iter().filter(|other| **other == byte).count());
        }
        prop_assert_eq!(count(u64::from_le_bytes(set)), u64::from(sums[7]));
    }
}
