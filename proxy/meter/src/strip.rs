//! stub
/// stub
#[derive(Debug, Default)]
pub struct UsageChunkStripper;
impl UsageChunkStripper {
    /// A stripper at the start of a stream.
    pub fn new() -> Self { Self }
    /// Takes the next bytes and appends to `out` what the client may have.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) { out.extend_from_slice(bytes); }
    /// Ends the stream and appends what was still held.
    pub fn finish(self, out: &mut Vec<u8>) { let _ = out; }
}
