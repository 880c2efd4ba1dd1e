//! A pool of which each container has a share: what one takes is not taken from the next.
//!
//! A container that has its share gets no more. When all is taken, whoever has most gives way to whoever has less, so that
//! many greedy containers together do not shut out a modest one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use skein_events::id::TaskId;
use tokio_util::sync::CancellationToken;

/// What happens to a container that has its share and asks for one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AtShare {
    /// It gets nothing.
    Refused,
    /// Its own oldest idle place is taken away; if none is idle, its oldest.
    Replaces,
}

/// The pool.
#[derive(Debug)]
pub(super) struct Shares {
    each: usize,
    total: usize,
    at_share: AtShare,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    /// Idle before busy, then the oldest first: the first of a container is the first it loses.
    places: BTreeMap<TaskId, BTreeMap<Key, CancellationToken>>,
    count: usize,
    next: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    busy: bool,
    nth: u64,
}

/// One place of a container; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    shares: Arc<Shares>,
    task: TaskId,
    key: Key,
    taken: CancellationToken,
}

impl Shares {
    pub(super) fn new(each: usize, total: usize, at_share: AtShare) -> Arc<Self> {
        Arc::new(Self { each: each.min(total), total, at_share, held: Mutex::default() })
    }

    /// A place for a container, unless it has its share or all have the same.
    pub(super) fn take(self: &Arc<Self>, task: TaskId) -> Option<Place> {
        let mut held = self.held();
        let own = held.of(task);
        if own >= self.each {
            self.make_room(&mut held, task)?;
        } else if held.count >= self.total {
            let most = held.places.iter().max_by_key(|(_, places)| places.len())?;
            let (greedy, most) = (*most.0, most.1.len());
            if most > own + 1 {
                held.lose_first(greedy);
            } else {
                self.make_room(&mut held, task)?;
            }
        }
        let key = Key { busy: true, nth: held.next };
        held.next += 1;
        held.count += 1;
        let taken = CancellationToken::new();
        held.places.entry(task).or_default().insert(key, taken.clone());
        Some(Place { shares: Arc::clone(self), task, key, taken })
    }

    /// How many are taken by all.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.held().count
    }

    fn make_room(&self, held: &mut Held, task: TaskId) -> Option<()> {
        match self.at_share {
            AtShare::Refused => None,
            AtShare::Replaces => held.lose_first(task),
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn of(&self, task: TaskId) -> usize {
        self.places.get(&task).map_or(0, BTreeMap::len)
    }
    fn lose_first(&mut self, task: TaskId) -> Option<()> {
        let key = *self.places.get(&task)?.first_key_value()?.0;
        self.remove(task, key)?.cancel();
        Some(())
    }
    fn remove(&mut self, task: TaskId, key: Key) -> Option<CancellationToken> {
        let places = self.places.get_mut(&task)?;
        let token = places.remove(&key)?;
        if places.is_empty() {
            self.places.remove(&task);
        }
        self.count -= 1;
        Some(token)
    }
}

impl Place {
    /// Waits until the place is taken away.
    pub(super) async fn taken(&self) {
        self.taken.cancelled().await;
    }
    /// Something is done at it.
    pub(super) fn busy(&mut self) {
        self.mark(true);
    }
    /// Nothing is done at it from now on.
    pub(super) fn idle(&mut self) {
        self.mark(false);
    }

    fn mark(&mut self, busy: bool) {
        let mut held = self.shares.held();
        // One that was taken away stays so.
        let Some(token) = held.remove(self.task, self.key) else { return };
        self.key = Key { busy, nth: held.next };
        held.next += 1;
        held.count += 1;
        held.places.entry(self.task).or_default().insert(self.key, token);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shares.held().remove(self.task, self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(n: u8) -> TaskId {
        TaskId::from_random([n; 16])
    }

    fn take(shares: &Arc<Shares>, n: u8, count: usize) -> Vec<Place> {
        (0..count).map_while(|_| shares.take(task(n))).collect()
    }

    #[test]
    fn whoever_has_its_share_gets_no_more_and_takes_nothing_from_others() {
        let shares = Shares::new(4, 10, AtShare::Refused);
        let greedy = take(&shares, 1, 100);
        assert_eq!(greedy.len(), 4);
        let modest = take(&shares, 2, 2);
        assert_eq!((modest.len(), shares.count()), (2, 6));
        drop(greedy);
        assert_eq!(shares.count(), 2);
        assert_eq!(take(&shares, 1, 100).len(), 4);
    }

    #[test]
    fn when_all_is_taken_the_greediest_gives_way() {
        let shares = Shares::new(4, 8, AtShare::Refused);
        let (one, two) = (take(&shares, 1, 4), take(&shares, 2, 4));
        let modest = take(&shares, 3, 9);
        // Down to where all have about the same, and never more than the total.
        assert_eq!((modest.len(), shares.count()), (2, 8));
        let lost = |places: &[Place]| places.iter().filter(|p| p.taken.is_cancelled()).count();
        assert_eq!(lost(&one) + lost(&two), 2);
        assert!(one[0].taken.is_cancelled() || two[0].taken.is_cancelled(), "the oldest first");
        drop((one, two));
        assert_eq!(shares.count(), 2);
    }

    #[test]
    fn the_oldest_idle_place_is_replaced_first() {
        let shares = Shares::new(3, 9, AtShare::Replaces);
        let mut places = take(&shares, 1, 3);
        places[2].idle();
        places[1].idle();
        let fourth = shares.take(task(1)).unwrap();
        let taken: Vec<_> = places.iter().map(|p| p.taken.is_cancelled()).collect();
        assert_eq!(taken, [false, false, true]);
        places[1].busy();
        let fifth = shares.take(task(1)).unwrap();
        assert!(places[0].taken.is_cancelled(), "none is idle: the oldest");
        // What was taken away does not come back.
        places[2].idle();
        places[2].busy();
        drop(places);
        assert_eq!(shares.count(), 2);
        drop((fourth, fifth));
        assert_eq!(shares.count(), 0);
    }
}
