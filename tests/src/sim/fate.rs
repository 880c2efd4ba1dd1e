//! What befalls containers: what their service is made to do, and, until the world heals, what chance adds.
//! A function of the seed and of the container, so the order of events does not move it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use skein_events::time::Span;
use skein_runtime::api::Container;
use skein_runtime::fake::{Failure, Fate, Life, Plan};

use super::dice::Dice;

/// The image every machine has.
pub(super) const IMAGE: &str = "busybox:latest";
/// First argument of a container that ends by itself with success.
pub(super) const ENDS: &str = "ends";
/// … with a failure.
pub(super) const CRASHES: &str = "crashes";
/// … that cannot be executed.
pub(super) const NOSUCH: &str = "nosuch";
/// … that ignores its stop signal.
pub(super) const STUBBORN: &str = "stubborn";

/// What befalls each container.
pub(super) fn plan(seed: u64, chance: bool, healed: Arc<AtomicBool>) -> Plan {
    Arc::new(move |container: &Container| {
        let hash = blake3::hash(container.id.to_string().as_bytes());
        let [a, b, c, d, e, f, g, h, ..] = *hash.as_bytes();
        let mut dice = Dice::new(seed).fork(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
        let mut fate = Fate {
            create_takes: dice.millis(2, 60),
            start_takes: dice.millis(2, 40),
            stop_takes: Some(dice.millis(0, 300)),
            ..Fate::default()
        };
        let soon = dice.millis(0, 3_000);
        match container.spec.args.first().map(String::as_str) {
            Some(ENDS) => fate.life = Life::Ends { after: soon, code: 0, oom: false },
            Some(CRASHES) => fate.life = Life::Ends { after: soon, code: 1, oom: false },
            Some(NOSUCH) => fate.start_fails = Some(Failure::BadCommand),
            Some(STUBBORN) => fate.stop_takes = None,
            _ => {}
        }
        if chance && !healed.load(Ordering::Relaxed) {
            misfortune(&mut fate, &mut dice);
        }
        fate
    })
}

fn misfortune(fate: &mut Fate, dice: &mut Dice) {
    let after = Span(dice.below(15_000_000_000));
    match dice.below(12) {
        0 => fate.create_fails = Some(Failure::Io),
        1 => fate.start_fails = Some(Failure::Io),
        2 => fate.create_takes = dice.millis(1_000, 8_000),
        3 => fate.start_takes = dice.millis(1_000, 8_000),
        4 => fate.life = Life::Ends { after, code: 137, oom: true },
        5 => fate.life = Life::Vanishes { after },
        // It says that it runs, and does not.
        6 => fate.life = Life::Ends { after: Span(0), code: 1, oom: false },
        7 => fate.stop_takes = Some(dice.millis(1_000, 12_000)),
        _ => {}
    }
}
