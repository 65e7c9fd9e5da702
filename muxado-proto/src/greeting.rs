//! Recognises another protocol by the first bytes of a session.
//!
//! No muxado peer begins with any of the patterns: read as a header, their bytes are a frame of
//! impossible length, of an unknown type, or on an id far beyond the first ones.

/// Bytes that are examined: one header.
pub(crate) const LEN: usize = 8;

const HTTP: &str = "the peer speaks HTTP, not muxado";
const TLS: &str = "the peer speaks TLS, not muxado: is TLS missing at this end?";
const PROXY: &str = "a PROXY protocol header came first: take it off before the session";

/// Beginnings that are compared literally.
const EXACT: &[(&[u8], &str)] = &[
    (b"GET /", HTTP),
    (b"GET http", HTTP),
    (b"HEAD /", HTTP),
    (b"POST /", HTTP),
    (b"POST htt", HTTP),
    (b"PUT /", HTTP),
    (b"PATCH /", HTTP),
    (b"DELETE /", HTTP),
    (b"OPTIONS ", HTTP),
    (b"CONNECT ", HTTP),
    (b"TRACE /", HTTP),
    (b"HTTP/1.", HTTP),
    (b"HTTP/2 ", HTTP),
    (b"PRI * HT", "the peer speaks HTTP/2, not muxado"),
    (b"SSH-2.0-", "the peer speaks SSH, not muxado"),
    (b"SSH-1.", "the peer speaks SSH, not muxado"),
    (b"PROXY TC", PROXY),
    (b"PROXY UN", PROXY),
    (b"\r\n\r\n\0\r\nQ", PROXY),
    (b"\x13/multis", "the peer speaks multistream-select, not muxado: negotiate it first"),
    (b"220 ", "the peer speaks SMTP or FTP, not muxado"),
    (b"220-", "the peer speaks SMTP or FTP, not muxado"),
    (b"\0\0\0\x08\x04\xd2\x16\x2f", "the peer speaks PostgreSQL, not muxado"),
    (b"\0\0\0\0\0\0\0\0", "the peer sends zeros"),
];

/// Which other protocol the first bytes of a session belong to; `None` if they may be muxado.
/// `first` has at most [`LEN`] bytes, fewer if no more have arrived yet.
pub(crate) fn recognise(first: &[u8]) -> Option<&'static str> {
    if let [content, 3, minor, high, low, rest @ ..] = first {
        let length = u16::from_be_bytes([*high, *low]);
        let handshake = *content == 0x16 && matches!(rest, [1 | 2, _, _]) && length <= 0x4100;
        // An alert is two bytes long, and often all that is sent.
        let alert = *content == 0x15 && matches!(rest, [1 | 2, _, ..]) && length == 2;
        if *minor <= 4 && length > 0 && (handshake || alert) {
            return Some(TLS);
        }
    }
    if let Some((_, what)) = EXACT.iter().find(|(magic, _)| first.starts_with(magic)) {
        // A short pattern is compared only when the whole header has arrived.
        return Some(*what).filter(|_| first.len() >= LEN);
    }
    match first {
        // SETTINGS come first, on stream 0, with six bytes for each of them.
        [0, 0, length, 4, 0, 0, 0, 0] if length % 6 == 0 => {
            Some("the peer speaks HTTP/2, not muxado")
        }
        // DATA, WINDOW_UPDATE or PING with SYN, or GO_AWAY: an RST of impossible length.
        [0, 0..=2, 0, 1 | 5, _, _, _, _] | [0, 3, 0, 0, 0, 0, 0, 0] => {
            Some("the peer speaks yamux, not muxado")
        }
        [_, 0, 0, 0, 0x0a, b'0'..=b'9', _, _] => Some("the peer speaks MySQL, not muxado"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Decoder, Item};

    #[test]
    fn t11_other_protocols_are_named() {
        let cases: &[(&[u8], &str)] = &[
            (b"GET / HTTP/1.1\r\n", "HTTP"),
            (b"POST /api HTTP/1.1", "HTTP"),
            (b"CONNECT example.org:443", "HTTP"),
            (b"HTTP/1.1 400 Bad Request", "HTTP"),
            (b"PRI * HTTP/2.0\r\n", "HTTP/2"),
            (b"\0\0\x12\x04\0\0\0\0\0\0\x03", "HTTP/2"),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "TLS"),
            (b"\x16\x03\x03\x12\x34\x02\x00\x00", "TLS"),
            (b"\x15\x03\x01\x00\x02\x02\x46", "TLS"),
            (b"SSH-2.0-OpenSSH_9.7\r\n", "SSH"),
            (b"PROXY TCP4 10.0.0.1", "PROXY"),
            (b"\r\n\r\n\0\r\nQUIT\n\x21\x11", "PROXY"),
            (b"\0\x01\0\x01\0\0\0\x01\0\x04\0\0", "yamux"),
            (b"\0\0\0\x01\0\0\0\x02\0\0\0\x05hello", "yamux"),
            (b"\0\x02\0\x01\0\0\0\0\0\0\0\x07", "yamux"),
            (b"\x13/multistream/1.0.0\n", "multistream"),
            (b"220 mail.example.org ESMTP", "SMTP"),
            (b"\0\0\0\x08\x04\xd2\x16\x2f", "PostgreSQL"),
            (b"\x4a\0\0\0\x0a8.0.36", "MySQL"),
            (&[0; 32], "zeros"),
        ];
        for (bytes, name) in cases {
            let first = bytes.get(..LEN).unwrap_or(bytes);
            let what = recognise(first).unwrap_or_default();
            assert!(what.contains(name), "{bytes:?}: {what}");
        }
    }

    #[test]
    fn t11_nothing_that_muxado_begins_with_is_taken_for_another() {
        for length in [0u32, 1, 2, 4, 5, 8, 255, 256, 4096, 16 << 10, 1 << 18, 0x16_0301] {
            for kind_and_flags in (0x10..0x40).chain([0xf0]) {
                for id in [0u32, 1, 2, 3, 4, 5, 1001, 65_535] {
                    let [_, a, b, c] = length.to_be_bytes();
                    let mut header = [0; LEN];
                    header[..4].copy_from_slice(&[a, b, c, kind_and_flags]);
                    header[4..].copy_from_slice(&id.to_be_bytes());
                    let known = recognise(&header);
                    // Recognised bytes are not valid muxado.
                    let mut decoder = Decoder::new(0);
                    let mut input: &[u8] = &header;
                    let item = decoder.decode(&mut input);
                    let malformed = matches!(item, Some(Item::Malformed { .. }));
                    assert!(known.is_none() || malformed, "{header:?}: {known:?}");
                }
            }
        }
        // RST.
        assert_eq!(recognise(&[0, 0, 4, 0, 0, 0, 0, 3]), None);
        assert_eq!(recognise(b"GET "), None);
        // Six bytes for each setting of HTTP/2.
        assert_eq!(recognise(&[0, 0, 7, 4, 0, 0, 0, 0]), None);
        assert_eq!(recognise(&[]), None);
        // Nearly TLS: no handshake of a client or server, too long, an alert of the wrong length.
        assert_eq!(recognise(b"\x16\x03\x01\x02\x00\x03\x00\x01"), None);
        assert_eq!(recognise(b"\x16\x03\x01\x41\x01\x01\x00\x01"), None);
        assert_eq!(recognise(b"\x15\x03\x01\x00\x03\x02\x46\x00"), None);
        assert_eq!(recognise(b"\x15\x03\x01\x00\x02\x03\x46\x00"), None);
        assert_eq!(recognise(b"\x17\x03\x01\x00\x02\x01\x46\x00"), None);
        assert_eq!(recognise(b"\x16\x03\x05\x02\x00\x01\x00\x01"), None);
        assert_eq!(recognise(b"\x16\x03\x01\x00\x00\x01\x00\x01"), None);
    }
}
