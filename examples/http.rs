//! A web server on port 80: embedded pages, sent from where they lie; `/hello`, `/stats`; `PUT` or
//! `POST /upload` counts what it is sent, `GET /download/N` sends N bytes, both in bounded memory.
#![no_std]
#![no_main]
extern crate alloc;

#[path = "http/pages.rs"]
mod pages;
#[path = "http/request.rs"]
mod request;

use alloc::{format, string::String, vec::Vec};
use core::time::Duration;
use request::{Body, Broken, Method, Refused, Request, Requests};
use zerohop::{
    Net, Slice,
    net::{Error, Shutdown, TcpStream},
    rt::Rt,
    service::Env,
};

zerohop::service!(service => main);

/// How long a client may take for a request, and for each piece of a body.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a refused client's bytes are read away, so that it sees the answer.
const FAREWELL: Duration = Duration::from_secs(1);
/// What downloads are made from, sent by reference again and again.
static PIECE: [u8; 64 << 10] = [b'z'; 64 << 10];

async fn main(net: Net, env: Env) -> Result<(), Error> {
    let listener = net.listen(80)?;
    let rt = env.rt().clone();
    rt.try_scope(async |clients| {
        loop {
            let mut stream = listener.accept().await?;
            stream.set_nodelay(true);
            let client = client(rt.clone(), net.clone(), stream);
            clients.spawn(async {
                if let Err(error) = client.await {
                    log::debug!("a client left: {error}");
                }
            });
        }
    })
    .await
}

async fn client(rt: Rt, net: Net, mut stream: TcpStream) -> Result<(), Error> {
    let mut requests = Requests::new(&mut stream);
    loop {
        let next = rt.timeout(PATIENCE, requests.next()).await;
        let served = match next {
            None | Some(Ok(None)) => return Ok(()),
            Some(Ok(Some(request))) => serve(&rt, &net, &mut requests, &request).await,
            Some(Err(broken)) => Err(broken),
        };
        match served {
            Ok(true) => {}
            Ok(false) => break,
            Err(Broken::Lost(error)) => return Err(error),
            Err(Broken::Cut) => return Ok(()),
            Err(Broken::Refused(Refused(status))) => {
                let text = reason(status);
                answer(requests.stream(), status, "text/plain", text.as_bytes(), false).await?;
                break;
            }
        }
    }
    farewell(&rt, stream).await
}

/// Reads away what the client still sends: closing at once would reset the connection, and the
/// answer might be lost (RFC 9112, 9.6).
async fn farewell(rt: &Rt, mut stream: TcpStream) -> Result<(), Error> {
    stream.shutdown(Shutdown::Write);
    let rest = async { while let Ok(Some(_)) = stream.read().await {} };
    rt.timeout(FAREWELL, rest).await;
    Ok(())
}

/// Answers a request; whether the connection stays open.
async fn serve(
    rt: &Rt,
    net: &Net,
    requests: &mut Requests<'_>,
    request: &Request,
) -> Result<bool, Broken> {
    let (keep, path) = (request.keep_alive, &*request.path);
    let head = request.method == Method::Head;
    if request.expects_continue {
        requests.stream().write("HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    let body = drain(rt, requests, request).await?;
    let stream = requests.stream();
    match (request.method, path) {
        (Method::Put | Method::Post, b"/upload") => {
            answer(stream, 200, "text/plain", format!("{body}\n").into_bytes(), keep).await?;
        }
        (Method::Get | Method::Head, _) => {
            if let Some((kind, page)) = pages::find(path) {
                send(stream, 200, kind, page.len() as u64, keep).await?;
                if !head {
                    stream.write(page).await?;
                }
            } else if path == b"/hello" {
                let text = "Hello from a unikernel\n";
                send(stream, 200, "text/plain", text.len() as u64, keep).await?;
                if !head {
                    stream.write(text).await?;
                }
            } else if path == b"/stats" {
                let text = stats(net);
                send(stream, 200, "text/plain", text.len() as u64, keep).await?;
                if !head {
                    stream.write(text.into_bytes()).await?;
                }
            } else if let Some(len) = download(path) {
                send(stream, 200, "application/octet-stream", len, keep).await?;
                let mut left = if head { 0 } else { len };
                while left > 0 {
                    let piece = left.min(PIECE.len() as u64);
                    stream.write(Slice::from_static(&PIECE[..piece as usize])).await?;
                    left -= piece;
                }
            } else if head {
                send(stream, 404, "text/plain", 0, keep).await?;
            } else {
                answer(stream, 404, "text/plain", "no such page\n", keep).await?;
            }
        }
        _ => answer(stream, 405, "text/plain", "not that way\n", keep).await?,
    }
    Ok(keep)
}

/// Reads the body away; its bytes.
async fn drain(rt: &Rt, from: &mut Requests<'_>, request: &Request) -> Result<u64, Broken> {
    let mut body = Body::new(request.length);
    let mut count = 0;
    loop {
        match rt.timeout(PATIENCE, body.next(from)).await {
            Some(Ok(Some(piece))) => count += piece.len() as u64,
            Some(Ok(None)) => return Ok(count),
            Some(Err(broken)) => return Err(broken),
            None => return Err(Broken::Refused(Refused(408))),
        }
    }
}

fn download(path: &[u8]) -> Option<u64> {
    let count = core::str::from_utf8(path.strip_prefix(b"/download/")?).ok()?;
    count.parse().ok()
}

fn stats(net: &Net) -> String {
    let mut lines = format!("io_mode {}\n", net.io_mode());
    net.stats(|name, value| lines.push_str(&format!("{name} {value}\n")));
    lines
}

/// Sends an answer's line and fields.
async fn send(
    stream: &mut TcpStream,
    status: u16,
    kind: &str,
    len: u64,
    keep: bool,
) -> Result<(), Error> {
    let head = head(status, kind, len, keep);
    stream.write(head).await
}

async fn answer(
    stream: &mut TcpStream,
    status: u16,
    kind: &str,
    body: impl Into<Slice>,
    keep: bool,
) -> Result<(), Error> {
    let body = body.into();
    send(stream, status, kind, body.len() as u64, keep).await?;
    stream.write(body).await
}

fn head(status: u16, kind: &str, len: u64, keep: bool) -> Vec<u8> {
    let connection = if keep { "keep-alive" } else { "close" };
    format!(
        "HTTP/1.1 {status} {}\r\nServer: zerohop\r\nContent-Type: {kind}\r\n\
         Content-Length: {len}\r\nConnection: {connection}\r\n\r\n",
        reason(status)
    )
    .into_bytes()
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        505 => "HTTP Version Not Supported",
        _ => "Error",
    }
}
