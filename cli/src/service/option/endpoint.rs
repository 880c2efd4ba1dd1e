//! How a service's name is answered, and the grammars of networks and published ports.

use bollard_stubs::models::{
    EndpointPortConfig, EndpointPortConfigProtocolEnum, EndpointPortConfigPublishModeEnum,
    EndpointSpec, EndpointSpecModeEnum,
};

/// A network to attach to, with further names there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::service) struct Attachment {
    pub(in crate::service) target: String,
    pub(in crate::service) aliases: Vec<String>,
}

/// How the service's name is answered.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum EndpointMode {
    /// With one address that is balanced over the tasks
    Vip,
    /// With the addresses of the tasks
    Dnsrr,
}

#[derive(Debug, clap::Args)]
pub(in crate::service) struct Endpoint {
    /// How the service's name is answered
    #[arg(long, value_name = "MODE", value_enum)]
    endpoint_mode: Option<EndpointMode>,
}

impl Endpoint {
    /// Changes what was said.
    pub(in crate::service) fn put_into(self, spec: &mut Option<EndpointSpec>) {
        let Some(mode) = self.endpoint_mode else { return };
        spec.get_or_insert_default().mode = Some(match mode {
            EndpointMode::Vip => EndpointSpecModeEnum::VIP,
            EndpointMode::Dnsrr => EndpointSpecModeEnum::DNSRR,
        });
    }
}

pub(super) fn attachment(text: &str) -> Result<Attachment, String> {
    if text.is_empty() {
        return Err("a network is meant by its name or id".to_owned());
    }
    if !text.contains('=') {
        return Ok(Attachment { target: text.to_owned(), aliases: Vec::new() });
    }
    let mut found = Attachment { target: String::new(), aliases: Vec::new() };
    for field in text.split(',') {
        match field.split_once('=') {
            Some(("name", name)) => found.target = name.to_owned(),
            Some(("alias", alias)) => found.aliases.push(alias.to_owned()),
            _ => return Err(format!("{field} is neither name=NETWORK nor alias=NAME")),
        }
    }
    if found.target.is_empty() { Err("name=NETWORK is missing".to_owned()) } else { Ok(found) }
}

pub(super) fn port(text: &str) -> Result<EndpointPortConfig, String> {
    let mut port = EndpointPortConfig {
        protocol: Some(EndpointPortConfigProtocolEnum::TCP),
        publish_mode: Some(EndpointPortConfigPublishModeEnum::INGRESS),
        ..EndpointPortConfig::default()
    };
    if text.contains('=') {
        for field in text.split(',') {
            match field.split_once('=') {
                Some(("published", number)) => port.published_port = Some(number_of(number)?),
                Some(("target", number)) => port.target_port = Some(number_of(number)?),
                Some(("protocol", name)) => port.protocol = Some(protocol(name)?),
                Some(("mode", "ingress")) => {}
                Some(("mode", "host")) => {
                    port.publish_mode = Some(EndpointPortConfigPublishModeEnum::HOST);
                }
                _ => {
                    return Err(format!(
                        "{field} is none of published=, target=, protocol=, mode="
                    ));
                }
            }
        }
    } else {
        let (numbers, name) = text.split_once('/').unwrap_or((text, "tcp"));
        port.protocol = Some(protocol(name)?);
        let (published, target) = match numbers.split_once(':') {
            Some((published, target)) => (Some(number_of(published)?), target),
            None => (None, numbers),
        };
        port.published_port = published;
        port.target_port = Some(number_of(target)?);
    }
    if port.target_port.is_none() { Err("the target port is missing".to_owned()) } else { Ok(port) }
}

fn number_of(text: &str) -> Result<i64, String> {
    text.parse::<u16>().map(i64::from).map_err(|_| format!("{text} is no port number"))
}

fn protocol(text: &str) -> Result<EndpointPortConfigProtocolEnum, String> {
    match text {
        "tcp" => Ok(EndpointPortConfigProtocolEnum::TCP),
        "udp" => Ok(EndpointPortConfigProtocolEnum::UDP),
        "sctp" => Ok(EndpointPortConfigProtocolEnum::SCTP),
        _ => Err(format!("{text} is none of tcp, udp, sctp")),
    }
}
