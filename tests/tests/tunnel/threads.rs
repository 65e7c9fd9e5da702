//! The threads of the sessions, alone.

use std::collections::HashSet;
use std::future::pending;
use std::thread;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

#[path = "../../../muxado-tokio/examples/tunnel/threads.rs"]
mod subject;

use subject::Threads;

#[tokio::test]
async fn each_session_gets_a_thread_while_there_are_enough() {
    let threads = Threads::start(3).expect("they start");
    let mut seen = HashSet::new();
    for _ in 0..3 {
        let (here, answer) = oneshot::channel();
        threads.quietest().spawn(async move {
            here.send(thread::current().id()).expect("somebody waits");
            pending::<()>().await;
        });
        seen.insert(answer.await.expect("it runs"));
    }
    assert_eq!(seen.len(), 3);
    assert!(!seen.contains(&thread::current().id()));
}

#[tokio::test]
async fn what_runs_at_threads_ends_with_them() {
    let threads = Threads::start(1).expect("they start");
    let (held, dropped) = oneshot::channel::<()>();
    threads.quietest().spawn(async move {
        let _held = held;
        pending::<()>().await;
    });
    drop(threads);
    dropped.await.expect_err("it was dropped");
}

#[tokio::test]
async fn a_connection_can_move_to_another_thread() {
    let threads = Threads::start(1).expect("they start");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let near = TcpStream::connect(listener.local_addr().expect("it is bound")).await;
    let (mut near, (far, _)) =
        (near.expect("it connects"), listener.accept().await.expect("it connects"));
    // Both have been used here, and one has something to read.
    near.write_all(b"before").await.expect("it writes");
    far.readable().await.expect("it reads");
    let echo = threads.quietest().spawn(async move {
        let mut far = subject::adopt(far).expect("it moves");
        let mut read = [0; 11];
        far.read_exact(&mut read).await.expect("it reads");
        far.write_all(&read).await.expect("it writes");
    });
    near.write_all(b"after").await.expect("it writes");
    let mut back = Vec::new();
    near.read_to_end(&mut back).await.expect("it reads");
    assert_eq!(back, b"beforeafter");
    echo.await.expect("it ends");
}
