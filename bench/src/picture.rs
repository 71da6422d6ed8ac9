//! The table as a picture.

use std::fmt::Write;

use crate::case::Peer;
use crate::report::Report;

/// Where the bars begin, and how long the longest is, in pixels.
const LEFT: f64 = 300.0;
const LENGTH: f64 = 360.0;
/// The height of a row, in pixels.
const ROW: f64 = 26.0;
/// What the shortest bar stands for, in microseconds: the scale is logarithmic, so it has no zero.
const LEAST: f64 = 1.0;

/// A bar for each case, as long as the logarithm of its processor time, as SVG. `caption` says what and where.
pub(crate) fn svg(report: &Report, caption: &str) -> String {
    let longest = report.cases().map(|case| report.cpu(case)).fold(10.0 * LEAST, f64::max);
    let scale = LENGTH / (longest / LEAST).ln();
    let rows = report.cases().count() + 2;
    let (width, height) = (LEFT + LENGTH + 100.0, ROW * f64::from(u32::try_from(rows).unwrap_or(u32::MAX)));
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"10\" y=\"18\" font-weight=\"bold\">CPU time of the server for one request, in µs (logarithmic)</text>\n"
    );
    let mut y = ROW;
    for case in report.cases() {
        let cpu = report.cpu(case);
        let length = ((cpu / LEAST).ln() * scale).max(1.0);
        let ours = matches!(case.peer(), Peer::Gateway | Peer::Forgetful);
        let colour = if ours { "#2563eb" } else { "#9ca3af" };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "<text x=\"10\" y=\"{:.0}\">{}</text><rect x=\"{LEFT}\" y=\"{:.0}\" width=\"{length:.0}\" height=\"16\" \
             fill=\"{colour}\"/><text x=\"{:.0}\" y=\"{:.0}\">{cpu:.1}</text>",
            y + 17.0,
            case.name(),
            y + 5.0,
            LEFT + length + 6.0,
            y + 17.0
        );
        y += ROW;
    }
    let caption = caption.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(
        text,
        "<text x=\"10\" y=\"{:.0}\" fill=\"#6b7280\" font-size=\"11\">{caption}</text>\n</svg>",
        y + 17.0
    );
    text
}
