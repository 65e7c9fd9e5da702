//! The methods of the adapters' sessions and streams, written once.
//!
//! An adapter has its own types, because only they can implement its runtime's read and write
//! traits. The other methods are the same in all adapters: the macros here are the bodies of their
//! `impl` blocks, including documentation. `$cooperative` makes a future use the runtime's
//! scheduling budget; it is `core::convert::identity` if there is none. `$metered` does it for a call
//! that moves bytes: it gets the context, the call, and how many bytes a result has moved.

mod builder;
mod session;
mod stream;

/// Polls an async call once.
#[doc(hidden)]
#[macro_export]
macro_rules! task_poll {
    ($cooperative:path, $cx:ident, $call:expr) => {{
        let call = $cooperative(::core::future::poll_fn($call));
        ::core::future::Future::poll(::core::pin::pin!(call), $cx)
    }};
}
