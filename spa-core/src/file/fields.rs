//! How single values stand in the files.

use std::str::FromStr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::crypto::key::{ProfileKey, SiteId, SiteKey, from_base64};
use crate::time::UnixMillis;

/// `format = 1`, the only one.
pub fn format<'de, D: Deserializer<'de>>(d: D) -> Result<(), D::Error> {
    match u32::deserialize(d)? {
        1 => Ok(()),
        _ => Err(D::Error::custom("this version reads format = 1 only")),
    }
}

/// The same, where it may be absent.
pub fn some_format<'de, D: Deserializer<'de>>(d: D) -> Result<Option<()>, D::Error> {
    format(d).map(Some)
}

/// A value that is written as text.
pub fn text<'de, D: Deserializer<'de>, T: FromStr<Err: std::fmt::Display>>(d: D) -> Result<T, D::Error> {
    String::deserialize(d)?.parse().map_err(D::Error::custom)
}

/// The same, where it may be absent.
pub fn some_text<'de, D, T>(d: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: std::fmt::Display>,
{
    text(d).map(Some)
}

/// A list of values that are written as text.
pub fn texts<'de, D, T>(d: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: std::fmt::Display>,
{
    Vec::<String>::deserialize(d)?.iter().map(|text| text.parse().map_err(D::Error::custom)).collect()
}

/// A key id; zero is none.
pub fn key_id<'de, D: Deserializer<'de>>(d: D) -> Result<u32, D::Error> {
    match u32::deserialize(d) {
        Ok(id) if id != 0 => Ok(id),
        _ => Err(D::Error::custom("key_id: expected a number from 1 to 4294967295")),
    }
}

/// A port; zero is none.
pub fn port<'de, D: Deserializer<'de>>(d: D) -> Result<std::num::NonZeroU16, D::Error> {
    std::num::NonZeroU16::deserialize(d).map_err(|_| D::Error::custom("expected a port from 1 to 65535"))
}

/// A span of time like `30s`, `5m` or `1h 30m`, of a second at least.
pub fn duration<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
    parse_duration(&String::deserialize(d)?).map_err(D::Error::custom)
}

/// The same, where it may be absent.
pub fn some_duration<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
    duration(d).map(Some)
}

/// Text that is no span of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a duration of at least a second: write it like 30s, 5m or 1h")]
pub struct BadDuration(String);

/// Reads a span of time as the files and the command lines have it.
pub fn parse_duration(text: &str) -> Result<Duration, BadDuration> {
    let longest = Duration::from_secs(u32::MAX.into());
    humantime::parse_duration(text)
        .ok()
        .filter(|span| (Duration::from_secs(1)..=longest).contains(span))
        .ok_or_else(|| BadDuration(text.to_owned()))
}

/// A moment, RFC 3339 in UTC or with an offset.
pub fn moment<'de, D: Deserializer<'de>>(d: D) -> Result<UnixMillis, D::Error> {
    let text = toml::value::Datetime::deserialize(d)?.to_string();
    parse_moment(&text).map_err(D::Error::custom)
}

/// The same, where it may be absent.
pub fn some_moment<'de, D: Deserializer<'de>>(d: D) -> Result<Option<UnixMillis>, D::Error> {
    moment(d).map(Some)
}

/// Text that is no moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a date with a time: write it like 2026-11-20T10:00:00Z")]
pub struct BadMoment(String);

/// Reads a moment as the files and the command lines have it.
pub fn parse_moment(text: &str) -> Result<UnixMillis, BadMoment> {
    let bad = || BadMoment(text.to_owned());
    let moment = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| bad())?;
    let millis = moment.unix_timestamp_nanos() / 1_000_000;
    u64::try_from(millis).ok().and_then(UnixMillis::new).ok_or_else(bad)
}

/// Writes a moment in whole seconds, UTC.
pub fn write_moment(moment: UnixMillis) -> String {
    let seconds = i64::try_from(moment.get() / 1000).unwrap_or(0);
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|moment| moment.format(&Rfc3339).ok())
        // Not before the year 10000, which RFC 3339 cannot write.
        .unwrap_or_else(|| "9999-12-31T23:59:59Z".to_owned())
}

/// Base64 of a number of bytes that its type has.
pub fn base64<'de, D: Deserializer<'de>, const N: usize>(d: D) -> Result<[u8; N], D::Error> {
    from_base64(&String::deserialize(d)?).map_err(D::Error::custom)
}

/// The same, where it may be absent.
pub fn some_base64<'de, D: Deserializer<'de>, const N: usize>(d: D) -> Result<Option<[u8; N]>, D::Error> {
    base64(d).map(Some)
}

/// Base64 of any number of bytes.
pub fn bytes<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
    STANDARD.decode(String::deserialize(d)?).map_err(|_| D::Error::custom("not base64"))
}

/// A site id.
pub fn site_id<'de, D: Deserializer<'de>>(d: D) -> Result<SiteId, D::Error> {
    base64(d).map(SiteId)
}

/// A site key.
pub fn site_key<'de, D: Deserializer<'de>>(d: D) -> Result<SiteKey, D::Error> {
    base64(d).map(SiteKey::new)
}

/// The same, where it may be absent.
pub fn some_site_key<'de, D: Deserializer<'de>>(d: D) -> Result<Option<SiteKey>, D::Error> {
    site_key(d).map(Some)
}

/// A profile key.
pub fn profile_key<'de, D: Deserializer<'de>>(d: D) -> Result<ProfileKey, D::Error> {
    base64(d).map(ProfileKey::new)
}

/// Text as it stands in a file, in quotation marks, whatever is in it.
pub fn write_text(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A list of services or targets as it stands in a file.
pub fn write_list(items: &[impl std::fmt::Display]) -> String {
    let quoted: Vec<String> = items.iter().map(|item| format!("\"{item}\"")).collect();
    format!("[{}]", quoted.join(", "))
}
