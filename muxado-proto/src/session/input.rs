//! Frames from the peer. Checks that need only the header are made on the header, before any
//! payload is stored.

use bytes::Bytes;

use super::inlet::{FrameLimit, Newcomer, Sink};
use super::{Orphan, Session, Unread};
use crate::decode::Item;
use crate::error::ErrorCode;
use crate::event::{Signal, Warning};
use crate::frame::{Flags, HEADER_LEN, Role, StreamId};
use crate::limits::Excess;
use crate::stream::entries::Entry;
use crate::stream::ids::Seen;
use crate::stream::key::Key;
use crate::stream::schedule::{Link, Queue};
use crate::stream::state::{RecvState, SendState};
use crate::stream::{Edge, Mark, Owner, Stream, StreamType};
use crate::time::Timestamp;
use crate::timers::Timer;

/// Payload is kept as a slice only if it is at least this fraction of the input. A smaller slice
/// counts as the whole input until it is copied, which costs more than copying it at once.
const SLICE_FRACTION: usize = 8;

impl Session {
    /// Handles bytes that have arrived on the transport, in any chunking.
    ///
    /// Never fails: a fault of one stream resets that stream, a fault of the session queues a
    /// GOAWAY and ends in [`Event::Closed`](crate::Event::Closed).
    ///
    /// Large payloads are kept as slices of `data`, without a copy. A session that holds one counts
    /// twice the length of `data` for it ([`Config::max_memory`](crate::Config::max_memory)), so
    /// `data` should fill at least half of the allocation behind it; pass small reads to
    /// [`handle_slice`](Self::handle_slice).
    pub fn handle_input(&mut self, now: Timestamp, data: Bytes) {
        self.receive(now, &data, Some(&data));
    }

    /// Like [`handle_input`](Self::handle_input), but copies what it keeps: the caller can reuse
    /// the buffer at once.
    pub fn handle_slice(&mut self, now: Timestamp, data: &[u8]) {
        self.receive(now, data, None);
    }

    fn receive(&mut self, now: Timestamp, data: &[u8], owner: Option<&Bytes>) {
        self.advance_clock(now);
        let count = data.len() as u64;
        self.stats.bytes_received = self.stats.bytes_received.wrapping_add(count);
        self.counts.input_begins(self.waiting(), &self.config);
        let mut input = data;
        if let Some(what) = self.inlet.greeting_of(input) {
            if !self.closing.is_over() {
                self.end_for_violation(ErrorCode::PROTOCOL, what);
            }
        }
        while !self.closing.is_over() {
            let Some(item) = self.inlet.next(&mut input) else { break };
            match item {
                Item::Payload { bytes, end } => self.on_payload(bytes, end, owner),
                Item::Skipped(bytes) => self.on_unknown(bytes),
                frame => {
                    self.stats.frames_received = self.stats.frames_received.wrapping_add(1);
                    self.on_frame(frame);
                }
            }
        }
        if self.closing.is_over() {
            return self.discard(input);
        }
        self.watch_frame(data.len());
    }

    /// Discards input after the end, up to a bound. If nothing was cut, it is searched for the
    /// peer's last pad: nothing follows that.
    fn discard(&mut self, data: &[u8]) {
        self.timers.set(Timer::Frame, None);
        let mut input = data;
        while self.closing.awaits_pad() {
            match self.inlet.next(&mut input) {
                Some(Item::GoAway { .. }) => self.closing.on_late_go_away(),
                Some(Item::Unknown { header }) if header.is_pad() => self.closing.on_pad(),
                Some(_) => {}
                None => break,
            }
        }
        self.closing.discard(data.len(), self.config.receive_window);
    }

    fn on_frame(&mut self, frame: Item<'_>) {
        match frame {
            Item::Data { id, flags, length } => self.on_data(id, flags, length),
            Item::Rst { id, code } => self.on_rst(id, code),
            Item::WndInc { id, increment } => self.on_wnd_inc(id, increment),
            Item::GoAway { last, code, text } => self.on_go_away(last, code, text),
            Item::Unknown { header } => {
                if header.is_pad() {
                    self.on_pad();
                } else if self.inlet.is_first_frame() {
                    self.warn(Warning::UnknownGreeting);
                }
                self.stats.unknown_frames = self.stats.unknown_frames.saturating_add(1);
                self.on_unknown(HEADER_LEN);
            }
            Item::Malformed { code, .. } => {
                self.end_for_violation(code, "frame of impossible length")
            }
            Item::Payload { .. } | Item::Skipped(_) => {}
        }
    }

    fn on_data(&mut self, id: StreamId, flags: Flags, length: u32) {
        if id.get() == 0 {
            return self.end_for_violation(ErrorCode::PROTOCOL, "DATA on stream 0");
        }
        if flags.is_syn() && id.is_opened_by(self.role) {
            let what = match self.role {
                Role::Client => "SYN with an id of this side's parity: are both ends clients?",
                Role::Server => "SYN with an id of this side's parity: are both ends servers?",
            };
            return self.end_for_violation(ErrorCode::PROTOCOL, what);
        }
        match self.store.entry(id) {
            Some(Entry::Live(key)) if flags.is_syn() => {
                self.reset_for_violation(key, ErrorCode::PROTOCOL);
            }
            Some(Entry::Live(key)) => self.on_live_data(key, id, flags, length),
            None if flags.is_syn() => self.on_syn(id, flags, length),
            Some(Entry::Reset) => {}
            None => self.on_stray(id, flags, length),
        }
    }

    /// DATA on an unknown stream.
    fn on_stray(&mut self, id: StreamId, flags: Flags, length: u32) {
        if length == 0 && flags.is_fin() {
            return;
        }
        self.stats.stray_frames = self.stats.stray_frames.saturating_add(1);
        let limit = self.config.stray_data_limit;
        if self.ids.was_used(id) {
            // The tombstone has expired. The frame may have been in flight when the stream was
            // cancelled, so it does not count against the peer.
            if self.limits.take(Excess::Late, 1, limit, self.now) {
                self.answer_by_rst(Orphan::new(id, ErrorCode::STREAM_CLOSED));
            }
            return;
        }
        if !self.limits.take(Excess::Stray, 1, limit, self.now) {
            return self.end_for_violation(
                ErrorCode::ENHANCE_YOUR_CALM,
                "too much DATA on unknown streams",
            );
        }
        if id.is_opened_by(self.role.peer()) {
            // A SYN that arrives later would open a stream with missing bytes, so the id counts as
            // used.
            let _used_before = self.mark_used(id);
        }
        self.answer_by_rst(Orphan::new(id, ErrorCode::STREAM_CLOSED));
    }

    /// Marks an id of the peer's as used; says what was known of it before.
    fn mark_used(&mut self, id: StreamId) -> Seen {
        self.ids.mark_used(id, self.config.id_gaps)
    }

    /// A SYN with an id that counts as used. If its gap may have been forgotten, the peer broke no
    /// rule.
    fn on_reused(&mut self, id: StreamId, seen: Seen) {
        self.stats.oddities = self.stats.oddities.saturating_add(1);
        self.stats.streams_refused = self.stats.streams_refused.saturating_add(1);
        if seen == Seen::Used
            && !self.limits.take(Excess::Stray, 1, self.config.stray_data_limit, self.now)
        {
            return self
                .end_for_violation(ErrorCode::ENHANCE_YOUR_CALM, "too many reused stream ids");
        }
        self.answer_by_rst(Orphan::new(id, ErrorCode::PROTOCOL));
    }

    fn on_syn(&mut self, id: StreamId, flags: Flags, length: u32) {
        let seen = self.mark_used(id);
        if seen != Seen::Fresh {
            return self.on_reused(id, seen);
        }
        if let Some(code) = self.why_refused(length) {
            let newcomer = Newcomer::new(id, length, flags.is_fin(), code);
            if self.may_be_heartbeat(length) {
                return self.inlet.hold(newcomer);
            }
            return self.refuse_newcomer(newcomer);
        }
        let owner = if self.config.typed { Owner::Untyped } else { Owner::Backlog };
        let mut stream = Stream::new(id, owner, SendState::Open, &self.config);
        stream.waits_since = self.now;
        let key = self.store.insert(stream);
        self.counts.let_in();
        self.stats.streams_accepted = self.stats.streams_accepted.saturating_add(1);
        if self.config.typed {
            self.store.push(Queue::Untyped, key);
            self.arm_untyped();
        } else {
            self.store.push(Queue::Accept, key);
            self.signals.raise(Signal::Acceptable);
            if length == 4 && !flags.is_fin() {
                self.inlet.suspect(id);
            }
        }
        self.on_live_data(key, id, flags.with(Flags::SYN), length);
    }

    pub(super) fn refuse_newcomer(&mut self, newcomer: Newcomer) {
        self.stats.streams_refused = self.stats.streams_refused.saturating_add(1);
        // A peer that uses its whole window with the SYN has no credit left.
        let spent = newcomer.length == self.config.receive_window && !newcomer.fin;
        self.answer_by_rst(Orphan::new(newcomer.id, newcomer.code).waking_if(spent));
    }

    /// Streams that the application has not accepted.
    fn waiting(&self) -> u32 {
        self.store.len(Queue::Accept).saturating_add(self.store.len(Queue::Untyped))
    }

    /// Why a new stream cannot be admitted.
    fn why_refused(&mut self, length: u32) -> Option<ErrorCode> {
        let full = self.counts.is_inbound_full(&self.config)
            || !self.credit.fits(self.counts.open(), &self.config);
        if self.closing.refuses_streams() || self.counts.is_closed_to_peer() || full {
            Some(ErrorCode::STREAM_REFUSED)
        } else if self.counts.is_backlog_full(self.waiting(), &self.config) {
            Some(ErrorCode::ACCEPT_QUEUE_FULL)
        } else if length > self.config.receive_window {
            Some(ErrorCode::FLOW_CONTROL)
        } else if !self.reserve_stream(false) {
            Some(ErrorCode::STREAM_REFUSED)
        } else {
            None
        }
    }

    #[inline(always)]
    fn on_live_data(&mut self, key: Key, id: StreamId, flags: Flags, length: u32) {
        self.answered(key);
        let Some(stream) = self.store.live_mut(key) else { return };
        if stream.is_counted() {
            self.beats.on_data(self.now);
        }
        let empty = length == 0;
        if !empty {
            self.credit.on_data(self.now);
        }
        match stream.recv {
            // A repeated FIN, or an empty frame after it, is harmless; DATA is answered once.
            RecvState::Finished | RecvState::Ignored if empty || stream.send.is_reset() => return,
            RecvState::Finished | RecvState::Ignored => {
                return self.reset_for_violation(key, ErrorCode::STREAM_CLOSED);
            }
            // It was in flight when the RST was sent.
            RecvState::Reset(_) | RecvState::ResetLocally(_) => return,
            RecvState::Open | RecvState::Stopped => {}
        }
        let unread = stream.recv == RecvState::Stopped && stream.send == SendState::Finished;
        if unread && !(empty && flags.is_fin()) {
            return self.refuse_unread(key, length, flags.is_fin());
        }
        if empty && !flags.is_fin() && !flags.is_syn() {
            if !self.limits.take(Excess::Empty, 1, self.config.empty_data_limit, self.now) {
                self.end_for_violation(ErrorCode::ENHANCE_YOUR_CALM, "too many empty DATA frames");
            }
            return;
        }
        if !self.credit.receive(stream, length) {
            return self.reset_for_violation(key, ErrorCode::FLOW_CONTROL);
        }
        if !empty {
            self.inlet.deliver_to(key, id, flags.is_fin());
        } else if flags.is_fin() {
            self.on_fin(key);
        }
    }

    #[inline(always)]
    pub(super) fn on_payload(&mut self, bytes: &[u8], end: bool, owner: Option<&Bytes>) {
        let (key, id, fin) = match self.inlet.sink() {
            Sink::Discard => return,
            Sink::Stream { key, id, fin } => (key, id, fin),
            Sink::Newcomer(newcomer) => return self.on_newcomer(newcomer, bytes, end, owner),
        };
        if self.inlet.shows_a_typed_peer(id, bytes) {
            self.warn(Warning::TypedPeer);
        }
        let short = owner.is_some() && self.is_short();
        // The payload goes nowhere once the record is removed: `Inlet::leave`.
        let Some(stream) = self.store.live_mut(key) else { return };
        if stream.recv == RecvState::Stopped && stream.send == SendState::Finished {
            // The reader was dropped in the middle of the frame, with the rest of the credit.
            return self.refuse_rest(key, bytes.len(), fin, end);
        }
        if stream.recv == RecvState::Stopped {
            self.consumed(key, bytes.len());
        } else if stream.recv == RecvState::Open {
            let whole = owner
                .filter(|data| bytes.len().saturating_mul(SLICE_FRACTION) >= data.len() && !short);
            let before = stream.incoming.size();
            match whole {
                Some(data) => stream.incoming.push_slice(bytes, data, &mut self.pool),
                None => stream.incoming.push_copy(bytes, &mut self.pool),
            }
            self.credit.resize(before, stream.incoming.size());
            self.closing.moved(self.now);
            let count = bytes.len() as u64;
            self.stats.payload_received = self.stats.payload_received.wrapping_add(count);
            match stream.owner {
                Owner::Application if !stream.edges.are_watched(Edge::Readable) => {}
                Owner::Application => self.notify(key, Edge::Readable),
                Owner::Untyped => self.collect_type(key),
                Owner::Beats => self.on_echo(key),
                Owner::Echo => self.echo(key),
                Owner::Backlog | Owner::Released => {}
            }
            self.arm_share();
            if self.is_short() {
                self.save_memory(key, bytes.len());
            }
        }
        if end && fin {
            self.on_fin(key);
        }
    }

    fn warn(&mut self, warning: Warning) {
        self.inlet.warn(warning);
        self.signals.raise(Signal::Warning);
    }

    pub(super) fn on_fin(&mut self, key: Key) {
        // What the payload before it led to, such as the end of the session, may have removed it.
        let Some(stream) = self.store.get_mut(key) else { return };
        if !stream.recv.is_open() {
            return;
        }
        stream.recv = stream.recv.fin();
        let (owner, asked) = (stream.owner, stream.asks_for_progress());
        if !matches!(stream.send, SendState::Resetting(_)) {
            // No grant is sent after the peer's FIN.
            self.store.unlink_any(Link::Control, key);
        }
        match owner {
            Owner::Application | Owner::Backlog => {
                self.notify(key, Edge::Readable);
                if asked {
                    self.report_progress(key);
                }
                self.free_if_done(key);
            }
            Owner::Untyped => {
                // It can no longer deliver its type: a fault of this stream only.
                self.reset_for_violation(key, ErrorCode::PROTOCOL);
            }
            Owner::Beats => self.on_beats_ended(key),
            Owner::Echo => self.echo(key),
            Owner::Released => self.free_if_done(key),
        }
    }

    fn on_rst(&mut self, id: StreamId, code: ErrorCode) {
        if id.get() == 0 {
            return self.end_for_violation(ErrorCode::PROTOCOL, "RST on stream 0");
        }
        self.stats.resets_received = self.stats.resets_received.saturating_add(1);
        let inbound = id.is_opened_by(self.role.peer());
        match self.store.entry(id) {
            Some(Entry::Live(key)) => {
                // The reset is free if an answer had begun or was complete.
                let free =
                    self.store.get(key).is_some_and(|s| s.is(Mark::Spoke) || s.is_given_up());
                // ngrok sends one RST for each frame that was in flight: the first one counts.
                if !self.peer_reset(key, code) {
                    return;
                }
                if inbound && !free {
                    self.count_reset();
                }
            }
            Some(Entry::Reset) | None => return,
        }
        if code == ErrorCode::ACCEPT_QUEUE_FULL && !inbound {
            // The Go reference keeps a refused stream in its table until it receives an RST for it.
            self.queue_reset(Orphan::new(id, ErrorCode::STREAM_CLOSED));
        }
    }

    /// The peer has reset the stream: buffered data stays readable, writing is over. `false` if it
    /// had ended before.
    pub(super) fn peer_reset(&mut self, key: Key, code: ErrorCode) -> bool {
        self.answered(key);
        let Some(stream) = self.store.live_mut(key) else { return false };
        let ends = !stream.send.is_over() || stream.recv.is_open();
        stream.recv = stream.recv.peer_reset(code);
        stream.send = stream.send.peer_reset(code);
        let (over, owner) = (stream.send.is_over(), stream.owner);
        if over {
            self.drop_outgoing(key);
        }
        self.store.unlink_any(Link::Control, key);
        self.store.unlink(Queue::Budget, key);
        self.notify_all(key);
        if owner == Owner::Beats {
            self.on_beats_ended(key);
        } else {
            self.leave_backlog(key);
            self.free_if_done(key);
        }
        ends
    }

    fn on_wnd_inc(&mut self, id: StreamId, increment: u32) {
        if id.get() == 0 {
            return self.end_for_violation(ErrorCode::PROTOCOL, "WNDINC on stream 0");
        }
        self.beats.arrived(increment);
        let Some(key) = self.store.key(id) else { return };
        self.answered(key);
        let Some(stream) = self.store.live_mut(key) else { return };
        if !stream.send.is_sending() {
            return;
        }
        if increment == 0 {
            return self.reset_for_violation(key, ErrorCode::PROTOCOL);
        }
        stream.send_window.grant(increment);
        self.schedule(key);
    }

    fn on_unknown(&mut self, bytes: usize) {
        let count = u32::try_from(bytes).unwrap_or(u32::MAX);
        if !self.limits.take(Excess::Unknown, count, self.config.unknown_bytes_limit, self.now) {
            self.end_for_violation(
                ErrorCode::ENHANCE_YOUR_CALM,
                "too many bytes in unknown frames",
            );
        }
    }

    /// Moves a stream whose four type bytes have arrived into the backlog.
    fn collect_type(&mut self, key: Key) {
        let Some(stream) = self.store.live_mut(key) else { return };
        let mut bytes = [0; 4];
        if stream.incoming.len() < bytes.len() {
            return;
        }
        let before = stream.incoming.size();
        stream.incoming.read(&mut bytes, &mut self.pool);
        self.credit.resize(before, stream.incoming.size());
        let stream_type = StreamType(u32::from_be_bytes(bytes));
        stream.stream_type = Some(stream_type);
        self.store.unlink(Queue::Untyped, key);
        self.arm_untyped();
        if stream_type == StreamType::HEARTBEAT {
            if !self.adopt_echo(key) {
                return;
            }
        } else if self.counts.is_closed_to_peer() {
            self.stats.streams_refused = self.stats.streams_refused.saturating_add(1);
            return self.reset_stream(key, ErrorCode::STREAM_REFUSED, Unread::Drop);
        } else {
            if let Some(stream) = self.store.live_mut(key) {
                stream.owner = Owner::Backlog;
            }
            self.store.push(Queue::Accept, key);
            self.signals.raise(Signal::Acceptable);
        }
        self.consumed(key, bytes.len());
    }

    /// Keeps the time limit on a frame that has begun.
    fn watch_frame(&mut self, received: usize) {
        let running = self.timers.get(Timer::Frame).is_some();
        let limit = self.inlet.watch(received, running);
        if received > 0 && limit != FrameLimit::Keep {
            self.beats.on_sign(self.now);
        }
        match limit {
            FrameLimit::Off => self.timers.set(Timer::Frame, None),
            FrameLimit::Restart => {
                self.timers.set(Timer::Frame, Some(self.now + self.config.frame_stall_timeout));
            }
            FrameLimit::Keep => {}
        }
    }
}
