//! A hostile peer, on a session of its own beside the honest ones.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use muxado_proto::{Config, Role, Session, SessionKey, Timestamp, Transmit};

use crate::peer;

/// Attacks sessions with the settings of the honest ones; whenever one has ended, the next.
#[derive(Debug)]
pub struct Hostile {
    config: Arc<Config>,
    victim: Session,
    out: Transmit,
    /// What fills a window.
    flood: Bytes,
    turns: u32,
    /// Streams of the victim that the attack has opened.
    opened: u32,
    /// Sessions that have ended.
    pub ended: u32,
}

impl Hostile {
    /// A hostile peer of sessions with these settings. To be felt beside others, they share a
    /// [`MemoryBudget`](muxado_proto::MemoryBudget).
    pub fn new(config: Config) -> Self {
        let config = Arc::new(config);
        let victim = Self::victim(&config, Timestamp::ZERO);
        let flood = Bytes::from(vec![0; config.receive_window() as usize]);
        Self { config, victim, out: Transmit::new(), flood, turns: 0, opened: 0, ended: 0 }
    }

    fn victim(config: &Arc<Config>, now: Timestamp) -> Session {
        Session::new(Role::Server, Arc::clone(config), now, SessionKey::new([9; 16]))
    }

    /// Streams that are filled and never read, that are reset or given up at once, and data for
    /// streams that are over. The application of the victim accepts all and reads nothing.
    ///
    /// # Errors
    ///
    /// The fault that the audit of the victim has found.
    pub fn turn(&mut self, now: Timestamp) -> Result<(), String> {
        if self.victim.close_reason().is_some() {
            self.victim.audit().map_err(|error| format!("the victim's audit: {error}"))?;
            self.victim = Self::victim(&self.config, now);
            self.opened = 0;
            self.ended += 1;
        }
        // The victim gets one frame for some of its neighbour's.
        self.turns += 1;
        if !self.turns.is_multiple_of(8) {
            return Ok(());
        }
        let id = 3 + 2 * self.opened;
        self.opened += 1;
        let typed = self.config.typed();
        let first = if typed { &b"\0\0\0\x07data"[..] } else { b"data" };
        let frames = match self.opened % 4 {
            0 => peer::header(self.flood.len(), 1, 2, id).to_vec(),
            1 => [peer::syn(id, first), peer::rst(id, 6)].concat(),
            2 => [peer::syn(id, first), peer::fin(id), peer::data(id, b"more")].concat(),
            _ => peer::syn(id, b""),
        };
        self.victim.handle_input(now, Bytes::from(frames));
        if self.opened.is_multiple_of(4) {
            self.victim.handle_input(now, self.flood.clone());
        }
        if self.victim.poll_timeout().is_some_and(|at| at <= now) {
            self.victim.handle_timeout(now);
        }
        while self.victim.poll_event().is_some() {}
        while let Some(id) = self.victim.accept() {
            // Every other one is given up by its handler.
            if let Some(stream) = self.victim.stream(id).filter(|_| id.get() % 4 == 1) {
                stream.release();
            }
        }
        while self.victim.poll_transmit(now, &mut self.out, usize::MAX) > 0 {
            self.out.advance(self.out.remaining());
        }
        Ok(())
    }
}
