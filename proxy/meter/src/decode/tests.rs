use super::*;
use std::io::Read;

fn text() -> Vec<u8> {
    (0..4000u32).flat_map(|n| format!("data: {{\"n\":{n}}}\n\n").into_bytes()).collect()
}

fn encoded(encoding: &str, plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match encoding {
        "gzip" => {
            flate2::read::GzEncoder::new(plain, flate2::Compression::fast()).read_to_end(&mut out).unwrap();
        }
        "deflate" => {
            flate2::read::ZlibEncoder::new(plain, flate2::Compression::fast()).read_to_end(&mut out).unwrap();
        }
        "raw" => {
            flate2::read::DeflateEncoder::new(plain, flate2::Compression::fast())
                .read_to_end(&mut out)
                .unwrap();
        }
        "br" => {
            brotli::CompressorReader::new(plain, 4096, 4, 20).read_to_end(&mut out).unwrap();
        }
        "zstd" => out = zstd::encode_all(plain, 3).unwrap(),
        _ => out = plain.to_vec(),
    }
    out
}

fn header(encoding: &str) -> &str {
    if encoding == "raw" { "deflate" } else { encoding }
}

const ALL: [&str; 6] = ["gzip", "deflate", "raw", "br", "zstd", "identity"];

#[test]
fn every_encoding_decodes_whole_and_in_pieces() {
    let plain = text();
    for encoding in ALL {
        let body = encoded(encoding, &plain);
        assert_eq!(decode_body(header(encoding), &body, 1 << 20).unwrap(), plain, "{encoding}");
        for size in [1, 7, 1400] {
            let mut decoder = StreamDecoder::new(header(encoding)).unwrap();
            let mut out = Vec::new();
            for piece in body.chunks(size) {
                decoder.decode(piece, &mut out).unwrap();
            }
            decoder.finish(&mut out).unwrap();
            assert_eq!(out, plain, "{encoding} at {size}");
        }
    }
}

#[test]
fn a_list_is_undone_from_its_end() {
    let plain = text();
    let body = encoded("zstd", &encoded("gzip", &plain));
    assert_eq!(decode_body("GZIP , identity,zstd", &body, 1 << 20).unwrap(), plain);
    assert_eq!(decode_body("gzip,gzip,gzip,gzip", &body, 1 << 20), Err(DecodeError::Unknown));
    assert_eq!(decode_body("compress", &body, 1 << 20), Err(DecodeError::Unknown));
}

#[test]
fn frames_in_a_row_are_one_body() {
    for encoding in ["gzip", "zstd"] {
        let mut body = encoded(encoding, b"one ");
        body.extend(encoded(encoding, b"two"));
        assert_eq!(decode_body(encoding, &body, 100).unwrap(), b"one two", "{encoding}");
    }
}

#[test]
fn each_flush_comes_out_at_once() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut brotli = brotli::CompressorWriter::new(Vec::new(), 4096, 4, 20);
    let mut zstd = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    let mut decoders = [
        StreamDecoder::new("gzip").unwrap(),
        StreamDecoder::new("br").unwrap(),
        StreamDecoder::new("zstd").unwrap(),
    ];
    for event in ["data: one\n\n", "data: two\n\n"] {
        for writer in [&mut gzip as &mut dyn Write, &mut brotli, &mut zstd] {
            writer.write_all(event.as_bytes()).unwrap();
            writer.flush().unwrap();
        }
        let sent = [
            std::mem::take(gzip.get_mut()),
            std::mem::take(brotli.get_mut()),
            std::mem::take(zstd.get_mut()),
        ];
        for (decoder, sent) in decoders.iter_mut().zip(sent) {
            let mut out = Vec::new();
            decoder.decode(&sent, &mut out).unwrap();
            assert_eq!(out, event.as_bytes());
        }
    }
}

#[test]
fn a_bomb_is_an_error_and_stays_one() {
    let zeros = vec![0u8; 64 << 20];
    for encoding in ["gzip", "deflate", "raw", "br", "zstd"] {
        let body = encoded(encoding, &zeros);
        assert_eq!(decode_body(header(encoding), &body, 1 << 20), Err(DecodeError::TooLarge), "{encoding}");
        let mut decoder = StreamDecoder::new(header(encoding)).unwrap();
        let mut out = Vec::new();
        let mut result = Ok(());
        for piece in body.chunks(512) {
            result = decoder.decode(piece, &mut out);
            if result.is_err() {
                break;
            }
        }
        assert_eq!(result, Err(DecodeError::TooLarge), "{encoding}");
        assert!(out.len() < 20 << 20, "{encoding} let {} bytes out", out.len());
        assert_eq!(decoder.decode(b"x", &mut out), Err(DecodeError::TooLarge));
        assert_eq!(decoder.finish(&mut out), Err(DecodeError::TooLarge));
    }
}

#[test]
fn a_bomb_behind_a_long_harmless_start_is_an_error() {
    // What does not compress earns room: one MiB of it, 200 MiB.
    let mut state = 1u64;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    });
    let clear: Vec<u8> = noise.take(1 << 20).chain(std::iter::repeat_n(0, 64 << 20)).collect();
    for encoding in ["gzip", "br", "zstd"] {
        let mut decoder = StreamDecoder::new(header(encoding)).unwrap();
        let mut out = Vec::new();
        let body = encoded(encoding, &clear);
        assert_eq!(decoder.decode(&body, &mut out), Err(DecodeError::TooLarge), "{encoding}");
        assert!(out.len() <= 16 << 20, "{encoding} let {} bytes out", out.len());
    }
}

#[test]
fn cut_and_corrupt_bodies_are_errors() {
    let plain = text();
    for encoding in ["gzip", "deflate", "raw", "br", "zstd"] {
        let body = encoded(encoding, &plain);
        let cut = decode_body(header(encoding), &body[..body.len() / 2], 1 << 20);
        assert!(cut.is_err(), "{encoding} cut");
        let mut garbage = body.clone();
        garbage.extend_from_slice(b"garbage behind the end");
        let _ = decode_body(header(encoding), &garbage, 1 << 20);
        assert!(
            decode_body(header(encoding), b"data: {}\n\ndata: {}\n\n", 1 << 20).is_err(),
            "{encoding} plain"
        );
    }
    assert_eq!(decode_body("gzip", b"", 100), Ok(Vec::new()));
}
