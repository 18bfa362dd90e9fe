//! An HTTP/1.1 answer read by hand, and what tests ask of one.

use std::io::{self, Read};

use bytes::Bytes;
use serde_json::Value;

/// One answer, of either protocol.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn of(parts: &http::response::Parts, body: Bytes) -> Self {
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = parts.headers.iter().map(|(name, value)| (name.to_string(), text(value)));
        Self { status: parts.status.as_u16(), headers: headers.collect(), body: body.to_vec() }
    }

    /// A header by its lower-case name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {self}"))
    }

    /// What `/echo` saw of a request header.
    pub(crate) fn echoed(&self, name: &str) -> Vec<String> {
        let told = self.json();
        let headers = told["headers"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        headers.iter().filter(|pair| pair[0] == name).map(|pair| text(&pair[1])).collect()
    }

    /// Ends the test unless the upstream has answered.
    #[track_caller]
    pub(crate) fn passed(self) -> Self {
        assert_eq!((self.status, self.header("x-hudson-refusal")), (200, None), "{self}");
        self
    }

    /// Ends the test unless this is that refusal.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status, self.header("x-hudson-refusal")), (status, Some(code)), "{self}");
        self
    }

    /// Ends the test unless the body has this text.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.text().contains(text), "{text:?} is not in {self}");
        self
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}\n{}", self.status, self.headers, self.text())
    }
}

/// Reads one answer; `bare` when it has no body whatever its headers say.
pub(crate) fn read_answer(stream: &mut impl Read, bare: bool) -> io::Result<Answer> {
    let head = until(stream, b"\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let status: u16 = status.ok_or_else(|| io::Error::other(format!("no status line: {head}")))?;
    let mut answer = Answer { status, headers: lines.filter_map(header_line).collect(), body: Vec::new() };
    // An answer to CONNECT has a body only when it is a refusal.
    if (bare && status == 200) || matches!(status, 101 | 204 | 304) {
        return Ok(answer);
    }
    if answer.header("transfer-encoding").is_some_and(|coding| coding.contains("chunked")) {
        let trailers = chunks(stream, &mut answer.body)?;
        answer.headers.extend(trailers.lines().filter_map(header_line));
    } else if let Some(length) = answer.header("content-length") {
        answer.body = vec![0; length.parse().map_err(io::Error::other)?];
        stream.read_exact(&mut answer.body)?;
    } else {
        stream.read_to_end(&mut answer.body)?;
    }
    Ok(answer)
}

fn header_line(line: &str) -> Option<(String, String)> {
    line.split_once(": ").map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
}

/// Reads chunks into `body`; the trailers behind them.
fn chunks(stream: &mut impl Read, body: &mut Vec<u8>) -> io::Result<String> {
    loop {
        let line = until(stream, b"\r\n")?;
        let size = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
        if size == 0 {
            break;
        }
        let mut chunk = vec![0; size + 2];
        stream.read_exact(&mut chunk)?;
        body.extend_from_slice(&chunk[..size]);
    }
    let mut trailers = String::new();
    loop {
        match until(stream, b"\r\n")?.as_str() {
            "\r\n" => return Ok(trailers),
            line => trailers.push_str(line),
        }
    }
}

/// Byte by byte, so that nothing behind the end is taken.
fn until(stream: &mut impl Read, end: &[u8]) -> io::Result<String> {
    let mut seen = Vec::new();
    while !seen.ends_with(end) {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        seen.extend_from_slice(&byte);
    }
    Ok(String::from_utf8_lossy(&seen).into_owned())
}
