//! The page.
use crate::results::Results;
pub(crate) fn html(_r: &Results) -> String { String::new() }
/// The figures as a table in Markdown.
pub(crate) fn markdown(results: &Results) -> String {
    let mut out = String::from("| figure | against | goal (stretch) | measured | met |\n|---|---|---|---|---|\n");
    for v in &results.targets {
        let stretch = v.stretch.as_ref().map_or(String::new(), |s| format!(" ({s})"));
        let measured = v.measured.map_or("not measured".into(), |m| format!("{m:.3}"));
        let met = match (v.met, v.stretch_met) {
            (Some(true), Some(true)) => "yes, stretch",
            (Some(true), _) => "yes",
            (Some(false), _) => "no",
            (None, _) => "-",
        };
        out.push_str(&format!("| {} | {} | {}{stretch} | {measured} | {met} |\n", v.what, v.compared, v.goal));
    }
    out
}
