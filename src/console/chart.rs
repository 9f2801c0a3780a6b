//! Charts of numbers over time, as SVG within the page: no script, no style, no picture to load.
//!
//! A [`Chart`] says what is to be seen; [`Chart::figure`] draws it with its title, its legend and the numbers as a table.
//! Series are told apart by pattern or dash as well as by colour. Colours come from the style sheet by these classes:
//! `chart` and `chart-NAME` of the figure, `series-1` to `series-6` of a series (`fill` of bars, `stroke` of lines),
//! `hatch` of what is drawn over a colour, `grid`, `axis`, `tick`, `empty`; `chart-legend` and `chart-data` beside it.

use std::{
    fmt::{self, Display, Write as _},
    time::Duration,
};

use jiff::Timestamp;

use super::markup::Markup;

mod axis;

pub use axis::Measure;
use axis::{TimeAxis, ValueAxis};

/// Series that look different from each other.
pub const LOOKS: usize = 6;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 712.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 194.0;
/// What is not nothing is seen, however little it is beside the rest.
const BAR_HEIGHT_MIN: f64 = 1.0;

/// Strokes of the lines, by look.
const DASHES: [&str; LOOKS] = ["none", "7 3", "2 3", "9 3 2 3", "12 4", "1 5"];

/// What is drawn over the colour of bars, by look, in a square of 6 by 6; the first is plain.
const HATCHES: [&str; LOOKS] = ["", "M0 6L6 0", "M0 0L6 6", "M0 3H6", "M3 0V6", "M0 6L6 0M0 0L6 6"];

/// Numbers over time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chart {
    /// What the page calls it: stands in ids and classes, so it is of letters, and one of its kind on a page.
    pub name: &'static str,
    /// What is seen, in a few words.
    pub title: String,
    /// How it is drawn.
    pub form: Form,
    /// What the numbers are.
    pub measure: Measure,
    /// How long each point lasts.
    pub step: Duration,
    /// When each point begins, in the order of time.
    pub times: Vec<Timestamp>,
    /// What is drawn, the lowest first; more than [`LOOKS`] begin to look alike.
    pub series: Vec<Line>,
}

/// How numbers are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As bars on top of each other, for counts that make up a whole.
    StackedBars,
    /// As a line each.
    Lines,
}

/// One series of a chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What the legend calls it.
    pub name: String,
    /// A value for each time; `None`: there is none, and the line has a gap.
    pub values: Vec<Option<u64>>,
}

impl Line {
    fn known(&self) -> impl Iterator<Item = u64> {
        self.values.iter().copied().flatten()
    }

    fn sum(&self) -> u64 {
        self.known().fold(0, u64::saturating_add)
    }
}

impl Chart {
    /// The whole: title, drawing, legend, and the numbers to be unfolded.
    pub fn figure(&self) -> Markup {
        let mut markup = Markup::default();
        let class = format!("chart chart-{}", self.name);
        markup.element("figure", &[("class", &class)], |figure| {
            figure.text_element("figcaption", &[], &self.title);
            figure.append(&self.svg());
            figure.append(&self.legend());
            figure.append(&self.table());
        });
        markup
    }

    /// The drawing alone, with its title and a sentence of what it shows.
    pub fn svg(&self) -> Markup {
        let mut markup = Markup::default();
        let (title, description) = (self.id("title"), self.id("desc"));
        let labelled_by = format!("{title} {description}");
        let view_box = format!("0 0 {WIDTH} {HEIGHT}");
        let attributes: [(_, &dyn Display); 4] = [
            ("class", &"chart-drawing"),
            ("role", &"img"),
            ("viewBox", &view_box),
            ("aria-labelledby", &labelled_by),
        ];
        markup.element("svg", &attributes, |svg| {
            svg.text_element("title", &[("id", &title)], &self.title);
            svg.text_element("desc", &[("id", &description)], self.description());
            self.draw(svg);
        });
        markup
    }

    fn draw(&self, svg: &mut Markup) {
        let Some(across) = TimeAxis::new(&self.times, self.step, LEFT, RIGHT) else {
            let (x, y) = (Coordinate(f64::midpoint(LEFT, RIGHT)), Coordinate(f64::midpoint(TOP, BOTTOM)));
            svg.text_element(
                "text",
                &[("class", &"empty"), ("x", &x), ("y", &y), ("text-anchor", &"middle")],
                NOTHING,
            );
            return;
        };
        let up = ValueAxis::new(self.greatest(), self.measure, BOTTOM, TOP);
        draw_axes(svg, &across, &up);
        match self.form {
            Form::StackedBars => self.draw_bars(svg, &across, &up),
            Form::Lines => self.draw_lines(svg, &across, &up),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a drawing")]
    fn greatest(&self) -> f64 {
        let of_line = |line: &Line| line.known().max().unwrap_or(0) as f64;
        let of_stack = |at: usize| -> f64 { self.values_at(at).map(|value| value.unwrap_or(0) as f64).sum() };
        match self.form {
            Form::Lines => self.series.iter().map(of_line).fold(0.0, f64::max),
            Form::StackedBars => (0..self.times.len()).map(of_stack).fold(0.0, f64::max),
        }
    }

    fn values_at(&self, at: usize) -> impl Iterator<Item = Option<u64>> {
        self.series.iter().map(move |line| line.values.get(at).copied().flatten())
    }

    /// One path for each series, whose bars stand on those of the series before.
    fn draw_bars(&self, svg: &mut Markup, across: &TimeAxis, up: &ValueAxis) {
        self.define_hatches(svg);
        let width = across.step_width();
        let (gap, mut floors) = (width / 10.0, vec![BOTTOM; self.times.len()]);
        for (look, line) in looks(&self.series) {
            let mut path = String::new();
            for ((time, value), floor) in self.times.iter().zip(&line.values).zip(&mut floors) {
                let Some(value) = value.filter(|value| *value > 0) else { continue };
                let height = up.length(value).max(BAR_HEIGHT_MIN);
                *floor -= height;
                let (left, top) = (Coordinate(across.place(*time) + gap / 2.0), Coordinate(*floor));
                let (width, height) = (Coordinate(width - gap), Coordinate(height));
                let _ = write!(path, "M{left} {top}h{width}v{height}h-{width}z");
            }
            if !path.is_empty() {
                let class = class(look);
                svg.shape("path", &[("class", &class), ("d", &path)]);
                if let Some(hatch) = self.hatch(look) {
                    svg.shape("path", &[("fill", &hatch), ("d", &path)]);
                }
            }
        }
    }

    fn define_hatches(&self, svg: &mut Markup) {
        svg.element("defs", &[], |defs| {
            for (look, _) in looks(&self.series).filter(|(look, _)| *look > 0).take(LOOKS) {
                let id = self.id(&format!("hatch-{look}"));
                let attributes: [(_, &dyn Display); 4] =
                    [("id", &id), ("width", &6), ("height", &6), ("patternUnits", &"userSpaceOnUse")];
                defs.element("pattern", &attributes, |pattern| {
                    pattern.shape("path", &[("class", &"hatch"), ("d", &HATCHES[look]), ("fill", &"none")]);
                });
            }
        });
    }

    /// What to fill the bars of a look with, over their colour.
    fn hatch(&self, look: usize) -> Option<String> {
        (look > 0).then(|| format!("url(#{})", self.id(&format!("hatch-{look}"))))
    }

    fn draw_lines(&self, svg: &mut Markup, across: &TimeAxis, up: &ValueAxis) {
        let middle = across.step_width() / 2.0;
        for (look, line) in looks(&self.series) {
            let mut path = String::new();
            let mut is_drawing = false;
            for (time, value) in self.times.iter().zip(&line.values) {
                if let Some(value) = value {
                    let (x, y) = (Coordinate(across.place(*time) + middle), Coordinate(up.place(*value)));
                    // A point that stands alone is a dot: round ends of a line without length.
                    let _ = if is_drawing { write!(path, "L{x} {y}") } else { write!(path, "M{x} {y}h0") };
                }
                is_drawing = value.is_some();
            }
            if !path.is_empty() {
                draw_stroke(svg, look, &path);
            }
        }
    }

    /// Which pattern or dash is which series.
    fn legend(&self) -> Markup {
        let mut markup = Markup::default();
        markup.element("ul", &[("class", &"chart-legend")], |list| {
            for (look, line) in looks(&self.series) {
                list.element("li", &[], |item| {
                    item.append(&self.swatch(look));
                    item.text(&line.name);
                });
            }
        });
        markup
    }

    fn swatch(&self, look: usize) -> Markup {
        let mut markup = Markup::default();
        let attributes: [(_, &dyn Display); 4] =
            [("viewBox", &"0 0 24 12"), ("width", &24), ("height", &12), ("aria-hidden", &"true")];
        markup.element("svg", &attributes, |svg| match self.form {
            Form::Lines => draw_stroke(svg, look, "M0 6H24"),
            Form::StackedBars => {
                let (class, path) = (class(look), "M0 0H24V12H0z");
                svg.shape("path", &[("class", &class), ("d", &path)]);
                if let Some(hatch) = self.hatch(look) {
                    svg.shape("path", &[("fill", &hatch), ("d", &path)]);
                }
            }
        });
        markup
    }

    /// The numbers, newest first, to be unfolded.
    pub fn table(&self) -> Markup {
        let mut markup = Markup::default();
        markup.element("details", &[("class", &"chart-data")], |details| {
            details.text_element("summary", &[], "The numbers");
            details.element("table", &[], |table| {
                table.text_element("caption", &[], format_args!("{}, times in UTC", self.title));
                table.element("thead", &[], |head| {
                    head.element("tr", &[], |row| {
                        let names = self.series.iter().map(|line| line.name.as_str());
                        for name in ["From"].into_iter().chain(names) {
                            row.text_element("th", &[("scope", &"col")], name);
                        }
                    });
                });
                table.element("tbody", &[], |body| self.rows(body));
            });
        });
        markup
    }

    fn rows(&self, body: &mut Markup) {
        for (at, time) in self.times.iter().enumerate().rev() {
            body.element("tr", &[], |row| {
                row.element("th", &[("scope", &"row")], |cell| {
                    cell.text_element("time", &[("datetime", time)], time.strftime("%Y-%m-%d %H:%M:%S"));
                });
                for value in self.values_at(at) {
                    match value {
                        Some(value) => row.text_element("td", &[], self.measure.exact(value)),
                        None => row.text_element("td", &[], "–"),
                    }
                }
            });
        }
    }

    /// What is seen, in a sentence or two.
    pub fn description(&self) -> String {
        let (Some(first), Some(last)) = (self.times.first(), self.times.last()) else {
            return NOTHING.to_owned();
        };
        let end = last.checked_add(self.step).unwrap_or(*last);
        let mut text = format!(
            "From {} to {} UTC in steps of {}. ",
            first.strftime("%Y-%m-%d %H:%M"),
            end.strftime("%Y-%m-%d %H:%M"),
            Measure::Microseconds.exact(u64::try_from(self.step.as_micros()).unwrap_or(u64::MAX)),
        );
        match self.form {
            Form::StackedBars => self.describe_sums(&mut text),
            Form::Lines => self.describe_ranges(&mut text),
        }
        text
    }

    fn describe_sums(&self, text: &mut String) {
        let of_each: Vec<_> = self
            .series
            .iter()
            .map(|line| format!("{}: {}", line.name, self.measure.exact(line.sum())))
            .collect();
        let all = self.series.iter().map(Line::sum).fold(0, u64::saturating_add);
        let _ = write!(text, "{} in all", self.measure.exact(all));
        let _ =
            if of_each.is_empty() { write!(text, ".") } else { write!(text, "; {}.", of_each.join(", ")) };
    }

    fn describe_ranges(&self, text: &mut String) {
        let of_each: Vec<_> = self.series.iter().map(|line| self.describe_range(line)).collect();
        let _ = write!(text, "{}.", of_each.join("; "));
    }

    fn describe_range(&self, line: &Line) -> String {
        let bounds = [line.known().min(), line.known().max(), line.known().last()];
        let [Some(least), Some(greatest), Some(newest)] =
            bounds.map(|bound| bound.map(|value| self.measure.exact(value)))
        else {
            return format!("{}: none", line.name);
        };
        format!("{}: between {least} and {greatest}, last {newest}", line.name)
    }

    fn id(&self, part: &str) -> String {
        format!("chart-{}-{part}", self.name)
    }
}

const NOTHING: &str = "Nothing was recorded yet.";

fn looks(series: &[Line]) -> impl Iterator<Item = (usize, &Line)> {
    (0..LOOKS).cycle().zip(series)
}

fn class(look: usize) -> String {
    format!("series-{}", look + 1)
}

fn draw_stroke(svg: &mut Markup, look: usize, path: &str) {
    let class = class(look);
    let attributes: [(_, &dyn Display); 6] = [
        ("class", &class),
        ("d", &path),
        ("fill", &"none"),
        ("stroke-width", &2),
        ("stroke-linecap", &"round"),
        ("stroke-dasharray", &DASHES[look]),
    ];
    svg.shape("path", &attributes);
}

fn draw_axes(svg: &mut Markup, across: &TimeAxis, up: &ValueAxis) {
    for (y, label) in up.ticks() {
        let (line, text) = (format!("M{LEFT} {y}H{RIGHT}"), Coordinate(y.0 + 4.0));
        svg.shape("path", &[("class", &"grid"), ("d", &line), ("fill", &"none")]);
        let attributes: [(_, &dyn Display); 4] =
            [("class", &"tick"), ("x", &(LEFT - 6.0)), ("y", &text), ("text-anchor", &"end")];
        svg.text_element("text", &attributes, label);
    }
    for (x, label) in across.ticks() {
        let line = format!("M{x} {BOTTOM}v5");
        svg.shape("path", &[("class", &"axis"), ("d", &line), ("fill", &"none")]);
        let attributes: [(_, &dyn Display); 4] =
            [("class", &"tick"), ("x", &x), ("y", &(BOTTOM + 18.0)), ("text-anchor", &"middle")];
        svg.text_element("text", &attributes, label);
    }
    let line = format!("M{LEFT} {BOTTOM}H{RIGHT}");
    svg.shape("path", &[("class", &"axis"), ("d", &line), ("fill", &"none")]);
}

/// A place or length in a drawing, to a tenth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Coordinate(pub(super) f64);

impl Display for Coordinate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:.1}", self.0)
    }
}

#[cfg(test)]
mod tests;
