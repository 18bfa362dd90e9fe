use super::*;
use proptest::prelude::*;

/// How many bytes a container takes of `input`, in pieces of these sizes, and whether it is over.
fn skip(input: &[u8], sizes: &[usize]) -> (usize, Skip) {
    let mut skip = Skip::new();
    let mut rest = input;
    for size in sizes.iter().cycle() {
        if rest.is_empty() || skip.is_over() {
            break;
        }
        let (piece, more) = rest.split_at((*size).min(rest.len()));
        let left = skip.feed(piece).len();
        rest = &rest[piece.len() - left..];
        assert!(left == 0 || skip.is_over(), "all is taken up to the end");
        assert!(left > 0 || rest == more);
    }
    (input.len() - rest.len(), skip)
}

proptest! {
    /// Pieces of one byte never make a word.
    #[test]
    fn words_and_bytes_agree(input in prop::collection::vec(prop::sample::select(b"{}[]\"\"\\\\ax,:".to_vec()), 0..120), sizes in prop::collection::vec(1usize..30, 1..6)) {
        let by_bytes = skip(&input, &[1]);
        prop_assert_eq!(skip(&input, &[usize::MAX]), by_bytes);
        prop_assert_eq!(skip(&input, &sizes), by_bytes);
    }

    /// `serde_json` as a second opinion.
    #[test]
    fn it_ends_where_the_container_ends(value in super::super::tests::any_json(), tail in "[\\]\\}\",a]{0,12}", size in 1usize..40) {
        let text = serde_json::to_string(&[value]).unwrap();
        let input = format!("{}{tail}", &text[1..]);
        let (taken, end) = skip(input.as_bytes(), &[size]);
        prop_assert!(end.is_over());
        prop_assert_eq!(taken, text.len() - 1);
    }
}

#[test]
fn a_long_string_inside_is_passed_over() {
    let input = format!("\"{}\\\"{}\"]x", "A".repeat(5000), "[".repeat(5000));
    for size in [1, 7, 1400, 100_000] {
        assert_eq!(skip(input.as_bytes(), &[size]).0, input.len() - 1, "{size}");
    }
}
