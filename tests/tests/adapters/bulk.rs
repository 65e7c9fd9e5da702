//! Large amounts of data through transports with small buffers.

use muxado_proto::Config;
use muxado_proto::Role;
use muxado_tests::runtime::face::*;
use muxado_tests::runtime::{
    Faults, Reader, Runtime, Task, Writer, pipe, read_to_end, write_all, yield_now,
};
use std::sync::Arc;

use crate::{streams, suite};

suite! {
    both_sides_write_100_mb_over_4_kib_pipes,
    both_sides_write_before_anybody_reads,
    many_streams_share_a_pipe_of_one_byte,
    chunks_cross_a_transport_of_single_bytes,
}

/// The text repeats after this many bytes, which is no multiple of any buffer.
const PERIOD: usize = 64_256;

/// Two periods of the text.
fn text() -> Vec<u8> {
    let letter = |place: usize| ((place % 251) ^ (place % PERIOD / 251)).to_le_bytes()[0];
    (0..2 * PERIOD).map(letter).collect()
}

/// Writes `total` bytes of the text, in writes of every size.
async fn write_text(writer: &mut impl Writer, total: usize) {
    let text = text();
    let mut place = 0;
    for size in [1, 7, 1024, 20_000, 65_000].into_iter().cycle() {
        let start = place % PERIOD;
        let size = size.min(text.len() - start).min(total - place);
        write_all(writer, &text[start..start + size]).await.unwrap();
        place += size;
        if place == total {
            break;
        }
    }
    writer.half_close().await.unwrap();
}

/// Reads the text to its end and compares it; returns its length.
async fn read_text(reader: &mut impl Reader) -> usize {
    let text = text();
    let mut buf = vec![0; PERIOD];
    let mut place = 0;
    loop {
        let count = reader.recv(&mut buf).await.unwrap();
        if count == 0 {
            return place;
        }
        let start = place % PERIOD;
        assert!(buf[..count] == text[start..start + count], "the text is wrong behind {place}");
        place += count;
    }
}

async fn both_sides_write_100_mb_over_4_kib_pipes<R: Runtime>() {
    const TOTAL: usize = 100_000_000;
    let (client, server) = R::pair(4096, Config::default());
    let (near, far) = streams::<R>(&client, &server).await.unwrap();
    let ends: [(Task<()>, Task<usize>); 2] = [near, far].map(|stream| {
        let (mut recv, mut send) = R::split(stream);
        let writer = R::spawn(async move { write_text(&mut send, TOTAL).await });
        (writer, R::spawn(async move { read_text(&mut recv).await }))
    });
    for (writer, reader) in ends {
        writer.await;
        assert_eq!(reader.await, TOTAL);
    }
}

async fn both_sides_write_before_anybody_reads<R: Runtime>() {
    // More than the pipe holds and less than window and buffer: both writes complete without a
    // reader.
    const TOTAL: usize = 400_000;
    let (client, server) = R::pair(4096, Config::default());
    let (near, far) = streams::<R>(&client, &server).await.unwrap();
    let writers = [near, far].map(|mut stream| {
        R::spawn(async move {
            write_text(&mut stream, TOTAL).await;
            stream
        })
    });
    let mut ends = Vec::new();
    for writer in writers {
        ends.push(writer.await);
    }
    for mut stream in ends {
        assert_eq!(read_text(&mut stream).await, TOTAL);
    }
}

async fn many_streams_share_a_pipe_of_one_byte<R: Runtime>() {
    let (client, server) = R::pair(1, Config::default());
    let echo = R::spawn(async move {
        loop {
            match server.accept().await {
                Ok(mut stream) => drop(R::spawn(async move {
                    let text = read_to_end(&mut stream).await.unwrap();
                    write_all(&mut stream, &text).await.unwrap();
                })),
                Err(reason) => return reason,
            }
        }
    });
    let mut tasks = Vec::new();
    for number in 0..20usize {
        let client = client.clone();
        tasks.push(R::spawn(async move {
            let mut stream = client.open().await.unwrap();
            write_text(&mut stream, number * 50).await;
            assert_eq!(read_text(&mut stream).await, number * 50);
        }));
    }
    for task in tasks {
        task.await;
    }
    assert!(client.close().await.is_clean());
    assert!(echo.await.is_clean());
}

async fn chunks_cross_a_transport_of_single_bytes<R: Runtime>() {
    let (near, far) = pipe(64);
    let grain = || Faults { chunk: 1, spurious: true, ..Faults::default() };
    let config = Arc::new(Config::default());
    let client = R::session(grain().spoil(near), Role::Client, Arc::clone(&config));
    let server = R::session(grain().spoil(far), Role::Server, config);
    let (mut near, mut far) = streams::<R>(&client, &server).await.unwrap();
    let text = text()[..2000].to_vec();
    let sent = text.clone();
    let writer = R::spawn(async move {
        near.write_chunk(sent.into()).await.unwrap();
        near.finish().unwrap();
        near
    });
    yield_now().await;
    let mut received = Vec::new();
    while let Some(chunk) = far.read_chunk(777).await.unwrap() {
        assert!(chunk.len() <= 777);
        received.extend_from_slice(&chunk);
    }
    assert!(received == text);
    drop(writer.await);
}
