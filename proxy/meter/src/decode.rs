//! Content encodings (RFC 9110 section 8.4): gzip (RFC 1952), deflate (zlib, RFC 1950, and the raw RFC 1951 that some
//! servers send), br (RFC 7932) and zstd (RFC 8878), alone or as a list.
//!
//! Owns the limits against bombs. Invariants: decoding is incremental, so that each flush of the sender comes out as
//! soon as its bytes are in; what comes out of one call is bounded by the bytes that went in.

use std::io::{self, Write};

/// Output that is allowed whatever the input was, in bytes.
const FREE_OUTPUT: u64 = 4 << 20;
/// Beyond [`FREE_OUTPUT`], how many bytes may come out of one byte in. Recorded streams reach 20; deflate cannot pass
/// 1,032.
const MAX_RATIO: u64 = 200;
/// The most that may come out of one call, in bytes: a bomb behind a long harmless start would have the whole room that
/// the start has earned at once.
const MAX_AT_ONCE: u64 = 16 << 20;
/// The most a stream may decode to, in bytes.
const MAX_OUTPUT: u64 = 4 << 30;
/// zstd's window in powers of two; 8 MiB is the most a sender may ask for (RFC 9659).
const ZSTD_WINDOW_LOG: u32 = 23;
/// Longest list of encodings that is followed.
const MAX_LAYERS: usize = 3;
/// Size of the decoders' inner buffers, in bytes.
const BUFFER: usize = 8 << 10;

/// A content encoding that cannot be undone.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// An encoding Hudson does not know, or a list longer than three.
    #[error("the content-encoding is not one of gzip, deflate, br, zstd, identity")]
    Unknown,
    /// The bytes are not in the encoding that was declared.
    #[error("the body is not valid {0}")]
    Corrupt(&'static str),
    /// The body ended in the middle of the encoding.
    #[error("the {0} body is cut short")]
    Truncated(&'static str),
    /// More came out than the limit allows.
    #[error("the body decodes to more than the limit")]
    TooLarge,
}

/// Decodes a whole body. `encoding` is the header's value; `limit` is the most bytes that may come out.
pub fn decode_body(encoding: &str, body: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
    let mut decoder = StreamDecoder::with_limit(encoding, limit as u64)?;
    let mut out = Vec::with_capacity(body.len().min(limit));
    decoder.decode(body, &mut out)?;
    decoder.finish(&mut out)?;
    Ok(out)
}

/// Decodes a body piece by piece.
pub struct StreamDecoder {
    /// In the order in which they are undone: last applied first.
    layers: Vec<Layer>,
    read: u64,
    written: u64,
    limit: u64,
    /// What all output together may be when this call ends.
    ceiling: u64,
    /// Whether [`MAX_RATIO`] and [`MAX_AT_ONCE`] apply; a whole body with a limit of its own does not need them.
    ratio: bool,
    failed: Option<DecodeError>,
}

impl StreamDecoder {
    /// A decoder for the value of a `content-encoding` header; an empty value and `identity` change nothing.
    pub fn new(encoding: &str) -> Result<Self, DecodeError> {
        Self::build(encoding, MAX_OUTPUT, true)
    }

    /// A decoder that lets at most `limit` bytes out.
    pub fn with_limit(encoding: &str, limit: u64) -> Result<Self, DecodeError> {
        Self::build(encoding, limit, false)
    }

    /// Whether the bytes come out as they go in.
    pub fn is_identity(&self) -> bool {
        self.layers.is_empty()
    }

    /// Takes the next bytes and appends what they decode to. After an error every call fails with the same error.
    pub fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        self.read = self.read.saturating_add(input.len() as u64);
        self.ceiling = self.written.saturating_add(MAX_AT_ONCE);
        let result = self.run(0, input, out);
        self.remember(result)
    }

    /// Ends the body: appends what was left and fails if the encoding was cut short.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        // An empty body has no encoding to be cut short in.
        if self.read == 0 {
            return Ok(());
        }
        self.ceiling = self.written.saturating_add(MAX_AT_ONCE);
        let mut result = Ok(());
        for index in 0..self.layers.len() {
            let budget = self.budget();
            let Some(layer) = self.layers.get_mut(index) else { break };
            result = layer.finish(budget).and_then(|bytes| self.run(index + 1, &bytes, out));
            if result.is_err() {
                break;
            }
        }
        self.remember(result)
    }

    fn build(encoding: &str, limit: u64, ratio: bool) -> Result<Self, DecodeError> {
        let mut layers = Vec::new();
        for name in encoding.split(',').map(str::trim) {
            if name.is_empty() || name.eq_ignore_ascii_case("identity") {
                continue;
            }
            if layers.len() == MAX_LAYERS {
                return Err(DecodeError::Unknown);
            }
            layers.push(Layer::new(name)?);
        }
        layers.reverse();
        Ok(Self { layers, read: 0, written: 0, limit, ceiling: 0, ratio, failed: None })
    }

    /// Passes `input` through the layers from `index` on.
    fn run(&mut self, index: usize, input: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
        if index >= self.layers.len() {
            self.written = self.written.saturating_add(input.len() as u64);
            if self.written > self.allowed() {
                return Err(DecodeError::TooLarge);
            }
            out.extend_from_slice(input);
            return Ok(());
        }
        let budget = self.budget();
        let Some(layer) = self.layers.get_mut(index) else { return Ok(()) };
        let bytes = layer.decode(input, budget)?;
        if bytes.is_empty() { Ok(()) } else { self.run(index + 1, &bytes, out) }
    }

    /// What all output together may be, after the input so far.
    fn allowed(&self) -> u64 {
        match self.ratio {
            true => {
                let earned = FREE_OUTPUT.max(self.read.saturating_mul(MAX_RATIO));
                self.limit.min(earned).min(self.ceiling)
            }
            false => self.limit,
        }
    }

    /// What one more call may let out.
    fn budget(&self) -> usize {
        usize::try_from(self.allowed().saturating_sub(self.written)).unwrap_or(usize::MAX)
    }

    fn remember(&mut self, result: Result<(), DecodeError>) -> Result<(), DecodeError> {
        if let Err(error) = &result {
            self.failed = Some(error.clone());
        }
        result
    }
}

impl std::fmt::Debug for StreamDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamDecoder").field("read", &self.read).field("written", &self.written).finish()
    }
}

/// One encoding.
enum Layer {
    /// `deflate` until its first two bytes tell zlib from raw.
    Undecided(Vec<u8>),
    Open(&'static str, Box<dyn Undo>),
}

/// A decoder that writes what it decodes to a [`Sink`].
trait Undo: Write + Send {
    fn sink(&mut self) -> &mut Sink;
    /// Fails when the encoding is not at its end.
    fn end(&mut self) -> io::Result<()>;
}

impl Layer {
    fn new(name: &str) -> Result<Self, DecodeError> {
        let sink = Sink::default();
        match name.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => Ok(Self::Open("gzip", Box::new(flate2::write::MultiGzDecoder::new(sink)))),
            "deflate" => Ok(Self::Undecided(Vec::new())),
            "br" => Ok(Self::Open("br", Box::new(brotli::DecompressorWriter::new(sink, BUFFER)))),
            "zstd" => {
                let corrupt = |_| DecodeError::Corrupt("zstd");
                let mut decoder = zstd::stream::write::Decoder::new(sink).map_err(corrupt)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(corrupt)?;
                Ok(Self::Open("zstd", Box::new(decoder)))
            }
            _ => Err(DecodeError::Unknown),
        }
    }

    /// What `input` decodes to, at most `room` bytes.
    fn decode(&mut self, input: &[u8], room: usize) -> Result<Vec<u8>, DecodeError> {
        match self {
            Self::Undecided(seen) => {
                seen.extend_from_slice(input);
                let Some(head) = seen.first_chunk::<2>() else { return Ok(Vec::new()) };
                let decoder: Box<dyn Undo> = match is_zlib(*head) {
                    true => Box::new(flate2::write::ZlibDecoder::new(Sink::default())),
                    false => Box::new(flate2::write::DeflateDecoder::new(Sink::default())),
                };
                let seen = std::mem::take(seen);
                *self = Self::Open("deflate", decoder);
                self.decode(&seen, room)
            }
            Self::Open(name, decoder) => {
                decoder.sink().room = room;
                let result = decoder.write_all(input).and_then(|()| decoder.flush());
                taken(result, decoder.sink(), DecodeError::Corrupt(name))
            }
        }
    }

    /// What was still inside, at most `room` bytes; an error when the encoding is not at its end.
    fn finish(&mut self, room: usize) -> Result<Vec<u8>, DecodeError> {
        match self {
            Self::Undecided(_) => Err(DecodeError::Truncated("deflate")),
            Self::Open(name, decoder) => {
                decoder.sink().room = room;
                let result = decoder.end();
                taken(result, decoder.sink(), DecodeError::Truncated(name))
            }
        }
    }
}

/// Where the decoders write to: closes itself when `room` is used up, so that a bomb stops after one inner buffer.
#[derive(Default)]
struct Sink {
    bytes: Vec<u8>,
    room: usize,
    over: bool,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.room {
            self.over = true;
            return Err(io::Error::other("over the limit"));
        }
        self.room -= bytes.len();
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn taken(result: io::Result<()>, sink: &mut Sink, fault: DecodeError) -> Result<Vec<u8>, DecodeError> {
    match result {
        Ok(()) => Ok(std::mem::take(&mut sink.bytes)),
        Err(_) if sink.over => Err(DecodeError::TooLarge),
        Err(_) => Err(fault),
    }
}

/// Whether a deflate decoder is behind its last block: only then it takes no further byte. Its own `try_finish` is
/// content with less.
fn at_end(decoder: &mut impl Write) -> io::Result<()> {
    match decoder.write(&[0])? {
        0 => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Whether two bytes are a zlib header: method 8 and a check sum over both (RFC 1950 section 2.2).
fn is_zlib([method, flags]: [u8; 2]) -> bool {
    method & 0x0f == 8 && u16::from_be_bytes([method, flags]) % 31 == 0
}

impl Undo for flate2::write::MultiGzDecoder<Sink> {
    fn sink(&mut self) -> &mut Sink {
        self.get_mut()
    }
    fn end(&mut self) -> io::Result<()> {
        self.try_finish()
    }
}

impl Undo for flate2::write::ZlibDecoder<Sink> {
    fn sink(&mut self) -> &mut Sink {
        self.get_mut()
    }
    fn end(&mut self) -> io::Result<()> {
        at_end(self)
    }
}

impl Undo for flate2::write::DeflateDecoder<Sink> {
    fn sink(&mut self) -> &mut Sink {
        self.get_mut()
    }
    fn end(&mut self) -> io::Result<()> {
        at_end(self)
    }
}

impl Undo for brotli::DecompressorWriter<Sink> {
    fn sink(&mut self) -> &mut Sink {
        self.get_mut()
    }
    fn end(&mut self) -> io::Result<()> {
        self.close()
    }
}

impl Undo for zstd::stream::write::Decoder<'static, Sink> {
    fn sink(&mut self) -> &mut Sink {
        self.get_mut()
    }
    fn end(&mut self) -> io::Result<()> {
        self.do_finish()
    }
}

#[cfg(test)]
mod tests;
