//! One suite for both adapters: every test runs on Tokio with one thread, on Tokio with several,
//! and on smol.

mod announce;
mod apart;
mod budget;
mod bulk;
mod cancel;
mod clocks;
mod clumsy;
mod delivery;
mod drops;
mod ends;
mod face;
mod faults;
mod half_close;
mod limits;
mod logs;
mod mismatch;
mod partings;
mod relay;
mod resets;
mod rules;
mod surface;
mod tls;
mod together;
mod turns;
mod typed;
mod waits;

/// Instantiates tests, `async fn test<R: Runtime>()`, for every runtime.
macro_rules! suite {
    ($($test:ident),* $(,)?) => {
        crate::suite!(@on tokio_single, TokioSingle, $($test),*);
        crate::suite!(@on tokio_multi, TokioMulti, $($test),*);
        crate::suite!(@on smol, Smol, $($test),*);
    };
    (@on $module:ident, $runtime:ident, $($test:ident),*) => {
        mod $module {
            use muxado_tests::runtime::{Runtime, $runtime, watched};

            $(
                #[test]
                fn $test() {
                    watched(concat!(module_path!(), "::", stringify!($test)), || {
                        $runtime::run(super::$test::<$runtime>());
                    });
                }
            )*
        }
    };
}
pub(crate) use suite;

use muxado_proto::task::ReadError;
use muxado_proto::{CloseReason, ErrorCode};
use muxado_tests::runtime::face::*;
use muxado_tests::runtime::{Runtime, read_exact, write_all};

/// A stream of the client, and the server's end of it, after `hello` was exchanged.
async fn streams<R: Runtime>(
    client: &R::Session,
    server: &R::Session,
) -> Result<(R::Stream, R::Stream), CloseReason> {
    let mut near = client.open().await.expect("a stream can be opened");
    near.write_chunk("hello".into()).await.expect("a new stream takes data");
    let mut far = server.accept().await?;
    assert_eq!(read_exact(&mut far, 5).await.expect("a whole stream"), b"hello");
    Ok((near, far))
}

/// Asserts that a stream is refused, and that the one in use goes on.
async fn refused_beside_one_in_use<R: Runtime>(
    late: &mut R::Stream,
    near: &mut R::Stream,
    far: &mut R::Stream,
) {
    let error = read_exact(late, 1).await.unwrap_err();
    assert_eq!(cause(&error), Some(ReadError::Reset(ErrorCode::STREAM_REFUSED)));
    write_all(near, b"still").await.unwrap();
    assert_eq!(read_exact(far, 5).await.unwrap(), b"still");
}

/// Both ends of a TCP connection, and a second handle to the near one.
fn tcp() -> [std::net::TcpStream; 3] {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let near = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    near.set_nonblocking(true).unwrap();
    let twin = near.try_clone().unwrap();
    [near, far, twin]
}

/// The typed cause in an `io::Error`.
fn cause<E: std::error::Error + Clone + 'static>(error: &std::io::Error) -> Option<E> {
    error.get_ref().and_then(|inner| inner.downcast_ref::<E>()).cloned()
}
