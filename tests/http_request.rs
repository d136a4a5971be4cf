//! The web server's reading of requests, with what clients should not send.
extern crate alloc;

#[allow(dead_code)]
#[path = "../examples/http/request.rs"]
mod request;

use proptest::prelude::*;
use request::{Length, Method, Refused, parse};

fn refused(text: &str) -> u16 {
    parse(text.as_bytes()).unwrap_err().0
}

#[test]
fn a_request_is_read_with_what_matters_about_its_connection() {
    let text = b"POST /upload?x=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\
                 Connection: close\r\nExpect: 100-continue\r\n\r\nbody";
    let (request, len) = parse(text).unwrap().unwrap();
    assert_eq!(len, text.len() - 4);
    assert_eq!(request.method, Method::Post);
    assert_eq!(request.path, b"/upload");
    assert_eq!(request.length, Length::Known(12));
    assert!(!request.keep_alive && request.expects_continue);
}

#[test]
fn requests_that_smuggle_or_overflow_are_refused() {
    for (text, status) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n", 400),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        ("GET / HTTP/3.7\r\nHost: a\r\n\r\n", 505),
        ("\0\0\0\0\r\n\r\n", 400),
    ] {
        assert_eq!(refused(text), status, "{text:?}");
    }
    assert_eq!(refused(&format!("GET /{} HTTP/1.1\r\n", "a".repeat(9000))), 431);
    assert_eq!(refused(&format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(100))), 431);
}

proptest! {
    #[test]
    fn any_bytes_end_in_a_request_a_refusal_or_a_wish_for_more(
        bytes in proptest::collection::vec(any::<u8>(), 0..2000)
    ) {
        let _ = parse(&bytes);
    }

    #[test]
    fn a_damaged_request_does_no_harm(at in 0usize..90, byte: u8, cut in 0usize..90) {
        let mut bytes = b"PUT /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\
                          Connection: keep-alive\r\n\r\n".to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        bytes.truncate(bytes.len() - cut % bytes.len());
        match parse(&bytes) {
            Ok(Some((_, len))) => prop_assert!(len <= bytes.len()),
            Ok(None) => {}
            Err(Refused(status)) => prop_assert!((400..=505).contains(&status)),
        }
    }
}
