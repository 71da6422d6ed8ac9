//! A date and time by a layout.

use jiff::Zoned;

use super::calendar::{DAYS, MONTHS};
use super::layout::{self, Field, Width, ZoneForm};
use crate::policy::rego::builtins::answer::Text;
use crate::policy::rego::builtins::{Answer, Context};

pub(super) fn format(moment: &Zoned, layout: &str, context: &Context) -> Answer {
    let mut out = Text::new(context);
    let mut rest = layout;
    loop {
        let (text, field, suffix) = layout::next(rest);
        out.push(text)?;
        let Some(field) = field else { return Ok(out.term()) };
        if let Field::Fraction { digits, .. } = field {
            context.within(digits)?;
        }
        out.push(&shown(moment, field))?;
        rest = suffix;
    }
}

fn shown(moment: &Zoned, field: Field) -> String {
    let hour12 = (moment.hour() + 11) % 12 + 1;
    match field {
        Field::Year => format!("{:02}", moment.year() % 100),
        Field::LongYear => format!("{:04}", moment.year()),
        Field::MonthName { long } => name(MONTHS[usize::from(moment.month().unsigned_abs()) - 1], long),
        Field::Month(width) => number(moment.month().into(), width, 2),
        Field::WeekdayName { long } => {
            name(DAYS[usize::from(moment.weekday().to_sunday_zero_offset().unsigned_abs())], long)
        }
        Field::Day(width) => number(moment.day().into(), width, 2),
        Field::YearDay(width) => number(moment.day_of_year(), width, 3),
        Field::Hour => number(moment.hour().into(), Width::Zeros, 2),
        Field::Hour12(width) => number(hour12.into(), width, 2),
        Field::Minute(width) => number(moment.minute().into(), width, 2),
        Field::Second(width) => number(moment.second().into(), width, 2),
        Field::Noon { upper } => {
            let half = if moment.hour() >= 12 { "pm" } else { "am" };
            if upper { half.to_uppercase() } else { half.to_owned() }
        }
        Field::ZoneName => moment.time_zone().to_offset_info(moment.timestamp()).abbreviation().to_owned(),
        Field::Zone(form) => offset(moment.offset().seconds(), form),
        Field::Fraction { digits, trimmed, separator } => {
            fraction(moment.subsec_nanosecond(), digits, trimmed, char::from(separator))
        }
    }
}

fn name(name: &str, long: bool) -> String {
    if long { name.to_owned() } else { name[..3].to_owned() }
}

fn number(number: i16, width: Width, digits: usize) -> String {
    match width {
        Width::Short => number.to_string(),
        Width::Blanks => format!("{number:digits$}"),
        Width::Zeros => format!("{number:0digits$}"),
    }
}

fn offset(seconds: i32, form: ZoneForm) -> String {
    if seconds == 0 && form.z {
        return "Z".to_owned();
    }
    // By whole minutes: what is less than one has no minus.
    let minutes = seconds / 60;
    let sign = if minutes < 0 { '-' } else { '+' };
    let colon = if form.colons { ":" } else { "" };
    let mut out = format!("{sign}{:02}", minutes.abs() / 60);
    if form.minutes {
        out = format!("{out}{colon}{:02}", minutes.abs() % 60);
    }
    if form.seconds {
        let rest = if minutes < 0 { -seconds } else { seconds } % 60;
        out = format!("{out}{colon}{}{:02}", if rest < 0 { "-" } else { "" }, rest.abs());
    }
    out
}

/// So many digits; or up to so many, without zeros at the end.
fn fraction(nanoseconds: i32, digits: usize, trimmed: bool, separator: char) -> String {
    if trimmed && nanoseconds == 0 {
        return String::new();
    }
    let all = format!("{nanoseconds:09}");
    let kept = &all[..digits.min(9)];
    let kept = if trimmed { kept.trim_end_matches('0') } else { kept };
    if kept.is_empty() { String::new() } else { format!("{separator}{kept}") }
}
