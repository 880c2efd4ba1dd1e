//! A layer's bytes on their way from the archive to the unpacker: decompressed, counted, hashed.
//! The caps sit here, under everything that interprets the bytes (CVE-2025-58183: bombs).

use std::io::{self, BufRead, BufReader, Read};

use sha2::{Digest as _, Sha256};

use super::Digest;

/// What one archive may cost. Real layers of many gigabytes exist; a bomb should not fill the disk first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caps {
    /// Uncompressed bytes of one layer.
    pub(crate) bytes: u64,
    /// Uncompressed by compressed bytes, looked at once `ratio_free` have come.
    pub(crate) ratio: u64,
    /// Uncompressed bytes before the ratio counts: small files of zeros compress well.
    pub(crate) ratio_free: u64,
    /// Entries of one layer.
    pub(crate) entries: u64,
}

impl Default for Caps {
    fn default() -> Self {
        Self { bytes: 64 << 30, ratio: 200, ratio_free: 256 << 20, entries: 1_000_000 }
    }
}

/// Counts what passes.
pub(crate) struct Counted<R> {
    inner: R,
    count: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.count += u64::try_from(n).expect("a read fits 64 bits");
        Ok(n)
    }
}

type Source<R> = BufReader<Counted<R>>;

enum Decoder<R: Read> {
    Plain(Source<R>),
    Gzip(Box<flate2::bufread::MultiGzDecoder<Source<R>>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, Source<R>>>),
}

impl<R: Read> Decoder<R> {
    fn compressed(&self) -> u64 {
        match self {
            Self::Plain(source) => source.get_ref().count,
            Self::Gzip(gzip) => gzip.get_ref().get_ref().count,
            Self::Zstd(zstd) => zstd.get_ref().get_ref().count,
        }
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(source) => source.read(buffer),
            Self::Gzip(gzip) => gzip.read(buffer),
            Self::Zstd(zstd) => zstd.read(buffer),
        }
    }
}

/// The uncompressed archive of one layer.
pub(crate) struct LayerStream<R: Read> {
    decoder: Decoder<R>,
    hasher: Sha256,
    caps: Caps,
    out: u64,
}

/// Largest window a zstd layer may ask for, as a power of two: 128 MiB, what `zstd --long` uses.
const ZSTD_WINDOW_MAX: u32 = 27;

impl<R: Read> LayerStream<R> {
    /// Tells the compression by its magic number.
    pub(crate) fn new(source: R, caps: Caps) -> io::Result<Self> {
        let mut source = BufReader::new(Counted { inner: source, count: 0 });
        let head = source.fill_buf()?;
        let decoder = if head.starts_with(&[0x1f, 0x8b]) {
            Decoder::Gzip(Box::new(flate2::bufread::MultiGzDecoder::new(source)))
        } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            let mut zstd = zstd::stream::read::Decoder::with_buffer(source)?;
            zstd.window_log_max(ZSTD_WINDOW_MAX)?;
            Decoder::Zstd(Box::new(zstd))
        } else {
            Decoder::Plain(source)
        };
        Ok(Self { decoder, hasher: Sha256::new(), caps, out: 0 })
    }

    /// Reads what is left, which must be zeros: bytes behind the end mark would be hashed but seen by nobody.
    pub(crate) fn finish(mut self) -> io::Result<(Digest, u64)> {
        let mut buffer = [0; 8192];
        loop {
            let n = self.read(&mut buffer)?;
            if n == 0 {
                return Ok((Digest::from_hasher(self.hasher), self.out));
            }
            if buffer[..n].iter().any(|byte| *byte != 0) {
                return Err(refused("it has data behind its end"));
            }
        }
    }
}

/// A refusal that travels through `io::Error`, because the tar reader sits in between.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(pub(crate) String);

pub(crate) fn refused(reason: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, Refused(reason.into()))
}

impl<R: Read> Read for LayerStream<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.decoder.read(buffer).map_err(|error| match error.kind() {
            // A broken compressed stream is the archive's fault, not the disk's.
            io::ErrorKind::InvalidInput
            | io::ErrorKind::InvalidData
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::Other => refused(format!("its compression is broken: {error}")),
            _ => error,
        })?;
        self.hasher.update(&buffer[..n]);
        self.out += u64::try_from(n).expect("a read fits 64 bits");
        if self.out > self.caps.bytes {
            return Err(refused(format!("a layer of over {} bytes", self.caps.bytes)));
        }
        if self.out > self.caps.ratio_free && self.out / self.caps.ratio > self.decoder.compressed()
        {
            return Err(refused(format!("it unpacks to over {} times its size", self.caps.ratio)));
        }
        Ok(n)
    }
}
