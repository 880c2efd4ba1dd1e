//! `skein network create`.

use bollard_stubs::models::{Ipam, IpamConfig, NetworkCreateRequest, NetworkCreateResponse};
use hyper::Method;

use crate::args::Because;
use crate::client::json;
use crate::failure::Failure;
use crate::parse;
use crate::session::Session;

/// Create a network
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// Kind of network
    #[arg(short, long, default_value = "overlay")]
    driver: String,
    /// Let single containers attach, not only services
    #[arg(long)]
    attachable: bool,
    /// No way out of the network
    #[arg(long)]
    internal: bool,
    /// Range of addresses, like 10.50.0.0/24; chosen by the swarm when absent
    #[arg(long, value_name = "CIDR")]
    subnet: Option<String>,
    /// Address of the network's gateway
    #[arg(long, value_name = "ADDR", requires = "subnet")]
    gateway: Option<String>,
    /// Part of the subnet that tasks get their addresses from
    #[arg(long, value_name = "CIDR", requires = "subnet")]
    ip_range: Option<String>,
    /// Label of the network
    #[arg(long, value_name = "KEY[=VALUE]", value_parser = parse::label)]
    label: Vec<(String, String)>,
    /// Option of the driver
    #[arg(short = 'o', long = "opt", value_name = "KEY[=VALUE]", value_parser = parse::label)]
    options: Vec<(String, String)>,
    /// Name of the network
    name: String,
    #[command(flatten)]
    because: Because,
}

impl Create {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let range = self.subnet.map(|subnet| IpamConfig {
            subnet: Some(subnet),
            gateway: self.gateway,
            ip_range: self.ip_range,
            ..IpamConfig::default()
        });
        let request = NetworkCreateRequest {
            name: self.name,
            driver: Some(self.driver),
            internal: Some(self.internal),
            attachable: Some(self.attachable),
            ipam: Some(Ipam {
                driver: Some("default".to_owned()),
                config: Some(range.into_iter().collect()),
                options: None,
            }),
            options: Some(self.options.into_iter().collect()),
            labels: Some(self.label.into_iter().collect()),
            ..NetworkCreateRequest::default()
        };
        let created: NetworkCreateResponse = session
            .client
            .change(Method::POST, "/networks/create", json(&request), &self.because)
            .await?;
        if !created.warning.is_empty() {
            session.screen.note(format_args!("WARNING: {}", created.warning))?;
        }
        session.screen.line(created.id)
    }
}
