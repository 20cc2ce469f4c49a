//! Where a copy of the history is kept.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A place in an object store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// `s3://bucket/prefix`
    Bucket {
        /// The bucket.
        bucket: String,
        /// What all keys begin with; may be empty.
        prefix: String,
    },
    /// `file:///folder`
    Folder(PathBuf),
}

impl FromStr for StoreUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "not a place for the history: {text:?}; write s3://bucket/prefix, or file:///folder"
            )
        };
        if let Some(path) = text.strip_prefix("file://") {
            let path = PathBuf::from(path);
            return if path.is_absolute() { Ok(Self::Folder(path)) } else { Err(wrong()) };
        }
        let rest = text.strip_prefix("s3://").ok_or_else(wrong)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let fits = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if bucket.is_empty() || !bucket.chars().all(fits) {
            return Err(wrong());
        }
        let prefix = prefix.trim_matches('/').to_owned();
        Ok(Self::Bucket { bucket: bucket.to_owned(), prefix })
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bucket { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::Bucket { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
            Self::Folder(path) => write!(f, "file://{}", path.display()),
        }
    }
}

impl Serialize for StoreUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StoreUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_url_names_a_bucket_or_a_folder() {
        let parse = |text: &str| text.parse::<StoreUrl>();
        let bucket = |bucket: &str, prefix: &str| {
            Ok(StoreUrl::Bucket { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
        };
        assert_eq!(parse("s3://b"), bucket("b", ""));
        assert_eq!(parse("s3://my-b.x/a/b/"), bucket("my-b.x", "a/b"));
        assert_eq!(parse("file:///srv/x"), Ok(StoreUrl::Folder(PathBuf::from("/srv/x"))));
        for text in ["s3://b/a", "s3://b", "file:///srv/x"] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
        for text in ["", "b/a", "s3://", "s3:///a", "s3://user:secret@b", "file://x", "gs://b"] {
            assert!(parse(text).unwrap_err().contains("s3://bucket/prefix"), "{text}");
        }
    }
}
