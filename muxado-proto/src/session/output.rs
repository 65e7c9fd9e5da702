//! Frames for the peer, produced from state when the transport can take them.

use core::cmp::Ordering;

use super::pace::Pace;
use super::{Orphan, Session};
use crate::config::{BLOCK, DEFAULT_FRAME};
use crate::error::ErrorCode;
use crate::frame::{Flags, FrameType, GOAWAY_PAD, Header, MAX_PAYLOAD, StreamId};
use crate::stream::key::Key;
use crate::stream::schedule::{Queue, TURN};
use crate::stream::state::SendState;
use crate::stream::{Edge, Mark, Owner, TYPE_LEN};
use crate::time::Timestamp;
use crate::timers::Timer;
use crate::transmit::Transmit;

/// A message is small if it fits into one frame of the default size. A stream that has sent a larger one
/// counts as bulk until it is new again.
const MESSAGE: u16 = DEFAULT_FRAME as u16;

impl Session {
    /// Appends frames to `out` until it has grown by `max` bytes (the last frame may exceed it) or
    /// there is nothing to send; returns by how many bytes it grew.
    ///
    /// Order: GOAWAY, after the first frame of every stream that was written to, then RST, WNDINC,
    /// heartbeat, and data by priority and in turns.
    ///
    /// Call it when the previous batch has been written, and until it returns 0: each call tells
    /// the session that the transport has taken the previous batch. Without another call the
    /// session assumes that the transport stalls, after
    /// [`write_stall_timeout`](crate::Config::write_stall_timeout). A session that ends gracefully
    /// is over when everything was taken, that is, within the call that returns 0.
    pub fn poll_transmit(&mut self, now: Timestamp, out: &mut Transmit, max: usize) -> usize {
        self.advance_clock(now);
        if self.pace.waits_since().is_some() {
            self.batch_taken();
        }
        self.defund();
        if self.wants_transmit() { self.cut_batch(out, max) } else { self.nothing_to_say() }
    }

    /// There is nothing to send, and the transport has taken everything.
    fn nothing_to_say(&mut self) -> usize {
        self.beats.nothing_to_send();
        self.timers.set(Timer::Write, None);
        0
    }

    fn cut_batch(&mut self, out: &mut Transmit, max: usize) -> usize {
        let now = self.now;
        self.timers.asked();
        let unarmed = self.credit.take_unarmed() || self.pool_unarmed();
        if unarmed && !self.closing.is_over() {
            self.timers.set(Timer::Update, Some(now + self.config.update_delay));
        }
        self.handover.begin();
        let before = out.len();
        let limit = before.saturating_add(max);
        let full = max.min(self.batch_size());
        self.cut_go_aways(out, limit);
        if !self.closing.is_over() {
            // The end of streams that end from here on is in this batch.
            self.timers.set(Timer::Write, Some(now + self.config.write_stall_timeout));
            self.cut_orphans(out, limit);
            if !self.closing.has_said_all() {
                self.cut_control(out, limit);
                self.cut_data(out, limit);
                // RSTs of streams that have waited too long for credit.
                self.cut_control(out, limit);
                if self.is_drained() {
                    self.closing.say_all();
                    out.join(&GOAWAY_PAD);
                }
            }
        }
        let grown = out.len().saturating_sub(before);
        self.stats.bytes_sent = self.stats.bytes_sent.wrapping_add(grown as u64);
        if grown > 0 {
            self.pace.hand_out(now, grown, grown >= full);
        } else {
            self.handover.taken();
            self.nothing_to_say();
            if self.is_drained() {
                self.end_drained();
            }
            if self.closing.is_over() {
                self.closing.flush();
            }
        }
        grown
    }

    /// The transport has taken what was handed out before.
    fn batch_taken(&mut self) {
        self.beats.all_taken(self.now, self.pace.waits_since());
        self.pace.all_taken(self.now);
        self.handover.taken();
        self.report_taken();
        self.counts.confirmed();
        if self.timers.get(Timer::Write).is_some() {
            self.closing.moved(self.now);
        }
    }

    /// How many bytes to request from [`poll_transmit`](Self::poll_transmit): about what the
    /// transport takes in ten milliseconds, estimated from what it recently took, and at most 261 760;
    /// at most a fourth of that while bulk waits, and small messages are sent on another stream.
    ///
    /// Nothing overtakes bytes that were returned. With this size an urgent frame waits for ten
    /// milliseconds, and for the transport's own queue. Frames are never larger than this, even if
    /// more is requested. Time counts as of the latest call that was passed the time.
    ///
    /// ```
    /// use bytes::Buf;
    /// use muxado_proto::{Config, Role, Session, Timestamp, Transmit};
    ///
    /// let mut session = Session::new(Role::Client, Config::default().into(), Timestamp::ZERO, [7; 16].into());
    /// let id = session.open()?;
    /// session.stream(id).unwrap().write(&[0; 200_000]).unwrap();
    /// let (mut out, mut now) = (Transmit::new(), Timestamp::ZERO);
    /// // A transport that takes 125 bytes in a millisecond.
    /// while session.poll_transmit(now, &mut out, session.batch_size()) > 0 {
    ///     now = now + core::time::Duration::from_micros(8 * out.len() as u64);
    ///     session.transmitted(now, out.len());
    ///     out.advance(out.len());
    /// }
    /// assert_eq!(session.batch_size(), 1250);
    /// # Ok::<(), muxado_proto::OpenError>(())
    /// ```
    #[must_use]
    pub fn batch_size(&self) -> usize {
        let mixed = self.store.older_streams_wait() && self.has_small_messages();
        usize::try_from(self.pace.batch(mixed)).unwrap_or(usize::MAX)
    }

    /// How many bytes to move each way before an event loop does other work: 261 760; 65 440 while
    /// several streams are open and small messages are sent on one. Longer turns move bulk with fewer
    /// wake-ups, shorter ones let tasks answer small messages sooner.
    ///
    /// ```
    /// use muxado_proto::{Config, Role, Session, Timestamp};
    ///
    /// let now = Timestamp::ZERO;
    /// let session = Session::new(Role::Client, Config::default().into(), now, [7; 16].into());
    /// assert_eq!(session.turn_size(), 261_760);
    /// ```
    #[must_use]
    pub fn turn_size(&self) -> usize {
        usize::try_from(Pace::turn(self.has_small_messages())).unwrap_or(usize::MAX)
    }

    /// Whether small messages may wait behind others.
    fn has_small_messages(&self) -> bool {
        self.open_streams() > 1 && self.pace.has_small_messages(self.now)
    }

    /// Reports that the transport has taken `count` bytes of the latest batch: its time limit
    /// restarts. When the whole batch is reported, the session knows how long the transport took,
    /// and adapts [`batch_size`](Self::batch_size).
    pub fn transmitted(&mut self, now: Timestamp, count: usize) {
        self.advance_clock(now);
        self.beats.some_taken(self.now, self.pace.waits_since());
        self.pace.taken(self.now, count);
        if self.timers.get(Timer::Write).is_some() {
            self.closing.moved(self.now);
            self.timers.set(Timer::Write, Some(self.now + self.config.write_stall_timeout));
        }
    }

    /// Whether [`poll_transmit`](Self::poll_transmit) has anything to do. Check it after a command
    /// to decide whether to wake the writer of the transport.
    ///
    /// ```
    /// # use muxado_proto::{Config, Role, Session, Timestamp};
    /// # let key = [1; 16].into();
    /// let mut session = Session::new(Role::Client, Config::default().into(), Timestamp::ZERO, key);
    /// let id = session.open()?;
    /// assert!(!session.wants_transmit()); // the peer learns of the stream with its first bytes
    /// session.stream(id).unwrap().write(b"hello").unwrap();
    /// assert!(session.wants_transmit());
    /// # Ok::<(), muxado_proto::OpenError>(())
    /// ```
    #[must_use]
    pub fn wants_transmit(&self) -> bool {
        if self.closing.is_over() {
            return self.closing.is_due() || !self.wants_shutdown();
        }
        self.closing.is_due()
            || self.credit.is_unarmed()
            || self.timers.is_changed()
            || self.pool_unarmed()
            || !self.orphans.is_empty()
            || !self.store.is_empty(Queue::Control)
            || self.store.most_urgent().is_some()
            || self.is_drained()
    }

    /// Whether there is spare memory to free, and no timer for it is set.
    fn pool_unarmed(&self) -> bool {
        (self.pool.keeps_any() || self.store.keeps_spare())
            && self.timers.get(Timer::Update).is_none()
    }

    fn frame_sent(&mut self) {
        self.stats.frames_sent = self.stats.frames_sent.wrapping_add(1);
    }

    /// The GOAWAYs that are due. Streams that were written to before get their SYN first: so a peer
    /// that has read a GOAWAY, and has no stream open, knows that none will come.
    fn cut_go_aways(&mut self, out: &mut Transmit, limit: usize) {
        if !self.closing.is_due() || !self.closing.is_over() && !self.cut_announcements(out, limit)
        {
            return;
        }
        while let Some((code, text)) = self.closing.take_due() {
            self.cut_go_away(code, &text, out);
        }
    }

    /// The first frame of every stream that was written to; `false` if there is more to cut.
    fn cut_announcements(&mut self, out: &mut Transmit, limit: usize) -> bool {
        for key in self.store.keys() {
            // Not every number below the highest has a record.
            let Some(stream) = self.store.get(key) else { continue };
            if !stream.send.owes_syn() || !stream.can_send() {
                continue;
            }
            if out.len() >= limit {
                return false;
            }
            let queue = stream.ready_queue();
            self.store.unlink(queue, key);
            if self.cut_frame(key, out) {
                self.schedule(key);
            }
        }
        true
    }

    fn cut_go_away(&mut self, code: ErrorCode, text: &[u8], out: &mut Transmit) {
        let limit = usize::try_from(self.config.goaway_text.min(MAX_PAYLOAD / 2)).unwrap_or(0);
        let text = text.get(..limit).unwrap_or(text);
        let length = u32::try_from(text.len()).unwrap_or(0).saturating_add(8);
        let kind = FrameType::GoAway;
        let id = StreamId::new(0);
        out.join(&Header { length, kind, flags: Flags::NONE, id }.encode());
        out.join(&self.ids.highest_seen().get().to_be_bytes());
        out.join(&code.0.to_be_bytes());
        out.join(text);
        out.join(&GOAWAY_PAD);
        self.frame_sent();
    }

    #[inline]
    fn cut_orphans(&mut self, out: &mut Transmit, limit: usize) {
        if self.orphans.is_empty() {
            return;
        }
        while out.len() < limit {
            let Some(Orphan { id, code, wakes }) = self.orphans.pop() else { break };
            self.cut_reset(id, code, wakes, out);
        }
        self.finish_draining();
    }

    /// RSTs and WNDINCs; RSTs are at the front of the queue.
    #[inline]
    fn cut_control(&mut self, out: &mut Transmit, limit: usize) {
        if !self.store.is_empty(Queue::Control) {
            self.cut_control_queue(out, limit);
        }
    }

    fn cut_control_queue(&mut self, out: &mut Transmit, limit: usize) {
        while out.len() < limit {
            let Some(key) = self.store.pop(Queue::Control) else { break };
            let Some(stream) = self.store.live_mut(key) else { continue };
            let id = stream.id;
            if let SendState::Resetting(code) = stream.send {
                let wakes = stream.recv_window.may_have_a_waiting_writer();
                stream.send = stream.send.rst_sent();
                self.cut_reset(id, code, wakes, out);
                self.free_if_done(key);
            } else if stream.recv.is_open() {
                if let Some(increment) = stream.recv_window.update(self.now) {
                    out.join(&Header::wnd_inc(id, increment));
                    self.frame_sent();
                }
            }
        }
    }

    fn cut_reset(&mut self, id: StreamId, code: ErrorCode, wakes: bool, out: &mut Transmit) {
        if wakes {
            // ngrok's writer wakes for credit, not for an RST.
            out.join(&Header::wnd_inc(id, 1));
            self.frame_sent();
        }
        out.join(&Header::rst(id, code.0));
        self.stats.resets_sent = self.stats.resets_sent.saturating_add(1);
        self.frame_sent();
    }

    fn cut_data(&mut self, out: &mut Transmit, limit: usize) {
        while out.len() < limit {
            let Some((queue, key)) = self.store.pop_ready() else { break };
            let before = out.len();
            let goes_on = loop {
                if !self.cut_frame(key, out) {
                    break false;
                }
                let turn = out.len().saturating_sub(before);
                if out.len() >= limit || self.has_had_its_turn(queue, turn) {
                    break true;
                }
            };
            self.store.had_turn(queue, before, out.len());
            if goes_on {
                self.schedule(key);
            }
        }
    }

    /// Whether a stream from this queue that has sent so much lets others go on. One that is alone in
    /// its class has the next turn, too.
    fn has_had_its_turn(&self, queue: Queue, turn: usize) -> bool {
        let over = turn >= TURN as usize;
        self.store.most_urgent().is_some_and(|next| match next.class().cmp(&queue.class()) {
            Ordering::Less => true,
            Ordering::Equal => over,
            Ordering::Greater => false,
        })
    }

    /// Cuts one DATA frame, and the FIN frame after a SYN. Returns whether more can be sent: then
    /// the stream is in no ready queue.
    fn cut_frame(&mut self, key: Key, out: &mut Transmit) -> bool {
        let max = self.pace.frame(self.config.max_frame_size);
        let half = usize::try_from(self.config.send_buffer / 2).unwrap_or(usize::MAX);
        let Some(stream) = self.store.live_mut(key) else { return false };
        if !stream.can_send() {
            self.stall(key);
            return false;
        }
        if stream.outgoing.is_empty() && stream.send.is_silent() {
            // Its reader waits.
            stream.send = stream.send.announce();
        }
        stream.batch = self.handover.current();
        let id = stream.id;
        let before = stream.outgoing.size();
        let buffered = stream.outgoing.len();
        let syn = stream.send.owes_syn();
        // A type gets its own frame, as every known peer sends it.
        let max = if syn && stream.stream_type.is_some() { TYPE_LEN } else { max };
        let room = stream.send_window.credit().min(max);
        let count = buffered.min(usize::try_from(room).unwrap_or(usize::MAX));
        let length = u32::try_from(count).unwrap_or(0);
        let ends = count == buffered && matches!(stream.send, SendState::Finishing { .. });
        // Go cannot answer after a SYN|FIN, so the two never go in one frame.
        let fin = ends && !syn;
        let flags = if syn { Flags::SYN } else { Flags::NONE };
        let flags = if fin { flags.with(Flags::FIN) } else { flags };
        out.join_header(Header::data(id, length, flags).encode());
        stream.outgoing.transmit(count, out, &mut self.pool);
        self.closing.moved(self.now);
        let counted = stream.is_counted();
        if counted {
            self.beats.cut_data(length);
        } else if count == buffered && stream.owner == Owner::Beats {
            self.beats.cut_beat();
        }
        stream.send_window.spend(length);
        let stalls = stream.is_stalled();
        if stalls {
            // The peer may let the rest wait without a limit.
            stream.outgoing.compact(BLOCK);
        }
        self.budget.resize(before, stream.outgoing.size());
        let sent = u16::try_from(length).unwrap_or(u16::MAX);
        stream.sent_since_idle = stream.sent_since_idle.saturating_add(sent);
        stream.sent_since_stall =
            if count == buffered { u16::MAX } else { stream.sent_since_stall.saturating_add(sent) };
        if syn {
            stream.send = stream.send.syn_sent();
            stream.mark(Mark::Announced);
        }
        if length > 0 {
            stream.mark(Mark::Spoke);
        }
        if ends {
            if syn {
                out.join_header(Header::data(id, 0, Flags::FIN).encode());
                self.stats.frames_sent = self.stats.frames_sent.wrapping_add(1);
            }
            stream.send = stream.send.fin_sent();
        }
        let echo = stream.owner == Owner::Echo;
        let roomy = buffered.saturating_sub(count) <= half;
        let watched = stream.asks_for_progress();
        let waits = stream.edges.are_watched(Edge::Writable);
        let goes_on = !ends && !echo && stream.can_send();
        if count == buffered {
            if stream.sent_since_idle <= MESSAGE {
                stream.sent_since_idle = 0;
                if length > 0 && counted {
                    self.pace.small_message(self.now);
                }
            }
            // There is space for it again, independent of other streams.
            if waits {
                self.store.unlink(Queue::Budget, key);
            }
            if watched {
                self.store.push(Queue::Taking, key);
            }
        }
        self.stats.payload_sent = self.stats.payload_sent.wrapping_add(u64::from(length));
        self.frame_sent();
        if syn {
            self.announced(id);
        }
        if ends {
            self.spare(key);
            self.free_if_done(key);
        } else {
            if stalls {
                self.schedule(key);
            }
            if echo {
                self.echo(key);
            } else if waits && roomy && !self.store.is_in(Queue::Budget, key) {
                self.notify(key, Edge::Writable);
            }
        }
        self.wake_writers(goes_on);
        goes_on
    }
}
