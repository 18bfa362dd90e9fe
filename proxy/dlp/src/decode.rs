//! Content encodings around a body: undone while it flows, bounded.
//!
//! Invariant: what comes out is at most [`MAX_RATIO`] times what went in beyond a free part, and at most the limit.

use hudson_meter::{DecodeError, StreamDecoder};

/// How many bytes may come out of one byte in, beyond [`FREE`].
const MAX_RATIO: usize = 100;
/// Bytes that may come out whatever went in.
const FREE: usize = 4 << 20;
/// Bytes that a body may decode to, unless the caller says otherwise.
pub const MAX_OUTPUT: usize = 64 << 20;
/// Bytes that are decoded at a time, so that a bomb is noticed early.
const STEP: usize = 4 << 10;

/// Why a body cannot be scanned.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unscannable {
    /// Hudson does not know the encoding.
    #[error("the content-encoding is not one of gzip, deflate, br, zstd, identity")]
    Encoding,
    /// The bytes are not in the encoding that was declared.
    #[error("the body is not in its declared encoding: {0}")]
    Corrupt(DecodeError),
    /// It decodes to more than the limit, or to suspiciously much.
    #[error("the body decodes to more than {MAX_RATIO} times its size or to more than the limit")]
    Bomb,
}

/// Undoes the encodings of one body.
#[derive(Debug)]
pub struct Transport {
    decoder: StreamDecoder,
    read: usize,
    written: usize,
}

impl Transport {
    /// For the value of a `content-encoding` header; an empty one and `identity` change nothing.
    pub fn new(encoding: &str) -> Result<Self, Unscannable> {
        Self::with_limit(encoding, MAX_OUTPUT)
    }

    /// The same with another limit on what comes out, in bytes.
    pub fn with_limit(encoding: &str, limit: usize) -> Result<Self, Unscannable> {
        let decoder = StreamDecoder::with_limit(encoding, limit as u64).map_err(|_| Unscannable::Encoding)?;
        Ok(Self { decoder, read: 0, written: 0 })
    }

    /// Takes the next bytes and hands what they decode to on, piece by piece.
    pub fn feed(&mut self, bytes: &[u8], mut out: impl FnMut(&[u8])) -> Result<(), Unscannable> {
        if self.decoder.is_identity() {
            out(bytes);
            return Ok(());
        }
        let mut decoded = Vec::new();
        for step in bytes.chunks(STEP) {
            decoded.clear();
            self.decoder.decode(step, &mut decoded).map_err(failed)?;
            self.read += step.len();
            self.written += decoded.len();
            if self.written > FREE + self.read * MAX_RATIO {
                return Err(Unscannable::Bomb);
            }
            out(&decoded);
        }
        Ok(())
    }

    /// Ends the body: hands on what was left; an error if it was cut short.
    pub fn finish(&mut self, mut out: impl FnMut(&[u8])) -> Result<(), Unscannable> {
        let mut decoded = Vec::new();
        self.decoder.finish(&mut decoded).map_err(failed)?;
        out(&decoded);
        Ok(())
    }
}

fn failed(error: DecodeError) -> Unscannable {
    match error {
        DecodeError::TooLarge => Unscannable::Bomb,
        error => Unscannable::Corrupt(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn decoded(encoding: &str, body: &[u8], chunk: usize) -> Result<Vec<u8>, Unscannable> {
        let mut transport = Transport::new(encoding)?;
        let mut out = Vec::new();
        for piece in body.chunks(chunk) {
            transport.feed(piece, |bytes| out.extend_from_slice(bytes))?;
        }
        transport.finish(|bytes| out.extend_from_slice(bytes))?;
        Ok(out)
    }

    #[test]
    fn every_encoding_is_undone_at_any_chunk() {
        let plain: Vec<u8> = (0..20_000u32).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
        let mut brotli = Vec::new();
        brotli::CompressorWriter::new(&mut brotli, 4096, 5, 20).write_all(&plain).unwrap();
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        zlib.write_all(&plain).unwrap();
        let bodies = [
            ("gzip", gzip(&plain)),
            ("deflate", zlib.finish().unwrap()),
            ("br", brotli),
            ("zstd", zstd::encode_all(&*plain, 3).unwrap()),
            ("", plain.clone()),
        ];
        for (encoding, body) in bodies {
            for chunk in [1, 7, 1400, usize::MAX] {
                assert_eq!(decoded(encoding, &body, chunk).unwrap(), plain, "{encoding} by {chunk}");
            }
        }
    }

    #[test]
    fn bombs_are_stopped() {
        let bomb = gzip(&vec![0; 128 << 20]);
        assert!(bomb.len() < 256 << 10);
        assert_eq!(decoded("gzip", &bomb, usize::MAX), Err(Unscannable::Bomb));
        let twice = gzip(&bomb);
        assert_eq!(decoded("gzip, gzip", &twice, 1400), Err(Unscannable::Bomb));
        let zstd = zstd::encode_all(&*vec![0; 128 << 20], 19).unwrap();
        assert_eq!(decoded("zstd", &zstd, usize::MAX), Err(Unscannable::Bomb));
    }

    #[test]
    fn what_cannot_be_read_says_so() {
        assert_eq!(decoded("compress", b"", 1), Err(Unscannable::Encoding));
        assert!(matches!(decoded("gzip", b"not gzip at all", 3), Err(Unscannable::Corrupt(_))));
        let body = gzip(b"cut short");
        assert!(matches!(decoded("gzip", &body[..body.len() - 3], 3), Err(Unscannable::Corrupt(_))));
    }
}
