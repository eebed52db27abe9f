//! Moments on the wire: RFC 3339, and in between the time since the Unix epoch.

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

/// A moment and its text, which many rows of one answer share.
#[derive(Clone, Debug)]
pub struct Moment {
    /// Since the Unix epoch.
    pub since_epoch: Duration,
    /// RFC 3339, in UTC.
    pub text: String,
}

impl Moment {
    /// The moment this long after the Unix epoch.
    pub fn at(since_epoch: Duration) -> Self {
        Self {
            since_epoch,
            text: format(since_epoch),
        }
    }
}

const MILLISECONDS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// `2026-01-31T12:34:56.789Z`. The epoch where the moment is beyond the year 9999.
pub fn format(since_epoch: Duration) -> String {
    let nanos = i128::try_from(since_epoch.as_nanos()).unwrap_or_default();
    let moment =
        OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    // Never fails: the format names only parts that every date has.
    moment.format(MILLISECONDS).unwrap_or_default()
}

/// Reads RFC 3339 with any offset; none before 1970 or when malformed.
pub fn parse(text: &str) -> Option<Duration> {
    let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    Duration::try_from(moment - OffsetDateTime::UNIX_EPOCH).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_keep_their_milliseconds() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799_001, "9999-12-31T23:59:59.001Z"),
        ] {
            let moment = Duration::from_millis(millis);
            assert_eq!(format(moment), text);
            assert_eq!(parse(text), Some(moment));
        }
        assert_eq!(format(Duration::MAX), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn what_postgrest_and_docker_print_is_read() {
        let expected = parse("2025-11-21T09:50:45Z").unwrap();
        for (text, nanos) in [
            ("2025-11-21T09:50:45.123456+00:00", 123_456_000),
            ("2025-11-21T10:50:45+01:00", 0),
            ("2025-11-21T04:20:45.9-05:30", 900_000_000),
            ("2025-11-21t09:50:45.5z", 500_000_000),
            ("2025-11-21T09:50:45.123456789Z", 123_456_789),
        ] {
            let moment = expected + Duration::from_nanos(nanos);
            assert_eq!(parse(text), Some(moment), "{text}");
        }
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            "soon",
            "2025-13-01T00:00:00Z",
            "2025-02-29T00:00:00Z",
            "2025-11-21T24:00:00Z",
            "2025-11-21T09:50:45",
            "2025-11-21T09:50:45.Z",
            "2025-11-21T09:50:45Z ",
            "2025-11-21T09:50:45+00",
            "2025-11-21T09:50:45+1",
            "2025-11-21T09:50:45+24:00",
            "2025-11-21T09:50:45+00:9223372036854775807",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+01:00",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
