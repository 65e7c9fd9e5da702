//! What has to be true when nothing more happens by itself.

use super::app::Facing;
use super::world::{Verdict, World, name};

impl World {
    /// What has to be true when nothing more happens by itself, and all that can be read or accepted
    /// has been.
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
            if node.app.awaits_slot && !self.is_full(side) {
                return found("waits for a stream that it may open");
            }
            for at in 0..self.settings.streams() {
                self.check_reader(side, at)
                    .map_err(|what| format!("at rest: {}: stream {at} {what}", name(side)))?;
            }
        }
        Ok(())
    }

    /// Whether as many streams of this side are open as may be.
    fn is_full(&self, side: u8) -> bool {
        let open = (0..self.settings.streams()).filter(|&at| {
            let Facing { own, peer, .. } = self.facing(side, at);
            self.opener(at).0 == side
                && (own.is_held() || own.had && peer.is_held() && peer.writes())
        });
        open.count() >= 2
    }

    /// A reader that waits at rest waits for a writer that may still write.
    fn check_reader(&self, side: u8, at: u8) -> Verdict {
        let Facing { own, peer, .. } = self.facing(side, at);
        if !own.reads() {
            return Ok(());
        }
        let (opener, _) = self.opener(at);
        let announced = own.written > 0 || own.finished || self.settings.typed;
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
