//! The least web server that wrk can load: it looks for the ends of requests and answers each with
//! the fields and the body that zerohop's example has for `/hello`. It parses nothing else, so that
//! what is compared is sockets.

/// An answer.
pub(crate) const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nServer: zerohop\r\nContent-Type: text/plain\r\n\
    Content-Length: 23\r\nConnection: keep-alive\r\n\r\nHello from a unikernel\n";

const END: &[u8] = b"\r\n\r\n";

/// Finds where requests end in a stream that comes in pieces of any length.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Requests {
    /// Bytes of [`END`] that the stream ends with.
    matched: usize,
}

impl Requests {
    /// Takes the next piece; the answers to what ends in it.
    pub(crate) fn answers(&mut self, piece: &[u8]) -> Vec<u8> {
        let mut answers = Vec::with_capacity(ANSWER.len());
        for byte in piece {
            self.matched = match () {
                () if *byte == END[self.matched] => self.matched + 1,
                () if *byte == b'\r' => 1,
                () => 0,
            };
            if self.matched == END.len() {
                self.matched = 0;
                answers.extend_from_slice(ANSWER);
            }
        }
        answers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_is_answered_however_it_is_cut() {
        let request = b"GET /hello HTTP/1.1\r\nHost: a\r\r\n\r\n".repeat(3);
        for size in 1..request.len() {
            let mut requests = Requests::default();
            let answers: Vec<u8> =
                request.chunks(size).flat_map(|piece| requests.answers(piece)).collect();
            assert_eq!(answers, ANSWER.repeat(3), "in pieces of {size}");
        }
    }

    #[test]
    fn the_length_is_that_of_the_body() {
        let text = std::str::from_utf8(ANSWER).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
    }
}
