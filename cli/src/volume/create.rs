//! `skein volume create`.

use bollard_stubs::models::{Volume, VolumeCreateRequest};
use hyper::Method;

use crate::args::Because;
use crate::client::json;
use crate::failure::Failure;
use crate::parse;
use crate::session::Session;

/// Create a volume on this node
///
/// A volume of this name that is there already is left as it is.
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// Kind of volume
    #[arg(short, long, default_value = "local")]
    driver: String,
    /// Label of the volume
    #[arg(long, value_name = "KEY[=VALUE]", value_parser = parse::label)]
    label: Vec<(String, String)>,
    /// What is mounted on it: type=FS, device=DEVICE, o=OPTIONS; a directory when absent
    #[arg(short = 'o', long = "opt", value_name = "KEY=VALUE", value_parser = parse::key_value)]
    options: Vec<(String, String)>,
    /// Name of the volume; made up when absent
    name: Option<String>,
    #[command(flatten)]
    because: Because,
}

impl Create {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let request = VolumeCreateRequest {
            name: self.name,
            driver: Some(self.driver),
            driver_opts: Some(self.options.into_iter().collect()),
            labels: Some(self.label.into_iter().collect()),
            cluster_volume_spec: None,
        };
        let made: Volume = session
            .client
            .change(Method::POST, "/volumes/create", json(&request), &self.because)
            .await?;
        session.screen.line(made.name)
    }
}
