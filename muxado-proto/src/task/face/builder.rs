//! Builders of sessions.

/// The settings of a builder that wraps an endpoint of this layer, as methods of `impl<T>`.
#[doc(hidden)]
#[macro_export]
macro_rules! task_builder_settings {
    () => {
        /// The settings.
        pub fn config(self, config: impl Into<::std::sync::Arc<$crate::Config>>) -> Self {
            Self(self.0.config(config))
        }

        /// The address of this end, for [`Session::local_addr`].
        pub fn local_addr(self, address: ::core::net::SocketAddr) -> Self {
            Self(self.0.local_addr(Some(address)))
        }

        /// The address of the peer, for [`Session::peer_addr`] and the log.
        pub fn peer_addr(self, address: ::core::net::SocketAddr) -> Self {
            Self(self.0.peer_addr(Some(address)))
        }

        /// The name of the peer, for [`Session::peer_name`] and the log.
        pub fn peer_name(self, name: impl Into<::std::sync::Arc<str>>) -> Self {
            Self(self.0.peer_name(name))
        }
    };
}

/// What starts a session and leaves its driver to the caller, for a transport that a driver can use.
#[doc(hidden)]
#[macro_export]
macro_rules! task_builder_drivers {
    () => {
        /// The client's end, and its driver, which the caller has to poll.
        pub fn client_with_driver(self) -> (Session, Driver<T>) {
            let (session, driver) = self.0.start($crate::Role::Client);
            (Session(session), Driver(driver))
        }

        /// The server's end, and its driver, which the caller has to poll.
        pub fn server_with_driver(self) -> (Session, Driver<T>) {
            let (session, driver) = self.0.start($crate::Role::Server);
            (Session(session), Driver(driver))
        }
    };
}
