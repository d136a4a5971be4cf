//! Responses of HTTP/1.1 (RFC 9112), read from a stream.

use alloc::{format, string::String, vec::Vec};
use zerohop::net::TcpStream;

/// Bytes of a status line with its fields, and of a body.
const MAX_HEAD: usize = 16 << 10;
const MAX_BODY: usize = 1 << 20;

/// How a body ends (RFC 9112, section 6.3).
enum Framing {
    Length(usize),
    Chunked,
    Close,
}

/// A response while it is being read.
pub struct Response<'a> {
    stream: &'a mut TcpStream,
    /// What was received and not used yet.
    buffer: Vec<u8>,
    framing: Framing,
}

impl<'a> Response<'a> {
    pub fn new(stream: &'a mut TcpStream) -> Response<'a> {
        Response { stream, buffer: Vec::new(), framing: Framing::Close }
    }

    /// Reads more; false at the end of the stream.
    async fn more(&mut self) -> Result<bool, String> {
        match self.stream.read().await {
            Ok(Some(part)) => {
                self.buffer.extend_from_slice(&part);
                Ok(true)
            }
            Ok(None) => Ok(false),
            Err(error) => Err(format!("{error}")),
        }
    }

    async fn must_more(&mut self) -> Result<(), String> {
        match self.more().await? {
            true => Ok(()),
            false => Err("the server closed the connection too early".into()),
        }
    }

    /// The status of the final response (RFC 9110, section 15.2: others may come before).
    pub async fn head(&mut self) -> Result<u16, String> {
        loop {
            let status = self.one_head().await?;
            if status >= 200 {
                return Ok(status);
            }
        }
    }

    async fn one_head(&mut self) -> Result<u16, String> {
        loop {
            let mut fields = [httparse::EMPTY_HEADER; 64];
            let mut parsed = httparse::Response::new(&mut fields);
            let complete = parsed.parse(&self.buffer).map_err(|e| format!("no HTTP: {e}"))?;
            if let httparse::Status::Complete(len) = complete {
                let status = parsed.code.unwrap_or_default();
                self.framing = framing(status, parsed.headers)?;
                self.buffer.drain(..len);
                return Ok(status);
            }
            if self.buffer.len() > MAX_HEAD {
                return Err("the server's fields are too long".into());
            }
            self.must_more().await?;
        }
    }

    /// The body, whole.
    pub async fn body(&mut self) -> Result<Vec<u8>, String> {
        match self.framing {
            Framing::Length(len) => {
                bounded(len)?;
                self.take(len).await
            }
            Framing::Close => {
                while self.more().await? {
                    bounded(self.buffer.len())?;
                }
                Ok(core::mem::take(&mut self.buffer))
            }
            Framing::Chunked => self.chunks().await,
        }
    }

    /// RFC 9112, section 7.1.
    async fn chunks(&mut self) -> Result<Vec<u8>, String> {
        let mut body = Vec::new();
        loop {
            let line = self.line().await?;
            let size = line.split(|b| *b == b';').next().unwrap_or_default();
            let size = core::str::from_utf8(size).ok().map(str::trim);
            let size = size.and_then(|size| usize::from_str_radix(size, 16).ok());
            let size = size.ok_or("a chunk has no size")?;
            if size == 0 {
                // Trailers, up to an empty line.
                while !self.line().await?.is_empty() {}
                return Ok(body);
            }
            bounded(size.saturating_add(body.len()))?;
            body.extend(self.take(size).await?);
            if !self.line().await?.is_empty() {
                return Err("a chunk is longer than it says".into());
            }
        }
    }

    async fn line(&mut self) -> Result<Vec<u8>, String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                let mut line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                line.truncate(end);
                return Ok(line);
            }
            if self.buffer.len() > MAX_HEAD {
                return Err("a line is too long".into());
            }
            self.must_more().await?;
        }
    }

    async fn take(&mut self, len: usize) -> Result<Vec<u8>, String> {
        while self.buffer.len() < len {
            self.must_more().await?;
        }
        Ok(self.buffer.drain(..len).collect())
    }
}

fn bounded(len: usize) -> Result<(), String> {
    if len <= MAX_BODY { Ok(()) } else { Err(format!("more than {MAX_BODY} bytes")) }
}

fn framing(status: u16, fields: &[httparse::Header<'_>]) -> Result<Framing, String> {
    let field = |name: &str| fields.iter().find(|field| field.name.eq_ignore_ascii_case(name));
    if matches!(status, 100..200 | 204 | 304) {
        return Ok(Framing::Length(0));
    }
    if let Some(coding) = field("transfer-encoding") {
        let chunked = coding.value.trim_ascii().eq_ignore_ascii_case(b"chunked");
        return if chunked { Ok(Framing::Chunked) } else { Err("an unknown coding".into()) };
    }
    let Some(length) = field("content-length") else { return Ok(Framing::Close) };
    let length = core::str::from_utf8(length.value).ok().and_then(|text| text.trim().parse().ok());
    Ok(Framing::Length(length.ok_or("a wrong Content-Length")?))
}
