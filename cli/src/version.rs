//! `skein version`: this program and the daemon it talks to.
//! Its own half needs no daemon: it is shown, then the failure is told, as Docker's client does.

use serde_json::{Value, json};

use crate::args::At;
use crate::client::API;
use crate::failure::Failure;
use crate::screen::Form;
use crate::session::Session;

/// Show the versions of this program and of the daemon
#[derive(Debug, clap::Args)]
pub(crate) struct Version {
    /// Form of the answer: json, or a Go template like '{{.Server.Version}}'; lines to read when absent
    #[arg(short, long, default_value = "table", hide_default_value = true)]
    format: Form,
}

impl Version {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let (server, failure) = match session.client.read("/version", &At::default()).await {
            Ok(server) => (server, None),
            Err(failure) => (Value::Null, Some(failure)),
        };
        let answer = json!({"Client": client(), "Server": server});
        let shown = session.screen.answered(&self.format, &answer, None);
        match (shown, failure) {
            (Ok(false), failure) => {
                session.screen.told(&page(&answer))?;
                failure.map_or(Ok(()), Err)
            }
            // Of a daemon that does not answer no field is there, which is not the template's fault.
            (_, Some(failure)) => Err(failure),
            (shown, None) => shown.map(drop),
        }
    }
}

/// This program, with Docker's field names.
pub(crate) fn client() -> Value {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    json!({
        "Version": env!("CARGO_PKG_VERSION"), "ApiVersion": API.trim_start_matches("/v"),
        "Os": std::env::consts::OS, "Arch": arch,
    })
}

fn page(answer: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let line = |label: &str, value: String| {
        if value.is_empty() { String::new() } else { format!("{label:<20}{value}\n") }
    };
    let system = |half: &Value| format!("{}/{}", text(&half["Os"]), text(&half["Arch"]));
    let (client, server) = (&answer["Client"], &answer["Server"]);
    let mut page = "Client:\n".to_owned();
    page += &line(" Version:", text(&client["Version"]));
    page += &line(" API version:", text(&client["ApiVersion"]));
    page += &line(" OS/Arch:", system(client));
    if server.is_null() {
        return page;
    }
    page += &format!("\nServer: {}\n Engine:\n", text(&server["Platform"]["Name"]));
    let (newest, oldest) = (text(&server["ApiVersion"]), text(&server["MinAPIVersion"]));
    page += &line("  Version:", text(&server["Version"]));
    page += &line("  API version:", format!("{newest} (minimum version {oldest})"));
    page += &line("  Git commit:", text(&server["GitCommit"]));
    page += &line("  Built:", text(&server["BuildTime"]));
    page += &line("  OS/Arch:", system(server));
    page += &line("  Kernel:", text(&server["KernelVersion"]));
    page
}
