//! What the Director does when people steer, and when what they have planned begins or ends.

use std::path::PathBuf;
use std::sync::Arc;

use super::Director;
use crate::control::assemble::assemble_steered;
use crate::control::steering::{Change, Kept, Outcome, WallClock, Wanted};
use crate::model::steering::Kind;

impl Director {
    /// Goes on with the overrides of a file, and keeps them there. Before [`Director::run`].
    pub fn keep_overrides_in(&mut self, path: PathBuf) {
        self.keeper = Some(self.steerer.keep_in(path));
        let steering = (&**self.steerer.steering(), self.steerer.now());
        let assembled = assemble_steered(&self.compiled, &self.addresses, &mut self.registry, steering);
        self.publisher.replace(assembled.topologies.clone());
        self.targets_pending = Some(assembled);
        self.put_steering();
        self.publisher.publish();
    }

    /// Overrides begin and end by another clock than that of the machine.
    pub fn set_wall_clock(&mut self, wall: WallClock) {
        self.steerer.set_clock(wall);
    }

    pub(super) fn on_wanted(&mut self, Wanted { change, reply }: Wanted) {
        let kind = match &change {
            Change::Set(new) => new.wish.kind(),
            Change::Undo(place) => place.kind,
        };
        let undoes = matches!(change, Change::Undo(_));
        let before = match self.steerer.change(change) {
            Ok(before) => before,
            Err(why) => {
                // Whoever asked may have gone away.
                let _ = reply.send(Err(why));
                return;
            }
        };
        let nothing = undoes && before.is_none();
        let outcome = Outcome { before, kept: Kept::Saved };
        if nothing {
            let _ = reply.send(Ok(outcome));
            return;
        }
        if kind == Kind::Weight {
            self.put_weights();
        }
        self.put_steering();
        // Who is told that it holds finds it so.
        self.publisher.publish();
        self.steerer.save(Some((reply, outcome)));
    }

    /// Looks whether something that was planned begins or ends.
    pub(super) fn turn(&mut self) {
        let turned = self.steerer.look();
        if turned.weights {
            self.put_weights();
        }
        if turned.any {
            self.put_steering();
        }
        self.steerer.save_again();
    }

    /// Weights are part of what is assembled.
    fn put_weights(&mut self) {
        self.assemble_again();
    }

    fn put_steering(&mut self) {
        let (now, now_ms) = (self.steerer.now(), self.now_ms());
        self.publisher.steer(Arc::clone(self.steerer.steering()), now, now_ms);
        self.reconsider = true;
    }
}
