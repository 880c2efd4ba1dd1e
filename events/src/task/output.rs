//! Where a task's output goes, read from its log driver; Docker's drivers `json-file`, `local` and `none`.
//! Apart from the spec, which keeps what the user wrote, because that is what he is shown.

use std::num::NonZeroU32;

use super::spec::LogDriver;
use crate::unit::Bytes;

/// What becomes of a container's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// It is written to files of the node.
    Files {
        /// Bytes of one before it is turned over; the node's own limit when absent.
        max_size: Option<u64>,
        /// How many; the node's own number when absent.
        max_files: Option<NonZeroU32>,
    },
    /// It is thrown away.
    Nothing,
}

/// What Docker's driver `local` keeps if nobody says otherwise.
const LOCAL_SIZE: u64 = 20 << 20;
const LOCAL_FILES: NonZeroU32 = NonZeroU32::new(5).expect("five is not zero");
/// Most files of one container: each turn renames them all.
const FILES_MAX: u32 = 1_000;

impl LogDriver {
    /// What is to become of the output, or a sentence that says what cannot be had.
    pub fn output(&self) -> Result<Output, String> {
        let Self { name, options } = self;
        let (mut size, mut files) = match name.as_str() {
            "" | "json-file" => (None, None),
            "local" => (Some(LOCAL_SIZE), Some(LOCAL_FILES)),
            "none" => {
                return match options.first() {
                    None => Ok(Output::Nothing),
                    Some((key, _)) => {
                        Err(format!("log option {key} is not there for the log driver none"))
                    }
                };
            }
            other => {
                let other: String = other.chars().take(64).collect();
                return Err(format!(
                    "log driver {other:?} is not there: json-file, local and none are; to send output on, follow \"service logs\""
                ));
            }
        };
        for (key, value) in options {
            match key.as_str() {
                "max-size" => {
                    let bytes = value.parse().ok().filter(|Bytes(bytes)| *bytes > 0);
                    let Bytes(bytes) = bytes.ok_or_else(|| {
                        format!("invalid log option max-size={value}: write a size such as 10m")
                    })?;
                    // As in Docker, one file then, unless there are to be more.
                    files = files.or(NonZeroU32::new(1));
                    size = Some(bytes);
                }
                "max-file" => {}
                "compress" | "mode" if matches!(value.as_str(), "false" | "blocking") => {}
                other => {
                    return Err(format!(
                        "log option {other}={value} is not there: max-size and max-file are"
                    ));
                }
            }
        }
        if let Some((_, value)) = options.iter().find(|(key, _)| key == "max-file") {
            let number = value.parse().ok().filter(|n: &NonZeroU32| n.get() <= FILES_MAX);
            files = Some(number.ok_or_else(|| {
                format!("invalid log option max-file={value}: write a number from 1 to {FILES_MAX}")
            })?);
        }
        Ok(Output::Files { max_size: size, max_files: files })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(name: &str, options: &[(&str, &str)]) -> Result<Output, String> {
        let options = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        LogDriver { name: name.to_owned(), options }.output()
    }

    fn files(size: Option<u64>, files: Option<u32>) -> Result<Output, String> {
        Ok(Output::Files { max_size: size, max_files: files.and_then(NonZeroU32::new) })
    }

    #[test]
    fn drivers_say_what_is_kept() {
        assert_eq!(output("json-file", &[]), files(None, None));
        assert_eq!(output("", &[("max-file", "2")]), files(None, Some(2)));
        assert_eq!(output("json-file", &[("max-size", "1m")]), files(Some(1 << 20), Some(1)));
        let both = [("max-file", "7"), ("max-size", "16KiB")];
        assert_eq!(output("json-file", &both), files(Some(16 << 10), Some(7)));
        assert_eq!(output("json-file", &[("max-size", "1.5m")]), files(Some(3 << 19), Some(1)));
        assert_eq!(output("local", &[]), files(Some(20 << 20), Some(5)));
        assert_eq!(output("none", &[]), Ok(Output::Nothing));
        assert!(output("none", &[("max-size", "1m")]).is_err());
        for bad in ["", "0", "k", "m1", "-1", "99999999999p"] {
            assert!(output("json-file", &[("max-size", bad)]).is_err(), "{bad}");
        }
        for bad in ["", "0", "-1", "1001"] {
            assert!(output("json-file", &[("max-file", bad)]).is_err(), "{bad}");
        }
        assert!(output("syslog", &[]).unwrap_err().contains("\"syslog\" is not there"));
        assert!(output("json-file", &[("labels", "a")]).unwrap_err().contains("labels=a"));
    }
}
