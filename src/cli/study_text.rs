//! Studies as text.

use super::printer::{Table, counted};
use crate::labels::Task;
use crate::study::Spread;
use crate::study::curve::{Foretold, LearningCurve};
use crate::study::few::FewShots;
use crate::study::pool::Pool;
use crate::study::time::TimeStudy;

/// Points of a gain from which more labelled articles are called worth it, and below which they are called hardly worth it.
const CLEAR_GAIN: f64 = 0.01;
const HARDLY_GAIN: f64 = 0.003;

/// What it was about.
fn head(pool: &Pool, task: Task) -> String {
    format!("{}, {} labels, {task}", counted(pool.n_train as u64, "labelled article"), pool.labels.len())
}

fn sd(spread: Spread) -> String {
    spread.sd.map_or_else(|| "–".to_owned(), |sd| format!("{sd:.3}"))
}

fn points(difference: f64) -> String {
    format!("{:+.1}", 100.0 * difference)
}

/// A learning curve and its law.
pub fn curve(curve: &LearningCurve, pool: &Pool) -> String {
    let metric = curve.metric.name();
    let tested = match curve.n_test {
        Some(n) => format!("tested on {n} others"),
        None => {
            format!("tested on {} folds held out in turn", curve.sizes.first().map_or(0, |size| size.repeats.len()))
        }
    };
    let mut table = Table::new(&["articles", metric, "sd", "f1_macro", "sd", "law"]);
    for size in &curve.sizes {
        let law = curve.law.map_or_else(|| "–".to_owned(), |law| format!("{:.3}", 1.0 - law.error(size.n as f64)));
        table.row(vec![
            size.n.to_string(),
            format!("{:.3}", size.score.mean),
            sd(size.score),
            format!("{:.3}", size.f1_macro.mean),
            sd(size.f1_macro),
            law,
        ]);
    }
    let mut text = format!("{}; {tested}\n\n{}", head(pool, curve.task), table.render());
    let (Some(law), Some(doubled)) = (curve.law, curve.doubled) else {
        text.push_str("\nfewer than three sizes: no law can be fitted; name more with --shares\n");
        return text;
    };
    text.push_str(&format!("\nlaw: error = {:.4} + {:.3} · n^−{:.3}\n", law.floor, law.scale, law.exponent));
    if let (Some(backtest), Some(largest)) = (curve.backtest, curve.sizes.last()) {
        text.push_str(&format!(
            "put to the test: from the sizes up to half, the law foretells {:.3} (95 % interval {:.3} to {:.3}) for {} articles; measured {:.3}\n",
            backtest.score, backtest.interval.low, backtest.interval.high, backtest.n, largest.score.mean
        ));
    }
    text.push_str(&worth(&doubled, metric));
    text
}

fn worth(doubled: &Foretold, metric: &str) -> String {
    let Foretold { n, score, gain, gain_interval, .. } = doubled;
    let verdict = match gain_interval {
        interval if interval.low >= CLEAR_GAIN => "more labelled articles are worth it",
        interval if interval.high < HARDLY_GAIN => "more labelled articles would hardly bring anything",
        interval if interval.low <= 0.0 => "whether more labelled articles would bring anything cannot be told",
        _ => "more labelled articles would bring a little",
    };
    format!(
        "{verdict}: {n}, twice as many, should bring {} points of {metric} (95 % interval {} to {}), to {score:.3}\n",
        points(*gain),
        points(gain_interval.low),
        points(gain_interval.high)
    )
}

/// Few articles, drawn again and again.
pub fn few(few: &FewShots, pool: &Pool) -> String {
    let mut table = Table::new(&["per label", "articles", few.metric.name(), "sd", "f1_macro", "sd"]);
    for shots in &few.shots {
        table.row(vec![
            shots.shots.to_string(),
            shots.n_train.to_string(),
            format!("{:.3}", shots.score.mean),
            sd(shots.score),
            format!("{:.3}", shots.f1_macro.mean),
            sd(shots.f1_macro),
        ]);
    }
    let (n_draws, n_test) = few.shots.first().map_or((0, 0), |shots| (shots.repeats.len(), shots.n_test));
    format!(
        "{}; means and standard deviations of {n_draws} draws, tested on {n_test} others\n\n{}",
        head(pool, few.task),
        table.render()
    )
}

/// What time costs.
pub fn time(study: &TimeStudy, pool: &Pool) -> String {
    let metric = study.metric.name();
    let mut table = Table::new(&["tested on", "articles", "trained on", "by time", "at random", "sd", "cost"]);
    for window in &study.windows {
        table.row(vec![
            format!("{} to {}", window.test_from, window.test_until),
            window.n_test.to_string(),
            window.n_train.to_string(),
            format!("{:.3}", window.by_time.score),
            format!("{:.3}", window.random_score.mean),
            sd(window.random_score),
            format!("{} points", points(window.cost)),
        ]);
    }
    let cost = study.mean_cost().unwrap_or_default();
    let verdict = match cost {
        cost if cost > 0.0 => format!("time costs {:.1} points of {metric} on average", 100.0 * cost),
        _ => format!("time costs nothing here: {metric} by time is {:.1} points above random splits", -100.0 * cost),
    };
    format!(
        "{}; {metric}, trained before and tested after, beside random splits of the same sizes\n\n{}\n{verdict}; sd: how far random splits differ from each other\n",
        head(pool, study.task),
        table.render()
    )
}
