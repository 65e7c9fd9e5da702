//! The methods of the adapters' sessions and streams, written once.
//!
//! An adapter has types of its own, because only they can have its runtime's read and write traits.
//! What these types can do besides is the same in all adapters: the macros here are the bodies of
//! their `impl` blocks, documentation included. `$cooperative` makes a future take part in the
//! runtime's scheduling budget; `core::convert::identity` where there is none.

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
