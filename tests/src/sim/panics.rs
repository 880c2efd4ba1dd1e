//! Panics of the swarm under test: a panic in a task ends only that task, so it is remembered here and judged later.

use std::cell::RefCell;
use std::sync::Once;

thread_local! {
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// From now on panics are remembered, on the thread they happen on, instead of printed.
pub fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|info| {
            PANICS.with_borrow_mut(|panics| panics.push(info.to_string()));
        }));
    });
}

pub(super) fn take() -> Vec<String> {
    PANICS.take()
}
