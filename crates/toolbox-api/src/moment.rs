//! RFC 3339 in UTC, to and from time since the Unix epoch. Nothing else about calendars is needed.

use std::time::Duration;

/// A moment and its text, which many rows of one answer share.
#[derive(Clone, Debug)]
pub struct Moment {
    /// Since the Unix epoch.
    pub since_epoch: Duration,
    /// RFC 3339.
    pub text: String,
}

impl Moment {
    /// The moment that long after the Unix epoch.
    pub fn at(since_epoch: Duration) -> Self {
        let text = format(since_epoch);
        Self { since_epoch, text }
    }
}

const DAY: u64 = 86_400;

/// `2026-01-31T12:34:56.789Z`.
pub fn format(since_epoch: Duration) -> String {
    let seconds = since_epoch.as_secs();
    let (year, month, day) = civil(seconds / DAY);
    let second_of_day = seconds % DAY;
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        second_of_day / 3600,
        second_of_day / 60 % 60,
        second_of_day % 60,
        since_epoch.subsec_millis()
    )
}

/// Reads RFC 3339 with any offset, and with the shorter forms Postgres prints; none before 1970 or when malformed.
pub fn parse(text: &str) -> Option<Duration> {
    let bytes = text.as_bytes();
    let fixed = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    let separated = fixed.iter().all(|(at, mark)| bytes.get(*at) == Some(mark));
    if !separated || !matches!(bytes.get(10), Some(b'T' | b't' | b' ')) {
        return None;
    }
    let (year, month, day) = (
        number(bytes, 0, 4)?,
        number(bytes, 5, 2)?,
        number(bytes, 8, 2)?,
    );
    let hour = number(bytes, 11, 2).filter(|hour| *hour < 24)?;
    let minute = number(bytes, 14, 2).filter(|minute| *minute < 60)?;
    let second = number(bytes, 17, 2).filter(|second| *second < 60)?;
    if year < 1970 || !(1..=12).contains(&month) || day == 0 {
        return None;
    }
    let date = days(year, month, day);
    // The 31st of a shorter month.
    if civil(date) != (year, month, day) {
        return None;
    }
    let (nanos, zone) = fraction(bytes.get(19..)?)?;
    let local = date * DAY + hour * 3600 + minute * 60 + second;
    let utc = match zone {
        [b'Z' | b'z'] => local,
        [b'+', zone @ ..] => local.checked_sub(offset(zone)?)?,
        [b'-', zone @ ..] => local + offset(zone)?,
        _ => return None,
    };
    Some(Duration::new(utc, nanos))
}

/// The number that exactly these digits write.
fn number(text: &[u8], from: usize, digits: usize) -> Option<u64> {
    text.get(from..from + digits)?
        .iter()
        .try_fold(0, |number, digit| {
            digit
                .is_ascii_digit()
                .then(|| number * 10 + u64::from(digit - b'0'))
        })
}

/// Nanoseconds of a fraction, which may be missing, and what follows it.
fn fraction(text: &[u8]) -> Option<(u32, &[u8])> {
    let [b'.' | b',', rest @ ..] = text else {
        return Some((0, text));
    };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 {
        return None;
    }
    let written = rest[..digits].iter().chain(std::iter::repeat(&b'0'));
    let nanos = written
        .take(9)
        .fold(0, |nanos, digit| nanos * 10 + u32::from(digit - b'0'));
    Some((nanos, &rest[digits..]))
}

/// Seconds of `HH`, `HHMM` or `HH:MM`.
fn offset(zone: &[u8]) -> Option<u64> {
    let minute_at = match zone.len() {
        2 => None,
        4 => Some(2),
        5 if zone[2] == b':' => Some(3),
        _ => return None,
    };
    let hours = number(zone, 0, 2).filter(|hours| *hours < 24)?;
    let minutes = match minute_at {
        Some(at) => number(zone, at, 2).filter(|minutes| *minutes < 60)?,
        None => 0,
    };
    Some(hours * 3600 + minutes * 60)
}

/// Days since the epoch of a date of the Gregorian calendar.
const fn days(year: u64, month: u64, day: u64) -> u64 {
    // Years that begin in March, so that the leap day is the last.
    let (year, month) = if month <= 2 {
        (year - 1, month + 9)
    } else {
        (year, month - 3)
    };
    let before_year = year * 365 + year / 4 - year / 100 + year / 400;
    let before_month = (month * 153 + 2) / 5;
    before_year + before_month + day - 1 - 719_468
}

/// The date that many days after the epoch.
const fn civil(days_since_epoch: u64) -> (u64, u64, u64) {
    let shifted = days_since_epoch + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_763_718_645, "2025-11-21T09:50:45.000Z"),
            (4_107_542_399, "2100-02-28T23:59:59.000Z"),
        ] {
            assert_eq!(format(Duration::from_secs(seconds)), text);
            assert_eq!(parse(text), Some(Duration::from_secs(seconds)));
        }
    }

    #[test]
    fn every_day_of_a_century_round_trips() {
        for day in 0..36_600 {
            let moment = Duration::from_secs(day * DAY + 3_661);
            assert_eq!(parse(&format(moment)), Some(moment));
        }
    }

    #[test]
    fn forms_of_postgres_and_docker_are_read() {
        let expected = parse("2025-11-21T09:50:45Z").unwrap();
        for (text, nanos) in [
            ("2025-11-21T09:50:45.123456+00:00", 123_456_000),
            ("2025-11-21T10:50:45+01:00", 0),
            ("2025-11-21T04:20:45.9-0530", 900_000_000),
            ("2025-11-21 09:50:45+00", 0),
            ("2025-11-21t09:50:45,5z", 500_000_000),
            ("2025-11-21T09:50:45.123456789Z", 123_456_789),
            ("2025-11-21T09:50:45.1234567899999Z", 123_456_789),
        ] {
            let moment = expected + Duration::from_nanos(nanos);
            assert_eq!(parse(text), Some(moment), "{text}");
        }
    }

    #[test]
    fn what_is_no_moment_is_refused_whatever_its_size() {
        for text in [
            "",
            "soon",
            "2025-13-01T00:00:00Z",
            "2025-00-01T00:00:00Z",
            "2025-02-29T00:00:00Z",
            "2025-04-31T00:00:00Z",
            "2025-01-00T00:00:00Z",
            "2025-11-21T24:00:00Z",
            "2025-11-21T09:60:00Z",
            "2025-11-21T09:50:60Z",
            "2025/11/21T09:50:45Z",
            "2025-11-21x09:50:45Z",
            "2025-11-21T09.50.45Z",
            "2025-11-21T09:50:45",
            "2025-11-21T09:50:45.Z",
            "2025-11-21T09:50:45Z ",
            "2025-11-21T09:50:45+",
            "2025-11-21T09:50:45+1",
            "2025-11-21T09:50:45+0:30",
            "2025-11-21T09:50:45+24:00",
            "2025-11-21T09:50:45+01:60",
            "2025-11-21T09:50:45++1:00",
            "2025-11-21T09:50:45+009223372036854775807",
            "2025-11-21T09:50:45+00:9223372036854775807",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+01:00",
            "+025-11-21T09:50:45Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
