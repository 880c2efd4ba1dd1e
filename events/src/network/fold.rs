//! How State changes by what happens to networks.

use std::sync::Arc;

use crate::event::NetworkEvent;
use crate::id::ObjectId;
use crate::state::touched::Touched;
use crate::state::{Record, State};

use super::Network;

pub(crate) fn apply(
    state: &mut State,
    record: Record<'_>,
    event: NetworkEvent<'_>,
    touched: &mut Touched,
) {
    match event {
        NetworkEvent::NetworkCreated(event) => {
            let before = state.index.network_names.insert(event.spec.name.folded(), event.id);
            assert!(before.is_none(), "a network's name has one holder");
            let taken = state.index.vnis.insert(event.vni);
            assert!(taken.is_none(), "a VNI has one holder");
            let network = Network {
                id: event.id,
                spec: event.spec.clone(),
                subnet: event.subnet,
                gateway: event.gateway,
                ip_range: event.ip_range,
                vni: event.vni,
                next_host: 2,
                created: state.at,
                last: record.position,
            };
            state.networks.insert(event.id, Arc::new(network));
            touched.add(ObjectId::Network(event.id));
        }
        NetworkEvent::NetworkRemoved(event) => {
            let network = state.networks.remove(&event.id).expect("a removed network exists");
            state.index.network_names.remove(&network.spec.name.folded());
            state.index.vnis.remove(&network.vni);
            touched.add(ObjectId::Network(event.id));
        }
    }
}
