//! Requests of HTTP/1.1 (RFC 9112), within bounds, out of slices of the stream.

use alloc::vec::Vec;
use zerohop::{
    Slice,
    net::{Error, TcpStream},
};

/// Bytes of a request's line and fields, at most.
const MAX_HEAD: usize = 8 << 10;
/// Fields of a request, at most.
const MAX_FIELDS: usize = 64;

/// A request's method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
    Put,
    Post,
    Other,
}

/// How the body's end is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    Known(u64),
    Chunked,
}

/// A request without its body.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    pub method: Method,
    pub path: Vec<u8>,
    pub keep_alive: bool,
    pub expects_continue: bool,
    pub length: Length,
}

/// Why a request is not served: the status to answer with.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused(pub u16);

/// Reads the line and the fields at the start of `bytes`: the request and their length, or `None`
/// when more bytes are needed.
pub fn parse(bytes: &[u8]) -> Result<Option<(Request, usize)>, Refused> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut head = httparse::Request::new(&mut fields);
    let len = match head.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) if bytes.len() >= MAX_HEAD => return Err(Refused(431)),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Refused(431)),
        Err(httparse::Error::Version) => return Err(Refused(505)),
        Err(_) => return Err(Refused(400)),
    };
    let method = match head.method {
        Some("GET") => Method::Get,
        Some("HEAD") => Method::Head,
        Some("PUT") => Method::Put,
        Some("POST") => Method::Post,
        _ => Method::Other,
    };
    let path = head.path.unwrap_or("/").split(['?', '#']).next().unwrap_or("/");
    let mut request = Request {
        method,
        path: path.as_bytes().to_vec(),
        keep_alive: head.version == Some(1),
        expects_continue: false,
        length: Length::Known(0),
    };
    let (mut length, mut chunked, mut hosts) = (None, false, 0);
    for field in head.headers.iter() {
        let is = |name: &str| field.name.eq_ignore_ascii_case(name);
        let has = |token: &str| {
            let mut tokens = field.value.split(|b| *b == b',');
            tokens.any(|t| t.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
        };
        if is("content-length") {
            let text = core::str::from_utf8(field.value).map_err(|_| Refused(400))?;
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            let value = text.parse().ok().filter(|_| digits).ok_or(Refused(400))?;
            // RFC 9112, 6.3: lengths that differ are an attack.
            if length.replace(value).is_some_and(|old: u64| old != value) {
                return Err(Refused(400));
            }
        } else if is("transfer-encoding") {
            if chunked || !field.value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                return Err(Refused(501));
            }
            chunked = true;
        } else if is("connection") {
            request.keep_alive = has("keep-alive") || (request.keep_alive && !has("close"));
        } else if is("expect") {
            request.expects_continue = has("100-continue");
        } else if is("host") {
            hosts += 1;
        }
    }
    // RFC 9112, 3.2: HTTP/1.1 names one host. 6.1: both kinds of length are an attack.
    let hosts_right = hosts == 1 || (head.version == Some(0) && hosts == 0);
    if !hosts_right || (chunked && (length.is_some() || head.version == Some(0))) {
        return Err(Refused(400));
    }
    request.length = if chunked { Length::Chunked } else { Length::Known(length.unwrap_or(0)) };
    Ok(Some((request, len)))
}

/// A connection's requests and their bodies. What has arrived and is not read yet stays where the
/// device put it; only a head that came in pieces is put together.
pub struct Requests<'a> {
    stream: &'a mut TcpStream,
    rest: Slice,
}

/// What a body's reader finds wrong with a client.
#[derive(Debug)]
pub enum Broken {
    Refused(Refused),
    Lost(Error),
    /// The client ended the stream within a request.
    Cut,
}

impl From<Error> for Broken {
    fn from(error: Error) -> Broken {
        Broken::Lost(error)
    }
}

impl<'a> Requests<'a> {
    pub fn new(stream: &'a mut TcpStream) -> Requests<'a> {
        Requests { stream, rest: Slice::default() }
    }

    pub fn stream(&mut self) -> &mut TcpStream {
        self.stream
    }

    /// The next request; `None` at the end of the stream between two.
    pub async fn next(&mut self) -> Result<Option<Request>, Broken> {
        loop {
            if !self.rest.is_empty()
                && let Some((request, len)) = parse(&self.rest).map_err(Broken::Refused)?
            {
                self.rest.split_to(len);
                return Ok(Some(request));
            }
            match self.stream.read().await? {
                Some(more) if self.rest.is_empty() => self.rest = more,
                Some(more) => self.rest = [&*self.rest, &*more].concat().into(),
                None if self.rest.is_empty() => return Ok(None),
                None => return Err(Broken::Cut),
            }
        }
    }

    /// The next bytes, at least one and at most `max`.
    async fn take(&mut self, max: u64) -> Result<Slice, Broken> {
        if self.rest.is_empty() {
            self.rest = self.stream.read().await?.ok_or(Broken::Cut)?;
        }
        let len = usize::try_from(max).unwrap_or(usize::MAX).min(self.rest.len());
        Ok(self.rest.split_to(len))
    }

    /// A line of at most 100 bytes, without its end.
    async fn line(&mut self) -> Result<Vec<u8>, Broken> {
        let mut line = Vec::new();
        loop {
            match self.take(1).await?.first() {
                Some(b'\n') => break,
                Some(byte) if line.len() < 100 => line.push(*byte),
                _ => return Err(Broken::Refused(Refused(400))),
            }
        }
        if line.pop_if(|last| *last == b'\r').is_none() {
            return Err(Broken::Refused(Refused(400)));
        }
        Ok(line)
    }
}

/// A body, read piece by piece.
pub enum Body {
    Known(u64),
    /// Bytes left of the chunk.
    Chunk(u64),
    /// Before a chunk's size; whether there was a chunk before.
    Size(bool),
    End,
}

impl Body {
    pub fn new(length: Length) -> Body {
        match length {
            Length::Known(len) => Body::Known(len),
            Length::Chunked => Body::Size(false),
        }
    }

    /// The next piece, a slice of what the device received; `None` at the end.
    pub async fn next(&mut self, from: &mut Requests<'_>) -> Result<Option<Slice>, Broken> {
        loop {
            match self {
                Body::Known(0) | Body::End => return Ok(None),
                Body::Known(left) | Body::Chunk(left) if *left > 0 => {
                    let piece = from.take(*left).await?;
                    *left -= piece.len() as u64;
                    return Ok(Some(piece));
                }
                Body::Known(_) | Body::Chunk(_) => *self = Body::Size(true),
                Body::Size(again) => {
                    // RFC 9112, 7.1: a chunk's data ends with a line's end of its own.
                    if *again && !from.line().await?.is_empty() {
                        return Err(Broken::Refused(Refused(400)));
                    }
                    let size = chunk_size(&from.line().await?)?;
                    *self = Body::Chunk(size);
                    if size == 0 {
                        // Trailers mean nothing here, and are few.
                        for _ in 0..MAX_FIELDS {
                            if from.line().await?.is_empty() {
                                *self = Body::End;
                                return Ok(None);
                            }
                        }
                        return Err(Broken::Refused(Refused(431)));
                    }
                }
            }
        }
    }
}

fn chunk_size(line: &[u8]) -> Result<u64, Broken> {
    let digits = line.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    let text = core::str::from_utf8(digits).unwrap_or_default();
    let hex = !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit());
    let size = u64::from_str_radix(text, 16).ok().filter(|_| hex);
    size.ok_or(Broken::Refused(Refused(400)))
}
