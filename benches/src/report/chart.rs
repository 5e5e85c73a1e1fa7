//! Drawings of lines over time and over percentiles, as SVG.
//!
//! plotters draws them in the colours of the light page; the page's style sheet replaces colours by the name that they have
//! in the SVG. Everything is drawn at twice its size, because the SVG backend places points on whole pixels.

use std::ops::Range;

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::prelude::*;

use super::figures::Unit;
use super::format;

/// The colours of lines on the light page: far from each other for colour-blind readers too, and dark enough for white.
pub(super) const COLOURS: [RGBColor; 8] = [
    RGBColor(0x00, 0x68, 0xA8),
    RGBColor(0xD5, 0x5E, 0x00),
    RGBColor(0x00, 0x87, 0x64),
    RGBColor(0xB0, 0x55, 0x9A),
    RGBColor(0x9A, 0x72, 0x00),
    RGBColor(0x3A, 0xA0, 0xDE),
    RGBColor(0x5B, 0x4B, 0xC4),
    RGBColor(0x88, 0x22, 0x55),
];
/// What is drawn in the last line style, red: errors.
pub(super) const ERRORS: usize = COLOURS.len();
const RED: RGBColor = RGBColor(0xC4, 0x1E, 0x3A);
const INK: RGBColor = RGBColor(0x59, 0x63, 0x6E);
const AXIS: RGBColor = RGBColor(0x8C, 0x95, 0x9F);
const GRID: RGBColor = RGBColor(0xDD, 0xE2, 0xE7);
/// So many pixels of the drawing are one of the page.
const SCALE: i32 = 2;
/// The size of the labels, in pixels of the page. plotters multiplies sizes by 1.24.
const LABEL: f64 = 12.0 * 1.24;

/// Room for labels beside the lines, in pixels of the page.
const LEFT: i32 = 62;
const RIGHT: i32 = 26;

/// The colour of a line as it is in the SVG: `#0068A8`.
pub(super) fn colour_name(colour: usize) -> String {
    let RGBColor(red, green, blue) = colour_of(colour);
    format!("#{red:02X}{green:02X}{blue:02X}")
}

const fn colour_of(colour: usize) -> RGBColor {
    if colour == ERRORS { RED } else { COLOURS[colour % COLOURS.len()] }
}

/// What a drawing's horizontal axis is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Across {
    /// Seconds since the run began.
    Time,
    /// Percentiles, as wide for 90 to 99 % as for 99 to 99.9 %: 1 is 90 %, 2 is 99 %.
    Nines,
}

/// A drawing.
#[derive(Debug, Clone)]
pub(super) struct Chart {
    pub(super) title: String,
    pub(super) across: Across,
    pub(super) unit: Unit,
    pub(super) lines: Vec<Line>,
}

/// A line of a drawing.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) colour: usize,
    pub(super) points: Vec<(f64, f64)>,
    /// With its colour, lighter, down to the axis.
    pub(super) filled: bool,
}

/// A drawing's size in pixels of the page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) width: u32,
    pub(super) height: u32,
}

impl Chart {
    /// Whether there is something to draw.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.iter().all(|line| line.points.is_empty())
    }

    /// The drawing; an empty text if it cannot be drawn, which no figures can cause.
    pub(super) fn svg(&self, size: Size) -> String {
        let mut svg = String::new();
        let scale = SCALE.unsigned_abs();
        let backend = SVGBackend::with_string(&mut svg, (size.width * scale, size.height * scale));
        match self.draw(backend, size) {
            Ok(()) => svg,
            Err(_) => String::new(),
        }
    }

    fn draw<B: DrawingBackend>(
        &self,
        backend: B,
        size: Size,
    ) -> Result<(), DrawingAreaErrorKind<<B as DrawingBackend>::ErrorType>> {
        let area = backend.into_drawing_area();
        let (x, y) = (self.horizontal(size), self.vertical(size));
        let (across, up, floor) = (x.ticks.len(), y.ticks.len(), y.start);
        let mut chart = ChartBuilder::on(&area)
            .margin_top(10 * SCALE)
            .margin_right(RIGHT * SCALE)
            .set_label_area_size(LabelAreaPosition::Left, LEFT * SCALE)
            .set_label_area_size(LabelAreaPosition::Bottom, 26 * SCALE)
            .build_cartesian_2d(x, y)?;
        chart
            .configure_mesh()
            .x_labels(across)
            .y_labels(up)
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID.stroke_width(SCALE.unsigned_abs()))
            .axis_style(AXIS.stroke_width(SCALE.unsigned_abs()))
            .set_all_tick_mark_size(4 * SCALE)
            .label_style(("sans-serif", LABEL * f64::from(SCALE)).into_font().color(&INK))
            .x_label_formatter(&|at| self.label_across(*at))
            .y_label_formatter(&|at| self.label_up(*at))
            .draw()?;
        for line in &self.lines {
            let points: Vec<_> = line.points.iter().map(|&(x, y)| (x, self.up(y))).collect();
            let colour = colour_of(line.colour);
            if line.filled {
                chart.draw_series(AreaSeries::new(points.iter().copied(), floor, colour.mix(0.15)))?;
            }
            if let [point] = points.as_slice() {
                chart.draw_series([Circle::new(*point, 3 * SCALE, colour.filled())])?;
            }
            chart.draw_series(LineSeries::new(points, colour.stroke_width(2 * SCALE.unsigned_abs())))?;
        }
        drop(chart);
        area.present()
    }

    /// Where a figure is on the vertical axis: latencies are on a logarithmic one.
    fn up(&self, figure: f64) -> f64 {
        if self.unit == Unit::Latency { figure.max(1.0).log10() } else { figure }
    }

    fn label_up(&self, at: f64) -> String {
        self.unit.text(if self.unit == Unit::Latency { 10_f64.powf(at).round() } else { at })
    }

    fn label_across(&self, at: f64) -> String {
        match self.across {
            Across::Time => clock(at),
            Across::Nines if at >= 1.0 => format!("{} %", 100.0 - 10_f64.powf(2.0 - at)),
            Across::Nines => "50 %".to_owned(),
        }
    }

    fn horizontal(&self, size: Size) -> Axis {
        let points = || self.lines.iter().flat_map(|line| &line.points).map(|&(x, _)| x);
        let end = points().fold(0.0, f64::max).max(1.0);
        match self.across {
            Across::Nines => {
                // `99.999 %` is 54 pixels wide.
                let nine = plot_width(size) / end;
                let every = if nine < 54.0 { 2 } else { 1 };
                let half = Some(2_f64.log10()).filter(|_| nine > 54.0);
                let whole = (1..).step_by(every).map(f64::from).take_while(|&nines| nines <= end);
                Axis { start: 0.0, end, ticks: half.into_iter().chain(whole).collect() }
            }
            Across::Time => {
                let first = points().fold(end, f64::min);
                let start = if first < end * 0.05 { 0.0 } else { first };
                let most = plot_width(size) / 56.0;
                let step = STEPS_S.into_iter().find(|step| (end - start) / step <= most);
                let step = step.unwrap_or_else(|| nice((end - start) / most));
                Axis { start, end, ticks: multiples(start, end, step) }
            }
        }
    }

    fn vertical(&self, size: Size) -> Axis {
        let points = || self.lines.iter().flat_map(|line| &line.points).map(|&(_, y)| y);
        let highest = points().fold(0.0, f64::max);
        let most = f64::from(size.height) / 42.0;
        if self.unit == Unit::Latency {
            return decades(points().fold(highest, f64::min), highest, most);
        }
        let step = nice(highest.max(1e-3) * 1.05 / most);
        let end = (highest.max(1e-3) * 1.05 / step).ceil() * step;
        Axis { start: 0.0, end, ticks: multiples(0.0, end, step) }
    }
}

/// How wide the lines can be, in pixels of the page.
fn plot_width(size: Size) -> f64 {
    f64::from(size.width) - f64::from(LEFT + RIGHT)
}

/// An axis whose ticks are chosen here.
struct Axis {
    start: f64,
    end: f64,
    ticks: Vec<f64>,
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    #[allow(clippy::cast_possible_truncation)]
    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let part = (value - self.start) / (self.end - self.start).max(f64::MIN_POSITIVE);
        from + (f64::from(to - from) * part.clamp(-1.0, 2.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.start..self.end
    }
}

/// Steps of time that people count in, in seconds.
const STEPS_S: [f64; 15] = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0];

/// The next of 1, 2 or 5 times a power of ten.
fn nice(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let steps = [1.0, 2.0, 5.0].map(|times| times * power);
    steps.into_iter().find(|nice| *nice >= step * 0.999).unwrap_or(10.0 * power)
}

fn multiples(start: f64, end: f64, step: f64) -> Vec<f64> {
    let first = (start / step).ceil();
    (0..100).map(|i| (first + f64::from(i)) * step).take_while(|at| *at <= end + step * 1e-6).collect()
}

/// A logarithmic axis, in powers of ten. Its ticks are 1, 2 and 5 of each decade if there is room for them.
fn decades(lowest: f64, highest: f64, most: f64) -> Axis {
    let lowest = lowest.clamp(1.0, 1e9).log10();
    let highest = highest.clamp(1.0, 1e9).log10();
    let ticks = |parts: &[f64]| -> Vec<f64> {
        let part = |decade: i32| parts.iter().map(move |part| f64::from(decade) + part.log10());
        (0..=10).flat_map(part).collect()
    };
    let fine = (highest - lowest) * 3.0 + 2.0 <= most;
    let all = ticks(if fine { &[1.0, 2.0, 5.0] } else { &[1.0] });
    let start = all.iter().copied().filter(|tick| *tick <= lowest + 1e-9).fold(0.0, f64::max);
    let end = all.iter().copied().find(|tick| *tick >= highest && *tick > start + 0.2).unwrap_or(10.0);
    Axis { start, end, ticks: all.into_iter().filter(|tick| (start..=end).contains(tick)).collect() }
}

/// A time since the run began: `30 s`, `1:30 min`, `2:05 h`.
fn clock(at: f64) -> String {
    let whole = at.round();
    match whole {
        _ if at < 59.95 => format!("{} s", format::number((at * 10.0).round() / 10.0)),
        seconds if seconds < 3600.0 => format!("{}:{:02.0} min", (seconds / 60.0).floor(), seconds % 60.0),
        seconds => format!("{}:{:02.0} h", (seconds / 3600.0).floor(), (seconds % 3600.0 / 60.0).floor()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(across: Across, unit: Unit, points: &[(f64, f64)]) -> Chart {
        let line = Line { name: "a".to_owned(), colour: 0, points: points.to_vec(), filled: true };
        Chart { title: "A".to_owned(), across, unit, lines: vec![line] }
    }

    /// The texts of a drawing: the labels of its axes, the vertical one first.
    fn labels(chart: &Chart, width: u32) -> Vec<String> {
        let svg = chart.svg(Size { width, height: 270 });
        let texts = svg.split("<text").skip(1).filter_map(|piece| piece.split(['>', '<']).nth(1));
        texts.map(|text| text.trim().to_owned()).collect()
    }

    #[test]
    fn axes_have_units_and_round_steps() {
        let over_time = chart(Across::Time, Unit::Rate, &[(0.5, 0.0), (119.5, 1_640.0)]);
        let expected = ["0/s", "500/s", "1,000/s", "1,500/s", "2,000/s", "0 s", "30 s", "1:00 min", "1:30 min"];
        assert_eq!(labels(&over_time, 350), expected);
        let hours = chart(Across::Time, Unit::Count, &[(0.0, 1.0), (9_000.0, 3.0)]);
        assert!(labels(&hours, 350).contains(&"2:00 h".to_owned()));
    }

    #[test]
    fn percentiles_are_left_out_where_they_would_overlap() {
        let nines = chart(Across::Nines, Unit::Latency, &[(0.0, 150.0), (5.2, 80_000.0)]);
        let expected = ["100 µs", "1 ms", "10 ms", "100 ms", "50 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %"];
        assert_eq!(labels(&nines, 1140), expected);
        assert_eq!(labels(&nines, 350)[4..], ["90 %", "99.9 %", "99.999 %"]);
    }

    #[test]
    fn near_latencies_have_more_than_powers_of_ten() {
        let near = chart(Across::Time, Unit::Latency, &[(0.0, 1_100.0), (9.0, 4_000.0)]);
        assert!(labels(&near, 560).starts_with(&["1 ms", "2 ms", "5 ms"].map(str::to_owned)));
    }
}
