//! What must hold when nothing more happens by itself.

use muxado_proto::WriteError;

use super::app::Facing;
use super::settings::MAX_STREAMS;
use super::world::{Verdict, World, name, other};

impl World {
    /// Checks what must hold when nothing more happens by itself, and everything that can be read
    /// or accepted has been.
    ///
    /// # Errors
    ///
    /// What is not.
    pub fn check_rest(&self) -> Verdict {
        let ending = |side: u8| {
            let node = self.node(side);
            node.app.leaving || node.app.closed || node.done
        };
        let ends = ending(0) || ending(1) || self.lost;
        for side in 0..2 {
            let node = self.node(side);
            let found = |what: &str| Err(format!("at rest: {}: {what}", name(side)));
            if ends {
                if !node.done || !node.app.closed {
                    return found("is not over");
                }
                continue;
            }
            let stats = node.session.stats();
            if stats.send_buffered > 0 {
                return found("has something to send");
            }
            if stats.receive_buffered > 0 {
                return found("holds something that nobody will read");
            }
            if node.app.views.iter().any(|view| view.is_held() && view.awaits_room) {
                return found("waits for room");
            }
            if self.surely_open_streams(side) > MAX_STREAMS {
                return found("has more streams open than it may");
            }
            if node.app.awaits_slot && self.open_streams(side) < MAX_STREAMS {
                return found("waits for a stream that it may open");
            }
            for at in 0..self.settings.streams() {
                self.check_reader(side, at)
                    .map_err(|what| format!("at rest: {}: stream {at} {what}", name(side)))?;
            }
        }
        Ok(())
    }

    /// How many streams of this side may count as open: it has them, or the peer could still write
    /// to them.
    fn open_streams(&self, side: u8) -> usize {
        let open = self.own_streams(side).filter(|&at| {
            let own = self.facing(side, at).own;
            own.is_held() || own.had && self.can_write(other(side), at)
        });
        open.count()
    }

    /// How many streams of this side are certainly open: either side can still write. The other
    /// side counts only if it has written nothing, because data for a released stream may have been
    /// answered with an RST.
    pub(super) fn surely_open_streams(&self, side: u8) -> usize {
        let open = self.own_streams(side).filter(|&at| {
            let Facing { own, peer, .. } = self.facing(side, at);
            let silent = !own.reset && peer.written == 0;
            own.is_held() && self.can_write(side, at)
                || own.had && silent && self.can_write(other(side), at)
        });
        open.count()
    }

    /// The streams that this side opens.
    fn own_streams(&self, side: u8) -> impl Iterator<Item = u8> + '_ {
        (0..self.settings.streams()).filter(move |&at| self.opener(at).0 == side)
    }

    /// Whether the application has a stream and could write to it, now or later.
    fn can_write(&self, side: u8, at: u8) -> bool {
        let (_, id) = self.opener(at);
        let mut session = self.node(side).session.clone();
        let room = session.stream(id).map(|mut stream| stream.room());
        self.node(side).app.views[usize::from(at)].writes()
            && matches!(room, Some(Ok(_) | Err(WriteError::Blocked)))
    }

    /// A reader that waits at rest needs a writer that may still write.
    fn check_reader(&self, side: u8, at: u8) -> Verdict {
        let Facing { own, peer, .. } = self.facing(side, at);
        if !own.reads() {
            return Ok(());
        }
        let (opener, _) = self.opener(at);
        let announced = own.written > 0 || own.finished || own.awaits_data || self.settings.typed;
        if opener == side && !peer.had && !announced {
            return Ok(());
        }
        if !peer.is_held() || peer.finished || peer.reset || peer.failed {
            return Err(format!("waits for what cannot come: {own:?} {peer:?}"));
        }
        if own.read != peer.written {
            return Err(format!("has {} of {} bytes", own.read, peer.written));
        }
        Ok(())
    }
}
