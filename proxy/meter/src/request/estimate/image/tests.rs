use super::*;

/// The beginning of a file, and its size.
type Head = (&'static [u8], Option<(u64, u64)>);

const HEADS: &[Head] = &[
    (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x02\x80\0\0\x01\xe0\x08", Some((640, 480))),
    (b"GIF89a\x40\x01\xf0\x00\xf7", Some((320, 240))),
    (b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9d\x01\x2a\x80\x02\xe0\x01", Some((640, 480))),
    (b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f\x7f\xc2\x77\x00", Some((640, 480))),
    (b"RIFF\0\0\0\0WEBPVP8X\0\0\0\0\0\0\0\0\x7f\x02\0\xdf\x01\0", Some((640, 480))),
    // Behind an application's segment, fill bytes and a table.
    (
        b"\xff\xd8\xff\xe0\0\x06JFIF\xff\xff\xdb\0\x03\0\xff\xc2\0\x11\x08\x01\xe0\x02\x80\x03",
        Some((640, 480)),
    ),
    // A Huffman table's marker looks like a frame's.
    (b"\xff\xd8\xff\xc4\0\x09\0\0\0\0\0\0\0\xff\xc0\0\x11\x08\x01\xe0\x02\x80\x03", Some((640, 480))),
    (b"\xff\xd8\xff\xda\0\x03\0", None),
    (b"\xff\xd8\xff\xe0\xff\xff", None),
    (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\0\0\0\x01\xe0", None),
    (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xff\xff\xff\xff\0\0\x01\xe0", None),
    (b"BM\0\0\0\0", None),
    (b"", None),
];

#[test]
fn the_size_of_every_format_is_read_from_its_first_bytes() {
    for (head, expected) in HEADS {
        assert_eq!(size(head), *expected, "{head:?}");
    }
}

#[test]
fn a_file_cut_off_anywhere_has_no_size_or_the_true_one() {
    for (head, expected) in HEADS {
        for length in 0..head.len() {
            let found = size(&head[..length]);
            assert!(found.is_none() || found == *expected, "{:?}: {found:?}", &head[..length]);
        }
    }
}

#[test]
fn no_image_is_more_than_the_largest_of_its_model() {
    let models = [
        "gpt-4o",
        "gpt-4o-mini",
        "gpt-5.4",
        "o4-mini",
        "claude-sonnet-4-6",
        "claude-x",
        "gemini-2.5-pro",
        "x",
    ];
    for model in models {
        let eyes = Eyes::of(Dialect::Chat, Some(model));
        for (width, height) in
            [(1, 1), (1, 1 << 20), (1 << 20, 1 << 20), (385, 3), (2_049, 513), (40_000, 600)]
        {
            for detail in [Detail::Unsaid, Detail::Low, Detail::Original] {
                let tokens = eyes.tokens(Image { size: Some((width, height)), detail });
                assert!((1..=eyes.most(detail)).contains(&tokens), "{model}: {width} × {height} is {tokens}");
            }
        }
    }
}
