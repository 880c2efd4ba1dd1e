//! `skein log export` and `skein log archive`: the log as files, each proven by its own chain.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tokio::io::AsyncReadExt as _;

use crate::args::{At, Moment};
use crate::client::Query;
use crate::failure::Failure;
use crate::session::Session;

/// What is written to standard output at once.
const PIECE: usize = 64 << 10;

/// Write a range of the log to a file
///
/// The file is checked by `skein verify FILE`, from whatever point it begins. Batches are not cut,
/// so that it may begin a little before and end a little after what was asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// Begin there instead of at the first record
    #[arg(long, value_name = "@N|-10m|TIME", allow_hyphen_values = true)]
    from: Option<Moment>,
    /// End there instead of at the newest record
    #[arg(long, value_name = "@N|-10m|TIME", allow_hyphen_values = true)]
    to: Option<Moment>,
    /// Write over a file that is there
    #[arg(short, long)]
    force: bool,
    /// File to make, or - for standard output
    file: PathBuf,
}

/// Keep the log as files in a directory
///
/// Writes what is not there yet, a file for each run, and checks it; what is there is checked to join
/// it. The log itself keeps everything.
#[derive(Debug, clap::Args)]
pub(crate) struct Archive {
    /// The directory
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

impl Export {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let query = Query::default().with_some("from", self.from).with_some("to", self.to);
        if self.file == Path::new("-") {
            let mut body = session.client.bytes(&path(&query)).await?;
            let mut piece = vec![0; PIECE];
            loop {
                match body.read(&mut piece).await? {
                    0 => return Ok(()),
                    count => session.screen.raw(&piece[..count])?,
                }
            }
        }
        if !self.force && self.file.exists() {
            let text = format!("{} is there already", self.file.display());
            let hint = Some("name another file, or add --force to write over it".to_owned());
            return Err(Failure::Failed { text, hint });
        }
        write(session, &query, &self.file).await
    }
}

/// A fault of a file, with its name.
fn named(file: &Path) -> impl Fn(std::io::Error) -> Failure {
    let name = file.display().to_string();
    move |error| Failure::failed(format!("{name}: {error}"))
}

fn path(query: &Query) -> String {
    format!("/skein/v1/export{query}")
}

/// Writes an archive under another name, checks it, and gives it its name only then.
async fn write(session: &mut Session, query: &Query, file: &Path) -> Result<(), Failure> {
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    let part = PathBuf::from(name);
    let outcome = fill(session, query, &part).await.map_err(|failure| match failure {
        Failure::Io(error) => named(file)(error),
        failure => failure,
    });
    let outcome = outcome.and_then(|()| {
        let found = crate::verify::checked(&part)?;
        match found.bad {
            None => std::fs::rename(&part, file).map_err(named(file)),
            Some((position, what)) => {
                let text = format!("the archive is bad from {position}: {what}");
                Err(Failure::failed(text))
            }
        }
    });
    if outcome.is_err() && part.exists() {
        std::fs::remove_file(&part).map_err(named(&part))?;
    }
    outcome
}

async fn fill(session: &mut Session, query: &Query, part: &Path) -> Result<(), Failure> {
    let mut body = session.client.bytes(&path(query)).await?;
    // History holds what services were given: the values of their environments among it.
    let mut options = tokio::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut out = options.open(part).await?;
    tokio::io::copy(&mut body, &mut out).await?;
    Ok(out.sync_all().await?)
}

/// The newest line of the log.
#[derive(Deserialize)]
struct Newest {
    position: u64,
}

impl Archive {
    pub(crate) async fn run(self, session: &mut Session) -> Result<(), Failure> {
        let mut folder = std::fs::DirBuilder::new();
        folder.recursive(true).mode(0o700).create(&self.folder).map_err(named(&self.folder))?;
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.folder).map_err(named(&self.folder))? {
            let path = entry.map_err(named(&self.folder))?.path();
            if path.extension().is_some_and(|ending| ending == "sklog") {
                let found = crate::verify::checked(&path)?;
                files.push((found.first, path, found));
            }
        }
        files.sort_by_key(|(first, _, _)| *first);
        let mut last = None;
        for (_, path, found) in files {
            let name = path.display();
            if let Some((position, what)) = found.bad {
                return Err(Failure::failed(format!("{name} is bad from {position}: {what}")));
            }
            let joins = last.is_none_or(|(end, h)| found.first == end && found.before == h);
            if !joins || (last.is_none() && found.first.0 != 1) {
                return Err(Failure::failed(format!("{name} does not follow the one before it")));
            }
            last = Some((found.last.next(), found.h));
        }
        let from = last.map_or(1, |(next, _)| next.0);
        let query = Query::default().with("limit", "1");
        let mut lines =
            session.client.lines(&format!("/skein/v1/log{query}"), &At::default()).await?;
        let newest = lines.next().await?.and_then(|line| serde_json::from_slice(&line).ok());
        let to = newest.map_or(0, |newest: Newest| newest.position);
        if from > to {
            return session.screen.line(format_args!("everything up to @{to} is there"));
        }
        let name = format!("{from:012}.sklog");
        let file = self.folder.join(&name);
        let (begin, end) = (format!("@{from}"), format!("@{to}"));
        write(session, &Query::default().with("from", &begin).with("to", &end), &file).await?;
        let found = crate::verify::checked(&file)?;
        if last.is_some_and(|(_, h)| h != found.before) {
            std::fs::remove_file(&file)?;
            let text = "the log does not go on from these files: they are of another history";
            return Err(Failure::failed(text));
        }
        session.screen.line(format_args!("{name}: @{from}..{}", found.last))
    }
}
