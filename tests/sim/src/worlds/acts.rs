//! What applications do.

use muxado_proto::{
    ErrorCode, OpenError, ReadError, StreamId, StreamType, TransportError, WriteError,
};

use super::app::{End, Facing, RESET, View, pattern};
use super::settings::MAX_STREAMS;
use super::step::Act;
use super::world::{IMPOSSIBLE, World, other};

impl World {
    pub(super) fn open(&mut self, side: u8) -> Result<bool, String> {
        let [first, _] = self.settings.opens;
        let app = &self.node(side).app;
        if app.opened == self.settings.opens[usize::from(side)] || app.awaits_slot || app.closed {
            return IMPOSSIBLE;
        }
        let at = app.opened + if side == 0 { 0 } else { first };
        let (_, id) = self.opener(at);
        let typed = self.settings.typed;
        let peer_leaving = self.node(other(side)).app.leaving || self.node(other(side)).app.closed;
        let again = self.silent(side);
        let full = self.surely_open_streams(side) >= MAX_STREAMS;
        let node = self.node_mut(side);
        let opened =
            if typed { node.session.open_typed(StreamType(7)) } else { node.session.open() };
        match opened {
            Ok(_) if full => Err("opened more streams than it may".into()),
            Ok(opened) if opened == id => {
                node.app.opened += 1;
                node.app.views[usize::from(at)].had = true;
                Ok(true)
            }
            Ok(opened) if again.is_some_and(|(_, id)| id == opened) => {
                let at = again.map_or(0, |(at, _)| at);
                node.app.views[usize::from(at)] = View { had: true, ..View::default() };
                Ok(true)
            }
            Err(OpenError::Blocked) => {
                node.app.awaits_slot = true;
                Ok(true)
            }
            Err(OpenError::GoingAway) if node.app.leaving || peer_leaving => IMPOSSIBLE,
            Err(OpenError::SessionClosed(_)) if node.session.close_reason().is_some() => IMPOSSIBLE,
            answer => Err(format!("opening {id} gave {answer:?}")),
        }
    }

    /// A stream of this side that is gone and was never announced: its place and its id, which is
    /// reused.
    fn silent(&self, side: u8) -> Option<(u8, StreamId)> {
        let gone = |&at: &u8| {
            let Facing { own, peer, .. } = self.facing(side, at);
            let unsaid = own.written == 0 && !own.finished && !self.settings.typed;
            own.had && own.released && !peer.had && (unsaid || own.reset)
        };
        let own = (0..self.settings.streams()).filter(|&at| self.opener(at).0 == side);
        own.filter(gone).map(|at| (at, self.opener(at).1)).next()
    }

    pub(super) fn accept(&mut self, side: u8) -> Result<bool, String> {
        if self.node(side).app.awaits_stream || self.node(side).app.closing {
            return IMPOSSIBLE;
        }
        let node = self.node_mut(side);
        let Some(id) = node.session.accept() else {
            node.app.awaits_stream = true;
            return Ok(true);
        };
        let stream_type = node.session.stream(id).and_then(|stream| stream.stream_type());
        if stream_type != self.settings.typed.then_some(StreamType(7)) {
            return Err(format!("accepted {id} with the type {stream_type:?}"));
        }
        let at = self.place(id).ok_or("accepted a stream that is not there")?;
        let peer = self.node(other(side)).app.views[at];
        let view = &mut self.node_mut(side).app.views[at];
        if view.had || !peer.had {
            return Err(format!("accepted {id}, which was not opened, or twice"));
        }
        view.had = true;
        Ok(true)
    }

    pub(super) fn write(&mut self, side: u8, at: u8) -> Result<bool, String> {
        let view = self.node(side).app.views[usize::from(at)];
        let (opener, id) = self.opener(at);
        let all = self.settings.writes[usize::from(opener != side)];
        if !view.writes() || view.awaits_room || view.written == all {
            return IMPOSSIBLE;
        }
        let end = all.min(view.written + self.settings.piece);
        let bytes: Vec<u8> = (view.written..end).map(|place| pattern(side, place)).collect();
        let node = self.node_mut(side);
        let Some(mut stream) = node.session.stream(id) else {
            return Err(format!("stream {id} has gone"));
        };
        let answer = stream.write(&bytes);
        let view = &mut node.app.views[usize::from(at)];
        match answer {
            Ok(count) => view.written += u8::try_from(count).expect("few bytes"),
            Err(WriteError::Blocked) => view.awaits_room = true,
            Err(error) => {
                view.failed = true;
                self.facing(side, at).may_fail_to_write(&error)?;
            }
        }
        Ok(true)
    }

    pub(super) fn read(&mut self, side: u8, at: u8) -> Result<bool, String> {
        let view = self.node(side).app.views[usize::from(at)];
        if !view.reads() || view.awaits_data {
            return IMPOSSIBLE;
        }
        let (_, id) = self.opener(at);
        let node = self.node_mut(side);
        let Some(mut stream) = node.session.stream(id) else {
            return Err(format!("stream {id} has gone"));
        };
        let mut buffer = [0; 64];
        match stream.read(&mut buffer) {
            Ok(0) => {
                self.facing(side, at).may_end()?;
                self.node_mut(side).app.views[usize::from(at)].end = Some(End::Finished);
            }
            Ok(count) => {
                let written = self.node(other(side)).app.views[usize::from(at)].written;
                for (place, &byte) in (view.read..).zip(&buffer[..count]) {
                    if place >= written || byte != pattern(other(side), place) {
                        return Err(format!("stream {id} reads {byte} at {place} of {written}"));
                    }
                }
                let count = u8::try_from(count).expect("few bytes");
                self.node_mut(side).app.views[usize::from(at)].read += count;
            }
            Err(ReadError::Blocked) => node.app.views[usize::from(at)].awaits_data = true,
            Err(error) => {
                self.facing(side, at).may_fail_to_read(&error)?;
                self.node_mut(side).app.views[usize::from(at)].end = Some(End::Error);
            }
        }
        Ok(true)
    }

    /// The application stops using a stream in one of several ways.
    pub(super) fn leave(&mut self, side: u8, act: Act, at: u8) -> bool {
        let (letter, allowed) = {
            let view = self.node(side).app.views[usize::from(at)];
            match act {
                Act::Finish(_) => ('f', !view.finished && !view.failed),
                Act::Reset(_) => ('r', !view.reset),
                Act::Stop(_) => ('s', !view.stopped && view.end.is_none() && !view.reset),
                _ => ('l', true),
            }
        };
        let held = self.node(side).app.views[usize::from(at)].is_held();
        if !held || !allowed || !self.settings.has_act(side, letter) {
            return false;
        }
        let (_, id) = self.opener(at);
        let node = self.node_mut(side);
        let Some(mut stream) = node.session.stream(id) else { return false };
        let view = &mut node.app.views[usize::from(at)];
        (view.awaits_data, view.awaits_room) = match act {
            Act::Finish(_) => {
                // It fails if the stream has failed.
                let _failed = stream.finish();
                view.finished = true;
                (view.awaits_data, false)
            }
            Act::Reset(_) => {
                stream.reset(RESET);
                view.reset = true;
                (false, false)
            }
            Act::Stop(_) => {
                stream.stop();
                view.stopped = true;
                (false, view.awaits_room)
            }
            _ => {
                stream.release();
                view.released = true;
                (false, false)
            }
        };
        true
    }

    /// The application ends the session.
    pub(super) fn part(&mut self, side: u8, act: Act) -> bool {
        let ends = self.settings.ends;
        let (now, app) = (self.now, &self.node(side).app);
        if app.closed || app.closing || (act == Act::GoAway && app.leaving) {
            return false;
        }
        let letter = match act {
            Act::GoAway => 'g',
            Act::Close => 'c',
            _ => 'a',
        };
        if !ends.contains(letter) {
            return false;
        }
        let node = self.node_mut(side);
        node.app.leaving = true;
        match act {
            Act::GoAway => node.session.go_away(now, ErrorCode::NO_ERROR, "away"),
            Act::Close => node.session.close(now, ErrorCode::NO_ERROR, "close"),
            _ => node.session.abort(now, ErrorCode(99), "abort"),
        }
        node.app.closing |= act != Act::GoAway;
        true
    }

    pub(super) fn lose(&mut self, side: u8, act: Act) -> bool {
        let (now, done) = (self.now, self.node(side).done);
        let letter = if act == Act::Lose { 'e' } else { 'b' };
        let possible = !self.lost && !done && self.links[usize::from(side)].may_be_lost();
        if !possible || !self.settings.ends.contains(letter) {
            return false;
        }
        self.lost = true;
        self.link_mut(side).lose();
        if act == Act::Break {
            let node = self.node_mut(side);
            node.app.broken = true;
            node.session.handle_transport_error(now, TransportError::new(std::fmt::Error));
            self.link_mut(other(side)).lose();
        }
        true
    }
}
