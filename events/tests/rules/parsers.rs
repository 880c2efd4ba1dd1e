//! Whatever text or bytes come from outside: a value or an error, never a panic, and what was printed is read as the same.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use proptest::prelude::*;
use skein_events::id::TaskId;
use skein_events::name::Name;
use skein_events::record::{Hash, Position};
use skein_events::reference::Reference;
use skein_events::state::State;
use skein_events::task::placement::Constraint;
use skein_events::unit::{Bytes, Mac, Subnet};

use crate::world::{World, service};

/// A value prints as what reads as the same value.
fn again<T: FromStr<Err: Debug> + Display + PartialEq + Debug>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        let printed = value.to_string();
        assert_eq!(printed.parse::<T>().unwrap(), value, "{text:?} was printed as {printed:?}");
    }
}

fn all(text: &str) {
    again::<Constraint>(text);
    again::<Hash>(text);
    again::<Mac>(text);
    again::<Name>(text);
    again::<Position>(text);
    again::<Reference>(text);
    again::<Subnet>(text);
    again::<TaskId>(text);
    let _ = text.parse::<Bytes>();
    if let Ok(reference) = text.parse::<Reference>() {
        let familiar = reference.familiar();
        assert_eq!(familiar.parse::<Reference>().unwrap(), reference, "{familiar}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_a_value_or_refused(text: String) {
        all(&text);
    }

    #[test]
    fn nearly_a_reference(text in "((docker\\.io|localhost|index\\.docker\\.io|a\\.b(:[0-9]{1,6})?)/)?(library/|localhost/|a\\.b/)?[a-z0-9._-]{0,8}(/[a-z0-9._A-Z-]{0,8})?(:[a-zA-Z0-9._-]{0,6})?(@sha256:[0-9a-f]{64})?") {
        all(&text);
    }

    #[test]
    fn nearly_a_value(
        text in "(node\\.[a-z.]{1,8}(==|!=|=) ?[ -~]{0,8}|([0-9]{1,3}\\.){3}[0-9]{1,3}(/[0-9]{0,3})?|([0-9a-f]{2}:){5}[0-9a-fA-F]{0,3}|@?[+]?[0-9]{1,21}|[0-9a-z]{24,26}|[0-9]{0,21}\\.?[0-9]{0,21} ?[kmgtpKMGTP]?i?b?)"
    ) {
        all(&text);
    }

    /// The only caller compares a hash before; what came through all the same is an error, not the end of the process.
    #[test]
    fn a_snapshot_with_flipped_bits_is_read_or_refused(
        flips in proptest::collection::vec((any::<prop::sample::Index>(), 0_u8..8), 1..4),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = SNAPSHOT.with(Clone::clone);
        for (at, bit) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        drop(State::from_snapshot(&bytes));
    }
}

thread_local! {
    static SNAPSHOT: Vec<u8> = {
        let mut world = World::of(2);
        let net = world.network("net");
        world.service(service("web", 3, &[net]));
        world.run();
        let bytes = world.state.to_snapshot();
        assert_eq!(State::from_snapshot(&bytes).unwrap().to_snapshot(), bytes);
        bytes
    };
}
