//! Bars beside each other, in SVG.

use super::number;
use std::fmt::Write;

const WIDTH: f64 = 560.0;
const LABELS: f64 = 118.0;
const NUMBERS: f64 = 78.0;
const ROW: f64 = 18.0;

/// A peer's value: its median, and the least and greatest.
pub(super) struct Bar<'a> {
    pub(super) label: &'a str,
    pub(super) low: f64,
    pub(super) middle: f64,
    pub(super) high: f64,
    pub(super) ours: bool,
}

/// Groups of bars on scales of their own.
pub(super) struct Plot<'a> {
    title: &'a str,
    unit: &'a str,
    better: &'a str,
    groups: Vec<(&'a str, Vec<Bar<'a>>)>,
}

impl<'a> Plot<'a> {
    pub(super) fn new(title: &'a str, unit: &'a str, better: &'a str) -> Plot<'a> {
        Plot { title, unit, better, groups: Vec::new() }
    }

    pub(super) fn group(&mut self, name: &'a str, bars: Vec<Bar<'a>>) {
        if !bars.is_empty() {
            self.groups.push((name, bars));
        }
    }

    /// The figure, or nothing if there is nothing to show.
    pub(super) fn svg(&self) -> String {
        if self.groups.is_empty() {
            return String::new();
        }
        let rows: usize = self.groups.iter().map(|(_, bars)| bars.len() + 2).sum();
        let height = rows as f64 * ROW;
        let mut out = format!(
            "<figure><figcaption>{}<small>{}{}{}</small></figcaption>\
             <svg viewBox=\"0 0 {WIDTH} {height}\" role=img aria-label=\"{}\">",
            self.title,
            self.unit,
            if self.unit.is_empty() { "" } else { ", " },
            self.better,
            self.title
        );
        let mut y = ROW;
        for (name, bars) in &self.groups {
            let _ = write!(out, "<text class=group x=0 y={y}>{name}</text>");
            y += ROW * 0.4;
            let most = bars.iter().map(|bar| bar.high).fold(f64::MIN_POSITIVE, f64::max);
            for bar in bars {
                draw(&mut out, bar, most, y);
                y += ROW;
            }
            y += ROW * 1.6;
        }
        out.push_str("</svg></figure>");
        out
    }
}

fn draw(out: &mut String, bar: &Bar<'_>, most: f64, y: f64) {
    let scale = |value: f64| value / most * (WIDTH - LABELS - NUMBERS);
    let class = if bar.ours { "ours" } else { "peer" };
    let (text, top, middle) = (y + ROW * 0.72, y + ROW * 0.17, y + ROW * 0.5);
    let (x, end) = (LABELS + scale(bar.low), LABELS + scale(bar.high));
    let _ = write!(
        out,
        "<text x={:.1} y={text:.1} text-anchor=end>{}</text>\
         <rect class={class} x={LABELS} y={top:.1} width={:.1} height={:.1} rx=2 />",
        LABELS - 8.0,
        bar.label,
        scale(bar.middle).max(1.0),
        ROW * 0.66,
    );
    if bar.high > bar.low {
        let _ =
            write!(out, "<line class=range x1={x:.1} x2={end:.1} y1={middle:.1} y2={middle:.1} />");
    }
    let _ = write!(
        out,
        "<text class=dim x={:.1} y={text:.1}>{}</text>",
        end.max(LABELS) + 6.0,
        number(bar.middle)
    );
}
