//! The workloads in words, for the tables.

use super::{Workload, beside::Small, peak};
use crate::relay;

/// A workload in a sentence.
pub(crate) fn explain(workload: Workload) -> String {
    match workload {
        Workload::Echo { .. } => "Streams that echo a payload".to_owned(),
        Workload::Request { inflight } => format!(
            "Open a stream, send 64 bytes, half-close, read 64 bytes to the end; {inflight} in flight"
        ),
        Workload::EchoWhileReading { streams, payload } => format!(
            "{streams} stream{} at once echo {payload} bytes each: a task writes 32 KiB at a time, \
             another reads",
            if streams == 1 { "" } else { "s" },
        ),
        Workload::Burst => "A thousand requests of 64 bytes that begin at once, each on a stream of \
             its own: the time until all are answered"
            .to_owned(),
        Workload::Sessions { count } => format!(
            "Resident memory for a session of one stream that was used once, over a pipe in memory, \
             {count} of them"
        ),
        Workload::Streams { count } => format!(
            "A request on one more stream, then bulk on one more, while {count} streams are open in \
             the session"
        ),
        Workload::Peak => format!(
            "Resident memory for a session after a peak: {} sessions over TCP, at the peak each with \
             {} streams of {} KiB unread. The allocator returns freed blocks of {} KiB or more to the \
             system",
            peak::SESSIONS,
            peak::STREAMS,
            peak::UNREAD / 1024,
            peak::RETURNED / 1024
        ),
        Workload::PingPong => "64 bytes there and back on one stream".to_owned(),
        Workload::Bulk { streams, write } => format!(
            "Bytes one way on {streams} stream{}, in writes of {} KiB",
            if streams == 1 { "" } else { "s" },
            write / 1024
        ),
        Workload::IdleStreams => {
            "Resident memory for a stream that was used once, many of them in one session".to_owned()
        }
        Workload::IdleSessions { tcp } => format!(
            "Resident memory for a session of one stream that was used once, {}",
            if tcp { "over TCP" } else { "over a pipe in memory" }
        ),
        Workload::Unread => {
            "Bytes one way on eight streams, in writes of 64 KiB, while a ninth is full and never read"
                .to_owned()
        }
        Workload::Beside(beside) => format!(
            "{}, while {} {} bulk{}",
            match beside.small {
                Small::Echo => "8 bytes there and back on one stream",
                Small::Request => {
                    "Open a stream, send 64 bytes, half-close, read 64 bytes to the end"
                }
            },
            if beside.bulk == 1 { "another stream".to_owned() } else { format!("{} others", beside.bulk) },
            if beside.bulk == 1 { "carries" } else { "carry" },
            if beside.both_ways { " both ways" } else { " the way of the requests" },
        ),
        Workload::Link => format!(
            "Bytes one way on one stream over a link of {} ms round trip and {:.0} MB/s, once it has \
             had some seconds to get going",
            2 * relay::DELAY.as_millis(),
            relay::BANDWIDTH as f64 / 1e6
        ),
    }
}

/// What is not at its default, in a sentence.
pub(crate) fn raised(workload: Workload) -> &'static str {
    if workload.raises_limits() {
        " All that limit the number of open streams get a limit that suffices; all else is at its \
         default."
    } else {
        ""
    }
}
