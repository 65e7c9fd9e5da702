//! Transports that fail at every byte: each run ends with a typed cause for all waiters, and leaves
//! nothing allocated.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use muxado_proto::task::OpenError;
use muxado_proto::{CloseReason, Config, CutBy, Role};
use muxado_tests::runtime::face::*;
use muxado_tests::runtime::{
    Fault, Faults, Runtime, Traffic, pipe, read_to_end, write_all, yield_now,
};

use crate::suite;

suite! {
    a_whole_transport,
    single_bytes_and_spurious_pendings,
    the_transport_ends_at_any_byte,
    the_transport_fails_to_read_at_any_byte,
    the_transport_fails_to_write_at_any_byte,
    the_transport_takes_nothing_at_any_byte,
    the_transport_is_stuck_for_writing_at_any_byte,
    the_transport_is_stuck_for_reading_at_any_byte,
}

/// Short limits for runs that get stuck, the default ones for runs that must not.
fn config(stuck: bool) -> Arc<Config> {
    let config = Config::builder().max_outbound_streams(2);
    if !stuck {
        return Arc::new(config.build().unwrap());
    }
    let soon = Duration::from_millis(15);
    let config = config
        .write_stall_timeout(soon)
        .frame_stall_timeout(soon)
        .drain_timeout(soon)
        .linger_timeout(soon)
        .build();
    Arc::new(config.unwrap())
}

/// The result of a run with a faulty transport at the client.
struct Outcome {
    client: CloseReason,
    server: CloseReason,
    /// Requests that were answered.
    answered: usize,
}

/// Five requests over a faulty transport, at most two at once, and then the end. All tasks end, and
/// nothing stays allocated.
async fn run<R: Runtime>(faults: Faults) -> Outcome {
    let stuck =
        [faults.read, faults.write].iter().flatten().any(|(_, fault)| *fault == Fault::Never);
    let config = config(stuck);
    let (near, far) = pipe(32);
    let near = faults.spoil(near);
    let tokens = [near.token(), far.token()];
    let (client, driver) = R::with_driver(near, Role::Client, Arc::clone(&config));
    let client_driver = R::spawn(driver);
    let (server, driver) = R::with_driver(far, Role::Server, Arc::clone(&config));
    let server_driver = R::spawn(driver);
    let acceptor = server.clone();
    let acceptor = R::spawn(async move {
        let mut tasks = Vec::new();
        while let Ok(mut stream) = acceptor.accept().await {
            tasks.push(R::spawn(async move {
                if let Ok(text) = read_to_end(&mut stream).await {
                    let _cut_off = write_all(&mut stream, &text).await;
                }
            }));
        }
        for task in tasks {
            task.await;
        }
    });
    let watch = client.clone();
    let watch = R::spawn(async move { watch.closed().await });
    let mut requests = Vec::new();
    for number in 0..5u8 {
        let client = client.clone();
        requests.push(R::spawn(async move {
            let mut stream = match client.open().await {
                Ok(stream) => stream,
                Err(OpenError::SessionClosed(_) | OpenError::GoingAway) => return false,
                Err(other) => panic!("{other}"),
            };
            if write_all(&mut stream, &[number; 20]).await.is_err() {
                return false;
            }
            let _cut_off = stream.finish();
            match read_to_end(&mut stream).await {
                Ok(answer) => {
                    assert_eq!(answer, [number; 20]);
                    true
                }
                Err(_) => false,
            }
        }));
    }
    let closer = client.clone();
    let closer = R::spawn(async move {
        let mut answered = 0;
        for request in requests {
            answered += usize::from(request.await);
        }
        (closer.close().await, answered)
    });
    let (reason, answered) = closer.await;
    assert_eq!(watch.await, reason);
    assert_eq!(client_driver.await, reason);
    let server_reason = server.close().await;
    assert_eq!(server_driver.await, server_reason);
    acceptor.await;
    drop((client, server));
    while tokens.iter().any(|token| token.upgrade().is_some()) || Arc::strong_count(&config) > 1 {
        yield_now().await;
    }
    Outcome { client: reason, server: server_reason, answered }
}

async fn a_whole_transport<R: Runtime>() {
    let outcome = run::<R>(Faults::default()).await;
    assert_eq!(outcome.answered, 5);
    assert!(outcome.client.is_clean() && outcome.server.is_clean());
}

async fn single_bytes_and_spurious_pendings<R: Runtime>() {
    let outcome = run::<R>(Faults { chunk: 1, spurious: true, ..Faults::default() }).await;
    assert_eq!(outcome.answered, 5);
    assert!(outcome.client.is_clean() && outcome.server.is_clean());
}

fn is_failure(reason: &CloseReason) -> bool {
    matches!(
        reason,
        CloseReason::TransportError(_) | CloseReason::Cut { by: CutBy::TransportError(_), .. }
    )
}

/// How many bytes pass in a run, each way.
async fn traffic<R: Runtime>() -> (u64, u64) {
    let traffic: Arc<Traffic> = Arc::default();
    run::<R>(Faults { traffic: Arc::clone(&traffic), ..Faults::default() }).await;
    (traffic.read.load(Ordering::Relaxed), traffic.written.load(Ordering::Relaxed))
}

async fn the_transport_ends_at_any_byte<R: Runtime>() {
    let (total, _) = traffic::<R>().await;
    for at in 0..total {
        let outcome = run::<R>(Faults { read: Some((at, Fault::End)), ..Faults::default() }).await;
        let expected = outcome.client == CloseReason::TransportEof || outcome.client.is_clean();
        assert!(expected, "{:?} after {at} bytes", outcome.client);
    }
}

async fn the_transport_fails_to_read_at_any_byte<R: Runtime>() {
    let (total, _) = traffic::<R>().await;
    for at in 0..total {
        let fault = Some((at, Fault::Error));
        let outcome = run::<R>(Faults { read: fault, ..Faults::default() }).await;
        let expected = is_failure(&outcome.client) || outcome.client.is_clean();
        assert!(expected, "{:?} after {at} bytes", outcome.client);
    }
}

async fn the_transport_fails_to_write_at_any_byte<R: Runtime>() {
    let (_, total) = traffic::<R>().await;
    for at in 0..total {
        let fault = Some((at, Fault::Error));
        let outcome = run::<R>(Faults { write: fault, ..Faults::default() }).await;
        let expected = is_failure(&outcome.client) || outcome.client.is_clean();
        assert!(expected, "{:?} after {at} bytes", outcome.client);
    }
}

async fn the_transport_takes_nothing_at_any_byte<R: Runtime>() {
    let (_, total) = traffic::<R>().await;
    for at in 0..total {
        let fault = Some((at, Fault::End));
        let outcome = run::<R>(Faults { write: fault, ..Faults::default() }).await;
        let expected = is_failure(&outcome.client) || outcome.client.is_clean();
        assert!(expected, "{:?} after {at} bytes", outcome.client);
    }
}

async fn the_transport_is_stuck_for_writing_at_any_byte<R: Runtime>() {
    let (_, total) = traffic::<R>().await;
    for at in (0..total).step_by(5) {
        let fault = Some((at, Fault::Never));
        let outcome = run::<R>(Faults { write: fault, ..Faults::default() }).await;
        let expected = outcome.client == CloseReason::WriteStalled
            || outcome.client == CloseReason::TransportEof
            || outcome.client == CloseReason::FrameStalled
            || outcome.client.is_clean()
            || matches!(outcome.client, CloseReason::Remote { .. } | CloseReason::Cut { .. });
        assert!(expected, "{:?} after {at} bytes", outcome.client);
    }
}

async fn the_transport_is_stuck_for_reading_at_any_byte<R: Runtime>() {
    // This side's input is stuck: the peer's write side stalls, and that ends the session.
    let (total, _) = traffic::<R>().await;
    for at in (0..total).step_by(5) {
        let fault = Some((at, Fault::Never));
        let outcome = stuck_reading::<R>(Faults { read: fault, ..Faults::default() }).await;
        let expected = outcome.is_clean()
            || matches!(
                outcome,
                CloseReason::Cut { streams: 1, by: CutBy::FrameStalled | CutBy::Time }
            );
        assert!(expected, "{outcome:?} at {at}");
    }
}

/// Requests that may never be answered are given up when the session is closed.
async fn stuck_reading<R: Runtime>(faults: Faults) -> CloseReason {
    // The client can write, even if the peer's end waits long for a processor.
    let config = (*config(true)).clone().into_builder();
    let config = Arc::new(config.write_stall_timeout(Duration::from_secs(30)).build().unwrap());
    let patient = (*config).clone().into_builder();
    let patient = Arc::new(patient.frame_stall_timeout(Duration::from_secs(30)).build().unwrap());
    let (near, far) = pipe(32);
    let near = faults.spoil(near);
    let token = near.token();
    let (client, driver) = R::with_driver(near, Role::Client, Arc::clone(&config));
    let driver = R::spawn(driver);
    let server = R::session(far, Role::Server, Arc::clone(&patient));
    let echo = R::spawn(async move {
        while let Ok(mut stream) = server.accept().await {
            if let Ok(text) = read_to_end(&mut stream).await {
                let _cut_off = write_all(&mut stream, &text).await;
            }
        }
        server.closed().await
    });
    let mut stream = client.open().await.unwrap();
    let request = R::spawn(async move {
        let _cut_off = write_all(&mut stream, &[1; 20]).await;
        let _cut_off = stream.finish();
        read_to_end(&mut stream).await.map(|answer| assert_eq!(answer, [1; 20])).is_ok()
    });
    let reason = client.close().await;
    let _answered_or_not = request.await;
    assert_eq!(driver.await, reason);
    let _any_cause = echo.await;
    drop(client);
    while token.upgrade().is_some()
        || Arc::strong_count(&config) > 1
        || Arc::strong_count(&patient) > 1
    {
        yield_now().await;
    }
    reason
}
