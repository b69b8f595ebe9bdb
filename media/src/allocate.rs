//! Who gets which layer of what a subscriber shows, when not everything fits (`docs/allocation.md`).
//!
//! ```text
//!   budget ████████████████████████████
//!   bases  ▓▓ ▓▓ ▓▓ ▓▓                      1. the lowest step of everybody, the most important first
//!   front           ░░░░░░                  2. what is in front goes up as far as it may
//!   tiles                 ▒▒ ▒▒             3. the others, one step each in turn
//! ```
//!
//! A function over lists: what was given last is handed in with each [`Want`], so that small changes of the budget change nothing.

use arrayvec::ArrayVec;
use lyceum_wire::link::Layer;

/// How important a picture is. What is pinned, shared, or speaks is in front.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// The subscriber pinned it.
    Pinned,
    /// A screen.
    Screen,
    /// Who speaks.
    Speaker,
    /// Any other tile.
    Tile,
}

/// One step of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Up to this layer.
    pub layer: Layer,
    /// What that takes on the wire, in bits per second.
    pub bps: u64,
}

/// What one slot could be given.
#[derive(Debug, Clone)]
pub struct Want {
    /// Whose it is: the number of the subscriber's slot.
    pub slot: u16,
    /// How important.
    pub class: Class,
    /// Its place among those of its class.
    pub place: usize,
    /// Lowest first, each dearer than the one before, none above what the tile shows.
    pub steps: ArrayVec<Step, STEPS_MAX>,
    /// The step it has now.
    pub has: Option<usize>,
    /// It was lowered a moment ago: it does not go up yet, and is not tried where it hardly fits.
    pub held: bool,
}

/// The step of each of `wants` (most important first) under a budget in bits per second; none: nothing fits. What goes up must leave
/// a tenth of the budget free ([`HEADROOM`]), what has its step already needs the price alone. The most important one's base may cost
/// somewhat more than there is ([`PATIENCE`]): one picture should be there.
pub fn share(budget_bps: u64, wants: &[Want], given: &mut Vec<Option<usize>>) {
    given.clear();
    given.resize(wants.len(), None);
    let mut purse = Purse { budget_bps, left_bps: i128::from(budget_bps) };
    let first = wants.iter().position(|want| !want.steps.is_empty());
    for (at, (want, given)) in wants.iter().zip(given.iter_mut()).enumerate() {
        if first == Some(at) {
            *given = purse.first(want);
        } else {
            purse.raise(want, given);
        }
    }
    for (want, given) in wants.iter().zip(given.iter_mut()).filter(|(want, _)| want.class < Class::Tile) {
        while given.is_some() && purse.raise(want, given) {}
    }
    let mut raised = true;
    while raised {
        raised = false;
        for (want, given) in wants.iter().zip(given.iter_mut()).filter(|(_, given)| given.is_some()) {
            raised |= purse.raise(want, given);
        }
    }
}

/// What is left to give away.
struct Purse {
    budget_bps: u64,
    /// Below zero where the first base costs more than there is.
    left_bps: i128,
}

impl Purse {
    /// The lowest step of the most important one, if it fits; also if it nearly does, and is there or was not tried in vain.
    fn first(&mut self, want: &Want) -> Option<usize> {
        let price = i128::from(want.steps.first()?.bps);
        let is_patient = want.has.is_some() || !want.held;
        let patience = if is_patient { i128::from(self.budget_bps) * PATIENCE.0 / PATIENCE.1 } else { 0 };
        if price > self.left_bps + patience {
            return None;
        }
        self.left_bps -= price;
        Some(0)
    }

    /// One step up, if it fits.
    fn raise(&mut self, want: &Want, given: &mut Option<usize>) -> bool {
        let next = given.map_or(0, |step| step + 1);
        let Some(step) = want.steps.get(next) else { return false };
        let paid = given.and_then(|at| want.steps.get(at)).map_or(0, |step| step.bps);
        let price = step.bps.saturating_sub(paid);
        let is_more = want.has.is_none_or(|has| next > has);
        let needed = if is_more { price.saturating_add(self.budget_bps / HEADROOM) } else { price };
        // Who has nothing at all is not kept waiting.
        if i128::from(needed) > self.left_bps || (is_more && want.held && want.has.is_some()) {
            return false;
        }
        self.left_bps -= i128::from(price);
        *given = Some(next);
        true
    }
}

/// Steps of one picture: spatial layers, and the base layer's lowest temporal one.
pub const STEPS_MAX: usize = 9;
/// A new step must leave this part of the budget free, so that an estimate that swings by some per cent does not switch layers with it.
pub const HEADROOM: u64 = 10;
/// By this part of the budget the first base may cost more than there is: an estimate that notices a queue falls to 0.85 of what arrives
/// and climbs back, which is no reason to take the last of a picture away. A way that has become narrower makes it fall once more. And an
/// estimate that only tries of padding hold up stands somewhat low: the most important base is the better try.
pub const PATIENCE: (i128, i128) = (3, 17);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn want(class: Class, kbps: &[u64], has: Option<usize>) -> Want {
        let step =
            |(n, kbps): (usize, &u64)| Step { layer: Layer { spatial: n as u8, temporal: 7 }, bps: kbps * 1_000 };
        Want { slot: 0, class, place: 0, steps: kbps.iter().enumerate().map(step).collect(), has, held: false }
    }

    fn given(kbps: u64, wants: &[Want]) -> Vec<Option<usize>> {
        let mut given = Vec::new();
        share(kbps * 1_000, wants, &mut given);
        given
    }

    const CAMERA: &[u64] = &[150, 500, 1_500];

    #[test]
    fn bases_first_then_the_front_then_tiles_in_turn() {
        use Class::{Pinned, Tile};
        let wants = [want(Pinned, CAMERA, None), want(Tile, CAMERA, None), want(Tile, &[150, 500], None)];
        for (kbps, steps) in [
            (100, [None, None, None]),
            (200, [Some(0), None, None]),
            (350, [Some(0), Some(0), None]),
            (500, [Some(0), Some(0), Some(0)]),
            (900, [Some(1), Some(0), Some(0)]),
            (2_000, [Some(2), Some(0), Some(0)]),
            (2_450, [Some(2), Some(1), Some(0)]),
            (2_900, [Some(2), Some(1), Some(1)]),
            (4_500, [Some(2), Some(2), Some(1)]),
        ] {
            assert_eq!(given(kbps, &wants), steps, "{kbps} kbit/s");
        }
    }

    #[test]
    fn what_is_there_stays_within_its_price_and_goes_up_only_with_headroom() {
        let has = |has| [want(Class::Tile, CAMERA, has)];
        assert_eq!(given(510, &has(Some(1))), [Some(1)]);
        assert_eq!(given(510, &has(Some(0))), [Some(0)], "350 more need 401");
        assert_eq!(given(560, &has(Some(0))), [Some(1)]);
        assert_eq!(given(490, &has(Some(1))), [Some(0)]);
    }

    #[test]
    fn the_most_important_base_is_tried_and_stays_through_one_fall_of_the_estimate() {
        use Class::Tile;
        let two = |first, second| [want(Tile, CAMERA, first), want(Tile, CAMERA, second)];
        assert_eq!(given(128, &two(Some(0), Some(0))), [Some(0), None], "0.85 of its price");
        assert_eq!(given(127, &two(Some(0), Some(0))), [None, None]);
        assert_eq!(given(128, &two(None, None)), [Some(0), None]);
        assert_eq!(given(127, &two(None, None)), [None, None]);
        let mut fallen = two(None, None);
        fallen.iter_mut().for_each(|want| want.held = true);
        assert_eq!(given(149, &fallen), [None, None]);
        assert_eq!(given(150, &fallen), [Some(0), None], "what fits comes at once");
        // The others as always: to come they leave a tenth free, to stay they must fit.
        assert_eq!(given(333, &two(Some(0), None)), [Some(0), None]);
        assert_eq!(given(334, &two(Some(0), None)), [Some(0), Some(0)]);
        assert_eq!(given(300, &two(Some(0), Some(0))), [Some(0), Some(0)]);
        assert_eq!(given(299, &two(Some(0), Some(0))), [Some(0), None]);
    }

    #[test]
    fn who_was_lowered_waits_but_is_never_left_with_nothing() {
        let mut wants = [want(Class::Tile, CAMERA, Some(0))];
        wants[0].held = true;
        assert_eq!(given(9_000, &wants), [Some(0)]);
        wants[0].has = None;
        assert_eq!(given(9_000, &wants), [Some(2)]);
    }

    /// However the estimate swings within a tenth, a slot settles.
    #[test]
    fn a_swinging_estimate_does_not_flap() {
        for centre in (100..4_000).step_by(50) {
            let mut wants = [want(Class::Pinned, CAMERA, None), want(Class::Tile, CAMERA, None)];
            let mut ups = 0;
            for turn in 0..100u64 {
                let kbps = centre * (95 + (turn * 7) % 11) / 100;
                let steps = given(kbps, &wants);
                for (want, step) in wants.iter_mut().zip(steps) {
                    ups += u32::from(turn > 10 && step > want.has);
                    want.has = step;
                }
            }
            assert_eq!(ups, 0, "around {centre} kbit/s");
        }
    }

    proptest! {
        #[test]
        fn never_over_budget_and_no_tile_rises_while_a_base_is_missing(
            budget in 0u64..6_000,
            shape in prop::collection::vec((0usize..4, prop::collection::vec(30u64..900, 1..5), prop::option::of(0usize..3), any::<bool>()), 1..26),
        ) {
            let mut wants: Vec<Want> = shape.into_iter().map(|(class, mut steps, has, held)| {
                steps.sort_unstable();
                steps.dedup();
                let class = [Class::Pinned, Class::Screen, Class::Speaker, Class::Tile][class];
                let has = has.filter(|has| *has < steps.len());
                Want { held, ..want(class, &steps, has) }
            }).collect();
            wants.sort_by_key(|want| want.class);
            let given = given(budget, &wants);
            let price = |(want, given): (&Want, &Option<usize>)| given.map_or(0, |step| want.steps[step].bps);
            let patient = budget * 1_000 + budget * 1_000 * PATIENCE.0 as u64 / PATIENCE.1 as u64;
            prop_assert!(wants.iter().zip(&given).map(price).sum::<u64>() <= patient);
            let left = (budget * 1_000).saturating_sub(wants.iter().zip(&given).map(price).sum::<u64>());
            // Who has nothing could not have been given a base from what the raises took away, unless nothing was raised.
            for (want, _) in wants.iter().zip(&given).filter(|(_, given)| given.is_none()) {
                prop_assert!(want.steps[0].bps + budget * 100 > left);
            }
        }
    }
}
