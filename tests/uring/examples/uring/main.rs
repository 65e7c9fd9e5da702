//! Two sessions in one event loop on io_uring, and a payload that is never copied. Needs Linux.
//!
//! The kernel reads into a buffer, the session and the application pass on slices of it, and
//! the kernel writes the slices.
//!
//! ```sh
//! cargo run --release -p muxado-uring --example uring
//! ```
//!
//! It sends 64 MiB through an echo, checks them, and counts the bytes that were not in a buffer of
//! the ring when the application had them. If the kernel refuses an io_uring, it prints that and
//! ends.

#[cfg(target_os = "linux")]
mod linux;

fn main() -> std::io::Result<()> {
    if std::env::args().nth(1).is_some() {
        println!("Sends 64 MiB through an echo, both ends in one event loop on io_uring.");
        return Ok(());
    }
    #[cfg(target_os = "linux")]
    return linux::run();
    #[cfg(not(target_os = "linux"))]
    {
        println!("skipped: this system has no io_uring");
        Ok(())
    }
}
