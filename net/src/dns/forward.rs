//! Asks the host's resolvers what our zones do not know, or those a container has of its own.
//! Bounded in number and time; no resolver of its own choice if the host has none.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, Record, RecordType};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts, ServerOrderingStrategy,
};
use hickory_server::net::runtime::TokioRuntimeProvider;
use hickory_server::net::{DnsError, NetError};
use tokio::sync::Semaphore;

use super::Error;
use crate::overlay::DNS_ADDRESS;

/// Questions under way for all containers together: what Docker allows; one more is refused.
const IN_FLIGHT_MAX: usize = 1024;
/// Given to a question as a whole: below the 5 s after which a C library asks again.
const PATIENCE: Duration = Duration::from_secs(4);
/// Given to one resolver before the next is asked.
const PATIENCE_WITH_ONE: Duration = Duration::from_secs(2);
/// Resolvers asked: as many as a C library reads from the file (`MAXNS`).
const RESOLVERS_MAX: usize = 3;

/// What came back.
#[derive(Debug, Default)]
pub(super) struct Forwarded {
    pub(super) answers: Vec<Record>,
    pub(super) authorities: Vec<Record>,
}

/// The way to the host's resolvers.
pub(super) struct Forwarder {
    path: PathBuf,
    resolver: ArcSwapOption<TokioResolver>,
    in_flight: Arc<Semaphore>,
}

impl Forwarder {
    pub(super) fn new(resolv_conf: &Path) -> Result<Self, Error> {
        let path = resolv_conf.to_owned();
        let in_flight = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
        let forwarder = Self { path, resolver: ArcSwapOption::empty(), in_flight };
        forwarder.reload()?;
        Ok(forwarder)
    }

    /// The way to other resolvers; the bound on questions is shared.
    pub(super) fn to(&self, servers: &[IpAddr]) -> Result<Self, Error> {
        let servers = servers.iter().map(|ip| NameServerConfig::udp_and_tcp(*ip)).collect();
        let resolver = resolver(servers, ResolverOpts::default()).map_err(|source| {
            Error::Unusable { path: self.path.clone(), source: Box::new(source) }
        })?;
        let in_flight = Arc::clone(&self.in_flight);
        let resolver = ArcSwapOption::from_pointee(resolver);
        Ok(Self { path: self.path.clone(), resolver, in_flight })
    }

    pub(super) fn reload(&self) -> Result<(), Error> {
        let unusable =
            |source| Error::Unusable { path: self.path.clone(), source: Box::new(source) };
        let text = fs::read(&self.path)
            .map_err(|source| Error::Resolvers { path: self.path.clone(), source })?;
        let (config, options) =
            hickory_resolver::system_conf::parse_resolv_conf(text).map_err(unusable)?;
        let mut servers = config.name_servers;
        // Our own address: a host that lists it would make us ask ourselves.
        servers.retain(|server| server.ip != IpAddr::V4(DNS_ADDRESS));
        servers.truncate(RESOLVERS_MAX);
        if servers.is_empty() {
            self.resolver.store(None);
            return Ok(());
        }
        self.resolver.store(Some(resolver(servers, options).map_err(unusable)?.into()));
        Ok(())
    }

    /// The records the host's resolvers have, or the code to answer with.
    pub(super) async fn ask(
        &self,
        name: &Name,
        kind: RecordType,
    ) -> Result<Forwarded, ResponseCode> {
        let resolver = self.resolver.load_full().ok_or(ResponseCode::Refused)?;
        let _permit = self.in_flight.try_acquire().map_err(|_| ResponseCode::Refused)?;
        let mut name = name.clone();
        name.set_fqdn(true);
        let asked = tokio::time::timeout(PATIENCE, resolver.lookup(name, kind)).await;
        match asked.map_err(|_| ResponseCode::ServFail)? {
            Ok(found) => Ok(Forwarded {
                answers: found.answers().to_vec(),
                authorities: found.authorities().to_vec(),
            }),
            Err(NetError::Dns(DnsError::NoRecordsFound(none))) => match none.response_code {
                // The name is there and has nothing of that kind.
                ResponseCode::NoError => Ok(Forwarded {
                    answers: Vec::new(),
                    authorities: none
                        .soa
                        .map(|soa| soa.into_record_of_rdata())
                        .into_iter()
                        .collect(),
                }),
                code => Err(code),
            },
            Err(NetError::Dns(DnsError::ResponseCode(code))) => Err(code),
            Err(_) => Err(ResponseCode::ServFail),
        }
    }
}

/// The options of the host's file, made to fit questions that are not the host's.
fn resolver(
    servers: Vec<NameServerConfig>,
    mut options: ResolverOpts,
) -> Result<TokioResolver, NetError> {
    options.timeout = PATIENCE_WITH_ONE;
    options.max_active_requests = IN_FLIGHT_MAX;
    // One after the other, as the file orders them: the second may see another world than the first.
    options.num_concurrent_reqs = 1;
    options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
    options.use_hosts_file = ResolveHosts::Never;
    options.preserve_intermediates = true;
    // The questions were qualified by whoever asked; the host's search list is not the container's.
    let config = ResolverConfig::from_parts(None, Vec::new(), servers);
    TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        .with_options(options)
        .build()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use hickory_resolver::config::ConnectionConfig;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_silent_resolver_holds_so_many_questions_for_so_long() {
        let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut connection = ConnectionConfig::udp();
        connection.port = silent.local_addr().unwrap().port();
        let server = NameServerConfig::new(IpAddr::V4(Ipv4Addr::LOCALHOST), true, vec![connection]);
        let forwarder = Forwarder {
            path: PathBuf::new(),
            resolver: ArcSwapOption::from_pointee(
                resolver(vec![server], ResolverOpts::default()).unwrap(),
            ),
            in_flight: Arc::new(Semaphore::new(IN_FLIGHT_MAX)),
        };
        let name = |n: usize| Name::from_ascii(format!("n{n}.example.org.")).unwrap();
        let names: Vec<_> = (0..=IN_FLIGHT_MAX).map(name).collect();
        let start = tokio::time::Instant::now();
        let mut asked: Vec<_> =
            names[1..].iter().map(|name| Box::pin(forwarder.ask(name, RecordType::A))).collect();
        for question in &mut asked {
            assert!(futures::poll!(question).is_pending());
        }
        let one_more = forwarder.ask(&names[0], RecordType::A).await;
        assert_eq!(one_more.unwrap_err(), ResponseCode::Refused);
        for answer in futures::future::join_all(asked).await {
            assert_eq!(answer.unwrap_err(), ResponseCode::ServFail);
        }
        assert!(start.elapsed() <= PATIENCE, "{:?}", start.elapsed());
        assert_eq!(forwarder.in_flight.available_permits(), IN_FLIGHT_MAX);
    }
}
