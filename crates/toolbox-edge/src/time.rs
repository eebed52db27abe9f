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

/// Reads RFC 3339 to the second, with any offset; none before 1970 or when malformed.
pub fn parse(text: &str) -> Option<Duration> {
    let number = |from: usize, to: usize| -> Option<u64> {
        let digits = text.get(from..to)?;
        digits
            .bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| digits.parse().ok())?
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let local = days(year, month, day) * DAY + hour * 3600 + minute * 60 + second;
    let rest = text
        .get(19..)?
        .trim_start_matches(['.', ','])
        .trim_start_matches(|c: char| c.is_ascii_digit());
    let offset = match rest.as_bytes() {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), zone @ ..] => {
            let zone = std::str::from_utf8(zone).ok()?;
            let hours: i64 = zone.get(0..2)?.parse().ok()?;
            let minutes: i64 = match zone.get(2..)?.trim_start_matches(':') {
                "" => 0,
                minutes => minutes.parse().ok()?,
            };
            let seconds = hours * 3600 + minutes * 60;
            if *sign == b'-' { -seconds } else { seconds }
        }
        _ => return None,
    };
    let utc = i64::try_from(local).ok()? - offset;
    u64::try_from(utc).ok().map(Duration::from_secs)
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
        let expected = parse("2025-11-21T09:50:45Z");
        assert!(expected.is_some());
        for text in [
            "2025-11-21T09:50:45.123456+00:00",
            "2025-11-21T10:50:45+01:00",
            "2025-11-21T04:20:45.9-0530",
            "2025-11-21 09:50:45+00",
            "2025-11-21T09:50:45.123456789Z",
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
        for text in [
            "",
            "soon",
            "2025-13-01T00:00:00Z",
            "2025-11-21T09:50:45",
            "1969-12-31T23:59:59Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
