//! Sessions that share a memory budget.

use std::sync::Arc;

use muxado_proto::{CloseReason, Config, ErrorCode, MemoryBudget, Role};
use muxado_tests::runtime::face::*;
use muxado_tests::runtime::{Runtime, Writer as _, park, pipe, read_to_end, write_all};

use crate::{streams, suite};

suite! {
    s4_a_session_without_its_minimum_ends_with_a_typed_error,
    s4_a_stream_waits_until_another_session_leaves_it_memory,
}

async fn s4_a_session_without_its_minimum_ends_with_a_typed_error<R: Runtime>() {
    let budget = MemoryBudget::new(1 << 20);
    let config = Config::builder().memory_budget(budget.clone()).build().unwrap();
    assert!(config.min_memory() > budget.limit() && !budget.has_room(&config));
    let (near, far) = pipe(64 << 10);
    let client = R::session(near, Role::Client, Arc::default());
    let server = R::session(far, Role::Server, Arc::new(config));
    assert_eq!(server.closed().await, CloseReason::NoMemory);
    match client.closed().await {
        CloseReason::Remote { code, .. } => assert_eq!(code, ErrorCode::ENHANCE_YOUR_CALM),
        reason => panic!("{reason}"),
    }
    assert_eq!(budget.reserved(), 0);
}

async fn s4_a_stream_waits_until_another_session_leaves_it_memory<R: Runtime>() {
    let least = Config::default().min_memory();
    let budget = MemoryBudget::new(2 * least + (100 << 10));
    let config = Arc::new(Config::builder().memory_budget(budget.clone()).build().unwrap());
    let peer = || Arc::new(Config::default());
    let session = |config: Arc<Config>| {
        let (near, far) = pipe(64 << 10);
        (R::session(near, Role::Client, config), R::session(far, Role::Server, peer()))
    };
    let ((waits, server), (holds, other)) = (session(Arc::clone(&config)), session(config));
    let (mut near, mut far) = streams::<R>(&waits, &server).await.unwrap();
    let kept = streams::<R>(&holds, &other).await.unwrap();
    // There is no room for the window of another one.
    let opener = waits.clone();
    let second = park::<R, _>(async move { opener.open().await.unwrap() }).await;
    assert_eq!(waits.stats().open_streams, 1);
    // The first one works all the same.
    write_all(&mut near, b"question").await.unwrap();
    near.half_close().await.unwrap();
    assert_eq!(read_to_end(&mut far).await.unwrap(), b"question");
    drop((kept, holds, other));
    let second = second.await;
    assert!(budget.reserved() <= budget.limit());
    drop((near, far, second));
    assert!(waits.close().await.is_clean());
}
