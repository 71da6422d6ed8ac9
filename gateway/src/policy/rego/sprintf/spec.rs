//! Flags, width and precision of a verb.

#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own in a format")]
pub(super) struct Spec {
    pub(super) plus: bool,
    pub(super) minus: bool,
    pub(super) zero: bool,
    pub(super) space: bool,
    pub(super) sharp: bool,
    /// `%+v`, in which the plus is about no sign.
    pub(super) plus_v: bool,
    /// `%#v`, in which the sharp means Go's own notation.
    pub(super) sharp_v: bool,
    pub(super) width: Option<usize>,
    pub(super) precision: Option<usize>,
}

impl Spec {
    /// As it is for `%v`.
    pub(super) fn general(self) -> Self {
        Self { plus: false, sharp: false, plus_v: self.plus, sharp_v: self.sharp, ..self }
    }

    /// Fills up to the width, with blanks or with zeros.
    pub(super) fn pad(&self, text: &str) -> String {
        let missing = self.missing(text.chars().count());
        match (self.minus, self.zero) {
            _ if missing == 0 => text.to_owned(),
            (true, _) => format!("{text}{}", " ".repeat(missing)),
            (_, true) => format!("{}{text}", "0".repeat(missing)),
            _ => format!("{}{text}", " ".repeat(missing)),
        }
    }

    /// Fills up to the width. Zeros go between a number's sign and its digits.
    pub(super) fn pad_number(&self, sign: &str, digits: &str) -> String {
        if self.zero && !self.minus {
            let missing = self.missing(sign.len() + digits.len());
            return format!("{sign}{}{digits}", "0".repeat(missing));
        }
        self.pad(&format!("{sign}{digits}"))
    }

    /// How many characters are missing from the width.
    pub(super) fn missing(&self, length: usize) -> usize {
        self.width.unwrap_or(0).saturating_sub(length)
    }

    pub(super) fn sign(&self, negative: bool) -> &'static str {
        match (negative, self.plus, self.space) {
            (true, ..) => "-",
            (_, true, _) => "+",
            (_, _, true) => " ",
            _ => "",
        }
    }

    /// The beginning of `text`, as many characters as the precision says.
    pub(super) fn cut<'a>(&self, text: &'a str) -> &'a str {
        let end = self.precision.and_then(|precision| text.char_indices().nth(precision));
        end.map_or(text, |(end, _)| &text[..end])
    }
}
