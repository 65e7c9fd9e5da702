//! What goes over the streams, as JSON.

use muxado_proto::StreamType;
use serde::{Deserialize, Serialize};

/// The type of streams that carry a [`Request`] one way and a [`Response`] the other.
pub const REQUESTS: StreamType = StreamType(1);

/// The type of the stream on which an end sends its [`Report`](crate::Report).
pub const REPORTS: StreamType = StreamType(2);

/// The maximum length of a message, in bytes. A reader that reads up to the end of a stream needs
/// such a limit: windows bound unread bytes, not the bytes that a reader collects.
pub const MAX_MESSAGE: usize = 2 << 20;

/// A question: what is `a` times `b`?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Tells the requests of one end apart.
    pub id: u64,
    /// One factor.
    pub a: u32,
    /// The other factor.
    pub b: u32,
    /// To be sent back as it is.
    pub payload: String,
}

/// The answer to the [`Request`] with the same id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// That of the request.
    pub id: u64,
    /// The product.
    pub answer: u64,
    /// That of the request.
    pub payload: String,
}

impl Request {
    /// The request with this id, and this many bytes of payload. Every id has a different payload,
    /// so that an answer on the wrong stream is detected.
    pub(crate) fn new(id: u64, payload: usize) -> Self {
        let [_, _, _, _, a, b, c, d] = id.to_be_bytes();
        let start = usize::from(a ^ b ^ c ^ d);
        let letters = (b'a'..=b'z').cycle().skip(start % 26).take(payload);
        let number = u32::try_from(id % 1_000_003).unwrap_or(0);
        Self { id, a: number, b: 42, payload: letters.map(char::from).collect() }
    }

    /// What the answer has to be.
    pub(crate) fn answered(self) -> Response {
        let answer = u64::from(self.a) * u64::from(self.b);
        Response { id: self.id, answer, payload: self.payload }
    }
}

/// Answers a request: bytes in, bytes out.
///
/// # Errors
///
/// When the bytes are no request.
pub fn answer(request: &[u8]) -> serde_json::Result<Vec<u8>> {
    let request: Request = serde_json::from_slice(request)?;
    serde_json::to_vec(&request.answered())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_multiply_and_send_the_payload_back() {
        let request = br#"{"id":7,"a":6,"b":7,"payload":"abc"}"#;
        let response = answer(request).expect("it is a request");
        assert_eq!(response, br#"{"id":7,"answer":42,"payload":"abc"}"#);
        assert!(answer(b"{}").is_err());
    }

    #[test]
    fn payloads_have_their_size_and_differ() {
        let [one, two] = [1, 2].map(|id| Request::new(id, 100).payload);
        assert_eq!((one.len(), two.len()), (100, 100));
        assert_ne!(one, two);
    }
}
